/* SPDX-License-Identifier: MIT */
#include "users.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <torc/abi.h>

int *stage;
gid_t other_groups[2];
size_t other_group_count;

void act_as(uid_t uid)
{
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(setegid(uid), 0);
	cr_assert_eq(seteuid(uid), 0);
	/* As after exec(); else our own /proc/self would not be ours. */
	prctl(PR_SET_DUMPABLE, 1);
}

void owner_joins(const gid_t *groups, size_t count)
{
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(setgroups(count, groups), 0);
	act_as(OWNER);
}

void users_init(void)
{
	if (geteuid())
		cr_skip_test("needs root, to become two other users");
	fixture_init();
	cr_assert_eq(chmod(fixture_bus, 01777), 0);
	stage = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(stage, MAP_FAILED);
	owner_joins(NULL, 0);
}

void users_fini(void)
{
	if (!stage)
		return;
	act_as(0);
	fixture_fini();
}

void tell(int value)
{
	__atomic_store_n(stage, value, __ATOMIC_RELEASE);
}

void await(int value)
{
	while (__atomic_load_n(stage, __ATOMIC_ACQUIRE) < value)
		usleep(1000);
}

struct part {
	int (*body)(void *context);
	void *context;
};

static int play_other(void *context)
{
	const struct part *part = context;

	if (seteuid(0) || setgroups(other_group_count, other_groups) ||
	    setresgid(OTHER, OTHER, OTHER) || setresuid(OTHER, OTHER, OTHER))
		return 99;
	/* Both were lost with the old identity. */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return part->body(part->context);
}

pid_t other_start(int (*body)(void *context), void *context)
{
	struct part part = { body, context };

	return child_start(play_other, &part);
}

void other_does(int (*body)(void *context), void *context)
{
	cr_expect_eq(child_end(other_start(body, context)), 0);
}

struct torc_topic *make_topic(const char *name, unsigned int flags,
				     mode_t mode, mode_t cursors_mode)
{
	struct torc_topic_options options = {
		.flags = flags | TORC_CREATE,
		.mode = mode,
		.cursors_mode = cursors_mode,
		.capacity = 4096,
	};
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, name, &options, &topic));
	return topic;
}

void part_path_in(const char *directory, const unsigned char id[16],
		  const char *part, char path[PATH_MAX])
{
	path += sprintf(path, "%s/.", directory);
	for (int i = 0; i < 16; i++)
		path += sprintf(path, "%02x", id[i]);
	sprintf(path, ".%s", part);
}

void part_path(const char *name, const char *part, char path[PATH_MAX])
{
	struct torc_constants_shm constants = { .magic = 0 };
	int fd;

	snprintf(path, PATH_MAX, "%s/%s", fixture_bus, name);
	if (!part)
		return;
	fd = open(path, O_RDONLY);
	if (pread(fd, &constants, sizeof(constants), 0) < 0)
		perror(path);
	close(fd);
	part_path_in(fixture_bus, constants.id, part, path);
}

void expect_given(const char *name, const char *part, mode_t mode, uid_t owner,
		  gid_t group)
{
	char path[PATH_MAX];
	struct stat st;

	part_path(name, part, path);
	cr_assert_eq(stat(path, &st), 0, "%s", path);
	cr_expect_eq(st.st_mode & 07777, mode, "%s: %o", path, st.st_mode);
	cr_expect_eq(st.st_uid, owner, "%s: %u", path, st.st_uid);
	cr_expect_eq(st.st_gid, group, "%s: %u", path, st.st_gid);
}

void expect_file(const char *name, const char *part, mode_t mode)
{
	expect_given(name, part, mode, OWNER, OWNER);
}
