/* SPDX-License-Identifier: MIT */
/*
 * A wall clock that is set.  Each time that anybody here, the library included,
 * asks for it, it has jumped a year forward or back: waits, timeouts and repair
 * are none the wiser.  (Another's time since boot: test_namespaces.c.)
 */
#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define YEAR_S		31536000
#define WAIT_NS		20000000

/* ---- The clock ---------------------------------------------------------- */

static bool jumping;	/* each time, forward and back */
static time_t ahead_s;

/* In glibc's place, for all of the process. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	static unsigned int asked;
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return r;
	if (jumping)
		ahead_s = ++asked % 2 ? YEAR_S : -YEAR_S;
	ret->tv_sec += ahead_s;
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

static void jump(void)
{
	fixture_init();
	jumping = true;
}

static void rest(void)
{
	jumping = false;
	fixture_fini();
}

TestSuite(clocks, .init = jump, .fini = rest, .timeout = 60);

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* @call ends with -ETIMEDOUT, and no sooner than it should. */
#define TIMES_OUT(call)                                                        \
	do {                                                                   \
		uint64_t begun = now_ns();                                     \
                                                                               \
		cr_assert_eq((call), -ETIMEDOUT, "%s: %s", #call,              \
			     torc_errmsg());                                   \
		cr_assert_geq(now_ns() - begun, (uint64_t)WAIT_NS, "%s",       \
			      #call);                                          \
	} while (0)

/* ---- Waiting ------------------------------------------------------------ */

/* Each way to wait for a message, and each way not to spend one's time. */
static void wait_for_messages(struct torc_topic *topic)
{
	static const enum torc_wait policies[] = {
		TORC_WAIT_ADAPTIVE, TORC_WAIT_SPIN, TORC_WAIT_SLEEP,
	};

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct torc_sub_options options = { .wait = policies[i] };
		struct torc_subscriber *subs[2];
		struct torc_set *set;
		void *data;

		MUST(torc_sub_open(topic, &options, &subs[0]));
		MUST(torc_sub_open(topic, &options, &subs[1]));
		TIMES_OUT(torc_sub_wait(subs[0], WAIT_NS));
		TIMES_OUT(torc_sub_wait_any(subs, 2, WAIT_NS));
		MUST(torc_set_open(policies[i], &set));
		MUST(torc_set_add(set, subs[0], NULL));
		TIMES_OUT(torc_set_wait(set, WAIT_NS, &data));
		torc_set_close(set);
		torc_sub_close(subs[0]);
		torc_sub_close(subs[1]);
	}
}

static void wait_for_room(struct torc_topic *topic)
{
	struct torc_pub_options options = { .timeout_ns = WAIT_NS };
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_pub_stats stats;
	struct torc_publisher *pub;
	uint64_t begun;

	MUST(torc_pub_open(topic, &options, &pub));
	do
		begun = now_ns();
	while (!torc_pub_publish(pub, "x", 1));
	cr_assert_geq(now_ns() - begun, (uint64_t)WAIT_NS);
	pub = torc_pub_close(pub);
	/* Who stands still for so long is evicted, and no sooner. */
	options.full = TORC_FULL_EVICT;
	MUST(torc_pub_open(topic, &options, &pub));
	begun = now_ns();
	for (int i = 0; i < 1000; i++)
		MUST(torc_pub_publish(pub, "x", 1));
	cr_assert_geq(now_ns() - begun, (uint64_t)WAIT_NS);
	torc_pub_get_stats(pub, &stats);
	cr_expect_eq(stats.evicted, 1u);
	torc_pub_close(pub);
	torc_sub_close(sub);
}

Test(clocks, waits_end_when_their_time_has_come)
{
	for (size_t kind = 0; kind < FIXTURE_KINDS; kind++) {
		struct torc_topic *topic = topic_of_kind(kind, 4096);

		wait_for_messages(topic);
		wait_for_room(topic);
		topic_end(topic);
	}
}

/* ---- Being woken -------------------------------------------------------- */

static int receive_by_descriptor(void *context)
{
	struct torc_subscriber *sub = sub_open(context, TORC_SUB_OLDEST);
	struct pollfd poll_fd = { torc_sub_fd(sub), POLLIN, 0 };
	struct torc_message message;
	char byte = 0;

	while (byte != 'e')
		if (torc_sub_receive(sub, &byte, 1, &message) == -EAGAIN)
			poll(&poll_fd, 1, -1);
	torc_sub_close(sub);
	return 0;
}

Test(clocks, sleepers_are_woken)
{
	int (*const ways[])(void *context) = { receive_to_the_end,
					       receive_by_descriptor };

	for (size_t i = 0; i < 2; i++) {
		struct torc_topic *topic = topic_open("t", 0, 4096);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_pub_stats stats = { 0 };
		pid_t pid = child_start(ways[i], topic);

		while (stats.woken < 20) {
			MUST(torc_pub_publish(pub, "x", 1));
			pause_ms(1);
			torc_pub_get_stats(pub, &stats);
		}
		MUST(torc_pub_publish(pub, "e", 1));
		cr_expect_eq(child_end(pid), 0);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

/* ---- Deaths ------------------------------------------------------------- */

static int die_with_a_claim(void *context)
{
	struct torc_publisher *pub = pub_open(context);
	void *payload;

	MUST(torc_pub_reserve(pub, 100, &payload));
	return raise(SIGKILL);
}

static int die_receiving(void *context)
{
	sub_open(context, 0);
	return raise(SIGKILL);
}

Test(clocks, the_dead_hold_nobody_up)
{
	for (size_t kind = 1; kind < FIXTURE_KINDS; kind += 2) {
		struct torc_topic *topic = topic_of_kind(kind, 4096);
		struct torc_subscriber *sub = sub_open(topic, TORC_SUB_LOSSY);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_message message;

		cr_assert_eq(child_end(child_start(die_with_a_claim, topic)),
			     -SIGKILL);
		MUST(torc_pub_publish(pub, "behind", 6));
		MUST(torc_sub_wait(sub, -1));
		MUST(torc_sub_peek(sub, &message));
		cr_expect_eq(memcmp(message.data, "behind", 6), 0);
		cr_assert_eq(child_end(child_start(die_receiving, topic)),
			     -SIGKILL);
		for (int i = 0; i < 1000; i++)
			MUST(torc_pub_publish(pub, "x", 1));
		torc_sub_close(sub);
		torc_pub_close(pub);
		topic_end(topic);
	}
}

/* ---- Files -------------------------------------------------------------- */

static int die_with_a_bell(void *context)
{
	cr_assert_geq(torc_sub_fd(sub_open(context, 0)), 0);
	return raise(SIGKILL);
}

Test(clocks, what_is_dated_in_the_future_is_cleaned_up)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_bus *bus;

	MUST(torc_bus_open(NULL, &bus));
	cr_assert_eq(child_end(child_start(die_with_a_bell, topic)), -SIGKILL);
	jumping = false;
	ahead_s = -YEAR_S;
	cr_expect_eq(torc_bus_clean(bus), 1);
	torc_bus_close(bus);
	torc_topic_close(topic);
}
