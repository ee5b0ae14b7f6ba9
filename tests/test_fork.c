/* SPDX-License-Identifier: MIT */
/*
 * A program that forks in one thread while another resizes, removes, cleans or
 * repairs: the children hold no lock of it, and may fork themselves.
 *
 * What is called here locks the topic's lifetime and fails.  The children stay
 * until the end, so whatever of its locks got into one of them is in the way
 * afterwards.
 */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(fork, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

#define CHILDREN 200

struct forker {
	pthread_t thread;
	void (*in_child)(void);
	pid_t children[CHILDREN];
	int end[2];		/* the children stay until it is closed */
	atomic_bool done;
};

static void *fork_all(void *context)
{
	struct forker *forker = context;
	char byte;

	for (int i = 0; i < CHILDREN; i++) {
		forker->children[i] = fork();
		if (!forker->children[i]) {
			close(forker->end[1]);
			if (forker->in_child)
				forker->in_child();
			_exit((int)read(forker->end[0], &byte, 1));
		}
	}
	atomic_store(&forker->done, true);
	return NULL;
}

/* Do @act to @address again and again while another thread forks. */
static void forker_start(struct forker *forker, void (*act)(const char *address),
			 const char *address)
{
	atomic_init(&forker->done, false);
	cr_assert_eq(pipe(forker->end), 0);
	cr_assert_eq(pthread_create(&forker->thread, NULL, fork_all, forker), 0);
	while (!atomic_load(&forker->done))
		act(address);
	pthread_join(forker->thread, NULL);
}

static void forker_end(struct forker *forker)
{
	close(forker->end[0]);
	close(forker->end[1]);
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;

		cr_assert_eq(waitpid(forker->children[i], &status, 0),
			     forker->children[i]);
		cr_expect_eq(status, 0, "a child ended with %#x",
			     (unsigned int)status);
	}
}

static int remove_stale(const char *address)
{
	struct torc_bus *bus;
	int r;

	MUST(torc_bus_open(NULL, &bus));
	r = torc_bus_remove(bus, address, TORC_REMOVE_STALE);
	torc_bus_close(bus);
	return r;
}

static void resize_too_far(const char *address)
{
	FAILS(-E2BIG, "at most",
	      torc_topic_resize(NULL, address, UINT64_C(1) << 41));
}

static char resized[128];

static void *resize_for_ever(void *context)
{
	while (!context)
		torc_topic_resize(NULL, resized, UINT64_C(1) << 41);
	return NULL;
}

Test(fork, child_keeps_nobody_from_a_topic_that_was_not_resized)
{
	struct forker forker = { .in_child = NULL };
	char address[128];

	snprintf(address, sizeof(address), "file:%s/t", fixture_disk);
	torc_topic_close(topic_open(address, 0, 8192));
	forker_start(&forker, resize_too_far, address);
	torc_topic_close(topic_open(address, 0, 0));
	MUST(remove_stale(address));
	forker_end(&forker);
}

/* Forks in the midst of resizing, and is killed there; the child stays. */
static int fork_and_die(void *context)
{
	const int *end = context;
	pthread_t resizer;
	char byte;

	cr_assert_eq(pthread_create(&resizer, NULL, resize_for_ever, NULL), 0);
	pause_ms(2);
	if (!fork()) {
		close(end[1]);
		_exit((int)read(end[0], &byte, 1));
	}
	return raise(SIGKILL);
}

Test(fork, child_of_the_killed_keeps_nobody_from_a_topic)
{
	int end[2];

	cr_assert_eq(pipe(end), 0);
	snprintf(resized, sizeof(resized), "file:%s/t", fixture_disk);
	torc_topic_close(topic_open(resized, 0, 8192));
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(child_end(child_start(fork_and_die, end)),
			     -SIGKILL);
		torc_topic_close(topic_open(resized, 0, 0));
	}
	MUST(remove_stale(resized));
	close(end[0]);
	close(end[1]);
}

static void open_as_another_kind(const char *address)
{
	const struct torc_topic_options many = {
		.flags = TORC_CREATE | TORC_MANY,
	};
	struct torc_topic *topic;

	FAILS(-EPROTOTYPE, "one publisher",
	      torc_topic_open(NULL, address, &many, &topic));
}

Test(fork, child_keeps_nobody_from_a_topic_that_was_not_replaced)
{
	struct forker forker = { .in_child = NULL };

	torc_topic_close(topic_open("t", TORC_PERSISTENT, 8192));
	forker_start(&forker, open_as_another_kind, "t");
	torc_topic_close(topic_open("t", 0, 0));
	MUST(remove_stale("t"));
	forker_end(&forker);
}

static void clean(const char *address)
{
	struct torc_bus *bus;

	(void)address;
	MUST(torc_bus_open("/dev/shm", &bus));
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
}

Test(fork, child_keeps_nobody_from_a_segment_whose_parts_were_not_cleaned_away)
{
	struct forker forker = { .in_child = NULL };
	char address[128];

	snprintf(address, sizeof(address), "sysv:%s", fixture_disk);
	torc_topic_close(topic_open(address, TORC_PERSISTENT, 8192));
	forker_start(&forker, clean, address);
	torc_topic_close(topic_open(address, 0, 0));
	MUST(remove_stale(address));
	forker_end(&forker);
}

static void repair(const char *address)
{
	struct torc_topic *topic = topic_open(address, 0, 0);

	MUST(torc_topic_repair(topic));
	torc_topic_close(topic);
}

static void *use_a_stack(void *context)
{
	volatile unsigned char bytes[256 << 10];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = 0xa5;
	return context;
}

/* Threads of the child are given the stacks of those that it has not. */
static void use_stacks_and_fork(void)
{
	pthread_t threads[4];
	int status = 0;
	pid_t child;

	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, use_a_stack, NULL))
			_exit(1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	child = fork();
	if (!child)
		_exit(0);
	if (waitpid(child, &status, 0) != child || status)
		_exit(2);
}

static void *repair_until_done(void *context)
{
	struct forker *forker = context;

	while (!atomic_load(&forker->done))
		repair("t");
	return NULL;
}

Test(fork, child_of_one_that_repairs_may_fork)
{
	struct forker forker = { .in_child = use_stacks_and_fork };
	struct torc_topic *topic = topic_open("t", 0, 8192);
	pthread_t repairer;

	/* Its allocator may be locked in the child, by a thread that is not. */
	if (FIXTURE_ADDRESS_SANITIZER)
		cr_skip_test("children cannot make threads under this sanitizer");
	atomic_init(&forker.done, false);
	cr_assert_eq(pipe(forker.end), 0);
	cr_assert_eq(pthread_create(&repairer, NULL, repair_until_done,
				    &forker), 0);
	fork_all(&forker);
	pthread_join(repairer, NULL);
	forker_end(&forker);
	torc_topic_close(topic);
}
