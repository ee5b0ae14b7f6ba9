/* SPDX-License-Identifier: MIT */
#include "lifetime.h"

#include <dirent.h>
#include <errno.h>
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

static struct torc_bus *bus;
static struct torc_topic *topic;

static void open_with(unsigned int flags)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_MANY | flags, .capacity = 4096
	};

	MUST(torc_topic_open(bus, "life", &options, &topic));
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

static void remove_it(void)
{
	MUST(torc_bus_remove(bus, "life", 0));
}

static void remove_stale(void)
{
	MUST(torc_bus_remove(bus, "life", TORC_REMOVE_STALE));
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

const struct lifetime_case lifetime_cases[] = {
	{ "topic_open, making it", nothing, create },
	{ "topic_close, the last", create, leave },
	{ "bus_remove", create_and_leave, remove_it },
	{ "bus_remove, stale", create_and_leave, remove_stale },
	{ "bus_clean", create_and_lose_the_ring, clean },
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

static void use_it(void)
{
	struct torc_message message;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;

	open_with(0);
	MUST(torc_sub_open(topic, NULL, &sub));
	MUST(torc_pub_open(topic, NULL, &pub));
	MUST(torc_pub_publish(pub, "alive", 5));
	MUST(torc_sub_peek(sub, &message));
	if (message.length != 5 || memcmp(message.data, "alive", 5))
		give_up("another message");
	MUST(torc_sub_release(sub));
	torc_sub_close(sub);
	torc_pub_close(pub);
	leave();
}

/* As torc-rm --stale. */
static void tidy_up(void)
{
	int r = torc_bus_remove(bus, "life", TORC_REMOVE_STALE);

	if (r != -ENOENT)
		MUST(r);
	MUST(torc_bus_clean(bus));
	if (count_entries(torc_bus_path(bus)))
		give_up("something is left on the bus");
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

	victim_start(&victim, act_out, (void *)c);
	do
		count += victim_system_call(&victim, arguments) >= 0;
	while (victim_step(&victim));
	victim_kill(&victim);
	tidy_up();
	return count;
}

unsigned long lifetime_try(const struct lifetime_case *c)
{
	unsigned long count;
	struct victim victim;
	int descriptors;

	MUST(torc_bus_open(NULL, &bus));
	count = count_syscalls(c);
	descriptors = count_entries("/proc/self/fd");
	for (unsigned long i = 0; i <= count; i++) {
		/* Who comes next may find the debris, or only what is left. */
		for (int used = 0; used < 2; used++) {
			victim_start(&victim, act_out, (void *)c);
			for (unsigned long j = 0; j < i; j++)
				if (!victim_finish_syscall(&victim))
					break;
			victim_kill(&victim);
			if (used)
				use_it();
			tidy_up();
		}
	}
	if (count_entries("/proc/self/fd") != descriptors)
		give_up("descriptors are left open");
	bus = torc_bus_close(bus);
	return count;
}
