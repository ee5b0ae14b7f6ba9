/* SPDX-License-Identifier: MIT */
/*
 * Mappings without a name, in one block of memory, the cursors behind the ring.
 *
 * memfd:	sealed against any change of its size, so that no access can
 *		raise SIGBUS; handed on as a descriptor, opened as fd:N.  One
 *		description for all regions: who may write it may publish.
 * anon:	for this process and the children it forks.  An empty memfd is
 *		its lock file.
 */
#include "address.h"
#include "files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static uint64_t block_size(const struct torc_constants_shm *constants)
{
	return constants->ring_size + constants->cursors_size;
}

static void format_block(const struct torc_constants_shm *constants, void *block)
{
	torc_ring_format(constants, block,
			 (unsigned char *)block + constants->ring_size);
}

static int memory_describe(struct torc_topic *topic, enum torc_object object,
			   int flags)
{
	(void)object;
	return torc_open_again(topic->fd, flags);
}

static void memory_release(struct torc_topic *topic)
{
	if (topic->block)
		munmap(topic->block, block_size(&topic->constants));
	if (topic->fd >= 0)
		close(topic->fd);
}

/* ---- memfd -------------------------------------------------------------- */

/* Of @size bytes that are there for certain, in topic->huge pages. */
static int new_memfd(struct torc_topic *topic, const char *label, uint64_t size)
{
	if (topic->fd >= 0)
		close(topic->fd);
	topic->fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING |
						(topic->huge ? MFD_HUGETLB : 0));
	if (topic->fd < 0)
		return -errno;
	return torc_allocate(topic->fd, size);
}

static int memfd_create_topic(struct torc_topic *topic, const char *rest,
			      const struct torc_constants_shm *constants,
			      const struct torc_topic_options *options)
{
	struct torc_permissions permissions, cursors;
	uint64_t size = block_size(constants);
	void *block;
	int r;

	topic->constants = *constants;
	topic->constants.flags |= TORC_RING_ONE_BLOCK;
	topic->huge = options->memory & TORC_MEMORY_HUGE;
	r = new_memfd(topic, *rest ? rest : "torc", size);
	if (r && topic->huge) {
		topic->huge = false;
		r = new_memfd(topic, *rest ? rest : "torc", size);
	}
	if (!r && fcntl(topic->fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL))
		r = -errno;
	if (r)
		return torc_fail(r, "%s: cannot get %llu bytes: %s; use a "
				 "smaller capacity", topic->name,
				 (unsigned long long)size, strerrordesc_np(-r));
	torc_permissions_of(options, &permissions, &cursors);
	r = torc_permit(topic, topic->fd, &permissions);
	if (!r)
		r = torc_map_part(topic, topic->fd, 0, size, true, &block);
	if (r)
		return r;
	format_block(&topic->constants, block);
	munmap(block, size);
	return 0;
}

static int memfd_map(struct torc_topic *topic, enum torc_access access,
		     struct torc_view *view)
{
	const struct torc_constants_shm *c = &topic->constants;
	int mode = fcntl(topic->fd, F_GETFL) & O_ACCMODE;
	bool writable = mode == O_RDWR;
	int r;

	if (access == TORC_ACCESS_PUBLISH && !writable)
		return -EACCES;
	view->ring_size = c->ring_size;
	view->cursors_size = c->cursors_size;
	r = torc_map_part(topic, topic->fd, 0, c->ring_size,
			  access == TORC_ACCESS_PUBLISH, &view->ring_base);
	if (r || (access == TORC_ACCESS_RECEIVE && !writable))
		return r;
	r = torc_map_part(topic, topic->fd, c->ring_size, c->cursors_size,
			  access != TORC_ACCESS_LOOK, &view->cursors_base);
	if (r)
		munmap(view->ring_base, view->ring_size);
	return r;
}

static int fd_open(struct torc_topic *topic, const char *rest)
{
	struct stat st;
	char *end;
	long fd;
	int seals;

	fd = strtol(rest, &end, 10);
	if (end == rest || *end || fd < 0 || fd > INT_MAX)
		return torc_fail(-EINVAL, "%s: not a descriptor's number",
				 topic->name);
	topic->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
	if (topic->fd < 0)
		return torc_fail(-errno, "%s: %s", topic->name,
				 errno == EBADF ? "no such descriptor is open"
						: strerrordesc_np(errno));
	seals = fcntl(topic->fd, F_GET_SEALS);
	if (seals < 0 || (seals & SIZE_SEALS) != SIZE_SEALS)
		return torc_fail(-EPROTO, "%s: not a memfd sealed against "
				 "changes of its size, so not a topic's",
				 topic->name);
	if (fstat(topic->fd, &st))
		return torc_fail(-errno, "%s: %s", topic->name,
				 strerrordesc_np(errno));
	return torc_constants_load(topic, topic->fd, (uint64_t)st.st_size,
				   TORC_RING_ONE_BLOCK);
}

/* ---- anonymous ---------------------------------------------------------- */

static void *map_anonymous(uint64_t size, bool huge)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE |
			    (huge ? MAP_HUGETLB : 0), -1, 0);
}

static int anon_create(struct torc_topic *topic, const char *rest,
		       const struct torc_constants_shm *constants,
		       const struct torc_topic_options *options)
{
	void *block;

	if (*rest)
		return torc_fail(-EINVAL, "%s: anonymous memory has no name",
				 topic->name);
	topic->fd = memfd_create("torc-locks", MFD_CLOEXEC);
	if (topic->fd < 0)
		return torc_fail(-errno, "%s: cannot make its lock file: %s",
				 topic->name, strerrordesc_np(errno));
	topic->huge = options->memory & TORC_MEMORY_HUGE;
	block = map_anonymous(block_size(constants), topic->huge);
	if (block == MAP_FAILED && topic->huge) {
		topic->huge = false;
		block = map_anonymous(block_size(constants), false);
	}
	if (block == MAP_FAILED)
		return torc_fail(-errno, "%s: cannot get %llu bytes: %s",
				 topic->name,
				 (unsigned long long)block_size(constants),
				 strerrordesc_np(errno));
	topic->block = block;
	topic->constants = *constants;
	topic->constants.flags |= TORC_RING_ONE_BLOCK;
	format_block(&topic->constants, block);
	return 0;
}

static int anon_map(struct torc_topic *topic, enum torc_access access,
		    struct torc_view *view)
{
	(void)access;
	view->ring_base = topic->block;
	view->ring_size = topic->constants.ring_size;
	view->cursors_base = (unsigned char *)topic->block + view->ring_size;
	view->cursors_size = topic->constants.cursors_size;
	return 0;
}

static void anon_unmap(struct torc_topic *topic, struct torc_view *view)
{
	(void)topic;
	(void)view;
}

const struct torc_mapping torc_mapping_memfd = {
	.name = "memfd",
	.prefix = "memfd:",
	.given = true,
	.create = memfd_create_topic,
	.describe = memory_describe,
	.map = memfd_map,
	.unmap = torc_unmap_parts,
	.release = memory_release,
	.handed_on = true,
};

const struct torc_mapping torc_mapping_fd = {
	.name = "memfd",
	.prefix = "fd:",
	.open = fd_open,
	.describe = memory_describe,
	.map = memfd_map,
	.unmap = torc_unmap_parts,
	.release = memory_release,
	.handed_on = true,
};

const struct torc_mapping torc_mapping_anon = {
	.name = "anon",
	.prefix = "anon:",
	.create = anon_create,
	.describe = memory_describe,
	.map = anon_map,
	.unmap = anon_unmap,
	.release = memory_release,
};
