/* SPDX-License-Identifier: MIT */
/*
 * Waiting by a descriptor.
 *
 * Goal: the descriptor of a subscriber is readable while there is something.
 * Method: poll() without a timeout where something has to be there.
 */
#include "bell.h"
#include "ringer.h"
#include "seat.h"
#include "topic.h"

#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(descriptors, .init = fixture_init, .fini = fixture_fini,
	  .timeout = 120);

/* ---- A descriptor ------------------------------------------------------- */

static const char *const addresses[] = { "t", "memfd:", "anon:" };

Test(descriptors, a_descriptor_is_readable_until_all_is_received)
{
	for (size_t k = 0; k < 3; k++) {
		struct torc_topic *topic = topic_open(addresses[k], 0, 0);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_subscriber *sub = sub_open(topic, 0);
		int fd = torc_sub_fd(sub);

		cr_assert(fd >= 0, "%s", torc_errmsg());
		cr_expect_eq(torc_sub_fd(sub), fd);
		cr_expect(readable(fd, 0));
		for (int round = 0; round < 100; round++) {
			expect_rest(sub, fd);
			for (int i = 0; i < 3; i++)
				MUST(torc_pub_publish(pub, "x", 1));
			for (int i = 0; i < 3; i++) {
				cr_assert(readable(fd, -1));
				cr_assert_eq(sub_receive(sub), 0);
			}
			cr_assert(readable(fd, 0));
		}
		torc_sub_close(sub);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

/* Nobody can wake who may not write the cursors. */
Test(descriptors, a_descriptor_of_a_reader_polls)
{
	struct torc_topic *topic = topic_open("memfd:", 0, 0);
	struct torc_publisher *pub = pub_open(topic);
	char path[32], address[16];
	struct torc_subscriber *sub;
	struct torc_topic *readers;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", torc_topic_fd(topic));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	MUST(torc_topic_open(NULL, address, NULL, &readers));
	close(fd);
	sub = sub_open(readers, TORC_SUB_LOSSY);
	fd = torc_sub_fd(sub);
	cr_assert(fd >= 0, "%s", torc_errmsg());
	for (int i = 0; i < 50; i++) {
		expect_rest(sub, fd);
		MUST(torc_pub_publish(pub, "x", 1));
		do
			cr_assert(readable(fd, -1));
		while (sub_receive(sub) == -EAGAIN);
	}
	torc_sub_close(sub);
	torc_topic_close(readers);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* Several, of topics with one publisher each, all in one epoll instance. */
Test(descriptors, descriptors_above_1024_are_as_good_as_others)
{
	struct rlimit limit = { 2048, 4096 };
	struct torc_publisher *pubs[8];
	struct torc_subscriber *subs[8];
	struct torc_topic *topics[8];
	struct epoll_event event = { .events = EPOLLIN };
	int fds[8], last = 0, epoll_fd;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		cr_skip_test("no more descriptors to be had");
	while (last <= 1024)
		last = fcntl(0, F_DUPFD_CLOEXEC, 0);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < 8; i++) {
		topics[i] = topic_open("anon:", 0, 0);
		pubs[i] = pub_open(topics[i]);
		subs[i] = sub_open(topics[i], 0);
		fds[i] = torc_sub_fd(subs[i]);
		cr_assert(fds[i] > 1024, "%s", torc_errmsg());
		event.data.u32 = (uint32_t)i;
		cr_assert_eq(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event),
			     0);
	}
	for (int round = 0; round < 30; round++) {
		int i = round * 3 % 8;

		for (int k = 0; k < 8; k++)
			expect_rest(subs[k], fds[k]);
		MUST(torc_pub_publish(pubs[i], "x", 1));
		/* Others may be there for their timers' sake. */
		do {
			cr_assert_eq(epoll_wait(epoll_fd, &event, 1, -1), 1);
			if (event.data.u32 != (uint32_t)i)
				cr_assert_eq(sub_receive(subs[event.data.u32]),
					     -EAGAIN);
		} while (event.data.u32 != (uint32_t)i);
		cr_assert_eq(sub_receive(subs[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		torc_sub_close(subs[i]);
		torc_pub_close(pubs[i]);
		torc_topic_close(topics[i]);
	}
}

/* Its bell is armed and rung again and again, and it never listens. */
Test(descriptors, a_subscriber_that_never_listens_blocks_no_publisher)
{
	for (size_t k = 0; k < 3; k++) {
		struct torc_topic *topic = topic_open(addresses[k], 0, 0);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_subscriber *sub = sub_open(topic, TORC_SUB_LOSSY);
		struct torc_seat *seat = torc_sub_seat(sub);
		int fd = torc_sub_fd(sub);

		for (int i = 0; i < 5000; i++) {
			torc_store_relaxed(&seat->slot->bell_armed, 1u);
			torc_word_arm(&seat->cursors->data_word);
			MUST(torc_pub_publish(pub, "x", 1));
		}
		cr_expect(readable(fd, 0));
		while (!sub_receive(sub))
			;
		expect_rest(sub, fd);
		torc_sub_close(sub);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}
