/* SPDX-License-Identifier: MIT */
/*
 * Goal: a message through the mapping makes no system call, whatever holds the
 * bytes and whoever publishes.
 * Method: publisher and subscriber give up all system calls (seccomp's strict mode
 * kills who makes one) but those that end them.  From then on the coarse clock stands
 * still: who has waited at a claim for 10 ms asks whether its owner lives, and on a
 * busy machine one may have to.
 */
#include "device.h"
#include "topics.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COUNT 20000u
/* Never full: a publisher that waits for room looks at the clock. */
#define CAPACITY (1u << 20)

static struct torc_topic *topic;

static bool clock_stands_still;
static struct timespec still;

/* Of the library's. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC_COARSE || !clock_stands_still)
		return (int)syscall(SYS_clock_gettime, clock, ret);
	*ret = still;
	return 0;
}

static void no_calls_from_here(void)
{
	clock_gettime(CLOCK_MONOTONIC_COARSE, &still);
	clock_stands_still = true;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		harness_skip("the kernel has no seccomp");
}

/* exit() would make calls that are not allowed. */
static void end_with(int status)
{
	syscall(SYS_exit, status);
}

static void publish(const void *unused)
{
	struct torc_publisher *pub = pub_open(topic, TORC_FULL_FAIL);

	(void)unused;
	/* Participants are counted at once; from here on nobody sleeps. */
	wait_for_participants(topic, TORC_SUBSCRIBER, 1);
	no_calls_from_here();
	for (uint64_t i = 0; i < COUNT; i++)
		if (torc_pub_publish(pub, &i, sizeof(i)))
			end_with(1);
	end_with(0);
}

static void receive(const void *unused)
{
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_message message;
	uint64_t got;

	(void)unused;
	no_calls_from_here();
	for (uint64_t i = 0; i < COUNT;) {
		int r = torc_sub_receive(sub, &got, sizeof(got), &message);

		if ((r && r != -EAGAIN) || (!r && got != i))
			end_with(1);
		i += !r;
	}
	end_with(0);
}

static void make_a_call(const void *unused)
{
	(void)unused;
	no_calls_from_here();
	getppid();
	end_with(0);
}

static void seccomp_is_there(void)
{
	if (child_end(child_start(make_a_call, NULL)) != -SIGKILL)
		harness_skip("the kernel has no seccomp");
}

TEST(a_message_makes_no_system_call)
{
	seccomp_is_there();
	for_each_kind(address) {
		for (unsigned int flags = 0; flags <= TORC_MANY;
		     flags += TORC_MANY) {
			pid_t publisher, subscriber;

			topic = topic_create(address, flags, CAPACITY);
			subscriber = child_start(receive, NULL);
			publisher = child_start(publish, NULL);
			CHECK_EQ(child_end(publisher), 0);
			CHECK_EQ(child_end(subscriber), 0);
			topic_destroy(topic, address);
		}
	}
}

TEST(what_a_driver_publishes_is_received_without_system_calls)
{
	seccomp_is_there();
	for (int m = 0; m < 3; m++) {
		struct torc_driver_create request =
			device_request(memories[m], TORC_DRIVER_PUBLISHES);
		char address[TORC_DRIVER_NAME_MAX + 4];
		struct device d;
		pid_t subscriber;

		request.capacity = CAPACITY;
		device_make_as(&d, &request);
		snprintf(address, sizeof(address), "dev:%.127s", d.name);
		topic = topic_open(address, 0);
		subscriber = child_start(receive, NULL);
		wait_for_participants(topic, TORC_SUBSCRIBER, 1);
		for (uint64_t i = 0; i < COUNT; i++)
			CHECK_EQ(write(d.fd, &i, sizeof(i)), sizeof(i));
		CHECK_EQ(child_end(subscriber), 0);
		torc_topic_close(topic);
		device_end(&d);
	}
}
