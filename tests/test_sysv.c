/* SPDX-License-Identifier: MIT */
/*
 * Topics of sysv:KEY: keys, segments that come and go with those who take part,
 * and the limits of the kernel, lowered in an IPC namespace of one's own.
 */
#include "topic.h"

#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

TestSuite(sysv, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

static const struct torc_topic_options creating = { .flags = TORC_CREATE };

static int remove_it(const char *address, unsigned int flags)
{
	struct torc_bus *bus;
	int r;

	MUST(torc_bus_open(NULL, &bus));
	r = torc_bus_remove(bus, address, flags);
	torc_bus_close(bus);
	return r;
}

Test(sysv, segment_is_found_by_its_key_and_goes_with_the_last)
{
	char address[96], by_path[96];
	key_t key = fixture_key(address);
	struct torc_topic *topic = topic_open(address, 0, 8192), *other;
	const struct torc_constants_shm *c;
	int segment = shmget(key, 0, 0);

	cr_assert(segment >= 0);
	c = shmat(segment, NULL, SHM_RDONLY);
	cr_expect_eq(c->magic, TORC_RING_MAGIC);
	cr_expect_eq(c->capacity, 8192);
	shmdt(c);
	snprintf(by_path, sizeof(by_path), "sysv:%s", fixture_disk);
	MUST(torc_topic_open(NULL, by_path, &creating, &other));
	torc_topic_close(topic);
	cr_expect(shmget(key, 0, 0) >= 0);
	torc_topic_close(other);
	cr_expect(shmget(key, 0, 0) < 0 && errno == ENOENT);
	FAILS(-ENOENT, "no such topic",
	      torc_topic_open(NULL, address, NULL, &other));
}

static int publish_and_die(void *context)
{
	struct torc_publisher *pub = pub_open(topic_open(context, 0, 8192));

	MUST(torc_pub_publish(pub, "kept", 4));
	return raise(SIGKILL);
}

Test(sysv, what_a_crash_left_is_taken_over_or_removed)
{
	char address[96], data[8];
	struct torc_message message;
	struct torc_subscriber *sub;
	struct torc_topic *topic;

	fixture_key(address);
	cr_assert_eq(child_end(child_start(publish_and_die, address)),
		     -SIGKILL);
	topic = topic_open(address, 0, 0);
	sub = sub_open(topic, TORC_SUB_OLDEST);
	MUST(torc_sub_receive(sub, data, sizeof(data), &message));
	cr_expect_eq(memcmp(data, "kept", 4), 0);
	FAILS(-EBUSY, "takes part", remove_it(address, TORC_REMOVE_STALE));
	torc_sub_close(sub);
	torc_topic_close(topic);
	FAILS(-ENOENT, "no such", remove_it(address, 0));
	cr_assert_eq(child_end(child_start(publish_and_die, address)),
		     -SIGKILL);
	MUST(remove_it(address, TORC_REMOVE_STALE));
}

Test(sysv, persistent_one_stays_and_its_parts_are_not_taken_for_left_over)
{
	char address[96];
	struct torc_topic *topic;
	struct torc_bus *bus;

	fixture_key(address);
	topic = topic_open(address, TORC_PERSISTENT, 8192);
	torc_topic_close(topic);
	MUST(torc_bus_open("/dev/shm", &bus));
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
	topic = topic_open(address, 0, 0);
	torc_pub_close(pub_open(topic));
	torc_topic_close(topic);
	MUST(remove_it(address, TORC_REMOVE_STALE));
}

Test(sysv, removal_spares_who_takes_part)
{
	char address[96];
	struct torc_topic *topic;
	struct torc_publisher *pub;
	struct torc_subscriber *sub, *late;
	struct torc_message message;

	fixture_key(address);
	topic = topic_open(address, 0, 8192);
	pub = pub_open(topic);
	sub = sub_open(topic, 0);
	MUST(remove_it(address, 0));
	MUST(torc_pub_publish(pub, "x", 1));
	MUST(torc_sub_peek(sub, &message));
	FAILS(-ENOENT, "removed", torc_sub_open(topic, NULL, &late));
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

Test(sysv, segments_of_others_are_refused_and_kept)
{
	static const size_t sizes[] = { 100, 65536 };
	char address[96], process[32];
	key_t key = fixture_key(address);

	snprintf(process, sizeof(process), "process %d", (int)getpid());
	for (int i = 0; i < 2; i++) {
		int segment = shmget(key, sizes[i], IPC_CREAT | 0600);
		struct torc_topic *topic;
		char *base = shmat(segment, NULL, 0);

		memset(base, 'x', sizes[i]);
		FAILS(-EPROTO, process,
		      torc_topic_open(NULL, address, &creating, &topic));
		cr_expect_lt(remove_it(address, 0), 0);
		cr_expect_eq(base[0], 'x');
		shmdt(base);
		cr_expect_eq(shmctl(segment, IPC_RMID, NULL), 0);
	}
}

Test(sysv, keys_that_are_none_are_refused)
{
	static const char *const bad[] = { "sysv:", "sysv:0", "sysv:12x",
					   "sysv:0x100000000",
					   "sysv:/no/such/file" };
	struct torc_topic *topic;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = torc_topic_open(NULL, bad[i], &creating, &topic);

		cr_expect(r == -EINVAL || r == -ENOENT, "%s: %d", bad[i], r);
		cr_expect(strstr(torc_errmsg(), bad[i]), "%s", torc_errmsg());
	}
}

static int write_to_ring(void *context)
{
	struct torc_view *view = context;

	/* Not a sanitizer's. */
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)view->ring_base = 'x';
	return 0;
}

Test(sysv, subscriber_attaches_the_ring_read_only)
{
	char address[96];
	struct torc_topic *topic;
	struct torc_view view;
	int unusable = 0;

	fixture_key(address);
	topic = topic_open(address, 0, 8192);
	MUST(torc_topic_map(topic, TORC_ACCESS_RECEIVE, &unusable,
			    &view));
	cr_expect_eq(child_end(child_start(write_to_ring, &view)), -SIGSEGV);
	torc_topic_unmap(topic, &view);
	torc_topic_close(topic);
}

/* ---- Limits ------------------------------------------------------------- */

static int set_limit(const char *name, const char *value)
{
	char path[64];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	fd = open(path, O_WRONLY);
	r = fd >= 0 && write(fd, value, strlen(value)) > 0;
	close(fd);
	return r;
}

struct limit {
	const char *name, *value;
	int error;
};

static int run_into_limit(void *context)
{
	const struct limit *limit = context;
	struct torc_topic *topic;
	char words[64];
	int r;

	if (unshare(CLONE_NEWIPC) || !set_limit(limit->name, limit->value))
		return 77;
	snprintf(words, sizeof(words), "kernel.%s", limit->name);
	r = torc_topic_open(NULL, "sysv:4711", &creating, &topic);
	return r == limit->error && strstr(torc_errmsg(), words) &&
	       strstr(torc_errmsg(), limit->value) &&
	       strstr(torc_errmsg(), "sysctl") ? 0 : 1;
}

Test(sysv, limits_of_the_kernel_are_named)
{
	static const struct limit limits[] = {
		{ "shmmax", "65537", -EINVAL },
		{ "shmall", "17", -ENOSPC },
		{ "shmmni", "1", -ENOSPC },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		int status = child_end(child_start(run_into_limit,
						   (void *)&limits[i]));

		if (status == 77)
			cr_skip_test("cannot make an IPC namespace");
		cr_expect_eq(status, 0, "%s", limits[i].name);
	}
}
