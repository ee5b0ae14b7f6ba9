/* SPDX-License-Identifier: MIT */
/*
 * What a topic can ask of its memory: huge pages, a NUMA node, to be there before
 * it is touched, to stay; and what is said if it cannot be had.
 */
#include "topic.h"

#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(memory, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

static int open_with(const char *address, unsigned int memory,
		     uint32_t numa_node, struct torc_topic **ret_topic)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .memory = memory,
					      .numa_node = numa_node };

	return torc_topic_open(NULL, address, &options, ret_topic);
}

static void pass_a_message(struct torc_topic *topic)
{
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_message message;

	MUST(torc_pub_publish(pub, "x", 1));
	MUST(torc_sub_peek(sub, &message));
	cr_expect_eq(*(const char *)message.data, 'x');
	torc_sub_close(sub);
	torc_pub_close(pub);
}

/* A figure of /proc/NAME, in KiB. */
static unsigned long figure(const char *name, const char *key)
{
	unsigned long value = 0;
	char path[32], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s", name);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			value = strtoul(line + strlen(key), NULL, 10);
	if (file)
		fclose(file);
	return value;
}

Test(memory, huge_pages_are_used_or_it_is_said_that_they_are_not)
{
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic_options options = {
			.flags = TORC_CREATE | fixture_kinds[k].flags,
			.memory = TORC_MEMORY_HUGE,
		};
		struct torc_topic_info info;
		struct torc_topic *topic;

		MUST(torc_topic_open(NULL, fixture_kinds[k].address, &options,
				     &topic));
		pass_a_message(topic);
		MUST(torc_topic_get_info(topic, &info));
		if (topic->huge)
			cr_expect_eq(info.memory, TORC_MEMORY_HUGE);
		else if (topic->mapping->disk)
			cr_expect_eq(info.memory, 0);
		/* More than the pool has: none of it. */
		if (!figure("meminfo", "HugePages_Free:"))
			cr_expect(!topic->huge);
		topic_end(topic);
	}
}

/* Sanitizers make mlock() do nothing. */
static bool mlock_works(void)
{
	static char page[8192];
	unsigned long before = figure("self/status", "VmLck:");
	bool works = !mlock(page, sizeof(page)) &&
		     figure("self/status", "VmLck:") > before;

	munlock(page, sizeof(page));
	return works;
}

Test(memory, locked_memory_is_locked_and_prefaulted_memory_there)
{
	if (!mlock_works())
		cr_skip_test("mlock() locks nothing here");
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic_options options = {
			.flags = TORC_CREATE | fixture_kinds[k].flags,
			.memory = TORC_MEMORY_LOCKED | TORC_MEMORY_PREFAULT,
		};
		unsigned char there[65536];
		struct torc_topic *topic;
		struct torc_view view;
		int unusable = 0;
		size_t pages;

		MUST(torc_topic_open(NULL, fixture_kinds[k].address, &options,
				     &topic));
		MUST(torc_topic_map(topic, TORC_ACCESS_PUBLISH, &unusable,
			    &view));
		cr_expect_geq(figure("self/status", "VmLck:"),
			      view.ring_size >> 10);
		pages = view.ring_size / (size_t)sysconf(_SC_PAGESIZE);
		cr_assert(pages < sizeof(there));
		cr_assert_eq(mincore(view.ring_base, view.ring_size, there), 0);
		for (size_t i = 0; i < pages; i++)
			cr_assert(there[i] & 1);
		torc_topic_unmap(topic, &view);
		topic_end(topic);
	}
}

static int lock_too_much(void *context)
{
	const struct rlimit limit = { 65536, 65536 };
	struct torc_topic *topic;
	struct torc_publisher *pub;
	int r;

	(void)context;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) ||
	    (!geteuid() && (setgid(65534) || setuid(65534))))
		return 77;
	MUST(open_with("memfd:", TORC_MEMORY_LOCKED, 0, &topic));
	r = torc_pub_open(topic, NULL, &pub);
	return r < 0 && strstr(torc_errmsg(), "RLIMIT_MEMLOCK is 65536 bytes")
		       ? 0 : 1;
}

Test(memory, limit_of_locked_memory_is_named)
{
	int status;

	if (!mlock_works())
		cr_skip_test("mlock() locks nothing here");
	status = child_end(child_start(lock_too_much, NULL));
	if (status == 77)
		cr_skip_test("cannot become another user");
	cr_expect_eq(status, 0);
}

Test(memory, numa_node_is_bound_to_or_refused_by_name)
{
	struct torc_topic *topic;
	struct torc_publisher *pub;

	MUST(open_with("memfd:", TORC_MEMORY_NUMA, 0, &topic));
	pass_a_message(topic);
	torc_topic_close(topic);
	MUST(open_with("memfd:", TORC_MEMORY_NUMA, 1000, &topic));
	FAILS(-EINVAL, "node 1000", torc_pub_open(topic, NULL, &pub));
	torc_topic_close(topic);
	MUST(open_with("memfd:", TORC_MEMORY_NUMA, 5000, &topic));
	FAILS(-EINVAL, "node 5000", torc_pub_open(topic, NULL, &pub));
	torc_topic_close(topic);
}

Test(memory, what_makes_no_sense_is_refused)
{
	struct torc_topic *topic;

	FAILS(-EINVAL, "0x10", open_with("t", 0x10, 0, &topic));
}
