/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char fixture_bus[64];
char fixture_disk[64];
static char posix_address[64], file_address[80], sysv_address[80];

const struct fixture_kind fixture_kinds[FIXTURE_KINDS] = {
	{ "t", 0 },	      { "t", TORC_MANY },
	{ posix_address, 0 }, { posix_address, TORC_MANY },
	{ file_address, 0 },  { file_address, TORC_MANY },
	{ sysv_address, 0 },  { sysv_address, TORC_MANY },
	{ "memfd:", 0 },      { "memfd:", TORC_MANY },
	{ "anon:", 0 },	      { "anon:", TORC_MANY },
};

void fixture_init(void)
{
	strcpy(fixture_bus, "/dev/shm/torc-test-XXXXXX");
	cr_assert(mkdtemp(fixture_bus));
	cr_assert_eq(setenv("TORC_DIR", fixture_bus, 1), 0);
	strcpy(fixture_disk, "/var/tmp/torc-test-XXXXXX");
	cr_assert(mkdtemp(fixture_disk));
	snprintf(file_address, sizeof(file_address), "file:%s/t", fixture_disk);
	snprintf(sysv_address, sizeof(sysv_address), "sysv:%s", fixture_disk);
	snprintf(posix_address, sizeof(posix_address), "posix:%s-t",
		 strrchr(fixture_bus, '/') + 1);
}

key_t fixture_key(char address[96])
{
	key_t key = ftok(fixture_disk, 't');

	cr_assert_neq(key, -1);
	snprintf(address, 96, "sysv:%#x", (unsigned int)key);
	return key;
}

static int files_in(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int n = 0;

	cr_assert(directory);
	while ((entry = readdir(directory)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(directory);
	return n;
}

int fixture_files(void)
{
	return files_in(fixture_bus);
}

int fixture_fds(void)
{
	return files_in("/proc/self/fd");
}

void fixture_fini(void)
{
	cr_expect_eq(rmdir(fixture_disk), 0, "%d files are left on the disk",
		     files_in(fixture_disk));
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

struct torc_topic *topic_of_kind(size_t kind, uint64_t capacity)
{
	return topic_open(fixture_kinds[kind].address,
			  fixture_kinds[kind].flags, capacity);
}

void topic_end(struct torc_topic *topic)
{
	struct torc_topic_info info;
	char *address = strdup(torc_topic_name(topic));
	struct torc_bus *bus;

	MUST(torc_topic_get_info(topic, &info));
	torc_topic_close(topic);
	if (info.flags & TORC_PERSISTENT) {
		MUST(torc_bus_open(NULL, &bus));
		MUST(torc_bus_remove(bus, address, TORC_REMOVE_STALE));
		torc_bus_close(bus);
	}
	free(address);
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

int receive_to_the_end(void *topic)
{
	struct torc_subscriber *sub = sub_open(topic, TORC_SUB_OLDEST);
	struct torc_message message;
	char byte = 0;

	while (byte != 'e') {
		MUST(torc_sub_wait(sub, -1));
		MUST(torc_sub_receive(sub, &byte, 1, &message));
	}
	torc_sub_close(sub);
	return 0;
}

int fixture_eventfds(int *ret_last)
{
	char path[32], target[32];
	int n = 0;

	for (int fd = 0; fd < 256; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		if (strcmp(target, "anon_inode:[eventfd]"))
			continue;
		*ret_last = fd;
		n++;
	}
	return n;
}

void pause_ms(long ms)
{
	struct timespec pause = { .tv_sec = ms / 1000,
				  .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

bool readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

int sub_receive(struct torc_subscriber *sub)
{
	struct torc_message message;
	char buffer[64];

	return torc_sub_receive(sub, buffer, sizeof(buffer), &message);
}

/* Its timer may expire at any moment, on a slow machine. */
void expect_rest(struct torc_subscriber *sub, int fd)
{
	for (int tries = 0; tries < 1000; tries++) {
		cr_assert_eq(sub_receive(sub), -EAGAIN);
		if (!readable(fd, 0))
			return;
	}
	cr_assert_fail("it never rests");
}

void refuse_membarrier(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
	cr_assert_eq(syscall(SYS_membarrier, 0, 0, 0), -1);
}
