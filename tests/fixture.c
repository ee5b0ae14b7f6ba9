/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

char fixture_bus[64];

void fixture_init(void)
{
	strcpy(fixture_bus, "/dev/shm/torc-test-XXXXXX");
	cr_assert(mkdtemp(fixture_bus));
	cr_assert_eq(setenv("TORC_DIR", fixture_bus, 1), 0);
}

int fixture_files(void)
{
	DIR *directory = opendir(fixture_bus);
	struct dirent *entry;
	int n = 0;

	cr_assert(directory);
	while ((entry = readdir(directory)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(directory);
	return n;
}

void fixture_fini(void)
{
	cr_expect_eq(rmdir(fixture_bus), 0, "%d files are left on the bus",
		     fixture_files());
}

struct torc_topic *topic_open(const char *address, unsigned int flags,
			      uint64_t capacity)
{
	struct torc_topic_options options = {
		.flags = flags | TORC_CREATE,
		.capacity = capacity,
	};
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, address, &options, &topic));
	return topic;
}

struct torc_publisher *pub_open(struct torc_topic *topic)
{
	struct torc_publisher *pub;

	MUST(torc_pub_open(topic, NULL, &pub));
	return pub;
}

struct torc_subscriber *sub_open(struct torc_topic *topic, unsigned int flags)
{
	struct torc_sub_options options = { .flags = flags };
	struct torc_subscriber *sub;

	MUST(torc_sub_open(topic, &options, &sub));
	return sub;
}

pid_t child_start(int (*body)(void *context), void *context)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	cr_assert(pid >= 0);
	if (!pid) {
		/* Not to outlive a test that failed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(body(context));
	}
	return pid;
}

int child_end(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
