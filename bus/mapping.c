/* SPDX-License-Identifier: MIT */
/*
 * What the mappings share.
 */
#include "mapping.h"
#include "check.h"
#include "guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Of any topic --------------------------------------------------------- */

int torc_topic_refused(const struct torc_topic *topic, enum torc_access access)
{
	return torc_fail(-EACCES, "%s: you may not %s it; ask its owner for "
			 "another mode", topic->name,
			 access == TORC_ACCESS_PUBLISH ? "publish to" : "read");
}

int torc_ring_error(const struct torc_topic *topic, int error)
{
	if (error != -EPROTO)
		return error;
	return torc_fail(error, "%s: the ring is damaged; remove it and make it "
			 "anew", topic->name);
}

int torc_truncated(const struct torc_topic *topic)
{
	return torc_fail(-EPROTO, "%s: somebody truncated it; remove it and "
			 "make it anew", topic->name);
}

int torc_unusable(const struct torc_forkable *forkable,
		  const struct torc_topic *topic)
{
	switch (forkable->unusable) {
	case -EPROTO:
		return torc_truncated(topic);
	case TORC_CURSORS_CUT:
		return torc_fail(-EPROTO, "%s: somebody truncated its cursors; "
				 "open it again", topic->name);
	default:
		return forkable->unusable;
	}
}

int torc_topic_hold(struct torc_topic *topic)
{
	int r = 0;

	torc_fork_hold();
	if (topic->mapping->hold && (!topic->held || topic->forkable.unusable))
		r = topic->mapping->hold(topic);
	if (!r) {
		topic->held = true;
		topic->forkable.unusable = 0;
	}
	torc_fork_allow();
	return r;
}

int torc_topic_describe(struct torc_topic *topic, enum torc_object object,
			struct torc_forkable *forkable, int i)
{
	int fd;

	torc_fork_hold();
	fd = topic->mapping->describe(topic, object, O_RDWR);
	forkable->fds[i] = fd;
	torc_fork_allow();
	return fd;
}

/* ---- For mappings -------------------------------------------------------- */

int torc_allocate(int fd, uint64_t size)
{
	struct rlimit limit;
	int r;

	/* The system would raise SIGXFSZ, which ends the process. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && size > limit.rlim_cur)
		return -EFBIG;
	do
		r = -posix_fallocate(fd, 0, (off_t)size);
	while (r == -EINTR);
	return r;
}

int torc_memory_check(const char *name, uint64_t size)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			  (uint64_t)sysconf(_SC_PAGESIZE);

	if (size > memory)
		return torc_fail(-ENOSPC, "%s: the ring would take %llu MiB, "
				 "and the machine has %llu; use a smaller "
				 "capacity", name,
				 (unsigned long long)size >> 20,
				 (unsigned long long)memory >> 20);
	return 0;
}

static int explain_constants(const char *name, int r, uint64_t size,
			     const struct torc_constants_shm *constants)
{
	switch (r) {
	case 0:
		return 0;
	case -ENODATA:
		return torc_fail(-EPROTO, "%s: truncated: %llu bytes of %llu; "
				 "remove it and make it anew", name,
				 (unsigned long long)size,
				 (unsigned long long)constants->ring_size);
	case -EPROTOTYPE:
		if (constants->abi_version == TORC_ABI_VERSION)
			return torc_fail(r, "%s: the ring needs features %#llx "
					 "that this version does not know; use "
					 "a newer one", name,
					 (unsigned long long)
						 constants->features_required);
		return torc_fail(r, "%s: a ring of ABI version %u; this "
				 "library speaks version %u: use the one that "
				 "made it, or make it anew", name,
				 constants->abi_version, TORC_ABI_VERSION);
	default:
		if (constants && constants->magic == TORC_RING_MAGIC)
			return torc_fail(r, "%s: a damaged ring: its constants "
					 "make no sense; remove it and make it "
					 "anew", name);
		return torc_fail(r, "%s: not a ring; use another name, or "
				 "remove what is there", name);
	}
}

int torc_constants_new(const char *name, struct torc_ring_config *config,
		       struct torc_constants_shm *ret)
{
	int r;

	if (!config->page)
		config->page = (uint32_t)sysconf(_SC_PAGESIZE);
	if (getrandom(config->id, sizeof(config->id), 0) != sizeof(config->id))
		return torc_fail(-EIO, "%s: no random numbers", name);
	r = torc_ring_layout(config, ret);
	if (r == -E2BIG)
		return torc_fail(r, "%s: too large: at most 2^40 bytes and "
				 "1024 publishers and subscribers", name);
	if (r && config->kind == TORC_KIND_SP && config->publishers > 1)
		return torc_fail(r, "%s: only one publisher without TORC_MANY",
				 name);
	if (r)
		return torc_fail(r, "%s: a type name has at most %u bytes", name,
				 TORC_TYPE_MAX - 1);
	return 0;
}

int torc_constants_load(struct torc_topic *topic, int fd, uint64_t size,
			uint32_t flags)
{
	struct torc_constants_shm constants;

	if (pread(fd, &constants, sizeof(constants), 0) != sizeof(constants))
		return explain_constants(topic->name, -EPROTO, size, NULL);
	return torc_constants_take(topic, &constants, size, flags);
}

int torc_constants_take(struct torc_topic *topic,
			const struct torc_constants_shm *shared, uint64_t size,
			uint32_t flags)
{
	struct torc_constants_shm constants, *c = &topic->constants;
	int r;

	torc_copy(&constants, shared, sizeof(constants));
	r = torc_constants_check(&constants, size, c);
	r = explain_constants(topic->name, r, size, &constants);
	if (r)
		return r;
	if ((c->flags & TORC_RING_ONE_BLOCK) != flags ||
	    (c->flags & TORC_RING_CHECKED &&
	     c->ring_size < c->data_offset + c->capacity +
				    torc_checks_size(c->capacity)) ||
	    size != c->ring_size + (flags ? c->cursors_size : 0))
		return torc_fail(-EPROTO, "%s: a ring of a wrong size: %llu "
				 "bytes; remove it and make it anew",
				 topic->name, (unsigned long long)size);
	return 0;
}

int torc_open_again(int fd, int flags)
{
	char path[40];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

int torc_map_part(const struct torc_topic *topic, int fd, uint64_t offset,
		  uint64_t size, bool writable, void **ret)
{
	void *base = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0),
			  MAP_SHARED, fd, (off_t)offset);

	if (base == MAP_FAILED && errno == ENODEV)
		return torc_fail(-ENODEV, "%s: its file system cannot map files "
				 "shared; put it on another, or in memory "
				 "(shm:NAME)", topic->name);
	if (base == MAP_FAILED)
		return torc_fail(-errno, "%s: cannot map %llu bytes: %s",
				 topic->name, (unsigned long long)size,
				 strerrordesc_np(errno));
	*ret = base;
	return 0;
}

void torc_unmap_parts(struct torc_topic *topic, struct torc_view *view)
{
	(void)topic;
	munmap(view->ring_base, view->ring_size);
	if (view->cursors_base)
		munmap(view->cursors_base, view->cursors_size);
}
