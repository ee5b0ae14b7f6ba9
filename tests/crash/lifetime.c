/* SPDX-License-Identifier: MIT */
#include "lifetime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <torc/torc.h>

#define MUST(call)                                                       \
	do {                                                             \
		int must_result = (call);                                \
		if (must_result < 0)                                     \
			give_up("%s: %d (%s)", #call, must_result,       \
				torc_errmsg());                          \
	} while (0)

/* ---- What victims do ---------------------------------------------------- */

static struct torc_bus *bus, *posix;	/* where segments have their parts */
static struct torc_topic *topic;
static char address[128];

#define MESSAGES 3

static void open_with(unsigned int flags)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_MANY | flags, .capacity = 4096
	};

	MUST(torc_topic_open(bus, address, &options, &topic));
}

static void nothing(void)
{
}

static void create(void)
{
	open_with(0);
}

static void leave(void)
{
	topic = torc_topic_close(topic);
}

static void create_and_leave(void)
{
	open_with(TORC_PERSISTENT);
	leave();
}

static void create_and_publish(void)
{
	struct torc_publisher *pub;

	create();
	MUST(torc_pub_open(topic, NULL, &pub));
	for (int i = 0; i < MESSAGES; i++)
		MUST(torc_pub_publish(pub, &i, sizeof(i)));
	torc_pub_close(pub);
	leave();
}

static void remove_it(void)
{
	MUST(torc_bus_remove(bus, address, 0));
}

static void remove_stale(void)
{
	MUST(torc_bus_remove(bus, address, TORC_REMOVE_STALE));
}

static void create_and_lose_the_ring(void)
{
	create_and_leave();
	if (chdir(torc_bus_path(bus)) || unlink("life"))
		give_up("unlink: %s", strerror(errno));
}

static void clean(void)
{
	MUST(torc_bus_clean(bus));
}

static void make_larger(void)
{
	MUST(torc_topic_resize(bus, address, 16384));
}

/* Another file with the same bytes under the name. */
static void create_and_copy(void)
{
	static char bytes[1 << 16];
	ssize_t size;
	int fd;

	create_and_publish();
	fd = chdir(torc_bus_path(bus)) ? -1 : open("life", O_RDONLY);
	size = read(fd, bytes, sizeof(bytes));
	close(fd);
	fd = open("copy", O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (size < 0 || write(fd, bytes, (size_t)size) != size || close(fd) ||
	    rename("copy", "life"))
		give_up("cannot copy the topic: %s", strerror(errno));
}

/* As if the machine had been started since. */
static void create_and_start_anew(void)
{
	struct dirent *entry;
	DIR *directory;
	int fd;

	create_and_publish();
	directory = opendir(torc_bus_path(bus));
	while (directory && (entry = readdir(directory))) {
		if (!strstr(entry->d_name, ".locks"))
			continue;
		fd = openat(dirfd(directory), entry->d_name, O_WRONLY);
		/* The boot's number is what it begins with. */
		if (pwrite(fd, "earlier", 7, 0) == 7 && !close(fd) &&
		    !closedir(directory))
			return;
	}
	give_up("cannot change what the locks say: %s", strerror(errno));
}

const struct lifetime_case lifetime_cases[] = {
	{ "topic_open, making it", "", nothing, create, false },
	{ "topic_close, the last", "", create, leave, false },
	{ "bus_remove", "", create_and_leave, remove_it, false },
	{ "bus_remove, stale", "", create_and_leave, remove_stale, false },
	{ "bus_clean", "", create_and_lose_the_ring, clean, false },
	{ "topic_open, making a file", "file:", nothing, create, false },
	{ "topic_open, a file", "file:", create_and_publish, create, true },
	{ "topic_open, a copy", "file:", create_and_copy, create, true },
	{ "topic_open, of an earlier boot", "file:", create_and_start_anew,
	  create, true },
	{ "topic_resize", "file:", create_and_publish, make_larger, true },
	{ "bus_remove, a file", "file:", create_and_leave, remove_it, false },
	{ "topic_open, making a segment", "sysv:", nothing, create, false },
	{ "topic_close, the last, a segment", "sysv:", create, leave, false },
	{ "bus_remove, a segment", "sysv:", create_and_leave, remove_it,
	  false },
};

const int lifetime_cases_count =
	sizeof(lifetime_cases) / sizeof(lifetime_cases[0]);

/* ---- What the others do afterwards -------------------------------------- */

static int count_entries(const char *path)
{
	DIR *directory = opendir(path);
	int n = 0;

	if (!directory)
		give_up("%s: %s", path, strerror(errno));
	while (readdir(directory))
		n++;
	closedir(directory);
	return n - 2;
}

static void hear(struct torc_subscriber *sub, int number)
{
	struct torc_message message;

	MUST(torc_sub_peek(sub, &message));
	if (message.length != sizeof(number) ||
	    memcmp(message.data, &number, sizeof(number)))
		give_up("another message");
	MUST(torc_sub_release(sub));
}

/* @kept: what was published before comes, once, and then what is now. */
static void use_it(bool kept)
{
	struct torc_sub_options options = { .flags = TORC_SUB_OLDEST };
	struct torc_message message;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;

	open_with(0);
	MUST(torc_sub_open(topic, &options, &sub));
	MUST(torc_pub_open(topic, NULL, &pub));
	MUST(torc_pub_publish(pub, &(int){ MESSAGES }, sizeof(int)));
	for (int i = kept ? 0 : MESSAGES; i <= MESSAGES; i++)
		hear(sub, i);
	if (torc_sub_peek(sub, &message) != -EAGAIN)
		give_up("one message too many");
	torc_sub_close(sub);
	torc_pub_close(pub);
	leave();
}

/* Segments that @pid made. */
static int count_segments(pid_t pid)
{
	FILE *file = fopen("/proc/sysvipc/shm", "re");
	int count = 0, cpid, c;

	while (file && (c = getc(file)) != EOF) {
		ungetc(c, file);
		if (fscanf(file, "%*d %*d %*o %*u %d", &cpid) == 1)
			count += cpid == pid;
		while ((c = getc(file)) != EOF && c != '\n')
			;
	}
	if (file)
		fclose(file);
	return count;
}

/* As torc-rm --stale. */
static void tidy_up(pid_t victim)
{
	int r = torc_bus_remove(bus, address, TORC_REMOVE_STALE);

	if (r != -ENOENT)
		MUST(r);
	MUST(torc_bus_clean(bus));
	if (count_entries(torc_bus_path(bus)))
		give_up("something is left on the bus");
	MUST(torc_bus_clean(posix));
	if (count_segments(victim) || count_segments(getpid()))
		give_up("a segment is left");
}

/* ---- Killing ------------------------------------------------------------ */

static void act_out(void *context)
{
	const struct lifetime_case *c = context;

	c->prepare();
	victim_begin();
	c->call();
	victim_end();
}

static unsigned long count_syscalls(const struct lifetime_case *c)
{
	unsigned long count = 0;
	uint64_t arguments[3];
	struct victim victim;
	pid_t pid;

	victim_start(&victim, act_out, (void *)c);
	do
		count += victim_system_call(&victim, arguments) >= 0;
	while (victim_step(&victim));
	pid = victim.pid;
	victim_kill(&victim);
	tidy_up(pid);
	return count;
}

static void address_for(const char *prefix)
{
	const char *path = torc_bus_path(bus);

	if (!strcmp(prefix, "file:"))
		snprintf(address, sizeof(address), "%s%s/life", prefix, path);
	else if (*prefix)
		snprintf(address, sizeof(address), "%s%s", prefix, path);
	else
		snprintf(address, sizeof(address), "life");
}

unsigned long lifetime_try(const struct lifetime_case *c)
{
	unsigned long count;
	struct victim victim;
	int descriptors;
	pid_t pid;

	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_open("/dev/shm", &posix));
	address_for(c->prefix);
	count = count_syscalls(c);
	descriptors = count_entries("/proc/self/fd");
	for (unsigned long i = 0; i <= count; i++) {
		/* Who comes next may find the debris, or only what is left. */
		for (int used = 0; used < 2; used++) {
			victim_start(&victim, act_out, (void *)c);
			for (unsigned long j = 0; j < i; j++)
				if (!victim_finish_syscall(&victim))
					break;
			pid = victim.pid;
			victim_kill(&victim);
			if (used)
				use_it(c->kept);
			tidy_up(pid);
		}
	}
	if (count_entries("/proc/self/fd") != descriptors)
		give_up("descriptors are left open");
	posix = torc_bus_close(posix);
	bus = torc_bus_close(bus);
	return count;
}
