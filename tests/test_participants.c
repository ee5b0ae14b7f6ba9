/* SPDX-License-Identifier: MIT */
/*
 * Publishers and subscribers through the library, over every mapping: between
 * processes, in all the ways to publish, receive and wait.
 */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(participants, .init = fixture_init, .fini = fixture_fini,
	  .timeout = 120);

/* The topic as another process would get at it. */
static struct torc_topic *topic_again(struct torc_topic *topic)
{
	struct torc_topic *again;
	char address[128];
	int fd = torc_topic_fd(topic);

	if (!strcmp(torc_topic_name(topic), "anon:"))
		return topic;
	if (fd >= 0)
		snprintf(address, sizeof(address), "fd:%d", fd);
	else
		snprintf(address, sizeof(address), "%s",
			 torc_topic_name(topic));
	MUST(torc_topic_open(NULL, address, NULL, &again));
	return again;
}

static void fill(unsigned char *buffer, size_t length, uint64_t number)
{
	for (size_t i = 0; i < length; i++)
		buffer[i] = (unsigned char)(number * 31 + i * 7);
}

static size_t length_of(uint64_t number)
{
	return number * 2654435761u % 900;
}

#define MESSAGES 20000u

static int receive_all(void *context)
{
	struct torc_topic *topic = topic_again(context);
	struct torc_subscriber *sub = sub_open(topic, TORC_SUB_OLDEST);
	unsigned char buffer[1000], expected[1000];
	struct torc_message message;

	for (uint64_t i = 0; i < MESSAGES; i++) {
		MUST(torc_sub_wait(sub, 30000000000));
		MUST(torc_sub_receive(sub, buffer, sizeof(buffer), &message));
		cr_assert_eq(message.sequence, i);
		cr_assert_eq(message.length, length_of(i));
		fill(expected, message.length, i);
		cr_assert_eq(memcmp(buffer, expected, message.length), 0);
	}
	torc_sub_close(sub);
	return 0;
}

Test(participants, another_process_receives_every_byte)
{
	unsigned char buffer[1000];

	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_topic_info info = { .subscribers = 0 };
		pid_t pid = child_start(receive_all, topic);

		while (!info.subscribers)
			MUST(torc_topic_get_info(topic, &info));
		for (uint64_t i = 0; i < MESSAGES; i++) {
			fill(buffer, length_of(i), i);
			MUST(torc_pub_publish(pub, buffer, length_of(i)));
		}
		cr_expect_eq(child_end(pid), 0);
		MUST(torc_topic_get_info(topic, &info));
		cr_expect_eq(info.messages, MESSAGES);
		torc_pub_close(pub);
		topic_end(topic);
	}
}

static void expect_text(struct torc_subscriber *sub, const char *text)
{
	struct torc_message message;

	MUST(torc_sub_peek(sub, &message));
	cr_expect_eq(message.length, strlen(text));
	cr_expect_eq(memcmp(message.data, text, message.length), 0, "%s", text);
	MUST(torc_sub_release(sub));
}

static int collect(const struct torc_message *message, void *context)
{
	char **to = context;

	memcpy(*to, message->data, message->length);
	*to += message->length;
	return **((const char *const *)&message->data) == '!' ? 42 : 0;
}

Test(participants, all_ways_to_publish_and_receive)
{
	static const struct iovec pieces[] = { { (void *)"ve", 2 },
					       { NULL, 0 },
					       { (void *)"ctor", 4 } };
	static const struct torc_span batch[] = { { "a", 1 },
						  { NULL, 0 },
						  { "bc", 2 } };

	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 4096);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct torc_subscriber *lossy = sub_open(topic, TORC_SUB_LOSSY);
		char text[16] = "", *end = text, buffer[16];
		struct torc_message messages[8];
		void *payload;

		MUST(torc_pub_publish(pub, "copy", 4));
		expect_text(sub, "copy");
		MUST(torc_pub_publishv(pub, pieces, 3));
		expect_text(sub, "vector");
		MUST(torc_pub_reserve(pub, 100, &payload));
		memcpy(payload, "place", 5);
		MUST(torc_pub_commit(pub, 5));
		expect_text(sub, "place");
		MUST(torc_pub_reserve(pub, 100, &payload));
		torc_pub_abort(pub);
		FAILS(-EINVAL, "reserved", torc_pub_commit(pub, 1));
		cr_expect_eq(torc_sub_peek(sub, messages), -EAGAIN);
		/* As many from the front as fit; one, if they are checked. */
		for (int i = 0, n; i < 3; i += n) {
			n = torc_pub_publish_batch(pub, batch + i, 3 - i);
			MUST(n);
		}
		cr_expect_eq(torc_sub_peek_batch(sub, messages, 8), 3);
		cr_expect_eq(messages[1].length, 0);
		cr_expect_eq(messages[2].sequence, 5);
		MUST(torc_sub_release(sub));
		MUST(torc_pub_publish(pub, "x", 1));
		MUST(torc_pub_publish(pub, "!", 1));
		MUST(torc_pub_publish(pub, "y", 1));
		cr_expect_eq(torc_sub_dispatch(sub, collect, &end, 8), 42);
		cr_expect_eq(torc_sub_dispatch(sub, collect, &end, 8), 1);
		cr_expect_eq(torc_sub_dispatch(sub, collect, &end, 8), -EAGAIN);
		cr_expect_str_eq(text, "x!y");
		FAILS(-EINVAL, "at least one",
		      torc_sub_peek_batch(sub, messages, 0));
		FAILS(-EINVAL, "at least one",
		      torc_sub_dispatch(sub, collect, &end, 0));

		MUST(torc_sub_receive(lossy, buffer, 16, messages));
		FAILS(-EMSGSIZE, "message of 6",
		      torc_sub_receive(lossy, buffer, 3, messages));
		MUST(torc_sub_receive(lossy, buffer, 16, messages));
		cr_expect_eq(memcmp(buffer, "vector", 6), 0);
		cr_expect_eq(torc_sub_dispatch(lossy, collect, &end, 2), 2);
		torc_sub_close(lossy);
		torc_sub_close(sub);
		torc_pub_close(pub);
		topic_end(topic);
	}
}

/* Say @text in the way @way of all that there are; false if there is no such way. */
static bool say_in_a_way(struct torc_publisher *pub, int way, const char *text)
{
	const struct torc_span span = { text, strlen(text) };
	const struct iovec piece = { (void *)(uintptr_t)text, strlen(text) };
	void *payload;

	switch (way) {
	case 0:
		MUST(torc_pub_publish(pub, text, strlen(text)));
		return true;
	case 1:
		MUST(torc_pub_publishv(pub, &piece, 1));
		return true;
	case 2:
		MUST(torc_pub_publish_batch(pub, &span, 1));
		return true;
	case 3:
		MUST(torc_pub_reserve(pub, strlen(text), &payload));
		memcpy(payload, text, strlen(text));
		MUST(torc_pub_commit(pub, strlen(text)));
		return true;
	default:
		return false;
	}
}

static void reserve_and_scribble(struct torc_publisher *pub)
{
	void *payload;

	MUST(torc_pub_reserve(pub, 40, &payload));
	memset(payload, 0xee, 40);
}

/* What was reserved and not committed holds up nothing, and comes to nothing. */
static void publish_while_reserved(struct torc_publisher *pub,
				   struct torc_subscriber *sub, const char *text)
{
	struct torc_message message;

	for (int way = 0;; way++) {
		reserve_and_scribble(pub);
		if (!say_in_a_way(pub, way, text))
			break;
		/* Nor what was committed to what comes after it. */
		MUST(torc_pub_publish(pub, "next", 4));
		FAILS(-EINVAL, "reserved", torc_pub_commit(pub, 0));
		expect_text(sub, text);
		expect_text(sub, "next");
		cr_expect_eq(torc_sub_peek(sub, &message), -EAGAIN);
	}
	torc_pub_abort(pub);
}

Test(participants, what_was_reserved_gives_way_to_what_is_published)
{
	static const char longer[] = "a message that is by some bytes too long "
				     "for the shortest way to publish one";

	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 4096);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_subscriber *sub = sub_open(topic, 0);

		for (int i = 0; i < 20; i++) {
			publish_while_reserved(pub, sub, "short");
			publish_while_reserved(pub, sub, longer);
		}
		reserve_and_scribble(pub);
		torc_pub_close(pub);
		pub = pub_open(topic);
		MUST(torc_pub_publish(pub, "short", 5));
		expect_text(sub, "short");
		torc_sub_close(sub);
		torc_pub_close(pub);
		topic_end(topic);
	}
}

Test(participants, messages_of_no_possible_length_are_refused)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_publisher *pub = pub_open(topic);
	static char data[2000];

	cr_expect_eq(torc_pub_message_max(pub), 1016);
	MUST(torc_pub_publish(pub, data, 1016));
	FAILS(-EMSGSIZE, "1016", torc_pub_publish(pub, data, 1017));
	FAILS(-EMSGSIZE, "1016",
	      torc_pub_publishv(pub, (struct iovec[]){ { data, 1000 },
						       { data, 1000 } }, 2));
	FAILS(-EINVAL, "-1 pieces", torc_pub_publishv(pub, NULL, -1));
	FAILS(-EMSGSIZE, "at most",
	      torc_pub_publishv(pub, (struct iovec[]){ { data, SIZE_MAX },
						       { data, 2 } }, 2));
	torc_pub_close(pub);
	torc_topic_close(topic);
}

Test(participants, second_publisher_of_one_is_told_who_is_first)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_publisher *pub = pub_open(topic), *second;
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	FAILS(-EBUSY, pid, torc_pub_open(topic, NULL, &second));
	torc_pub_close(pub);
	MUST(torc_pub_open(topic, NULL, &second));
	torc_pub_close(second);
	torc_topic_close(topic);
}

Test(participants, slots_run_out_with_an_error)
{
	struct torc_topic_options options = { .flags = TORC_CREATE | TORC_MANY,
					      .publishers = 2,
					      .subscribers = 3 };
	struct torc_sub_options lossy = { .flags = TORC_SUB_LOSSY };
	struct torc_publisher *pubs[3];
	struct torc_subscriber *subs[4];
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, "t", &options, &topic));
	for (int i = 0; i < 2; i++)
		MUST(torc_pub_open(topic, NULL, &pubs[i]));
	FAILS(-EBUSY, "all 2", torc_pub_open(topic, NULL, &pubs[2]));
	for (int i = 0; i < 3; i++)
		MUST(torc_sub_open(topic, NULL, &subs[i]));
	FAILS(-EUSERS, "all 3", torc_sub_open(topic, NULL, &subs[3]));
	/* A lossy one does without. */
	MUST(torc_sub_open(topic, &lossy, &subs[3]));
	MUST(torc_pub_publish(pubs[0], "x", 1));
	cr_expect_eq(torc_sub_wait(subs[3], 0), 0);
	torc_sub_close(subs[0]);
	MUST(torc_sub_open(topic, NULL, &subs[0]));
	for (int i = 0; i < 4; i++)
		torc_sub_close(subs[i]);
	for (int i = 0; i < 2; i++)
		torc_pub_close(pubs[i]);
	torc_topic_close(topic);
}

/* ---- Without room ------------------------------------------------------- */

static struct torc_publisher *pub_with(struct torc_topic *topic,
				       enum torc_full full, int64_t timeout_ns)
{
	struct torc_pub_options options = { .full = full,
					    .timeout_ns = timeout_ns };
	struct torc_publisher *pub;

	MUST(torc_pub_open(topic, &options, &pub));
	return pub;
}

/* Publish until there is no room; how many went in. */
static int publish_until(struct torc_publisher *pub, int error)
{
	char data[100] = "";
	int n = 0, r;

	while (!(r = torc_pub_publish(pub, data, sizeof(data))))
		cr_assert(++n < 1000);
	cr_expect_eq(r, error);
	return n;
}

Test(participants, full_ring_fails_waits_drops_or_evicts)
{
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 4096);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct torc_publisher *pub = pub_with(topic, TORC_FULL_FAIL, 0);
		struct torc_message message;
		struct torc_pub_stats stats;
		char data[128];
		int n = publish_until(pub, -EAGAIN);

		cr_expect(n >= 15, "%d", n);
		torc_pub_close(pub);

		pub = pub_with(topic, TORC_FULL_WAIT, 1000000);
		publish_until(pub, -ETIMEDOUT);
		torc_pub_get_stats(pub, &stats);
		cr_expect_eq(stats.blocked, 1);
		torc_pub_close(pub);

		pub = pub_with(topic, TORC_FULL_DROP, 0);
		for (int i = 0; i < 5; i++)
			MUST(torc_pub_publish(pub, "dropped", 100));
		torc_pub_get_stats(pub, &stats);
		cr_expect_eq(stats.dropped, 5);
		torc_pub_close(pub);
		for (int i = 0; i < n; i++) {
			MUST(torc_sub_peek(sub, &message));
			MUST(torc_sub_release(sub));
		}
		cr_expect_eq(torc_sub_peek(sub, &message), -EAGAIN);

		pub = pub_with(topic, TORC_FULL_EVICT, 0);
		for (int i = 0; i < 1000; i++)
			MUST(torc_pub_publish(pub, "evicts.", 8));
		torc_pub_get_stats(pub, &stats);
		cr_expect_eq(stats.evicted, 1);
		cr_expect_eq(torc_sub_receive(sub, data, 128, &message),
			     -ESTALE);
		cr_expect_eq(torc_sub_peek(sub, &message), -ESTALE);
		cr_expect(torc_sub_lost(sub) > 700 && torc_sub_lost(sub) < 1000);
		torc_sub_close(sub);
		torc_pub_close(pub);
		topic_end(topic);
	}
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* A signal now and again: one may come between two of a wait's sleeps. */
static void alarms(bool on)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = {
		.it_interval = { .tv_usec = on ? 50000 : 0 },
		.it_value = { .tv_usec = on ? 300000 : 0 },
	};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Lossless, never reads; ends when told. */
static int stall(void *context)
{
	struct torc_subscriber *sub = sub_open(topic_again(context), 0);

	raise(SIGSTOP);
	for (;;) {
		struct torc_message message;

		if (torc_sub_wait(sub, 1000000000) || torc_sub_ended(sub) == 1)
			break;
		MUST(torc_sub_peek(sub, &message));
		MUST(torc_sub_release(sub));
	}
	return 0;
}

Test(participants, stopped_subscriber_holds_its_publisher_and_goes_on)
{
	char data[100] = "";

	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 4096);
		pid_t pid = child_start(stall, topic);
		struct torc_publisher *pub;
		struct torc_pub_stats stats;
		int status, n = 0;

		cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
		cr_assert(WIFSTOPPED(status));
		pub = pub_with(topic, TORC_FULL_WAIT, 0);
		alarms(true);
		while (!torc_pub_publish(pub, data, sizeof(data)))
			cr_assert(++n < 1000);
		alarms(false);
		torc_pub_get_stats(pub, &stats);
		cr_expect_eq(stats.blocked, 1);
		kill(pid, SIGCONT);
		for (int i = 0; i < 1000; i++)
			MUST(torc_pub_publish(pub, data, sizeof(data)));
		torc_pub_close(pub);
		cr_expect_eq(child_end(pid), 0);
		topic_end(topic);
	}
}

static int die_with_slot(void *context)
{
	sub_open(topic_again(context), 0);
	raise(SIGKILL);
	return 0;
}

Test(participants, dead_subscriber_holds_nobody)
{
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 4096);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_participant list[8];
		int n;

		cr_assert_eq(child_end(child_start(die_with_slot, topic)),
			     -SIGKILL);
		n = torc_topic_participants(topic, list, 8);
		cr_assert_eq(n, 2);
		cr_expect_eq(list[1].role, TORC_SUBSCRIBER);
		cr_expect_eq(list[1].alive, 0);
		cr_expect_eq(list[0].alive, 1);
		for (int i = 0; i < 1000; i++)
			MUST(torc_pub_publish(pub, "12345678", 8));
		cr_expect_eq(torc_topic_participants(topic, list, 8), 1);
		torc_pub_close(pub);
		topic_end(topic);
	}
}

/* ---- Waiting ------------------------------------------------------------ */

static int publish_slowly(void *context)
{
	struct torc_publisher *pub = pub_open(topic_again(context));

	for (uint64_t i = 0; i < 200; i++) {
		const struct timespec pause = {
			.tv_nsec = (long)(i * 7919 % 300) * 1000,
		};

		nanosleep(&pause, NULL);
		MUST(torc_pub_publish(pub, &i, sizeof(i)));
	}
	torc_pub_close(pub);
	return 0;
}

Test(participants, sleepers_are_woken_for_each_message)
{
	struct torc_sub_options options = { .wait = TORC_WAIT_SLEEP };

	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 0);
		struct torc_subscriber *sub;
		struct torc_message message;
		uint64_t number;
		pid_t pid;

		MUST(torc_sub_open(topic, &options, &sub));
		cr_expect_eq(torc_sub_wait(sub, 0), -ETIMEDOUT);
		cr_expect_eq(torc_sub_wait(sub, 1000000), -ETIMEDOUT);
		cr_expect_eq(torc_sub_ended(sub), 0);
		pid = child_start(publish_slowly, topic);
		for (uint64_t i = 0; i < 200; i++) {
			MUST(torc_sub_wait(sub, 30000000000));
			MUST(torc_sub_receive(sub, &number, sizeof(number),
					      &message));
			cr_assert_eq(number, i);
		}
		cr_expect_eq(child_end(pid), 0);
		cr_expect_eq(torc_sub_ended(sub), 1);
		torc_sub_close(sub);
		topic_end(topic);
	}
}

Test(participants, wait_for_any_names_the_one_that_has_a_message)
{
	struct torc_topic *topics[3];
	struct torc_publisher *pubs[3];
	struct torc_subscriber *subs[3];
	struct torc_message message;

	for (int i = 0; i < 3; i++) {
		topics[i] = topic_open((const char *[]){ "a", "memfd:",
							 "anon:" }[i], 0, 0);
		pubs[i] = pub_open(topics[i]);
		subs[i] = sub_open(topics[i], 0);
	}
	cr_expect_eq(torc_sub_wait_any(subs, 3, 2000000), -ETIMEDOUT);
	for (int i = 0; i < 3; i++) {
		MUST(torc_pub_publish(pubs[i], "x", 1));
		cr_expect_eq(torc_sub_wait_any(subs, 3, -1), i);
		MUST(torc_sub_peek(subs[i], &message));
		MUST(torc_sub_release(subs[i]));
	}
	for (int i = 0; i < 3; i++) {
		torc_sub_close(subs[i]);
		torc_pub_close(pubs[i]);
		torc_topic_close(topics[i]);
	}
}

Test(participants, a_signal_ends_a_wait)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_subscriber *sub = sub_open(topic, 0);

	alarms(true);
	cr_expect_eq(torc_sub_wait(sub, -1), -EINTR);
	alarms(false);
	torc_sub_close(sub);
	torc_topic_close(topic);
}

/* ---- fork() ------------------------------------------------------------- */

struct handles {
	struct torc_topic *topic;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
};

static int use_inherited(void *context)
{
	struct handles *h = context;
	struct torc_message message;
	struct torc_subscriber *own;
	void *payload;

	cr_assert_eq(torc_pub_publish(h->pub, "x", 1), -EOWNERDEAD);
	cr_assert_eq(torc_pub_reserve(h->pub, 1, &payload), -EOWNERDEAD);
	cr_assert_eq(torc_pub_commit(h->pub, 1), -EOWNERDEAD);
	cr_assert_eq(torc_sub_peek(h->sub, &message), -EOWNERDEAD);
	cr_assert_eq(torc_sub_release(h->sub), -EOWNERDEAD);
	cr_assert_eq(torc_sub_wait(h->sub, 0), -EOWNERDEAD);
	torc_pub_close(h->pub);
	torc_sub_close(h->sub);
	own = sub_open(h->topic, TORC_SUB_OLDEST);
	MUST(torc_sub_peek(own, &message));
	torc_sub_close(own);
	return 0;
}

Test(participants, handles_are_refused_in_a_child_and_work_in_the_parent)
{
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct handles h;
		struct torc_message message;

		h.topic = topic_of_kind(k, 0);
		h.pub = pub_open(h.topic);
		h.sub = sub_open(h.topic, 0);
		MUST(torc_pub_publish(h.pub, "x", 1));
		cr_expect_eq(child_end(child_start(use_inherited, &h)), 0);
		MUST(torc_sub_peek(h.sub, &message));
		MUST(torc_pub_publish(h.pub, "y", 1));
		torc_sub_close(h.sub);
		torc_pub_close(h.pub);
		topic_end(h.topic);
	}
}

/* The test's end of it, closed, ends the grandchild. */
static int end_pipe[2], begin_pipe[2];

static int outlive_parent(void *context)
{
	char c;

	(void)context;
	close(end_pipe[1]);
	cr_assert_eq(write(begin_pipe[1], "x", 1), 1);
	return read(end_pipe[0], &c, 1) == 0 ? 0 : 1;
}

static int fork_and_end(void *context)
{
	char c;

	pub_open(topic_again(context));
	if (!fork())
		_exit(outlive_parent(NULL));
	/* Until it has begun, it has not let go of anything. */
	return read(begin_pipe[0], &c, 1) == 1 ? 0 : 1;
}

Test(participants, a_child_that_outlives_its_parent_keeps_no_lock)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_publisher *pub;

	cr_assert_eq(pipe(end_pipe), 0);
	cr_assert_eq(pipe(begin_pipe), 0);
	cr_assert_eq(child_end(child_start(fork_and_end, topic)), 0);
	MUST(torc_pub_open(topic, NULL, &pub));
	torc_pub_close(pub);
	torc_topic_close(topic);
	close(end_pipe[1]);
}
