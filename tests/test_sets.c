/* SPDX-License-Identifier: MIT */
/*
 * Sets.
 *
 * Goal: a set names each member that has something, in turns, and no other, and
 * its descriptor is readable while there is one.  Method: more members than are
 * looked at at once, and members that come and go.
 */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(sets, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

#define TOPICS 300

struct followed {
	struct torc_topic *topic;
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	int number;
};

static void follow(struct torc_set *set, struct followed *f, int number)
{
	char name[16];

	snprintf(name, sizeof(name), "t/%d", number);
	f->number = number;
	f->topic = topic_open(number % 8 ? name : "anon:", 0, 4096);
	f->pub = pub_open(f->topic);
	f->sub = sub_open(f->topic, 0);
	MUST(torc_set_add(set, f->sub, f));
}

static void unfollow(struct followed *f)
{
	torc_sub_close(f->sub);
	torc_pub_close(f->pub);
	torc_topic_close(f->topic);
}

static struct followed followed[TOPICS];

static void set_up(struct torc_set **ret_set, int count)
{
	struct rlimit limit = { 8192, 8192 };

	/* Five and more for each. */
	if (count > 100 && setrlimit(RLIMIT_NOFILE, &limit))
		cr_skip_test("not enough descriptors to be had");
	MUST(torc_set_open(TORC_WAIT_SLEEP, ret_set));
	for (int i = 0; i < count; i++)
		follow(*ret_set, &followed[i], i);
}

static void tear_down(struct torc_set *set, int count)
{
	for (int i = 0; i < count; i++)
		unfollow(&followed[i]);
	torc_set_close(set);
}

Test(sets, a_set_names_each_that_has_a_message)
{
	struct torc_set *set;
	struct followed *f;
	void *data;

	set_up(&set, TOPICS);
	cr_expect_eq(torc_set_wait(set, 0, &data), -ETIMEDOUT);
	cr_expect_eq(torc_set_wait(set, 1000, &data), -ETIMEDOUT);
	srand(1);
	for (int i = 0; i < 3000; i++) {
		f = &followed[rand() % TOPICS];
		MUST(torc_pub_publish(f->pub, "x", 1));
		MUST(torc_set_wait(set, -1, &data));
		cr_assert_eq(data, f);
		cr_assert_eq(sub_receive(f->sub), 0);
	}
	tear_down(set, TOPICS);
}

/* More bells ring than the kernel queues. */
Test(sets, a_set_misses_none_of_many_at_once)
{
	struct torc_set *set;
	void *data;

	set_up(&set, TOPICS);
	for (int round = 0; round < 20; round++) {
		static bool seen[TOPICS];

		memset(seen, 0, sizeof(seen));
		while (torc_set_wait(set, 0, &data) != -ETIMEDOUT)
			;
		for (int i = 0; i < TOPICS; i++)
			MUST(torc_pub_publish(followed[i].pub, "x", 1));
		for (int i = 0; i < TOPICS; i++) {
			struct followed *f;

			MUST(torc_set_wait(set, -1, &data));
			f = data;
			cr_assert_not(seen[f->number]);
			seen[f->number] = true;
			cr_assert_eq(sub_receive(f->sub), 0);
		}
	}
	tear_down(set, TOPICS);
}

Test(sets, a_set_takes_its_members_in_turns)
{
	int turns[3] = { 0 };
	struct torc_set *set;
	void *data;

	set_up(&set, 3);
	for (int i = 0; i < 60; i++)
		MUST(torc_pub_publish(followed[i % 3].pub, "x", 1));
	for (int i = 0; i < 30; i++) {
		struct followed *f;

		MUST(torc_set_wait(set, 0, &data));
		f = data;
		turns[f->number]++;
		cr_assert_eq(sub_receive(f->sub), 0);
	}
	for (int i = 0; i < 3; i++)
		cr_expect_eq(turns[i], 10);
	tear_down(set, 3);
}

Test(sets, a_member_that_leaves_a_set_is_not_named_again)
{
	struct torc_set *set, *other;
	void *data;

	set_up(&set, 3);
	MUST(torc_set_open(TORC_WAIT_ADAPTIVE, &other));
	FAILS(-EBUSY, "already", torc_set_add(other, followed[0].sub, NULL));
	FAILS(-EBUSY, "already", torc_sub_fd(followed[0].sub));
	torc_set_remove(other, followed[0].sub);
	for (int i = 0; i < 3; i++)
		MUST(torc_pub_publish(followed[i].pub, "x", 1));
	torc_set_remove(set, followed[0].sub);
	followed[1].sub = torc_sub_close(followed[1].sub);
	for (int i = 0; i < 5; i++) {
		MUST(torc_set_wait(set, -1, &data));
		cr_assert_eq(data, &followed[2]);
	}
	MUST(torc_set_add(other, followed[0].sub, &followed[0]));
	MUST(torc_set_wait(other, 0, &data));
	cr_expect_eq(data, &followed[0]);
	torc_set_close(other);
	cr_expect_eq(sub_receive(followed[0].sub), 0);
	tear_down(set, 3);
}

Test(sets, the_descriptor_of_a_set_is_readable_until_it_is_told_of_all)
{
	struct torc_set *set;
	void *data;
	int fd;

	set_up(&set, 3);
	fd = torc_set_fd(set);
	for (int round = 0; round < 100; round++) {
		do
			cr_assert_eq(torc_set_wait(set, 0, &data), -ETIMEDOUT);
		while (readable(fd, 0));
		for (int i = 0; i < 6; i++)
			MUST(torc_pub_publish(followed[i % 3].pub, "x", 1));
		for (int i = 0; i < 6; i++) {
			cr_assert(readable(fd, -1));
			MUST(torc_set_wait(set, 0, &data));
			cr_assert_eq(sub_receive(((struct followed *)data)->sub),
				     0);
		}
		cr_assert(readable(fd, 0));
	}
	tear_down(set, 3);
}

static void *keep_waking_set(void *context)
{
	struct torc_set *set = context;

	for (int i = 0; i < 30; i++) {
		pause_ms(2);
		torc_set_wake(set);
	}
	return NULL;
}

Test(sets, another_thread_ends_the_wait_of_a_set)
{
	struct torc_set *set;
	pthread_t thread;
	void *data;

	set_up(&set, 2);
	torc_set_wake(set);
	cr_expect_eq(torc_set_wait(set, -1, &data), -EINTR);
	cr_expect_eq(torc_set_wait(set, 0, &data), -ETIMEDOUT);
	cr_assert_eq(pthread_create(&thread, NULL, keep_waking_set, set), 0);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(torc_set_wait(set, -1, &data), -EINTR);
	pthread_join(thread, NULL);
	tear_down(set, 2);
}

static int use_in_child(void *context)
{
	struct torc_set *set = context;
	void *data;

	return torc_set_wait(set, 0, &data) != -EOWNERDEAD ||
	       torc_set_fd(set) != -EOWNERDEAD ||
	       torc_sub_fd(followed[0].sub) != -EOWNERDEAD ||
	       torc_sub_close(followed[0].sub) || torc_set_close(set);
}

Test(sets, a_set_is_refused_in_a_child_and_works_in_the_parent)
{
	struct torc_set *set;
	void *data;

	set_up(&set, 2);
	cr_expect_eq(child_end(child_start(use_in_child, set)), 0);
	MUST(torc_pub_publish(followed[0].pub, "x", 1));
	MUST(torc_set_wait(set, -1, &data));
	cr_expect_eq(data, &followed[0]);
	cr_expect_eq(sub_receive(followed[0].sub), 0);
	tear_down(set, 2);
}
