/* SPDX-License-Identifier: MIT */
/*
 * Participants killed at random moments and started again, hundreds of times,
 * while the others go on: nothing that was committed is lost, doubled or
 * garbled, and nobody is held up for ever.
 */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(crash, .init = fixture_init, .fini = fixture_fini, .timeout = 300);

#define CAPACITY 16384
#define KILLS 100
#define LIVES_MAX 1024

/* A publisher's life, and what it says in it: message 0, 1, 2 ... */
struct life {
	struct torc_topic *topic;
	uint64_t number;
};

struct body {
	uint64_t life, message;
	unsigned char rest[];
};

static size_t length_of(uint64_t life, uint64_t message)
{
	return sizeof(struct body) + (life * 7 + message * 13) % 300;
}

static int publish_for_ever(void *context)
{
	const struct life *life = context;
	struct torc_publisher *pub = pub_open(life->topic);

	for (uint64_t i = 0;; i++) {
		size_t length = length_of(life->number, i);
		struct body *body;
		void *payload;

		MUST(torc_pub_reserve(pub, length, &payload));
		body = payload;
		body->life = life->number;
		body->message = i;
		memset(body->rest, (int)(i * 3 + life->number),
		       length - sizeof(*body));
		if (i % 17 == 5)
			torc_pub_abort(pub);
		else
			MUST(torc_pub_commit(pub, length));
		i += i % 17 == 4;	/* the next is aborted, once */
	}
}

static pid_t start_life(struct torc_topic *topic, uint64_t number)
{
	struct life life = { topic, number };

	return child_start(publish_for_ever, &life);
}

static void pause_at_random(void)
{
	const struct timespec pause = { .tv_nsec = rand() % 3000000 };

	nanosleep(&pause, NULL);
}

/* What a subscriber has seen of each life. */
struct seen {
	uint64_t sequence;
	uint64_t messages;
	uint64_t next[LIVES_MAX];
};

static uint64_t following(uint64_t message)
{
	uint64_t next = message + 1 + (message % 17 == 4);

	return next % 17 == 5 ? next + 1 : next;
}

/* Criterion's assertions take long, and publishers would only wait for us. */
#define EXPECT(condition, ...)                                                 \
	do {                                                                   \
		if (!(condition))                                              \
			cr_assert_fail(__VA_ARGS__);                           \
	} while (0)

static void check(struct seen *seen, const struct torc_message *message)
{
	const struct body *body = message->data;
	unsigned char fill;

	EXPECT(message->sequence == seen->sequence++, "out of sequence");
	EXPECT(message->length >= sizeof(*body) && body->life < LIVES_MAX,
	       "not a message that was sent");
	EXPECT(body->message == seen->next[body->life], "life %lu: %lu, not %lu",
	       (unsigned long)body->life, (unsigned long)body->message,
	       (unsigned long)seen->next[body->life]);
	seen->next[body->life] = following(body->message);
	seen->messages++;
	EXPECT(message->length == length_of(body->life, body->message),
	       "a wrong length");
	fill = (unsigned char)(body->message * 3 + body->life);
	for (size_t i = 0; i < message->length - sizeof(*body); i++)
		EXPECT(body->rest[i] == fill, "a wrong byte");
}

/* Receive for @ns, or until nothing has come for 5 seconds. */
static void receive_for(struct torc_subscriber *sub, struct seen *seen,
			uint64_t ns)
{
	struct timespec begin, now;
	struct torc_message messages[32];
	int n;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		int r = torc_sub_wait(sub, 5000000000);

		cr_assert_eq(r, 0, "nothing came: %d", r);
		n = torc_sub_peek_batch(sub, messages, 32);
		MUST(n);
		for (int i = 0; i < n; i++)
			check(seen, &messages[i]);
		MUST(torc_sub_release(sub));
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((uint64_t)(now.tv_sec - begin.tv_sec) * 1000000000u +
			 (uint64_t)now.tv_nsec - (uint64_t)begin.tv_nsec < ns);
}

Test(crash, killed_publishers_leave_a_working_topic)
{
	srand(1);
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, CAPACITY);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct seen *seen = calloc(1, sizeof(*seen));
		int publishers = fixture_kinds[k].flags & TORC_MANY ? 3 : 1;
		uint64_t lives = 0;
		pid_t pids[3];

		for (int i = 0; i < publishers; i++)
			pids[i] = start_life(topic, lives++);
		for (int i = 0; i < KILLS; i++) {
			int victim = rand() % publishers;

			receive_for(sub, seen,
				    (uint64_t)(rand() % 3000000));
			kill(pids[victim], SIGKILL);
			cr_assert_eq(child_end(pids[victim]), -SIGKILL);
			pids[victim] = start_life(topic, lives++);
		}
		receive_for(sub, seen, 10000000);
		cr_expect_gt(seen->messages, KILLS);
		for (int i = 0; i < publishers; i++) {
			kill(pids[i], SIGKILL);
			child_end(pids[i]);
		}
		free(seen);
		torc_sub_close(sub);
		topic_end(topic);
	}
}

/* All publishers dead at once: the rest is received, and that is the end. */
Test(crash, subscribers_see_the_end_after_all_publishers_were_killed)
{
	srand(2);
	for (int round = 0; round < 60; round++) {
		struct torc_topic *topic = topic_open("t", TORC_MANY, CAPACITY);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct seen *seen = calloc(1, sizeof(*seen));
		struct torc_message message;
		pid_t pids[3];
		int r, turns = 0;

		for (int i = 0; i < 3; i++)
			pids[i] = start_life(topic, (uint64_t)i);
		receive_for(sub, seen, 1000000);
		for (int i = 0; i < 3; i++)
			kill(pids[i], SIGKILL);
		for (int i = 0; i < 3; i++)
			child_end(pids[i]);
		while (torc_sub_ended(sub) != 1) {
			cr_assert(++turns < 100000);
			r = torc_sub_peek(sub, &message);
			if (!r) {
				check(seen, &message);
				MUST(torc_sub_release(sub));
			} else {
				cr_assert_eq(r, -EAGAIN);
			}
		}
		/* Nor is anything behind what the dead left. */
		torc_pub_close(pub_open(topic));
		cr_expect_eq(torc_sub_peek(sub, &message), -EAGAIN);
		free(seen);
		torc_sub_close(sub);
		torc_topic_close(topic);
	}
}

/* Opens, and when told publishes three messages and dies. */
static int publish_and_die(void *context)
{
	struct torc_publisher *pub = pub_open(context);

	raise(SIGSTOP);
	for (int i = 0; i < 3; i++)
		MUST(torc_pub_publish(pub, "behind", 6));
	return raise(SIGKILL);
}

static int claim_and_die(void *context)
{
	struct torc_publisher *pub = pub_open(context);
	void *payload;

	MUST(torc_pub_reserve(pub, 200, &payload));
	memset(payload, 'x', 200);
	return raise(SIGKILL);
}

Test(crash, messages_behind_a_dead_publishers_claim_arrive_though_all_are_dead)
{
	struct torc_topic *topic = topic_open("t", TORC_MANY, CAPACITY);
	struct torc_subscriber *sub = sub_open(topic, 0);
	pid_t pid = child_start(publish_and_die, topic);
	struct torc_message message;
	int status;

	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	cr_assert_eq(child_end(child_start(claim_and_die, topic)), -SIGKILL);
	cr_expect_eq(torc_sub_wait(sub, 50000000), -ETIMEDOUT);
	kill(pid, SIGCONT);
	cr_assert_eq(child_end(pid), -SIGKILL);
	for (uint64_t i = 0; i < 3; i++) {
		cr_assert_eq(torc_sub_wait(sub, 5000000000), 0);
		MUST(torc_sub_peek(sub, &message));
		cr_expect_eq(message.sequence, i);
		cr_expect_eq(memcmp(message.data, "behind", 6), 0);
		MUST(torc_sub_release(sub));
	}
	cr_expect_eq(torc_sub_ended(sub), 1);
	torc_sub_close(sub);
	torc_topic_close(topic);
}

static struct torc_topic *topic_for(uint32_t publishers)
{
	struct torc_topic_options options = { .flags = TORC_CREATE | TORC_MANY,
					      .capacity = CAPACITY,
					      .publishers = publishers };
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, "t", &options, &topic));
	return topic;
}

/* There is no other who could have settled it. */
Test(crash, who_joins_settles_the_claim_of_whose_slot_it_takes)
{
	struct torc_topic *topic = topic_for(1);
	struct torc_publisher *pub;

	cr_assert_eq(child_end(child_start(claim_and_die, topic)), -SIGKILL);
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "x", 1));
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* Who has repaired once does not keep others from it. */
Test(crash, one_repairs_after_the_other)
{
	struct torc_pub_options options = { .timeout_ns = 5000000000 };
	struct torc_topic *topic = topic_for(3);
	struct torc_publisher *a, *b;

	MUST(torc_pub_open(topic, &options, &a));
	cr_assert_eq(child_end(child_start(claim_and_die, topic)), -SIGKILL);
	b = pub_open(topic);
	cr_assert_eq(child_end(child_start(claim_and_die, topic)), -SIGKILL);
	for (uint64_t i = 0; i < CAPACITY / 8; i++)
		MUST(torc_pub_publish(a, "x", 1));
	torc_pub_close(b);
	torc_pub_close(a);
	torc_topic_close(topic);
}

/* Look, a millisecond apart, until there is something. */
static void poll_until_message(struct torc_subscriber *sub,
			       int (*poll)(struct torc_subscriber *sub))
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int polls = 0, r;

	while ((r = poll(sub)) == -EAGAIN || r == -ETIMEDOUT) {
		cr_assert(++polls < 2000, "it asks too rarely who is dead");
		nanosleep(&pause, NULL);
	}
	cr_assert_eq(r, 0);
}

static int poll_by_receiving(struct torc_subscriber *sub)
{
	struct torc_message message;
	char buffer[16];

	return torc_sub_receive(sub, buffer, sizeof(buffer), &message);
}

static int poll_by_waiting(struct torc_subscriber *sub)
{
	return torc_sub_wait(sub, 0);
}

static int poll_by_waiting_briefly(struct torc_subscriber *sub)
{
	return torc_sub_wait(sub, 1000000);
}

static int poll_a_set(struct torc_subscriber *sub, bool until_cold)
{
	static struct torc_set *set;
	int r, looks = until_cold && !set ? 20000 : 1;
	void *ready;

	if (!set) {
		MUST(torc_set_open(TORC_WAIT_ADAPTIVE, &set));
		MUST(torc_set_add(set, sub, NULL));
	}
	do
		r = torc_set_wait(set, 0, &ready);
	while (r && --looks);
	if (!r)
		set = torc_set_close(set);
	return r;
}

static int poll_a_warm_set(struct torc_subscriber *sub)
{
	return poll_a_set(sub, false);
}

static int poll_a_cold_set(struct torc_subscriber *sub)
{
	return poll_a_set(sub, true);
}

/* It never waits for as long as those who then ask who is dead. */
Test(crash, who_only_polls_passes_over_a_dead_publishers_claim)
{
	static int (*const polls[])(struct torc_subscriber *sub) = {
		poll_by_receiving, poll_by_waiting, poll_by_waiting_briefly,
		poll_a_warm_set, poll_a_cold_set
	};

	for (size_t i = 0; i < sizeof(polls) / sizeof(polls[0]); i++) {
		struct torc_topic *topic = topic_open("t", TORC_MANY, CAPACITY);
		struct torc_subscriber *sub = sub_open(topic, 0);
		pid_t pid = child_start(publish_and_die, topic);
		int status;

		cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
		cr_assert_eq(child_end(child_start(claim_and_die, topic)),
			     -SIGKILL);
		kill(pid, SIGCONT);
		cr_assert_eq(child_end(pid), -SIGKILL);
		poll_until_message(sub, polls[i]);
		torc_sub_close(sub);
		torc_topic_close(topic);
	}
}

static int receive_for_ever(void *context)
{
	struct torc_subscriber *sub =
		sub_open(context, (unsigned int)rand() % 4);
	struct torc_message messages[8];

	for (;;) {
		int n;

		MUST(torc_sub_wait(sub, -1));
		n = torc_sub_peek_batch(sub, messages, 8);
		if (n == -EAGAIN)
			continue;
		MUST(n);
		torc_sub_release(sub);
	}
}

Test(crash, killed_subscribers_hold_nobody_up)
{
	srand(3);
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, CAPACITY);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct seen *seen = calloc(1, sizeof(*seen));
		pid_t pub = start_life(topic, 0), pids[3];

		for (int i = 0; i < 3; i++)
			pids[i] = child_start(receive_for_ever, topic);
		for (int i = 0; i < KILLS; i++) {
			receive_for(sub, seen, (uint64_t)(rand() % 2000000));
			kill(pids[i % 3], SIGKILL);
			cr_assert_eq(child_end(pids[i % 3]), -SIGKILL);
			pids[i % 3] = child_start(receive_for_ever, topic);
			rand();
		}
		for (int i = 0; i < 3; i++) {
			kill(pids[i], SIGKILL);
			child_end(pids[i]);
		}
		receive_for(sub, seen, 100000000);
		kill(pub, SIGKILL);
		child_end(pub);
		free(seen);
		torc_sub_close(sub);
		topic_end(topic);
	}
}

/*
 * Its subscriber may be in its own publisher's way, if it is held up between joining
 * and publishing for as long as others need to fill the ring; so it is evicted then.
 */
static void use_topic(void)
{
	const struct torc_pub_options options = { .full = TORC_FULL_EVICT };
	struct torc_topic *topic = topic_open("t", TORC_MANY, 4096);
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	struct torc_message message;
	int r;

	MUST(torc_pub_open(topic, &options, &pub));
	sub = sub_open(topic, 0);
	MUST(torc_pub_publish(pub, "x", 1));
	r = torc_sub_wait(sub, 5000000000);
	if (!r)
		r = torc_sub_peek(sub, &message);
	cr_assert(!r || r == -ESTALE, "%s", torc_errmsg());
	torc_sub_close(sub);
	torc_pub_close(pub);
	topic_end(topic);
}

static int use_topic_for_ever(void *context)
{
	while (!context)
		use_topic();
	return 0;
}

static int count_lines(const char *path, const char *holding)
{
	FILE *file = fopen(path, "re");
	char line[512];
	int n = 0;

	cr_assert(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, holding) != NULL;
	fclose(file);
	return n;
}

Test(crash, topics_made_and_left_under_kills_leave_nothing)
{
	int cycles = getenv("TORC_LONG") ? 1000 : 200, fds = fixture_fds();
	struct torc_bus *bus;
	pid_t pids[3];

	srand(4);
	for (int i = 0; i < 3; i++)
		pids[i] = child_start(use_topic_for_ever, NULL);
	for (int i = 0; i < cycles; i++) {
		pause_at_random();
		kill(pids[i % 3], SIGKILL);
		cr_assert_eq(child_end(pids[i % 3]), -SIGKILL);
		pids[i % 3] = child_start(use_topic_for_ever, NULL);
		use_topic();
	}
	for (int i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		child_end(pids[i]);
	}
	MUST(torc_bus_open(NULL, &bus));
	torc_bus_remove(bus, "t", TORC_REMOVE_STALE);
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
	/* Without files there are no locks either. */
	cr_expect_eq(fixture_files(), 0);
	cr_expect_eq(fixture_fds(), fds);
	cr_expect_eq(count_lines("/proc/self/maps", fixture_bus), 0);
}

static int hear_all_after_a_stop(void *context)
{
	struct torc_subscriber *sub = sub_open(context, 0);
	struct torc_message message;
	uint64_t sequence = 0;

	raise(SIGSTOP);
	do {
		MUST(torc_sub_wait(sub, 5000000000));
		MUST(torc_sub_peek(sub, &message));
		cr_assert_eq(message.sequence, sequence++);
		MUST(torc_sub_release(sub));
	} while (message.length != 4);
	torc_sub_close(sub);
	return 0;
}

Test(crash, who_is_stopped_for_long_holds_publishers_and_loses_nothing)
{
	struct torc_pub_options patient = { .timeout_ns = 2000000000 };
	struct torc_topic *topic = topic_open("t", TORC_MANY, CAPACITY);
	pid_t pid = child_start(hear_all_after_a_stop, topic);
	struct torc_participant who[2];
	struct torc_publisher *pub;
	int r, status;

	if (getenv("TORC_LONG"))
		patient.timeout_ns = 60000000000;
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	MUST(torc_pub_open(topic, &patient, &pub));
	do
		r = torc_pub_publish(pub, "abc", 3);
	while (!r);
	cr_assert_eq(r, -ETIMEDOUT);
	cr_assert_eq(torc_topic_repair(topic), 0);
	cr_assert_eq(torc_topic_participants(topic, who, 2), 2);
	cr_expect_eq(who[1].alive, 1);
	cr_expect_eq(who[1].stopped, 1);
	kill(pid, SIGCONT);
	MUST(torc_pub_publish(pub, "last", 4));
	cr_expect_eq(child_end(pid), 0);
	torc_pub_close(pub);
	torc_topic_close(topic);
}
