/* SPDX-License-Identifier: MIT */
/*
 * Waiting by a descriptor, and for many topics at once.
 *
 * Goal: the descriptor of a subscriber or of a set is readable while there is
 * something, whoever rings it, and whatever others make of doorbells.  Method:
 * poll() without a timeout where something has to be there, and descriptors,
 * files and addresses that are not what they say.
 */
#include "bell.h"
#include "ringer.h"
#include "seat.h"
#include "topic.h"

#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(descriptors, .init = fixture_init, .fini = fixture_fini,
	  .timeout = 120);

/* ---- A descriptor ------------------------------------------------------- */

static const char *const addresses[] = { "t", "memfd:", "anon:" };

static bool readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

static int receive(struct torc_subscriber *sub)
{
	struct torc_message message;
	char buffer[64];

	return torc_sub_receive(sub, buffer, sizeof(buffer), &message);
}

/* Its timer may expire at any moment, on a slow machine. */
static void expect_rest(struct torc_subscriber *sub, int fd)
{
	for (int tries = 0; tries < 1000; tries++) {
		cr_assert_eq(receive(sub), -EAGAIN);
		if (!readable(fd, 0))
			return;
	}
	cr_assert_fail("it never rests");
}

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
				cr_assert_eq(receive(sub), 0);
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
		while (receive(sub) == -EAGAIN);
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
				cr_assert_eq(receive(subs[event.data.u32]),
					     -EAGAIN);
		} while (event.data.u32 != (uint32_t)i);
		cr_assert_eq(receive(subs[i]), 0);
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
		while (!receive(sub))
			;
		expect_rest(sub, fd);
		torc_sub_close(sub);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

Test(descriptors, lies_about_bells_harm_no_publisher)
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

Test(descriptors, a_bell_on_a_bus_is_heard_from_another_network_namespace)
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

Test(descriptors, no_link_in_the_place_of_a_bell_is_followed)
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

Test(descriptors, cleaning_removes_the_bells_of_the_dead_only)
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

/* Sleep, be woken, receive: so many times. */
static void be_woken(struct torc_publisher *pub, struct torc_subscriber *sub,
		     int fd, int times)
{
	while (times--) {
		expect_rest(sub, fd);
		MUST(torc_pub_publish(pub, "x", 1));
		cr_assert(readable(fd, -1));
		cr_assert_eq(receive(sub), 0);
	}
}

Test(descriptors, a_descriptor_is_soon_rung_by_an_eventfd)
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

Test(descriptors, a_full_eventfd_blocks_no_publisher)
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
		cr_assert_eq(receive(sub), 0);
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

Test(descriptors, what_is_passed_as_an_eventfd_and_is_none_is_not_written_to)
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

/* ---- Sets --------------------------------------------------------------- */

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

Test(descriptors, a_set_names_each_that_has_a_message)
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
		cr_assert_eq(receive(f->sub), 0);
	}
	tear_down(set, TOPICS);
}

/* More bells ring than the kernel queues. */
Test(descriptors, a_set_misses_none_of_many_at_once)
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
			cr_assert_eq(receive(f->sub), 0);
		}
	}
	tear_down(set, TOPICS);
}

Test(descriptors, a_set_takes_its_members_in_turns)
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
		cr_assert_eq(receive(f->sub), 0);
	}
	for (int i = 0; i < 3; i++)
		cr_expect_eq(turns[i], 10);
	tear_down(set, 3);
}

Test(descriptors, a_member_that_leaves_a_set_is_not_named_again)
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
	cr_expect_eq(receive(followed[0].sub), 0);
	tear_down(set, 3);
}

Test(descriptors, the_descriptor_of_a_set_is_readable_until_it_is_told_of_all)
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
			cr_assert_eq(receive(((struct followed *)data)->sub),
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

Test(descriptors, another_thread_ends_the_wait_of_a_set)
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

Test(descriptors, a_set_is_refused_in_a_child_and_works_in_the_parent)
{
	struct torc_set *set;
	void *data;

	set_up(&set, 2);
	cr_expect_eq(child_end(child_start(use_in_child, set)), 0);
	MUST(torc_pub_publish(followed[0].pub, "x", 1));
	MUST(torc_set_wait(set, -1, &data));
	cr_expect_eq(data, &followed[0]);
	cr_expect_eq(receive(followed[0].sub), 0);
	tear_down(set, 2);
}
