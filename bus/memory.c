/* SPDX-License-Identifier: MIT */
/*
 * What a topic's handle asks of the memory it maps: huge pages, a NUMA node, to
 * be there before it is touched, to stay.
 */
#include "memory.h"

#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_DEFAULT	(2ull << 20)
#define HUGE_MAX	(4ull << 20)
#define SHMEM_HUGE "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

uint64_t torc_huge_page(void)
{
	unsigned long long kib = 2048;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Hugepagesize: %llu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	/* The layout has no room for larger ones. */
	return kib << 10 > HUGE_MAX ? HUGE_DEFAULT : kib << 10;
}

/* Would the system take the advice?  It does not say so. */
static bool advice_is_taken(void)
{
	char line[128] = "";
	FILE *file = fopen(SHMEM_HUGE, "re");

	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	return *line && !strstr(line, "[never]") && !strstr(line, "[deny]");
}

static int bind_to_node(const struct torc_topic *topic, void *base, size_t size)
{
	unsigned long nodes[16] = { 0 };
	const unsigned int bits = 8 * sizeof(nodes[0]);
	unsigned int node = topic->numa_node;

	if (node < sizeof(nodes) * 8) {
		nodes[node / bits] = 1ul << node % bits;
		if (!syscall(SYS_mbind, base, size, MPOL_BIND, nodes,
			     sizeof(nodes) * 8, MPOL_MF_MOVE))
			return 0;
		if (errno == ENOSYS)
			return torc_fail(-ENOTSUP, "%s: this kernel knows no "
					 "NUMA nodes (CONFIG_NUMA); do not ask "
					 "for one", topic->name);
	}
	return torc_fail(-EINVAL, "%s: cannot bind its memory to NUMA node %u; "
			 "/sys/devices/system/node/online says which there are",
			 topic->name, node);
}

static int explain_lock(const struct torc_topic *topic, int error, size_t size)
{
	struct rlimit limit = { .rlim_cur = 0 };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	return torc_fail(error, "%s: cannot lock %zu bytes in memory: %s; "
			 "RLIMIT_MEMLOCK is %llu bytes: raise it (ulimit -l, "
			 "LimitMEMLOCK=), or do not ask for it", topic->name,
			 size, strerrordesc_np(-error),
			 (unsigned long long)limit.rlim_cur);
}

static int apply(struct torc_topic *topic, void *base, size_t size,
		 bool writable)
{
	if (topic->memory & TORC_MEMORY_NUMA) {
		int r = bind_to_node(topic, base, size);

		if (r)
			return r;
	}
	if (topic->memory & TORC_MEMORY_HUGE && !topic->huge)
		madvise(base, size, MADV_HUGEPAGE);
	if (topic->memory & TORC_MEMORY_PREFAULT &&
	    madvise(base, size, writable ? MADV_POPULATE_WRITE
					 : MADV_POPULATE_READ))
		return torc_fail(-errno, "%s: cannot get %zu bytes at once: %s",
				 topic->name, size, strerrordesc_np(errno));
	if (topic->memory & TORC_MEMORY_LOCKED && mlock(base, size))
		return explain_lock(topic, -errno, size);
	return 0;
}

int torc_memory_apply(struct torc_topic *topic, enum torc_access access,
		      const struct torc_view *view)
{
	int r;

	if (!topic->memory)
		return 0;
	r = apply(topic, view->ring_base, view->ring_size,
		  access == TORC_ACCESS_PUBLISH);
	if (!r && view->cursors_base)
		r = apply(topic, view->cursors_base, view->cursors_size, true);
	return r;
}

unsigned int torc_memory_got(const struct torc_topic *topic)
{
	if (!(topic->memory & TORC_MEMORY_HUGE) || topic->huge ||
	    (!topic->mapping->disk && advice_is_taken()))
		return topic->memory;
	return topic->memory & ~TORC_MEMORY_HUGE;
}
