/* SPDX-License-Identifier: MIT */
/*
 * Participants in different PID namespaces that share a bus, as two containers
 * share /dev/shm: a death there is seen here, and the other way round, and so it
 * is where /proc shows another namespace's processes.  The same for those to whom
 * the machine was started at another time, in a time namespace.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(namespaces, .init = fixture_init, .fini = fixture_fini,
	  .timeout = 60);

#define SECOND 1000000000

struct inside {
	int (*body)(void *context);
	void *context;
};

/* The first process of a namespace, which signals of its own do not reach. */
static int first_inside(void *context)
{
	const struct inside *inside = context;

	return child_end(child_start(inside->body, inside->context)) & 0xff;
}

/* /proc is still the parent's. */
static int enter(void *context)
{
	if (unshare(CLONE_NEWPID))
		return 77;
	return child_end(child_start(first_inside, context));
}

static int run_inside(int (*body)(void *context), void *context)
{
	struct inside inside = { body, context };
	int status = child_end(child_start(enter, &inside));

	if (status == 77)
		cr_skip_test("PID namespaces may not be made here");
	return status;
}

/* One message, and a claim that is never committed. */
static int die_with_a_claim(void *context)
{
	struct torc_publisher *pub = pub_open(context);
	void *payload;

	MUST(torc_pub_publish(pub, "before", 6));
	MUST(torc_pub_reserve(pub, 100, &payload));
	return raise(SIGKILL);
}

/* What was committed comes, what was not does not, and others go on. */
static void go_on_after_death(struct torc_topic *topic,
			      struct torc_subscriber *sub)
{
	struct torc_message message;
	struct torc_publisher *pub;

	MUST(torc_sub_wait(sub, 5 * (int64_t)SECOND));
	MUST(torc_sub_peek(sub, &message));
	cr_assert_eq(memcmp(message.data, "before", 6), 0);
	MUST(torc_sub_release(sub));
	cr_assert_eq(torc_sub_ended(sub), 1);
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "behind", 6));
	MUST(torc_sub_wait(sub, 5 * (int64_t)SECOND));
	MUST(torc_sub_peek(sub, &message));
	cr_assert_eq(memcmp(message.data, "behind", 6), 0);
	MUST(torc_sub_release(sub));
	torc_pub_close(pub);
}

static int see_death(void *context)
{
	struct torc_subscriber *sub = sub_open(context, TORC_SUB_OLDEST);

	go_on_after_death(context, sub);
	torc_sub_close(sub);
	return 0;
}

/* Runs a body in a process elsewhere; as child_end(). */
typedef int elsewhere(int (*body)(void *context), void *context);

static void die_elsewhere(elsewhere *run)
{
	struct torc_topic *topic = topic_open("t", TORC_MANY, 4096);
	struct torc_subscriber *sub = sub_open(topic, 0);

	cr_assert_eq(run(die_with_a_claim, topic), (-SIGKILL) & 0xff,
		     "it did not die");
	go_on_after_death(topic, sub);
	torc_sub_close(sub);
	torc_topic_close(topic);
}

static void die_here(elsewhere *run)
{
	struct torc_topic *topic = topic_open("t", TORC_MANY, 4096);

	cr_assert_eq(child_end(child_start(die_with_a_claim, topic)), -SIGKILL);
	cr_expect_eq(run(see_death, topic), 0);
	torc_topic_close(topic);
}

Test(namespaces, a_death_inside_is_seen_outside)
{
	die_elsewhere(run_inside);
}

Test(namespaces, a_death_outside_is_seen_inside)
{
	die_here(run_inside);
}

struct namesake {
	struct torc_topic *topic;
	pid_t pid;
};

/* The dead bears the number of a process that /proc shows, and that lives. */
static int see_death_of_namesake(void *context)
{
	struct namesake *namesake = context;
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&namesake->pid,
		.set_tid_size = 1,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		return 77;
	if (!pid)
		_exit(die_with_a_claim(namesake->topic));
	cr_assert_eq(child_end(pid), -SIGKILL);
	return see_death(namesake->topic);
}

Test(namespaces, a_death_is_seen_though_proc_shows_a_living_namesake)
{
	struct torc_topic *topic = topic_open("t", TORC_MANY, 4096);
	struct namesake namesake = { topic, getpid() };

	cr_expect_eq(run_inside(see_death_of_namesake, &namesake), 0);
	torc_topic_close(topic);
}

struct stopped {
	struct torc_topic *topic;
	int pipes[2][2];	/* it is stopped; it may go on */
};

static int stop(void *context)
{
	struct torc_subscriber *sub = sub_open(context, 0);

	raise(SIGSTOP);
	torc_sub_close(sub);
	return 0;
}

static int stop_for_a_while(void *context)
{
	struct stopped *stopped = context;
	pid_t pid = child_start(stop, stopped->topic);
	int status;
	char byte;

	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert_eq(write(stopped->pipes[0][1], "s", 1), 1);
	cr_assert_eq(read(stopped->pipes[1][0], &byte, 1), 1);
	kill(pid, SIGCONT);
	return child_end(pid);
}

static int enter_and_stop(void *context)
{
	struct inside inside = { stop_for_a_while, context };

	return enter(&inside);
}

Test(namespaces, who_is_stopped_inside_is_not_dead)
{
	struct stopped stopped = { topic_open("t", 0, 4096), { { 0 } } };
	struct torc_pub_options options = { .timeout_ns = 50000000 };
	struct torc_publisher *pub;
	int r = 0;
	pid_t pid;
	char byte;

	cr_assert(!pipe(stopped.pipes[0]) && !pipe(stopped.pipes[1]));
	pid = child_start(enter_and_stop, &stopped);
	close(stopped.pipes[0][1]);
	if (read(stopped.pipes[0][0], &byte, 1) != 1)
		cr_skip_test("PID namespaces may not be made here");
	MUST(torc_pub_open(stopped.topic, &options, &pub));
	for (int i = 0; i < 1000 && !r; i++)
		r = torc_pub_publish(pub, "x", 1);
	cr_expect_eq(r, -ETIMEDOUT);
	cr_expect_eq(torc_topic_repair(stopped.topic), 0);
	cr_expect_eq(torc_pub_publish(pub, "x", 1), -ETIMEDOUT);
	cr_assert_eq(write(stopped.pipes[1][1], "g", 1), 1);
	cr_expect_eq(child_end(pid), 0);
	cr_expect_eq(torc_pub_publish(pub, "x", 1), 0);
	torc_pub_close(pub);
	torc_topic_close(stopped.topic);
}

/* Whoever holds a lock is told from who only looks without ages of trying. */
static int find_it_full(void *context)
{
	struct rusage before, after;
	struct torc_publisher *pub;

	getrusage(RUSAGE_SELF, &before);
	FAILS(-EBUSY, "one publisher", torc_pub_open(context, NULL, &pub));
	getrusage(RUSAGE_SELF, &after);
	cr_assert_lt(after.ru_nvcsw - before.ru_nvcsw, 500);
	return 0;
}

Test(namespaces, a_slot_that_is_taken_outside_is_not_waited_for)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_publisher *pub = pub_open(topic);

	cr_expect_eq(run_inside(find_it_full, topic), 0);
	MUST(torc_pub_publish(pub, "x", 1));
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* ---- Another time ------------------------------------------------------- */

/* Where the machine has been up for a year longer. */
static int enter_time(void *context)
{
	static const char offsets[] = "monotonic 31536000 0\n"
				      "boottime 31536000 0\n";
	const struct inside *inside = context;
	int fd;

	if (unshare(CLONE_NEWTIME))
		return 77;
	fd = open("/proc/self/timens_offsets", O_WRONLY);
	if (fd < 0 || write(fd, offsets, strlen(offsets)) < 0)
		return 77;
	close(fd);
	return child_end(child_start(inside->body, inside->context)) & 0xff;
}

static pid_t start_later(struct inside *inside)
{
	return child_start(enter_time, inside);
}

static int end_later(pid_t pid)
{
	int status = child_end(pid);

	if (status == 77)
		cr_skip_test("time namespaces may not be made here");
	return status;
}

static int run_later(int (*body)(void *context), void *context)
{
	struct inside inside = { body, context };

	return end_later(start_later(&inside));
}

Test(namespaces, a_death_is_seen_from_another_time)
{
	die_elsewhere(run_later);
}

Test(namespaces, a_death_is_seen_in_another_time)
{
	die_here(run_later);
}

/* On one topic, on two (futex_waitv() takes a point in time), by a descriptor. */
static int wait_in_vain(void *context)
{
	struct torc_topic *other = topic_open("other", 0, 4096);
	struct torc_subscriber *subs[] = { sub_open(context, 0),
					   sub_open(other, 0),
					   sub_open(other, 0) };
	struct torc_set *set;
	void *data;

	MUST(torc_set_open(TORC_WAIT_ADAPTIVE, &set));
	MUST(torc_set_add(set, subs[2], NULL));
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(torc_sub_wait(subs[0], SECOND / 50), -ETIMEDOUT);
		cr_assert_eq(torc_sub_wait_any(subs, 2, SECOND / 50),
			     -ETIMEDOUT);
		cr_assert_eq(torc_set_wait(set, SECOND / 50, &data),
			     -ETIMEDOUT);
	}
	torc_set_close(set);
	for (int i = 0; i < 3; i++)
		torc_sub_close(subs[i]);
	torc_topic_close(other);
	return 0;
}

Test(namespaces, waits_end_at_their_time_whatever_the_time_is)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);

	cr_expect_eq(run_later(wait_in_vain, topic), 0);
	torc_topic_close(topic);
}

Test(namespaces, who_sleeps_in_another_time_is_woken)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct inside inside = { receive_to_the_end, topic };
	struct torc_publisher *pub = pub_open(topic);
	struct torc_pub_stats stats = { 0 };
	pid_t pid = start_later(&inside);

	for (int i = 0; i < 5000 && stats.woken < 10; i++) {
		MUST(torc_pub_publish(pub, "x", 1));
		usleep(2000);
		torc_pub_get_stats(pub, &stats);
	}
	MUST(torc_pub_publish(pub, "e", 1));
	cr_expect_eq(end_later(pid), 0);
	cr_expect_geq(stats.woken, 10u);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

struct lockless {
	struct torc_topic *topic;
	int pipes[2][2];	/* it has lost its locks; it may go on */
};

/* As closefrom() does to the unwary. */
static int lose_locks(void *context)
{
	struct lockless *lockless = context;
	struct torc_subscriber *sub = sub_open(lockless->topic, 0);
	const int *tell = lockless->pipes[0], *hear = lockless->pipes[1];
	char byte;

	for (int fd = 3; fd < 256; fd++)
		if (fd != tell[1] && fd != hear[0])
			close(fd);
	cr_assert_eq(write(tell[1], "l", 1), 1);
	cr_assert_eq(read(hear[0], &byte, 1), 1);
	return torc_sub_wait(sub, 0);
}

Test(namespaces, who_has_no_lock_and_lives_in_another_time_is_not_dead)
{
	struct lockless lockless = { topic_open("t", 0, 4096), { { 0 } } };
	struct inside inside = { lose_locks, &lockless };
	struct torc_publisher *pub = pub_open(lockless.topic);
	pid_t pid;
	char byte;

	cr_assert(!pipe(lockless.pipes[0]) && !pipe(lockless.pipes[1]));
	pid = start_later(&inside);
	close(lockless.pipes[0][1]);
	if (read(lockless.pipes[0][0], &byte, 1) != 1)
		cr_skip_test("time namespaces may not be made here");
	cr_expect_eq(torc_topic_repair(lockless.topic), 0);
	MUST(torc_pub_publish(pub, "x", 1));
	cr_assert_eq(write(lockless.pipes[1][1], "g", 1), 1);
	cr_expect_eq(end_later(pid), 0);
	cr_expect_eq(torc_topic_repair(lockless.topic), 1);
	torc_pub_close(pub);
	torc_topic_close(lockless.topic);
}

/* ---- Doorbells ---------------------------------------------------------- */

static int receive_by_descriptor(void *context)
{
	struct torc_subscriber *sub = sub_open(context, TORC_SUB_OLDEST);
	struct pollfd poll_fd = { torc_sub_fd(sub), POLLIN, 0 };
	struct torc_message message;
	char byte = 0;

	while (byte != 'e') {
		if (torc_sub_receive(sub, &byte, 1, &message) == -EAGAIN)
			poll(&poll_fd, 1, -1);
	}
	torc_sub_close(sub);
	return 0;
}

static int enter_and_receive(void *context)
{
	struct inside inside = { receive_by_descriptor, context };

	return enter(&inside);
}

/* How many eventfds ringing a subscriber often gets us. */
static int eventfds_after_ringing(int (*subscriber)(void *context))
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_publisher *pub = pub_open(topic);
	pid_t pid = child_start(subscriber, topic);
	struct torc_pub_stats stats = { 0 };
	int last, n, before = fixture_eventfds(&last);

	for (int i = 0; i < 5000 && stats.woken < 10; i++) {
		MUST(torc_pub_publish(pub, "x", 1));
		usleep(2000);
		torc_pub_get_stats(pub, &stats);
	}
	n = fixture_eventfds(&last) - before;
	MUST(torc_pub_publish(pub, "e", 1));
	if (child_end(pid) == 77)
		n = -1;
	torc_pub_close(pub);
	torc_topic_close(topic);
	return n;
}

/* Who has an eventfd could block a publisher, and from inside not kill it. */
Test(namespaces, an_eventfd_is_passed_only_within_one)
{
	int inside = eventfds_after_ringing(enter_and_receive);

	if (inside < 0)
		cr_skip_test("PID namespaces may not be made here");
	cr_expect_eq(inside, 0);
	cr_expect_eq(eventfds_after_ringing(receive_by_descriptor), 1);
}
