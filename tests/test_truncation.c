/* SPDX-License-Identifier: MIT */
/* Files that are cut off while they are mapped. */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(truncation, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

static void cut_ring(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/t", fixture_bus);
	cr_assert_eq(truncate(path, 0), 0);
}

/* Opened for writing. */
static int open_cursors(void)
{
	DIR *dir = opendir(fixture_bus);
	struct dirent *entry;
	int fd = -1;

	cr_assert(dir);
	while (fd < 0 && (entry = readdir(dir)))
		if (strstr(entry->d_name, ".cursors"))
			fd = openat(dirfd(dir), entry->d_name, O_RDWR);
	closedir(dir);
	cr_assert_geq(fd, 0);
	return fd;
}

static void cut_cursors(void)
{
	int fd = open_cursors();

	cr_assert_eq(ftruncate(fd, 0), 0);
	close(fd);
}

/* What says whose they are. */
static void garble_cursors(void)
{
	static const char garbage[64] = { 1 };
	int fd = open_cursors();

	cr_assert_eq(pwrite(fd, garbage, sizeof(garbage), 0),
		     (ssize_t)sizeof(garbage));
	close(fd);
}

/* What the next who asks for a lock is overtaken by. */
static void (*cut_at_lock)(void);

/* In glibc's place, for the library too. */
int fcntl(int fd, int command, ...)
{
	void (*cut)(void) = cut_at_lock;
	va_list arguments;
	void *argument;

	if (cut && command == F_OFD_SETLK) {
		cut_at_lock = NULL;
		cut();
	}
	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* What is left of it; maybe the last user could remove all. */
static void remove_topic(void)
{
	struct torc_bus *bus;
	int r;

	MUST(torc_bus_open(NULL, &bus));
	r = torc_bus_remove(bus, "t", 0);
	cr_assert(!r || r == -ENOENT, "%s", torc_errmsg());
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
}

/* Publish until it is told: what was published before may have been lost. */
static void publish_until_told(struct torc_publisher *pub)
{
	int r = 0;

	for (int i = 0; !r && i < 100000; i++)
		r = torc_pub_publish(pub, "0123456789", 10);
	FAILS(-EPROTO, "truncated", r);
	cr_expect_eq(torc_pub_publish(pub, "", 0), -EPROTO);
}

static void receive_until_told(struct torc_subscriber *sub)
{
	struct torc_message message;
	char buffer[16];
	int r = 0;

	for (int i = 0; (!r || r == -EAGAIN) && i < 100000; i++)
		r = torc_sub_receive(sub, buffer, sizeof(buffer), &message);
	FAILS(-EPROTO, "truncated", r);
	cr_expect_eq(torc_sub_wait(sub, -1), -EPROTO);
	cr_expect_eq(torc_sub_receive(sub, buffer, sizeof(buffer), &message),
		     -EPROTO);
}

static void everybody_is_told(unsigned int flags)
{
	struct torc_pub_options fails = { .full = TORC_FULL_EVICT };
	struct torc_topic *topic = topic_open("t", flags, 4096);
	struct torc_subscriber *sub[2];
	struct torc_topic_info info;
	struct torc_publisher *pub;

	MUST(torc_sigbus_guard());
	MUST(torc_sigbus_guard());
	MUST(torc_pub_open(topic, &fails, &pub));
	sub[0] = sub_open(topic, 0);
	sub[1] = sub_open(topic, TORC_SUB_LOSSY);
	MUST(torc_topic_get_info(topic, &info));
	MUST(torc_pub_publish(pub, "before", 6));
	cut_ring();
	publish_until_told(pub);
	for (int i = 0; i < 2; i++)
		receive_until_told(sub[i]);
	torc_pub_close(pub);
	torc_sub_close(sub[0]);
	torc_sub_close(sub[1]);
	torc_topic_close(topic);
	remove_topic();
}

Test(truncation, of_the_ring_is_told)
{
	everybody_is_told(0);
	everybody_is_told(TORC_MANY);
}

/* And a lossless subscriber loses nothing. */
static void all_is_well(struct torc_topic *topic, struct torc_publisher *pub)
{
	struct torc_subscriber *sub = sub_open(topic, 0);
	int n = 0, received = 0, r;

	while (!(r = torc_pub_publish(pub, "0123456789", 10)))
		n++;
	cr_expect_eq(r, -EAGAIN);
	while (!(r = sub_receive(sub)))
		received++;
	cr_expect_eq(r, -EAGAIN);
	cr_expect_gt(n, 50);
	cr_expect_eq(received, n);
	torc_sub_close(sub);
}

/* How a subscriber ends up that held the floor by what was cut off. */
static void it_was_evicted(struct torc_subscriber *sub)
{
	int r;

	do
		r = sub_receive(sub);
	while (!r);
	cr_expect(r == -ESTALE || r == -EPROTO, "%d", r);
	torc_sub_close(sub);
}

static void publishers_go_on(unsigned int flags, bool subscriber_first)
{
	struct torc_pub_options fails = { .full = TORC_FULL_FAIL };
	struct torc_topic *topic = topic_open("t", flags, 4096);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_publisher *pub;
	void *payload;

	MUST(torc_sigbus_guard());
	MUST(torc_pub_open(topic, &fails, &pub));
	MUST(torc_pub_publish(pub, "before", 6));
	MUST(torc_pub_reserve(pub, 6, &payload));
	memcpy(payload, "beside", 6);
	cut_cursors();
	if (subscriber_first)
		it_was_evicted(sub);
	MUST(torc_pub_commit(pub, 6));
	for (int i = 0; i < 1000; i++)
		MUST(torc_pub_publish(pub, "0123456789", 10));
	if (!subscriber_first)
		it_was_evicted(sub);
	all_is_well(topic, pub);
	cut_cursors();
	torc_pub_close(pub);
	MUST(torc_pub_open(topic, &fails, &pub));
	all_is_well(topic, pub);
	torc_pub_close(pub);
	torc_topic_close(topic);
	cr_expect_eq(fixture_files(), 0);
}

Test(truncation, of_the_cursors_stops_no_publisher)
{
	SKIP_STORES_TO_WHAT_IS_CUT_OFF();
	for (int i = 0; i < 4; i++)
		publishers_go_on(i & 1 ? TORC_MANY : 0, i & 2);
}

/* Those that have no memory for it go on without, until there is some. */
Test(truncation, of_the_cursors_for_good_stops_no_publisher)
{
	struct torc_pub_options fails = { .full = TORC_FULL_FAIL };
	struct torc_topic *topic = topic_open("t", TORC_MANY, 4096);
	struct rlimit limit = { 0, RLIM_INFINITY };
	struct torc_publisher *pub;

	MUST(torc_sigbus_guard());
	MUST(torc_pub_open(topic, &fails, &pub));
	cut_cursors();
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 1000; i++)
		MUST(torc_pub_publish(pub, "0123456789", 10));
	limit.rlim_cur = RLIM_INFINITY;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	MUST(torc_pub_publish(pub, "0123456789", 10));
	all_is_well(topic, pub);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

Test(truncation, of_the_cursors_or_garbage_there_keeps_nobody_out)
{
	static void (*const harms[])(void) = { cut_cursors, garble_cursors };
	struct torc_pub_options fails = { .full = TORC_FULL_FAIL };

	for (unsigned int i = 0; i < 4; i++) {
		struct torc_topic *topic = topic_open(
			"t", i & 1 ? TORC_MANY : 0, 4096);
		struct torc_publisher *pub;

		harms[i >> 1]();
		torc_sub_close(sub_open(topic, TORC_SUB_LOSSY));
		harms[i >> 1]();
		MUST(torc_pub_open(topic, &fails, &pub));
		all_is_well(topic, pub);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

Test(truncation, while_it_is_repaired_is_told)
{
	static void (*const cuts[])(void) = { cut_ring, cut_cursors };

	MUST(torc_sigbus_guard());
	for (unsigned int i = 0; i < 4; i++) {
		struct torc_topic *topic = topic_open(
			"t", i & 1 ? TORC_MANY : 0, 4096);

		cut_at_lock = cuts[i >> 1];
		FAILS(-EPROTO, "truncated", torc_topic_repair(topic));
		cr_expect(!cut_at_lock);
		torc_topic_close(topic);
		remove_topic();
	}
}

/* As long as it takes to see that the table of mappings grows. */
Test(truncation, is_told_to_each_of_many)
{
	enum { COUNT = 100 };
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_subscriber *subs[COUNT];

	MUST(torc_sigbus_guard());
	for (int i = 0; i < COUNT; i++)
		subs[i] = sub_open(topic, TORC_SUB_LOSSY);
	cut_ring();
	for (int i = 0; i < COUNT; i++) {
		receive_until_told(subs[i]);
		torc_sub_close(subs[i]);
	}
	torc_topic_close(topic);
	remove_topic();
}

static int dies_unguarded(void *context)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_publisher *pub = pub_open(topic);

	(void)context;
	signal(SIGBUS, SIG_DFL);
	cut_ring();
	for (int i = 0; i < 1000; i++)
		torc_pub_publish(pub, "0123456789", 10);
	return 0;
}

static char *elsewhere(void)
{
	int fd = memfd_create("elsewhere", 0);
	char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	cr_assert_neq((void *)map, MAP_FAILED);
	close(fd);
	return map;
}

static int dies_elsewhere(void *context)
{
	(void)context;
	signal(SIGBUS, SIG_DFL);
	MUST(torc_sigbus_guard());
	return *(volatile char *)elsewhere();
}

static void exit_with_7(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	_exit(torc_sigbus(info) ? 1 : 7);
}

static int is_passed_on(void *context)
{
	struct sigaction action = { .sa_sigaction = exit_with_7,
				    .sa_flags = SA_SIGINFO };

	(void)context;
	sigaction(SIGBUS, &action, NULL);
	MUST(torc_sigbus_guard());
	return *(volatile char *)elsewhere();
}

Test(truncation, other_bus_errors_are_passed_on)
{
	cr_expect_eq(child_end(child_start(dies_unguarded, NULL)), -SIGBUS);
	remove_topic();
	cr_expect_eq(child_end(child_start(dies_elsewhere, NULL)), -SIGBUS);
	cr_expect_eq(child_end(child_start(is_passed_on, NULL)), 7);
}
