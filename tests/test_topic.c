/* SPDX-License-Identifier: MIT */
/*
 * Buses and topics: names, directories, making, opening, vanishing, and
 * everything that can be wrong with a file that is said to be a ring; the words of
 * errors.
 */
#include "fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <torc/abi.h>
#include <torc/atomic.h>

TestSuite(topic, .init = fixture_init, .fini = fixture_fini, .timeout = 60);
TestSuite(words, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

static const struct torc_topic_options creating = { .flags = TORC_CREATE };

Test(topic, rejects_names_that_are_none)
{
	static const struct {
		const char *name, *words;
	} bad[] = {
		{ "", "empty" },	     { "..", "dot" },
		{ ".hidden", "dot" },	     { "a/../b", "dot" },
		{ "/a", "empty" },	     { "a/", "empty" },
		{ "a//b", "empty" },	     { "a b", "A-Z" },
		{ "a\nb", "A-Z" },	     { "pr\xc3\xa9s", "A-Z" },
		{ "shm:", "empty" },	     { "nosuch:a", "address" },
		{ "shm:a:b", "A-Z" },	     { "fd:x", "descriptor" },
		{ "fd:-1", "descriptor" },   { "fd:999", "descriptor" },
	};
	char name[140];
	struct torc_topic *topic;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = torc_topic_open(NULL, bad[i].name, &creating, &topic);

		cr_expect(r == -EINVAL || r == -EBADF, "%s: %d", bad[i].name, r);
		cr_expect(strstr(torc_errmsg(), bad[i].words), "%s: %s",
			  bad[i].name, torc_errmsg());
	}
	memset(name, 'n', sizeof(name));
	name[128] = '\0';
	FAILS(-EINVAL, "127", torc_topic_open(NULL, name, &creating, &topic));
	name[127] = '\0';
	MUST(torc_topic_open(NULL, name, &creating, &topic));
	torc_topic_close(topic);
}

static int count_topic(const char *name, void *context)
{
	cr_expect_str_eq(name, "md/eurex/fdax");
	++*(int *)context;
	return 0;
}

Test(topic, lists_topics_by_their_levels)
{
	struct torc_topic *topic = topic_open("md/eurex/fdax", 0, 0);
	struct torc_bus *bus;
	int n = 0;

	MUST(torc_bus_open(NULL, &bus));
	cr_assert_str_eq(torc_bus_path(bus), fixture_bus);
	MUST(torc_bus_list(bus, count_topic, &n));
	cr_expect_eq(n, 1);
	MUST(torc_bus_list(NULL, count_topic, &n));
	cr_expect_eq(n, 2, "the the default bus");
	torc_bus_close(bus);
	torc_topic_close(topic);
}

Test(topic, vanishes_with_its_last_user)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_topic *again;

	torc_topic_close(topic);
	cr_expect_eq(fixture_files(), 3);
	torc_pub_close(pub);
	cr_expect_eq(fixture_files(), 3);
	torc_sub_close(sub);
	cr_expect_eq(fixture_files(), 0);
	FAILS(-ENOENT, "a publisher creates it",
	      torc_topic_open(NULL, "t", NULL, &again));
}

Test(topic, stays_for_another_process)
{
	int pipes[2];
	pid_t pid;
	char c;

	cr_assert_eq(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		struct torc_topic *topic = topic_open("t", 0, 0);

		cr_assert_eq(write(pipes[1], "x", 1), 1);
		pause();
		torc_topic_close(topic);
	}
	cr_assert_eq(read(pipes[0], &c, 1), 1);
	torc_topic_close(topic_open("t", 0, 0));
	cr_expect_eq(fixture_files(), 3);
	kill(pid, SIGKILL);
	cr_assert_eq(child_end(pid), -SIGKILL);
	/* What it left is taken over, and goes with us. */
	torc_topic_close(topic_open("t", 0, 0));
	cr_expect_eq(fixture_files(), 0);
}

static int come_and_go(void *context)
{
	(void)context;
	for (int i = 0; i < 1000; i++)
		torc_topic_close(topic_open("t", 0, 4096));
	return 0;
}

Test(topic, vanishes_though_its_last_users_leave_at_once)
{
	for (int round = 0; round < 10; round++) {
		pid_t pid = child_start(come_and_go, NULL);

		come_and_go(NULL);
		cr_expect_eq(child_end(pid), 0);
		cr_assert_eq(fixture_files(), 0);
	}
}

static int leave_by_crash(void *context)
{
	topic_open("t", *(unsigned int *)context, 0);
	return raise(SIGKILL);
}

Test(topic, looking_at_what_a_crash_left_does_not_remove_it)
{
	struct torc_topic_info info;
	struct torc_topic *topic;
	unsigned int flags = 0;

	cr_assert_eq(child_end(child_start(leave_by_crash, &flags)), -SIGKILL);
	MUST(torc_topic_open(NULL, "t", NULL, &topic));
	MUST(torc_topic_get_info(topic, &info));
	torc_topic_close(topic);
	cr_expect_eq(fixture_files(), 3);
	/* Of another kind: made anew. */
	torc_topic_close(topic_open("t", TORC_MANY, 0));
	cr_expect_eq(fixture_files(), 0);
}

Test(topic, reserved_words_of_what_is_told_are_zero)
{
	static const struct torc_topic_info zero;
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_topic_info info;

	memset(&info, 0xff, sizeof(info));
	MUST(torc_topic_get_info(topic, &info));
	torc_topic_close(topic);
	cr_expect(!memcmp(info.reserved, zero.reserved, sizeof(info.reserved)));
}

Test(topic, what_persists_is_not_made_anew_for_another_kind)
{
	unsigned int flags = TORC_PERSISTENT;
	struct torc_topic_options many = { .flags = TORC_CREATE | TORC_MANY };
	struct torc_topic *topic;
	struct torc_bus *bus;

	cr_assert_eq(child_end(child_start(leave_by_crash, &flags)), -SIGKILL);
	FAILS(-EPROTOTYPE, "one publisher",
	      torc_topic_open(NULL, "t", &many, &topic));
	cr_expect_eq(fixture_files(), 3);
	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_remove(bus, "t", 0));
	torc_bus_close(bus);
}

Test(topic, persists_when_asked_to)
{
	struct torc_message message;
	struct torc_topic *topic = topic_open("t", TORC_PERSISTENT, 0);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub;
	struct torc_bus *bus;
	char buffer[8];

	MUST(torc_pub_publish(pub, "kept", 4));
	torc_pub_close(pub);
	torc_topic_close(topic);
	MUST(torc_topic_open(NULL, "t", NULL, &topic));
	sub = sub_open(topic, TORC_SUB_OLDEST);
	MUST(torc_sub_receive(sub, buffer, sizeof(buffer), &message));
	cr_expect_eq(message.length, 4);
	cr_expect_eq(memcmp(buffer, "kept", 4), 0);
	torc_sub_close(sub);
	torc_topic_close(topic);
	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_remove(bus, "t", TORC_REMOVE_STALE));
	FAILS(-ENOENT, "no such topic", torc_bus_remove(bus, "t", 0));
	torc_bus_close(bus);
}

Test(topic, removal_spares_who_takes_part)
{
	struct torc_topic *topic = topic_open("t", 0, 0), *other;
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub = sub_open(topic, 0), *late;
	struct torc_message message;
	struct torc_bus *bus;

	MUST(torc_bus_open(NULL, &bus));
	FAILS(-EBUSY, "takes part",
	      torc_bus_remove(bus, "t", TORC_REMOVE_STALE));
	MUST(torc_bus_remove(bus, "t", 0));
	cr_expect_eq(fixture_files(), 0);
	MUST(torc_pub_publish(pub, "x", 1));
	MUST(torc_sub_peek(sub, &message));
	FAILS(-ENOENT, "removed", torc_sub_open(topic, NULL, &late));

	/* A successor is another topic, and not removed with the old one. */
	other = topic_open("t", 0, 0);
	torc_pub_close(pub);
	torc_sub_close(sub);
	torc_topic_close(topic);
	cr_expect_eq(fixture_files(), 3);
	torc_topic_close(other);
	torc_bus_close(bus);
}

Test(topic, exclusive_creation_finds_what_is_there)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_EXCLUSIVE,
	};
	struct torc_topic *topic = topic_open("t", 0, 0), *other;

	FAILS(-EEXIST, "exists",
	      torc_topic_open(NULL, "t", &options, &other));
	torc_topic_close(topic);
	MUST(torc_topic_open(NULL, "t", &options, &topic));
	torc_topic_close(topic);
}

Test(topic, flags_that_make_no_sense_are_refused)
{
	struct torc_topic_options options = { .flags = TORC_EXCLUSIVE };
	struct torc_topic *topic, *other;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
	struct torc_bus *bus;

	FAILS(-EINVAL, "0x2", torc_topic_open(NULL, "t", &options, &other));
	options.flags = TORC_CREATE | 0x800;
	FAILS(-EINVAL, "0x801", torc_topic_open(NULL, "t", &options, &other));
	topic = topic_open("t", 0, 0);
	FAILS(-EINVAL, "full", torc_pub_open(topic,
		&(struct torc_pub_options){ .full = (enum torc_full)77 }, &pub));
	FAILS(-EINVAL, "0x80", torc_sub_open(topic,
		&(struct torc_sub_options){ .flags = 0x80 }, &sub));
	MUST(torc_bus_open(NULL, &bus));
	FAILS(-EINVAL, "0x2", torc_bus_remove(bus, "t", 2));
	torc_bus_close(bus);
	torc_topic_close(topic);
}

Test(topic, rejects_modes_that_are_no_permissions)
{
	struct torc_topic_options decimal = { .flags = TORC_CREATE, .mode = 640 };
	struct torc_topic_options sticky = { .flags = TORC_CREATE,
					     .cursors_mode = 01660 };
	struct torc_topic *topic;

	FAILS(-EINVAL, "0777", torc_topic_open(NULL, "t", &decimal, &topic));
	FAILS(-EINVAL, "0777", torc_topic_open(NULL, "t", &sticky, &topic));
}

Test(topic, reserved_words_must_be_zero)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .reserved = { [7] = 1 } };
	struct torc_topic *topic;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;

	cr_expect_eq(torc_topic_open(NULL, "t", &options, &topic), -EINVAL);
	cr_expect(strstr(torc_errmsg(), "reserved"));
	topic = topic_open("anon:", 0, 4096);
	cr_expect_eq(torc_pub_open(topic,
				   &(struct torc_pub_options){
					   .reserved = { [3] = 1 } },
				   &pub),
		     -EINVAL);
	cr_expect_eq(torc_sub_open(topic,
				   &(struct torc_sub_options){
					   .reserved = { [0] = 1 } },
				   &sub),
		     -EINVAL);
	torc_topic_close(topic);
}

Test(topic, type_and_kind_must_match)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .type = "struct tick" };
	struct torc_topic_info info;
	struct torc_topic *topic, *other;

	MUST(torc_topic_open(NULL, "t", &options, &topic));
	MUST(torc_topic_get_info(topic, &info));
	cr_expect_str_eq(info.type, "struct tick");
	options.type = "struct tock";
	FAILS(-EPROTOTYPE, "struct tick",
	      torc_topic_open(NULL, "t", &options, &other));
	options.type = NULL;
	options.flags |= TORC_MANY;
	FAILS(-EPROTOTYPE, "one publisher",
	      torc_topic_open(NULL, "t", &options, &other));
	torc_topic_close(topic);
}

Test(topic, capacity_is_rounded_up_and_bounded)
{
	struct torc_topic_options options = { .flags = TORC_CREATE };
	struct torc_topic *topic = topic_open("t", 0, 5000);
	struct torc_topic_info info;

	MUST(torc_topic_get_info(topic, &info));
	cr_expect_eq(info.capacity, 8192);
	cr_expect_eq(info.message_max, 2048 - 8);
	torc_topic_close(topic);
	topic = topic_open("t", 0, 0);
	MUST(torc_topic_get_info(topic, &info));
	cr_expect_eq(info.capacity, 1 << 20);
	torc_topic_close(topic);

	options.capacity = 1ull << 39;
	FAILS(-ENOSPC, "smaller capacity",
	      torc_topic_open(NULL, "t", &options, &topic));
	options.capacity = 1ull << 41;
	FAILS(-E2BIG, "2^40", torc_topic_open(NULL, "t", &options, &topic));
	options.capacity = 0;
	options.publishers = 2;
	FAILS(-EINVAL, "TORC_MANY",
	      torc_topic_open(NULL, "t", &options, &topic));
}

Test(topic, full_file_system_is_an_error_at_creation)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .capacity = 4 << 20 };
	struct torc_topic *topic;

	if (mount("tmpfs", fixture_bus, "tmpfs", 0, "size=1m,mode=700"))
		cr_skip_test("cannot mount a small tmpfs");
	FAILS(-ENOSPC, "smaller capacity",
	      torc_topic_open(NULL, "t", &options, &topic));
	cr_expect_eq(fixture_files(), 0);
	topic = topic_open("t", 0, 256 << 10);
	torc_topic_close(topic);
	cr_expect_eq(umount(fixture_bus), 0);
}

/* ---- Files that are no rings -------------------------------------------- */

static void write_file(const char *name, const void *data, size_t size)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", fixture_bus, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, data, size), (ssize_t)size);
	close(fd);
}

static void remove_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", fixture_bus, name);
	cr_expect_eq(unlink(path), 0);
}

Test(topic, files_that_are_no_rings_are_refused)
{
	static unsigned char page[8192];
	struct torc_topic *topic;
	char path[256];

	write_file("t", "", 0);
	FAILS(-EPROTO, "not a ring", torc_topic_open(NULL, "t", NULL, &topic));
	write_file("t", "hello", 5);
	FAILS(-EPROTO, "not a ring", torc_topic_open(NULL, "t", NULL, &topic));
	write_file("t", page, sizeof(page));
	FAILS(-EPROTO, "not a ring", torc_topic_open(NULL, "t", NULL, &topic));
	/* Not even a publisher throws away what it does not know. */
	FAILS(-EPROTO, "not a ring",
	      torc_topic_open(NULL, "t", &creating, &topic));
	remove_file("t");

	snprintf(path, sizeof(path), "%s/t", fixture_bus);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	FAILS(-EPROTO, "symbolic link",
	      torc_topic_open(NULL, "t", &creating, &topic));
	remove_file("t");
	cr_assert_eq(mkfifo(path, 0600), 0);
	FAILS(-EPROTO, "not even a file",
	      torc_topic_open(NULL, "t", &creating, &topic));
	remove_file("t");
}

/* Change the constants of the topic "t" where it lies. */
static void damage(size_t offset, const void *value, size_t size)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/t", fixture_bus);
	fd = open(path, O_RDWR);
	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, value, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

#define DAMAGE(field, value)                                                   \
	do {                                                                   \
		__typeof__(((struct torc_constants_shm *)0)->field) damaged =  \
			(value);                                               \
		damage(offsetof(struct torc_constants_shm, field), &damaged,   \
		       sizeof(damaged));                                       \
	} while (0)

Test(topic, foreign_versions_and_damaged_rings_are_refused)
{
	struct torc_topic *topic = topic_open("t", 0, 0), *other;
	struct torc_bus *bus;

	DAMAGE(abi_version, 2);
	FAILS(-EPROTOTYPE, "version 2",
	      torc_topic_open(NULL, "t", NULL, &other));
	DAMAGE(abi_version, TORC_ABI_VERSION);
	DAMAGE(features_required, 0x10);
	FAILS(-EPROTOTYPE, "0x10", torc_topic_open(NULL, "t", NULL, &other));
	DAMAGE(features_required, 0);
	DAMAGE(features_optional, 0x10);
	MUST(torc_topic_open(NULL, "t", NULL, &other));
	torc_topic_close(other);
	DAMAGE(capacity, 12345);
	FAILS(-EPROTO, "damaged ring", torc_topic_open(NULL, "t", NULL, &other));
	DAMAGE(capacity, 1ull << 21);
	FAILS(-EPROTO, "damaged ring", torc_topic_open(NULL, "t", NULL, &other));
	DAMAGE(capacity, 1ull << 20);
	MUST(torc_topic_open(NULL, "t", NULL, &other));
	torc_topic_close(other);
	DAMAGE(magic, 0);
	FAILS(-EPROTO, "not a ring", torc_topic_open(NULL, "t", NULL, &other));

	torc_topic_close(topic);
	MUST(torc_bus_open(NULL, &bus));
	torc_bus_remove(bus, "t", 0);
	torc_bus_clean(bus);
	torc_bus_close(bus);
}

Test(topic, ring_with_bytes_too_many_is_refused)
{
	struct torc_topic *topic = topic_open("t", 0, 0), *other;
	char path[256];

	snprintf(path, sizeof(path), "%s/t", fixture_bus);
	cr_assert_eq(truncate(path, 4 << 20), 0);
	FAILS(-EPROTO, "wrong size", torc_topic_open(NULL, "t", NULL, &other));
	torc_topic_close(topic);
}

Test(topic, truncated_ring_is_refused)
{
	struct torc_topic *topic = topic_open("t", 0, 0), *other;
	char path[256];

	snprintf(path, sizeof(path), "%s/t", fixture_bus);
	cr_assert_eq(truncate(path, 65536), 0);
	FAILS(-EPROTO, "truncated", torc_topic_open(NULL, "t", NULL, &other));
	/* Also behind an open topic's back, at the next mapping. */
	FAILS(-EPROTO, "truncated",
	      torc_pub_open(topic, NULL, &(struct torc_publisher *){ NULL }));
	torc_topic_close(topic);
}

Test(topic, cleaning_removes_what_crashes_left_and_nothing_else)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_bus *bus;

	write_file(".0123456789abcdef0123456789abcdef.locks", "", 0);
	write_file(".0123456789abcdef0123456789abcdef.cursors", "x", 1);
	write_file(".0123456789abcdef0123456789abcdef.ring", "x", 1);
	write_file(".0123456789abcdef0123456789abcdef.other", "x", 1);
	MUST(torc_bus_open(NULL, &bus));
	cr_expect_eq(torc_bus_clean(bus), 3);
	cr_expect_eq(torc_bus_clean(NULL), 0, "the the default bus");
	cr_expect_eq(fixture_files(), 4);
	remove_file(".0123456789abcdef0123456789abcdef.other");
	torc_bus_close(bus);
	torc_topic_close(topic);
}

/* ---- The directory ------------------------------------------------------ */

Test(topic, bus_directories_that_cannot_be_used_are_refused)
{
	char path[128];
	struct torc_bus *bus;

	snprintf(path, sizeof(path), "%s/no/such", fixture_bus);
	FAILS(-ENOENT, "cannot make", torc_bus_open(path, &bus));
	write_file("file", "", 0);
	snprintf(path, sizeof(path), "%s/file", fixture_bus);
	FAILS(-ENOTDIR, "cannot open", torc_bus_open(path, &bus));
	remove_file("file");
	snprintf(path, sizeof(path), "%s/new", fixture_bus);
	MUST(torc_bus_open(path, &bus));
	torc_bus_close(bus);
	cr_assert_eq(chmod(path, 0777), 0);
	FAILS(-EPERM, "replace", torc_bus_open(path, &bus));
	cr_assert_eq(chmod(path, 01777), 0);
	MUST(torc_bus_open(path, &bus));
	torc_bus_close(bus);
	if (!geteuid()) {
		cr_assert_eq(chown(path, 12345, 0), 0);
		FAILS(-EPERM, "belongs to user 12345",
		      torc_bus_open(path, &bus));
	}
	cr_expect_eq(rmdir(path), 0);
}

static int as_another_user(void *context)
{
	struct torc_topic *topic;
	int r;

	(void)context;
	if (setgid(65534) || setuid(65534))
		return 77;
	r = torc_topic_open(NULL, "t", &creating, &topic);
	return r == -EACCES && strstr(torc_errmsg(), "cannot make") ? 0 : 1;
}

Test(topic, unwritable_bus_is_an_error)
{
	int status;

	if (geteuid())
		cr_skip_test("needs root to become another user");
	cr_assert_eq(chmod(fixture_bus, 0755), 0);
	status = child_end(child_start(as_another_user, NULL));
	if (status == 77)
		cr_skip_test("cannot become another user");
	cr_expect_eq(status, 0);
}

/* ---- Memfds ------------------------------------------------------------- */

Test(topic, memfd_is_sealed_and_handed_on)
{
	struct torc_topic *topic = topic_open("memfd:label", 0, 0), *other;
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub;
	struct torc_message message;
	char address[32];
	int fd = torc_topic_fd(topic);

	cr_assert(fd >= 0);
	cr_expect(ftruncate(fd, 0) < 0);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	snprintf(address, sizeof(address), "fd:%d", fd);
	MUST(torc_topic_open(NULL, address, NULL, &other));
	sub = sub_open(other, 0);
	MUST(torc_pub_publish(pub, "x", 1));
	MUST(torc_sub_peek(sub, &message));
	torc_sub_close(sub);
	torc_topic_close(other);
	torc_pub_close(pub);
	torc_topic_close(topic);

	topic = topic_open("anon:", 0, 0);
	FAILS(-ENOTSUP, "memfd", torc_topic_fd(topic));
	torc_topic_close(topic);
}

Test(topic, descriptors_that_are_no_topics_are_refused)
{
	static unsigned char page[8192];
	struct torc_topic *topic;
	char address[32];
	int fd = memfd_create("x", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	snprintf(address, sizeof(address), "fd:%d", fd);
	cr_assert_eq(write(fd, page, sizeof(page)), sizeof(page));
	FAILS(-EPROTO, "not a memfd sealed",
	      torc_topic_open(NULL, address, NULL, &topic));
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	FAILS(-EPROTO, "not a ring",
	      torc_topic_open(NULL, address, NULL, &topic));
	close(fd);
	fd = open("/dev/null", O_RDWR);
	snprintf(address, sizeof(address), "fd:%d", fd);
	FAILS(-EPROTO, "not a memfd",
	      torc_topic_open(NULL, address, NULL, &topic));
	close(fd);
}

/* ---- Names of shm_open() ------------------------------------------------ */

Test(topic, posix_object_is_found_by_its_name_alone)
{
	struct torc_constants_shm constants;
	struct torc_topic *topic, *other;
	char name[80], address[96];
	int fd;

	snprintf(name, sizeof(name), "/%s-posix", strrchr(fixture_bus, '/') + 1);
	snprintf(address, sizeof(address), "posix:%s", name);
	topic = topic_open(address, 0, 8192);
	fd = shm_open(name, O_RDONLY, 0);
	cr_assert(fd >= 0);
	cr_assert_eq(pread(fd, &constants, sizeof(constants), 0),
		     sizeof(constants));
	cr_expect_eq(constants.magic, TORC_RING_MAGIC);
	cr_expect_eq(constants.capacity, 8192);
	close(fd);
	/* The first slash may be left out. */
	snprintf(address, sizeof(address), "posix:%s", name + 1);
	MUST(torc_topic_open(NULL, address, NULL, &other));
	torc_topic_close(other);
	torc_topic_close(topic);
	cr_expect(shm_open(name, O_RDONLY, 0) < 0 && errno == ENOENT);
	FAILS(-ENOENT, "no such topic",
	      torc_topic_open(NULL, address, NULL, &other));
}

Test(topic, posix_object_of_another_program_is_refused_and_kept)
{
	struct torc_topic *topic;
	char name[80], address[96];
	int fd;

	snprintf(name, sizeof(name), "/%s-other", strrchr(fixture_bus, '/') + 1);
	snprintf(address, sizeof(address), "posix:%s", name);
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, 65536), 0);
	FAILS(-EPROTO, "not a ring",
	      torc_topic_open(NULL, address, &creating, &topic));
	close(fd);
	cr_expect_eq(shm_unlink(name), 0);
}

Test(topic, posix_names_that_shm_open_has_not_are_refused)
{
	static const char *const bad[] = { "posix:", "posix:/", "posix:a/b",
					   "posix:.hidden", "posix://a" };
	struct torc_topic *topic;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		FAILS(-EINVAL, "shm_open",
		      torc_topic_open(NULL, bad[i], &creating, &topic));
}

/* ---- Words --------------------------------------------------------------- */

Test(topic, whose_cursors_are_gone_is_told_from_one_that_was_removed)
{
	char part[160];
	struct torc_topic *topic = topic_open("t", TORC_PERSISTENT, 4096);
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
	glob_t found;

	snprintf(part, sizeof(part), "%s/.*.cursors", fixture_bus);
	cr_assert_eq(glob(part, 0, NULL, &found), 0);
	cr_assert_eq(unlink(found.gl_pathv[0]), 0);
	globfree(&found);
	FAILS(-EPROTO, "cursors are gone", torc_pub_open(topic, NULL, &pub));
	FAILS(-EPROTO, "cursors are gone", torc_sub_open(topic, NULL, &sub));
	FAILS(-EPROTO, "cursors are gone",
	      torc_sub_open(topic,
			    &(struct torc_sub_options){ .flags = TORC_SUB_LOSSY },
			    &sub));
	MUST(torc_bus_remove(NULL, "t", 0));
	FAILS(-ENOENT, "removed", torc_sub_open(topic, NULL, &sub));
	torc_topic_close(topic);
}

/* Make a topic, publish, and let it go, until the flag is set. */
static int publish_and_leave(void *stop)
{
	const struct torc_topic_options small = { .flags = TORC_CREATE,
						  .capacity = 4096 };

	while (!torc_load_relaxed((uint32_t *)stop)) {
		struct torc_publisher *pub = NULL;
		struct torc_topic *topic = NULL;

		if (!torc_topic_open(NULL, "t", &small, &topic) &&
		    !torc_pub_open(topic, NULL, &pub))
			torc_pub_publish(pub, "x", 1);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
	return 0;
}

static int wait_for_a_message(void *program)
{
	const int null = open("/dev/null", O_WRONLY);

	dup2(null, STDOUT_FILENO);
	alarm(30);
	execl(program, "torc-sub", "--wait", "--lossy", "-n1", "t", NULL);
	return 127;
}

Test(topic, that_goes_while_torc_sub_joins_is_waited_for)
{
	const char *clients = getenv("TORC_CLIENTS");
	uint32_t *stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char program[PATH_MAX];
	pid_t pid;

	if (!clients)
		cr_skip_test("TORC_CLIENTS does not say where torc-sub is");
	snprintf(program, sizeof(program), "%s/torc-sub", clients);
	pid = child_start(publish_and_leave, stop);
	for (int i = 0; i < 40; i++)
		cr_expect_eq(child_end(child_start(wait_for_a_message, program)),
			     0);
	torc_store_relaxed(stop, 1u);
	cr_expect_eq(child_end(pid), 0);
	munmap(stop, sizeof(*stop));
}

Test(words, version_is_that_of_the_header)
{
	char version[32];

	snprintf(version, sizeof(version), "%d.%d.%d", TORC_VERSION_MAJOR,
		 TORC_VERSION_MINOR, TORC_VERSION_PATCH);
	cr_expect_str_eq(torc_version(), version);
}

Test(words, every_error_means_something)
{
	cr_expect_str_eq(torc_strerror(0), "no error");
	cr_expect(strstr(torc_strerror(-ENOENT), "no such topic"));
	cr_expect(strstr(torc_strerror(-ESTALE), "evicted"));
	cr_expect_str_eq(torc_strerror(-EIO), strerror(EIO));
	cr_expect_str_eq(torc_strerror(EIO), "unknown error", "not negative");
	cr_expect_str_eq(torc_strerror(-100000), "unknown error");
}

Test(words, expected_results_leave_those_of_the_last_failure)
{
	struct torc_topic *topic = topic_open("t", 0, 0);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_message message;

	FAILS(-ENOENT, "no/where: ",
	      torc_topic_open(NULL, "no/where", NULL, &topic));
	cr_expect_eq(torc_sub_peek(sub, &message), -EAGAIN);
	cr_expect_eq(torc_sub_wait(sub, 0), -ETIMEDOUT);
	cr_expect(strstr(torc_errmsg(), "no/where: "));
	torc_sub_close(sub);
	torc_topic_close(topic);
}
