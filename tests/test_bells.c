/* SPDX-License-Identifier: MIT */
/*
 * Doorbells, and the eventfds that they answer with.
 *
 * Goal: who is rung hears it, whoever rings, and whatever others make of bells.
 * Method: bells rung by hand and by publishers, and files, addresses and
 * descriptors that are not what they say.
 */
#include "bell.h"
#include "ringer.h"
#include "seat.h"
#include "topic.h"

#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(bells, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

Test(bells, lies_about_bells_harm_no_publisher)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_seat *seat = torc_sub_seat(sub);

	torc_store_relaxed(&seat->cursors->bells, UINT32_MAX);
	for (uint64_t i = 0; i < 100; i++) {
		torc_store_relaxed(&seat->slot->bell, i * 0x123456789abcdefu);
		torc_store_relaxed(&seat->slot->bell_armed, 1u);
		torc_word_arm(&seat->cursors->data_word);
		MUST(torc_pub_publish(pub, "x", 1));
	}
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* Who ends another's wait on the same topic must not disarm its word. */
Test(bells, who_is_behind_one_is_rung_though_others_were_woken_by_hand)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_subscriber *other = sub_open(topic, 0);
	struct torc_pub_stats stats;
	int fd = torc_sub_fd(sub);

	expect_rest(sub, fd);
	torc_sub_wake(other);
	cr_expect_eq(torc_sub_wait(other, -1), -EINTR);
	MUST(torc_pub_publish(pub, "x", 1));
	torc_pub_get_stats(pub, &stats);
	cr_expect_eq(stats.woken, 1u);
	cr_expect(readable(fd, 10000));
	torc_sub_close(other);
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* ---- Doorbells ---------------------------------------------------------- */

static struct torc_bell bell;

/* Ring the bell of the subscriber in slot 0 of the topic. */
static int ring_it(void *context)
{
	struct torc_topic *topic = context;
	struct torc_ringer *ringer = NULL;
	struct torc_view view;
	int unusable = 0;

	MUST(torc_topic_map(topic, TORC_ACCESS_PUBLISH, &unusable,
			    &view));
	torc_bells_ring(&ringer, topic, &view.ring);
	torc_ringer_free(ringer);
	torc_topic_unmap(topic, &view);
	return 0;
}

static int ring_from_elsewhere(void *context)
{
	if (unshare(CLONE_NEWNET))
		return 77;
	return ring_it(context);
}

static struct torc_subscriber *hang_bell(struct torc_topic *topic, int epoll_fd)
{
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_seat *seat = torc_sub_seat(sub);

	MUST(torc_bell_init(&bell, false));
	MUST(torc_bell_hang(&bell, topic->place.bus, epoll_fd));
	torc_store_relaxed(&seat->cursors->bells, 1u);
	torc_store_relaxed(&seat->slot->bell, bell.number);
	torc_store_relaxed(&seat->slot->bell_hint, 42u);
	torc_store_relaxed(&seat->slot->bell_armed, 1u);
	return sub;
}

Test(bells, a_bell_on_a_bus_is_heard_from_another_network_namespace)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	int status, epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct torc_subscriber *sub = hang_bell(topic, epoll_fd);
	uint32_t hint = 0;

	status = child_end(child_start(ring_from_elsewhere, topic));
	if (status == 77)
		cr_skip_test("may not make a network namespace");
	cr_expect_eq(status, 0);
	cr_expect(readable(epoll_fd, 0));
	cr_expect(torc_bell_hear(&bell, &hint));
	cr_expect_eq(hint, 42);
	cr_expect_not(torc_bell_hear(&bell, &hint));
	torc_bell_fini(&bell);
	torc_sub_close(sub);
	torc_topic_close(topic);
	close(epoll_fd);
}

static void bell_path(char path[128])
{
	snprintf(path, 128, "%s/.%016llx.bell", fixture_bus,
		 (unsigned long long)bell.number);
}

Test(bells, no_link_in_the_place_of_a_bell_is_followed)
{
	struct sockaddr_un victim = { .sun_family = AF_UNIX };
	struct torc_topic *topic = topic_open("t", 0, 0);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct torc_subscriber *sub = hang_bell(topic, epoll_fd);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char path[128], target[100];

	snprintf(target, sizeof(target), "%s/victim", fixture_bus);
	strcpy(victim.sun_path, target);
	cr_assert_eq(bind(fd, (struct sockaddr *)&victim, sizeof(victim)), 0);
	bell_path(path);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink(target, path), 0);
	ring_it(topic);
	cr_expect_not(readable(fd, 0), "the link was followed");
	cr_expect_eq(unlink(target), 0);
	torc_bell_fini(&bell);
	torc_sub_close(sub);
	torc_topic_close(topic);
	close(fd);
	close(epoll_fd);
}

static int die_with_a_bell(void *context)
{
	MUST(torc_bell_init(&bell, false));
	MUST(torc_bell_hang(&bell, context, epoll_create1(0)));
	raise(SIGKILL);
	return 0;
}

Test(bells, cleaning_removes_the_bells_of_the_dead_only)
{
	const struct timespec long_ago[2] = { { 1, 0 }, { 1, 0 } };
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct torc_bus *bus;
	char path[128];

	MUST(torc_bus_open(NULL, &bus));
	cr_expect_eq(child_end(child_start(die_with_a_bell, bus)), -SIGKILL);
	cr_expect_eq(fixture_files(), 1);
	MUST(torc_bell_init(&bell, false));
	MUST(torc_bell_hang(&bell, bus, epoll_fd));
	bell_path(path);
	cr_expect_eq(utimensat(0, path, long_ago, 0), 0);
	/* The dead one's is too young to be sure. */
	cr_expect_eq(torc_bus_clean(bus), 0);
	pause_ms(3100);
	cr_expect_eq(torc_bus_clean(bus), 1);
	cr_expect_eq(access(path, F_OK), 0);
	torc_bell_fini(&bell);
	torc_bus_close(bus);
	close(epoll_fd);
}

/* ---- Eventfds ----------------------------------------------------------- */

static const char *const addresses[] = { "t", "memfd:", "anon:" };

/* Sleep, be woken, receive: so many times. */
static void be_woken(struct torc_publisher *pub, struct torc_subscriber *sub,
		     int fd, int times)
{
	while (times--) {
		expect_rest(sub, fd);
		MUST(torc_pub_publish(pub, "x", 1));
		cr_assert(readable(fd, -1));
		cr_assert_eq(sub_receive(sub), 0);
	}
}

Test(bells, a_descriptor_is_soon_rung_by_an_eventfd)
{
	int last, before = fixture_eventfds(&last);

	for (size_t k = 0; k < 3; k++) {
		struct torc_topic *topic = topic_open(addresses[k], 0, 0);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct torc_publisher *pub = pub_open(topic);
		int fd = torc_sub_fd(sub);

		cr_expect_eq(fixture_eventfds(&last), before + 1);
		be_woken(pub, sub, fd, 10);
		cr_expect_eq(fixture_eventfds(&last), before + 2);
		/* Each publisher asks for itself. */
		torc_pub_close(pub);
		cr_expect_eq(fixture_eventfds(&last), before + 1);
		pub = pub_open(topic);
		be_woken(pub, sub, fd, 10);
		cr_expect_eq(fixture_eventfds(&last), before + 2);
		/* The next who has the slot is another's bell. */
		torc_sub_close(sub);
		sub = sub_open(topic, 0);
		fd = torc_sub_fd(sub);
		be_woken(pub, sub, fd, 10);
		cr_expect_eq(fixture_eventfds(&last), before + 2);
		torc_sub_close(sub);
		torc_pub_close(pub);
		torc_topic_close(topic);
		cr_expect_eq(fixture_eventfds(&last), before);
	}
}

Test(bells, a_full_eventfd_blocks_no_publisher)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_publisher *pub = pub_open(topic);
	int last, before = fixture_eventfds(&last), fd = torc_sub_fd(sub);

	be_woken(pub, sub, fd, 10);
	for (int i = 0; i < 3; i++) {
		expect_rest(sub, fd);
		cr_assert_eq(fixture_eventfds(&last), before + 2);
		cr_assert_eq(eventfd_write(last, UINT64_MAX - 1), 0);
		MUST(torc_pub_publish(pub, "x", 1));
		cr_assert_eq(sub_receive(sub), 0);
	}
	be_woken(pub, sub, fd, 10);
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* Answer who rings with @fd. */
static void answer_with(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8)));
	struct sockaddr_un from;
	struct msghdr answer = { .msg_name = &from,
				 .msg_namelen = sizeof(from),
				 .msg_control = control,
				 .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&answer);
	uint32_t hint;

	cr_assert_eq(recvfrom(socket, &hint, sizeof(hint), 0,
			      (struct sockaddr *)&from, &answer.msg_namelen),
		     sizeof(hint));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	cr_assert_eq(sendmsg(socket, &answer, 0), 0);
}

Test(bells, what_is_passed_as_an_eventfd_and_is_none_is_not_written_to)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), pipes[2];
	struct torc_subscriber *sub = hang_bell(topic, epoll_fd);
	struct torc_seat *seat = torc_sub_seat(sub);
	struct torc_publisher *pub = pub_open(topic);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char path[128];

	bell_path(path);
	cr_assert_eq(unlink(path), 0);
	memcpy(address.sun_path, path, sizeof(address.sun_path));
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(pipe(pipes), 0);
	for (int i = 0; i < 5; i++) {
		torc_store_relaxed(&seat->slot->bell_armed, 1u);
		torc_word_arm(&seat->cursors->data_word);
		MUST(torc_pub_publish(pub, "x", 1));
		answer_with(fd, pipes[1]);
	}
	cr_expect_not(readable(pipes[0], 0));
	torc_bell_fini(&bell);
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
	close(epoll_fd);
}
