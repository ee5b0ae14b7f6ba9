/* SPDX-License-Identifier: MIT */
/*
 * Waiting: how it is ended, and that no wake-up is lost.
 *
 * Goal: a wait ends when there is something, when it is told to, and at its
 * timeout, however long it has slept.  Method: processes and threads that sleep
 * at once (TORC_WAIT_SLEEP); what would only be late is made to be missing.
 */
#include "wait.h"

#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(wait, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

static struct torc_subscriber *sleeper_open(struct torc_topic *topic,
					    unsigned int flags)
{
	struct torc_sub_options options = { .flags = flags,
					    .wait = TORC_WAIT_SLEEP };
	struct torc_subscriber *sub;

	MUST(torc_sub_open(topic, &options, &sub));
	return sub;
}

/* ---- Ending a wait ------------------------------------------------------ */

Test(wait, nonsense_policies_are_refused)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_sub_options sub_options = { .wait = (enum torc_wait)3 };
	struct torc_pub_options pub_options = { .wait = (enum torc_wait)-1 };
	struct torc_subscriber *sub;
	struct torc_publisher *pub;

	FAILS(-EINVAL, "way to wait", torc_sub_open(topic, &sub_options, &sub));
	FAILS(-EINVAL, "way to wait", torc_pub_open(topic, &pub_options, &pub));
	torc_topic_close(topic);
}

Test(wait, a_wake_before_the_wait_ends_it_once)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_subscriber *sub = sleeper_open(topic, 0);

	torc_sub_wake(sub);
	torc_sub_wake(sub);
	cr_expect_eq(torc_sub_wait(sub, -1), -EINTR);
	cr_expect_eq(torc_sub_wait(sub, 1000), -ETIMEDOUT);
	torc_sub_close(sub);
	torc_topic_close(topic);
}

Test(wait, a_message_comes_before_a_wake)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub = sleeper_open(topic, 0);
	struct torc_message message;

	MUST(torc_pub_publish(pub, "x", 1));
	torc_sub_wake(sub);
	MUST(torc_sub_wait(sub, -1));
	MUST(torc_sub_peek(sub, &message));
	MUST(torc_sub_release(sub));
	cr_expect_eq(torc_sub_wait(sub, -1), -EINTR);
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

struct waking {
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	int ended;
};

static void *keep_waking(void *context)
{
	struct waking *w = context;

	while (!__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)) {
		pause_ms(2);
		if (w->sub)
			torc_sub_wake(w->sub);
		else
			torc_pub_wake(w->pub);
	}
	return NULL;
}

Test(wait, another_thread_ends_waits_for_messages)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct waking w = { .sub = sleeper_open(topic, 0) };
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, keep_waking, &w), 0);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(torc_sub_wait(w.sub, -1), -EINTR);
	__atomic_store_n(&w.ended, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	torc_sub_close(w.sub);
	torc_topic_close(topic);
}

static void fill(struct torc_topic *topic, char payload[1000])
{
	struct torc_pub_options options = { .full = TORC_FULL_FAIL };
	struct torc_publisher *pub;

	MUST(torc_pub_open(topic, &options, &pub));
	while (!torc_pub_publish(pub, payload, 1000))
		;
	torc_pub_close(pub);
}

Test(wait, another_thread_ends_waits_for_room)
{
	struct torc_topic *topic = topic_open("t", 0, 16384);
	struct torc_subscriber *sub = sleeper_open(topic, 0);
	struct torc_pub_options options = { .wait = TORC_WAIT_SLEEP };
	char payload[1000] = { 0 };
	struct waking w = { .sub = NULL };
	pthread_t thread;

	fill(topic, payload);
	MUST(torc_pub_open(topic, &options, &w.pub));
	cr_assert_eq(pthread_create(&thread, NULL, keep_waking, &w), 0);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(torc_pub_publish(w.pub, payload, 1000), -EINTR);
	__atomic_store_n(&w.ended, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	torc_pub_close(w.pub);
	torc_sub_close(sub);
	torc_topic_close(topic);
}

static struct torc_subscriber *signalled;

static void on_signal(int number)
{
	(void)number;
	torc_sub_wake(signalled);
}

/* However the signals fall, before the sleep or in it, each wait ends. */
Test(wait, a_signal_handler_ends_waits)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART };
	struct itimerspec each = { .it_interval.tv_nsec = 200000,
				   .it_value.tv_nsec = 200000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGALRM };
	struct torc_topic *topic = topic_open("t", 0, 0);
	timer_t timer;

	signalled = sleeper_open(topic, 0);
	cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	cr_assert_eq(timer_settime(timer, 0, &each, NULL), 0);
	for (int i = 0; i < 2000; i++)
		cr_assert_eq(torc_sub_wait(signalled, -1), -EINTR);
	timer_delete(timer);
	torc_sub_close(signalled);
	torc_topic_close(topic);
}

Test(wait, too_many_topics_for_one_wait_are_refused)
{
	static struct torc_subscriber *subs[129];

	FAILS(-E2BIG, "set", torc_sub_wait_any(subs, 129, 0));
	FAILS(-EINVAL, "nothing", torc_sub_wait_any(subs, 0, 0));
}

/* ---- Without membarrier() ----------------------------------------------- */

#define SLEEPS 2000

static int publish_at_random(void *context)
{
	struct torc_topic *topic;
	struct torc_publisher *pub;

	if (context)
		refuse_membarrier();
	topic = topic_open("t", 0, 0);
	pub = pub_open(topic);
	for (uint32_t i = 0; i < SLEEPS; i++) {
		struct timespec pause = { .tv_nsec = i * 7919 % 50000 };

		nanosleep(&pause, NULL);
		MUST(torc_pub_publish(pub, &i, sizeof(i)));
	}
	torc_pub_close(pub);
	torc_topic_close(topic);
	return 0;
}

static int sleep_for_all(void *context)
{
	struct torc_topic *topic;
	struct torc_subscriber *sub;
	struct torc_message message;
	uint32_t number;

	if (context)
		refuse_membarrier();
	topic = topic_open("t", 0, 0);
	sub = sleeper_open(topic, TORC_SUB_OLDEST);
	for (uint32_t i = 0; i < SLEEPS; i++) {
		MUST(torc_sub_wait(sub, -1));
		MUST(torc_sub_receive(sub, &number, sizeof(number), &message));
		cr_assert_eq(number, i);
	}
	torc_sub_close(sub);
	torc_topic_close(topic);
	return 0;
}

/* Of the publisher, of the sleeper, of both. */
Test(wait, nothing_is_missed_where_membarrier_is_refused)
{
	for (int refused = 1; refused <= 3; refused++) {
		struct torc_topic *topic = topic_open("t", 0, 0);
		pid_t sub = child_start(sleep_for_all,
					refused & 2 ? topic : NULL);
		pid_t pub = child_start(publish_at_random,
					refused & 1 ? topic : NULL);

		cr_expect_eq(child_end(pub), 0);
		cr_expect_eq(child_end(sub), 0);
		torc_topic_close(topic);
	}
}
