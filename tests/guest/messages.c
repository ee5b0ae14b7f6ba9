/* SPDX-License-Identifier: MIT */
/*
 * Goal: processes exchange messages over the driver's topics as they do over any
 * other, and with a driver: every byte, order, exact losses, waking, whatever holds
 * the memory.
 * Method: libtorc with dev: addresses, one pass per way to hold the memory; the
 * driver is torc_echo.
 */
#include "device.h"
#include "topics.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <torc/torc.h>

#define MESSAGES 3000

static void publish_number(struct torc_publisher *pub, uint32_t number)
{
	MUST(torc_pub_publish(pub, &number, sizeof(number)));
}

/* ---- Participants in processes of their own ------------------------------ */

struct sender {
	const char *address;
	uint32_t number, messages;
};

static void send_all(const void *context)
{
	const struct sender *sender = context;
	struct torc_topic *topic = topic_open(sender->address, 0);
	struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);

	for (uint32_t i = 0; i < sender->messages; i++)
		publish_stamped(pub, sender->number, i);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

#define SENDERS 2
#define RECEIVERS 2

struct receiver {
	struct torc_subscriber *sub;
	uint64_t order;	/* hash of who came when */
};

static void receive_all(struct receiver *receiver, uint32_t senders)
{
	uint32_t next[SENDERS] = { 0 };
	struct stamp stamp;

	receiver->order = 1469598103934665603u;
	for (uint32_t i = 0; i < senders * MESSAGES; i++) {
		stamp = receive_stamped(receiver->sub);
		CHECK(stamp.sender < senders);
		CHECK_EQ(stamp.number, next[stamp.sender]);
		next[stamp.sender]++;
		receiver->order = (receiver->order ^ stamp.sender) *
				  1099511628211u;
	}
	CHECK_EQ(torc_sub_receive(receiver->sub, &stamp, sizeof(stamp),
				  &(struct torc_message){ .length = 0 }),
		 -EAGAIN);
}

/* Subscribers join before @ready_fd is closed, then tell the order they saw. */
struct receiving {
	const char *address;
	uint32_t senders;
	int ready_fd, result_fd;
};

static void receive_in_child(const void *context)
{
	const struct receiving *receiving = context;
	struct torc_topic *topic = topic_open(receiving->address, 0);
	struct receiver receiver = { .sub = sub_open(topic, 0) };

	CHECK_EQ(write(receiving->ready_fd, "", 1), 1);
	receive_all(&receiver, receiving->senders);
	CHECK_EQ(write(receiving->result_fd, &receiver.order,
		       sizeof(receiver.order)), sizeof(receiver.order));
	torc_sub_close(receiver.sub);
	torc_topic_close(topic);
}

/* Many messages from @senders processes to RECEIVERS, laps of the ring. */
static void exchange(const char *address, uint32_t senders)
{
	struct torc_topic *topic = topic_create(
		address, senders > 1 ? TORC_MANY : 0, 65536);
	struct sender sender[SENDERS];
	struct receiving receiving = { address, senders, -1, -1 };
	pid_t pids[SENDERS + RECEIVERS];
	uint64_t order[RECEIVERS];
	int ready[2], result[2];
	char byte;

	CHECK(!pipe(ready) && !pipe(result));
	receiving.ready_fd = ready[1];
	receiving.result_fd = result[1];
	for (int i = 0; i < RECEIVERS; i++)
		pids[i] = child_start(receive_in_child, &receiving);
	for (int i = 0; i < RECEIVERS; i++)
		CHECK_EQ(read(ready[0], &byte, 1), 1);
	for (uint32_t i = 0; i < senders; i++) {
		sender[i] = (struct sender){ address, i, MESSAGES };
		pids[RECEIVERS + i] = child_start(send_all, &sender[i]);
	}
	for (uint32_t i = 0; i < RECEIVERS + senders; i++)
		CHECK_EQ(child_end(pids[i]), 0);
	for (int i = 0; i < RECEIVERS; i++)
		CHECK_EQ(read(result[0], &order[i], sizeof(order[i])),
			 sizeof(order[i]));
	CHECK(order[0] == order[1]);
	topic_destroy(topic, address);
}

/* ---- Tests, for each way to hold the memory ------------------------------ */

TEST(one_publisher_reaches_several_subscribers_byte_for_byte)
{
	for_each_kind(address)
		exchange(address, 1);
}

TEST(several_publishers_come_in_one_order_for_all)
{
	for_each_kind(address)
		exchange(address, 2);
}

TEST(how_processors_cache_it_changes_nothing)
{
	char address[64];

	for (int i = 0; i < 4; i++) {
		snprintf(address, sizeof(address), "dev:cached-%d,contig,%s",
			 (int)getpid(), i % 2 ? "wc" : "uc");
		exchange(address, 1 + (uint32_t)i / 2);
	}
}

TEST(a_full_ring_refuses_until_there_is_room)
{
	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, 0, 4096);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct torc_publisher *pub = pub_open(topic, TORC_FULL_FAIL);
		unsigned char payload[512] = { 0 }, got[512];
		struct torc_message message;
		int sent = 0, r;

		while (!(r = torc_pub_publish(pub, payload, sizeof(payload)))) {
			payload[0]++;
			sent++;
			CHECK(sent < 9);
		}
		CHECK_EQ(r, -EAGAIN);
		CHECK(sent > 5);
		for (int i = 0; i < sent; i++) {
			MUST(torc_sub_receive(sub, got, sizeof(got), &message));
			CHECK_EQ(got[0], i);
		}
		MUST(torc_pub_publish(pub, payload, sizeof(payload)));
		torc_sub_close(sub);
		torc_pub_close(pub);
		topic_destroy(topic, address);
	}
}

TEST(a_lapped_subscriber_is_told_exactly_what_it_lost)
{
	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, 0, 8192);
		struct torc_subscriber *sub = sub_open(topic, TORC_SUB_LOSSY);
		struct torc_publisher *pub = pub_open(topic, TORC_FULL_FAIL);
		struct torc_message message;
		uint32_t number = 0, got = 0, sent = 0;

		for (int round = 0; round < 20; round++) {
			for (int i = 0; i < 50 * round; i++)
				publish_number(pub, sent++);
			while (!torc_sub_receive(sub, &number, sizeof(number),
						 &message)) {
				got++;
				CHECK_EQ(number + 1,
					 got + torc_sub_lost(sub));
			}
			CHECK_EQ(got + torc_sub_lost(sub), sent);
		}
		CHECK(torc_sub_lost(sub) > 0);
		torc_sub_close(sub);
		torc_pub_close(pub);
		topic_destroy(topic, address);
	}
}

static void publish_now_and_then(const void *context)
{
	struct torc_topic *topic = topic_open(context, 0);
	struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);

	for (uint32_t i = 0; i < 20; i++) {
		usleep(20000);
		publish_stamped(pub, 0, i);
	}
	torc_pub_close(pub);
	torc_topic_close(topic);
}

TEST(a_sleeping_subscriber_is_woken_by_each_message)
{
	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, 0, 65536);
		struct torc_subscriber *sub = sub_open(topic, 0);
		pid_t pid = child_start(publish_now_and_then, address);

		for (uint32_t i = 0; i < 20; i++)
			CHECK_EQ(receive_stamped(sub).number, i);
		CHECK_EQ(child_end(pid), 0);
		torc_sub_close(sub);
		topic_destroy(topic, address);
	}
}

static void wait_until_blocked(struct torc_topic *topic)
{
	struct torc_participant publisher;

	do {
		usleep(1000);
		MUST(torc_topic_participants(topic, &publisher, 1));
	} while (!publisher.blocked);
}

static void receive_slowly(const void *context)
{
	struct torc_topic *topic = topic_open(context, 0);
	struct torc_subscriber *sub = sub_open(topic, TORC_SUB_OLDEST);

	wait_until_blocked(topic);
	for (uint32_t i = 0; i < 200; i++) {
		if (i % 50 == 0)
			usleep(20000);
		CHECK_EQ(receive_stamped(sub).number, i);
	}
	torc_sub_close(sub);
	torc_topic_close(topic);
}

TEST(a_publisher_sleeps_until_there_is_room)
{
	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, 0, 16384);
		struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);
		struct torc_pub_stats stats;
		pid_t pid;

		publish_stamped(pub, 0, 0);
		pid = child_start(receive_slowly, address);
		wait_for_participants(topic, TORC_SUBSCRIBER, 1);
		for (uint32_t i = 1; i < 200; i++)
			publish_stamped(pub, 0, i);
		CHECK_EQ(child_end(pid), 0);
		torc_pub_get_stats(pub, &stats);
		CHECK(stats.blocked > 0);
		torc_pub_close(pub);
		topic_destroy(topic, address);
	}
}

/* ---- With a driver ------------------------------------------------------- */

/* By a driver's publishing, which write() asks for. */
TEST(who_is_lapped_by_a_driver_is_told_exactly_what_it_lost)
{
	for_each_memory(m) {
		struct torc_driver_create request =
			device_request(memories[m], TORC_DRIVER_PUBLISHES);
		char address[TORC_DRIVER_NAME_MAX + 4];
		struct torc_message message;
		struct torc_subscriber *sub;
		struct torc_topic *topic;
		uint32_t sent = 0, got = 0, number;
		struct device d;

		request.capacity = 8192;
		device_make_as(&d, &request);
		snprintf(address, sizeof(address), "dev:%.127s", d.name);
		topic = topic_open(address, 0);
		sub = sub_open(topic, TORC_SUB_LOSSY);
		for (int round = 0; round < 20; round++) {
			for (int i = 0; i < 50 * round; i++, sent++)
				CHECK_EQ(write(d.fd, &sent, sizeof(sent)),
					 sizeof(sent));
			while (!torc_sub_receive(sub, &number, sizeof(number),
						 &message)) {
				got++;
				CHECK_EQ(number + 1, got + torc_sub_lost(sub));
			}
			CHECK_EQ(got + torc_sub_lost(sub), sent);
		}
		CHECK(torc_sub_lost(sub) > 0);
		torc_sub_close(sub);
		torc_topic_close(topic);
		device_end(&d);
	}
}

#define REQUESTS "dev:echo/request"
#define REPLIES "dev:echo/reply"
#define AT_ONCE 20u

/* A publisher of requests and a subscriber to the answers. */
struct echo {
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
};

static void echo_load(const char *parameters, unsigned int memory)
{
	shell("insmod $TORC_MODULES/torc_echo.ko %s memory=%u", parameters,
	      memory);
}

static struct torc_subscriber *replies_open(void)
{
	struct torc_topic *topic = topic_open(REPLIES, 0);
	struct torc_subscriber *sub = sub_open(topic, 0);

	torc_topic_close(topic);
	return sub;
}

static struct echo echo_open(unsigned int memory)
{
	struct torc_topic *requests;
	struct echo echo;

	echo_load("capacity=65536", memory);
	requests = topic_open(REQUESTS, 0);
	echo.pub = pub_open(requests, TORC_FULL_WAIT);
	echo.sub = replies_open();
	torc_topic_close(requests);
	return echo;
}

static void echo_close(struct echo echo)
{
	torc_pub_close(echo.pub);
	torc_sub_close(echo.sub);
	shell("rmmod torc_echo");
}

TEST(a_driver_gets_each_message_and_answers_it)
{
	for_each_memory(m) {
		struct echo echo = echo_open(memories[m]);

		for (uint32_t i = 0; i < MESSAGES; i++) {
			publish_stamped(echo.pub, 0, i);
			if (i % AT_ONCE != AT_ONCE - 1)
				continue;
			for (uint32_t n = i + 1 - AT_ONCE; n <= i; n++)
				CHECK_EQ(receive_stamped(echo.sub).number, n);
		}
		CHECK_EQ(torc_sub_lost(echo.sub), 0);
		echo_close(echo);
	}
}

/* Few enough that none of the answers is dropped. */
#define OF_EACH 200u

TEST(a_driver_listens_to_many_publishers)
{
	for_each_memory(m) {
		struct sender senders[SENDERS];
		struct torc_subscriber *sub;
		uint32_t next[SENDERS] = { 0 };
		pid_t pids[SENDERS];
		struct stamp stamp;

		echo_load("many=1", memories[m]);
		sub = replies_open();
		for (uint32_t i = 0; i < SENDERS; i++) {
			senders[i] = (struct sender){ REQUESTS, i, OF_EACH };
			pids[i] = child_start(send_all, &senders[i]);
		}
		for (uint32_t i = 0; i < SENDERS * OF_EACH; i++) {
			stamp = receive_stamped(sub);
			CHECK(stamp.sender < SENDERS);
			CHECK_EQ(stamp.number, next[stamp.sender]);
			next[stamp.sender]++;
		}
		CHECK(!receive_stamped_if_any(sub, &stamp));
		for (int i = 0; i < SENDERS; i++)
			CHECK_EQ(child_end(pids[i]), 0);
		torc_sub_close(sub);
		shell("rmmod torc_echo");
	}
}

static unsigned long dropped(void)
{
	FILE *file = fopen("/sys/kernel/debug/torc/echo:reply", "re");
	unsigned long count = 0;
	char line[100];

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "dropped %lu", &count);
	fclose(file);
	return count;
}

TEST(what_a_driver_drops_is_counted_and_traced)
{
	static const char *const events[] = { "publish", "drop", "wake" };
	struct echo echo;
	uint32_t received = 0;

	if (access("/sys/kernel/tracing/events/torc", F_OK))
		harness_skip("this kernel has no tracing");
	shell("echo >/sys/kernel/tracing/trace && "
	      "echo 1 >/sys/kernel/tracing/events/torc/enable");
	echo = echo_open(TORC_PAGES_SHMEM);
	/* Its ring is full at last, because nobody reads. */
	for (uint32_t i = 0; i < MESSAGES; i++)
		publish_stamped(echo.pub, 0, i);
	do
		for (struct stamp stamp;
		     receive_stamped_if_any(echo.sub, &stamp);)
			received++;
	while (received + dropped() < MESSAGES);
	CHECK(received > 0 && dropped() > 0);
	CHECK_EQ(received + dropped(), MESSAGES);
	shell("echo 0 >/sys/kernel/tracing/events/torc/enable");
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		shell("grep -q 'torc_%s: echo/re' /sys/kernel/tracing/trace",
		      events[i]);
	echo_close(echo);
}
