/* SPDX-License-Identifier: MIT */
/*
 * Goal: who may make topics, how large and how many: by default root alone; others,
 * once they are let, as max_bytes, max_user_bytes and max_user_topics say, counted as
 * what is really held, and given back with it.
 * Method: as users without rights, on a control node that is open to all for the
 * time of a test.
 */
#include "device.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* While others may make topics; by default it is much more. */
#define MAX_BYTES (4ull << 20)
#define MAX_USER_BYTES (8ull << 20)
#define PIECE (1ull << 20)	/* of what a user may have */
#define PIECES_MAX 64
#define MAX_USER_TOPICS 20
#define SMALL 4096u
#define ANOTHER (NOBODY - 1)

/* Set a parameter; what it was. */
static uint64_t set(const char *name, uint64_t value)
{
	unsigned long long old = 0;
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/torc/parameters/%s", name);
	file = fopen(path, "r+e");
	CHECK(file && fscanf(file, "%llu", &old) == 1);
	rewind(file);
	CHECK(fprintf(file, "%llu", (unsigned long long)value) > 0);
	CHECK(!fclose(file));
	return old;
}

/* Everybody may make topics within small limits, or root alone again. */
static void let_others(bool allowed)
{
	static uint64_t bytes, user_bytes, user_topics;

	CHECK(!seteuid(0) && !setegid(0));
	CHECK(!chmod(TORC_DRIVER_CONTROL, allowed ? 0666 : 0600));
	bytes = set("max_bytes", allowed ? MAX_BYTES : bytes);
	user_bytes = set("max_user_bytes", allowed ? MAX_USER_BYTES :
						     user_bytes);
	user_topics = set("max_user_topics", allowed ? MAX_USER_TOPICS :
						       user_topics);
}

/* Go on without root's rights. */
static void become(uint32_t user)
{
	CHECK(!seteuid(0) && !setegid(user) && !seteuid(user));
}

/* What keeps a new topic, or -1 and errno. */
static int make(uint64_t capacity)
{
	struct torc_driver_create request = device_request(TORC_PAGES_SHMEM, 0);
	int fd = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC), error;

	CHECK(fd >= 0);
	request.capacity = capacity;
	if (!ioctl(fd, TORC_IOC_CREATE, &request))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* As many topics as there may be. */
static int take_all_of(uint64_t capacity, int fds[PIECES_MAX])
{
	int count = 0;

	while ((fds[count] = make(capacity)) >= 0) {
		count++;
		CHECK(count < PIECES_MAX);
	}
	CHECK_EQ(errno, EDQUOT);
	return count;
}

static int take_all(int fds[PIECES_MAX])
{
	return take_all_of(PIECE, fds);
}

static void give_back(const int *fds, int count)
{
	while (count)
		close(fds[--count]);
}

TEST(who_makes_a_topic_owns_it_and_no_other)
{
	struct torc_driver_name name;
	struct device roots, d;
	struct stat st;

	device_make(&roots, TORC_PAGES_SHMEM, 0, 0600);
	become(NOBODY);
	CHECK_FAILS(EACCES, open(TORC_DRIVER_CONTROL, O_RDWR));
	let_others(true);
	become(NOBODY);
	device_make(&d, TORC_PAGES_SHMEM, 0, 0640);
	CHECK(!stat(d.path, &st));
	CHECK_EQ(st.st_uid, NOBODY);
	CHECK_EQ(st.st_gid, NOBODY);
	CHECK_EQ(st.st_mode & 0777, 0640);
	memcpy(name.name, roots.name, sizeof(name.name));
	CHECK_FAILS(EPERM, ioctl(d.control, TORC_IOC_REMOVE, &name));
	memcpy(name.name, d.name, sizeof(name.name));
	CHECK(!ioctl(d.control, TORC_IOC_REMOVE, &name));
	device_end(&d);
	let_others(false);
	device_end(&roots);
}

TEST(a_topic_is_at_most_so_large_with_all_that_belongs_to_it)
{
	int fd;

	let_others(true);
	become(NOBODY);
	CHECK_FAILS(E2BIG, make(2 * MAX_BYTES));
	/* Rounded up it is max_bytes, and cursors come on top. */
	CHECK_FAILS(E2BIG, make(MAX_BYTES / 2 + 1));
	fd = make(MAX_BYTES / 2);
	CHECK(fd >= 0);
	close(fd);
	/* Root may. */
	CHECK(!seteuid(0));
	fd = make(2 * MAX_BYTES);
	CHECK(fd >= 0);
	close(fd);
	let_others(false);
}

TEST(a_users_topics_are_at_most_so_large_together)
{
	int fds[PIECES_MAX], others[PIECES_MAX];
	int count;

	let_others(true);
	for (int round = 0; round < 3; round++) {
		become(NOBODY);
		count = take_all(fds);
		/* Eight times what a piece has besides its records is less. */
		CHECK_EQ(count, MAX_USER_BYTES / PIECE - 1);
		become(ANOTHER);
		CHECK_EQ(take_all(others), count);
		give_back(others, count);
		become(NOBODY);
		close(fds[0]);
		fds[0] = make(PIECE);
		CHECK(fds[0] >= 0);
		CHECK_FAILS(EDQUOT, make(PIECE));
		give_back(fds, count);
	}
	let_others(false);
}

TEST(a_user_has_only_so_many_topics)
{
	int fds[PIECES_MAX], others[PIECES_MAX], roots;
	struct device mapped;
	void *at;

	let_others(true);
	for (int round = 0; round < 3; round++) {
		become(NOBODY);
		CHECK_EQ(take_all_of(SMALL, fds), MAX_USER_TOPICS);
		become(ANOTHER);
		CHECK_EQ(take_all_of(SMALL, others), MAX_USER_TOPICS);
		give_back(others, MAX_USER_TOPICS);
		/* Root may, also as one who has too many. */
		CHECK(!seteuid(0));
		roots = make(SMALL);
		CHECK(roots >= 0);
		close(roots);
		become(NOBODY);
		close(fds[0]);
		/* What is mapped counts, though nobody finds it any more. */
		device_make(&mapped, TORC_PAGES_FAULT, 0, 0600);
		at = device_map(mapped.fd, 0, PAGE, PROT_READ);
		CHECK(at != MAP_FAILED);
		close(mapped.control);
		close(mapped.fd);
		CHECK_FAILS(EDQUOT, make(SMALL));
		munmap(at, PAGE);
		fds[0] = make(SMALL);
		CHECK(fds[0] >= 0);
		give_back(fds, MAX_USER_TOPICS);
	}
	let_others(false);
}

static void take_all_and_die(const void *unused)
{
	int fds[PIECES_MAX];

	(void)unused;
	take_all(fds);
	kill(getpid(), SIGKILL);
}

TEST(what_a_killed_process_had_is_had_back)
{
	int fds[PIECES_MAX];

	let_others(true);
	become(NOBODY);
	for (int round = 0; round < 3; round++)
		CHECK_EQ(child_end(child_start(take_all_and_die, NULL)),
			 -SIGKILL);
	CHECK(take_all(fds) > 1);
	let_others(false);
}

TEST(what_is_mapped_counts_though_its_node_is_gone)
{
	struct torc_driver_create request = device_request(TORC_PAGES_FAULT, 0);
	int fds[PIECES_MAX], count;
	struct torc_driver_name name;
	struct device d;
	void *at;

	let_others(true);
	become(NOBODY);
	count = take_all(fds);
	give_back(fds, count);
	request.capacity = PIECE;
	device_make_as(&d, &request);
	at = device_map(d.fd, 0, PAGE, PROT_READ);
	CHECK(at != MAP_FAILED);
	memcpy(name.name, d.name, sizeof(name.name));
	CHECK(!ioctl(d.control, TORC_IOC_REMOVE, &name));
	device_end(&d);
	CHECK_EQ(take_all(fds), count - 1);
	give_back(fds, count - 1);
	munmap(at, PAGE);
	CHECK_EQ(take_all(fds), count);
	let_others(false);
}

TEST(a_topic_that_could_not_be_made_does_not_count)
{
	struct torc_driver_create request = device_request(TORC_PAGES_USER,
							   TORC_DRIVER_PUBLISHES);
	int fds[PIECES_MAX], count, fd;

	let_others(true);
	become(NOBODY);
	count = take_all(fds);
	give_back(fds, count);
	/* There is nothing. */
	request.capacity = 0;
	request.address = PAGE;
	request.size = PIECE;
	fd = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 2 * count; i++)
		CHECK_FAILS(EFAULT, ioctl(fd, TORC_IOC_CREATE, &request));
	close(fd);
	CHECK_EQ(take_all(fds), count);
	let_others(false);
}

/* ---- Control groups ------------------------------------------------------ */

#define GROUPS "/tmp/torc-groups"
#define GROUP GROUPS "/torc-test"
#define MIB (1l << 20)

static bool tell_group(const char *file, const char *what)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool told = fd >= 0 &&
		    write(fd, what, strlen(what)) == (ssize_t)strlen(what);

	close(fd);
	return told;
}

static long groups_memory(void)
{
	FILE *file = fopen(GROUP "/memory.current", "re");
	long bytes = -1;

	CHECK(file && fscanf(file, "%ld", &bytes) == 1);
	fclose(file);
	return bytes;
}

static void join_group(void)
{
	CHECK(tell_group(GROUP "/cgroup.procs", "0"));
}

static void make_in_group(const void *context)
{
	const struct torc_driver_create *request = context;
	struct device d;

	join_group();
	device_make_as(&d, request);
	raise(SIGSTOP);
}

/* A page of each is more than is taken for nothing, below. */
#define TOPICS_IN_TURN 400

static void make_in_turn_in_group(const void *context)
{
	const struct torc_driver_create *request = context;
	struct device d;

	join_group();
	for (int i = 0; i < TOPICS_IN_TURN; i++) {
		device_make_as(&d, request);
		device_end(&d);
	}
}

/* Each processor keeps some of what was uncharged. */
static void groups_memory_is_given_back(void)
{
	while (groups_memory() >= MIB)
		usleep(1000);
}

TEST(memory_counts_against_the_makers_control_group_and_is_given_back)
{
	mkdir(GROUPS, 0700);
	if (mount("none", GROUPS, "cgroup2", 0, NULL) ||
	    !tell_group(GROUPS "/cgroup.subtree_control", "+memory"))
		harness_skip("there are no control groups for memory");
	CHECK(!mkdir(GROUP, 0700));
	for_each_memory(m) {
		struct torc_driver_create request =
			device_request(memories[m], 0);
		pid_t pid;

		request.capacity = 2 * MIB;
		pid = child_start(make_in_group, &request);
		child_stops(pid);
		CHECK(groups_memory() >= 2 * MIB);
		kill(pid, SIGKILL);
		CHECK_EQ(child_end(pid), -SIGKILL);
		groups_memory_is_given_back();
		/* To the last page. */
		request.capacity = TORC_CAPACITY_MIN;
		request.subscribers = 1;
		CHECK_EQ(child_end(child_start(make_in_turn_in_group, &request)),
			 0);
		groups_memory_is_given_back();
	}
	CHECK(!rmdir(GROUP));
	CHECK(!umount(GROUPS));
}
