/* SPDX-License-Identifier: MIT */
/*
 * Topics: making, opening, mapping them.
 */
#include "address.h"
#include "check.h"
#include "files.h"
#include "guard.h"
#include "memory.h"
#include "topic.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define CAPACITY_DEFAULT (1u << 20)

struct torc_topic *torc_topic_ref(struct torc_topic *topic)
{
	torc_add(&topic->references, 1u);
	return topic;
}

struct torc_topic *torc_topic_unref(struct torc_topic *topic)
{
	if (!topic || torc_add(&topic->references, -1u))
		return NULL;
	if (topic->view.ring_base)
		torc_topic_unmap(topic, &topic->view);
	topic->mapping->release(topic);
	torc_forkable_remove(&topic->forkable);
	torc_bus_close(topic->place.bus);
	free(topic);
	return NULL;
}

static int compute_constants(const char *name,
			     const struct torc_topic_options *options,
			     struct torc_constants_shm *ret)
{
	struct torc_ring_config config = {
		.capacity = options->capacity ? options->capacity
					      : CAPACITY_DEFAULT,
		.kind = options->flags & TORC_MANY ? TORC_KIND_MP
						   : TORC_KIND_SP,
		.publishers = options->publishers,
		.subscribers = options->subscribers,
		.page = options->memory & TORC_MEMORY_HUGE
				? (uint32_t)torc_huge_page() : 0,
		.flags = options->flags & TORC_PERSISTENT ? TORC_RING_PERSISTENT
							  : 0,
		.type = options->type,
	};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	config.created_ns = (uint64_t)now.tv_sec * 1000000000u +
			    (uint64_t)now.tv_nsec;
	return torc_constants_new(name, &config, ret);
}

static struct torc_topic *new_topic(const struct torc_mapping *mapping,
				    const struct torc_place *place,
				    const char *name)
{
	struct torc_topic *topic = calloc(1, sizeof(*topic) + strlen(name) + 1);

	if (!topic) {
		torc_fail(-ENOMEM, "%s: out of memory", name);
		return NULL;
	}
	topic->mapping = mapping;
	topic->references = 1;
	topic->fd = -1;
	topic->segment = -1;
	topic->place = *place;
	if (place->bus)
		torc_bus_ref(place->bus);
	strcpy(topic->name, name);
	torc_forkable_add(&topic->forkable);
	return topic;
}

int torc_topic_remove(const struct torc_mapping *mapping,
		      const struct torc_place *place, const char *rest,
		      unsigned int flags)
{
	struct torc_topic *topic = new_topic(mapping, place, rest);
	int r = topic ? mapping->remove(topic, rest, flags) : -ENOMEM;

	torc_topic_unref(topic);
	return r;
}

/* Is what we opened what was asked for? */
static int check_opened(const struct torc_topic *topic,
			const struct torc_topic_options *options)
{
	const struct torc_constants_shm *c = &topic->constants;
	bool many = c->kind == TORC_KIND_MP;

	if (options->type && strcmp(options->type, c->type))
		return torc_fail(-EPROTOTYPE, "%s: its messages are of type "
				 "\"%s\", not \"%s\"", topic->name, c->type,
				 options->type);
	if (options->flags & TORC_CREATE &&
	    many != !!(options->flags & TORC_MANY))
		return torc_fail(-EPROTOTYPE, "%s: was made for %s", topic->name,
				 many ? "many publishers; open it for many"
				      : "one publisher; open it for one");
	return 0;
}

static int open_existing(const struct torc_mapping *mapping,
			 const struct torc_place *place, const char *name,
			 const char *rest,
			 const struct torc_topic_options *options,
			 struct torc_topic **ret_topic)
{
	struct torc_topic *topic = new_topic(mapping, place, name);
	int r;

	if (!topic)
		return -ENOMEM;
	topic->inspecting = options->flags & TORC_INSPECT;
	topic->memory = options->memory;
	topic->numa_node = options->numa_node;
	r = mapping->open(topic, rest);
	if (!r)
		r = check_opened(topic, options);
	if (!r && options->flags & TORC_CREATE)
		r = torc_topic_hold(topic);
	if (r)
		torc_topic_unref(topic);
	else
		*ret_topic = topic;
	return r;
}

static int create(const struct torc_mapping *mapping,
		  const struct torc_place *place, const char *name,
		  const char *rest,
		  const struct torc_topic_options *options,
		  struct torc_topic **ret_topic)
{
	struct torc_constants_shm constants;
	struct torc_topic *topic;
	int r;

	r = compute_constants(name, options, &constants);
	if (!r && !mapping->disk)
		r = torc_memory_check(name, constants.ring_size +
						    constants.cursors_size);
	if (r)
		return r;
	topic = new_topic(mapping, place, name);
	if (!topic)
		return -ENOMEM;
	topic->memory = options->memory;
	topic->numa_node = options->numa_node;
	r = mapping->create(topic, rest, &constants, options);
	topic->held = !r;
	if (r)
		torc_topic_unref(topic);
	else
		*ret_topic = topic;
	return r;
}

/*
 * Open it, or else make it.  Something in the way that nobody uses, of another
 * kind or damaged, was left by a crash, and goes.
 */
static int open_or_create(const struct torc_mapping *mapping,
			  const struct torc_place *place, const char *name,
			  const char *rest,
			  const struct torc_topic_options *options,
			  struct torc_topic **ret_topic)
{
	bool creating = options->flags & TORC_CREATE;
	int r;

	for (int tries = 0; tries < 100; tries++) {
		r = mapping->open ? open_existing(mapping, place, name, rest,
						  options, ret_topic)
				  : -ENOENT;
		if (!r && options->flags & TORC_EXCLUSIVE) {
			*ret_topic = torc_topic_unref(*ret_topic);
			return torc_fail(-EEXIST, "%s: exists already", name);
		}
		if (r == -EPROTOTYPE && creating && place->bus &&
		    !torc_place_clear(place, TORC_SPARED_USED |
						     TORC_SPARED_PERSISTENT))
			continue;
		if (r != -ENOENT || (!creating && mapping->open))
			return r;
		r = create(mapping, place, name, rest, options, ret_topic);
		if (r != -EEXIST)
			return r;
	}
	return torc_fail(-EBUSY, "%s: others make and remove it all the time",
			 name);
}

/* Flags that say whose a new topic is to be. */
#define GIVEN (TORC_OWNER | TORC_GROUP | TORC_CURSORS_GROUP)

static int check_options(const char *address,
			 const struct torc_topic_options *options)
{
	if (options->flags & ~(TORC_CREATE | TORC_EXCLUSIVE | TORC_MANY |
			       TORC_PERSISTENT | TORC_INSPECT | GIVEN) ||
	    (options->flags & GIVEN && !(options->flags & TORC_CREATE)) ||
	    (options->flags & TORC_INSPECT && options->flags & TORC_CREATE) ||
	    (options->flags & (TORC_CREATE | TORC_EXCLUSIVE)) ==
		    TORC_EXCLUSIVE)
		return torc_fail(-EINVAL, "%s: flags %#x make no sense",
				 address, options->flags);
	/* 640 for 0640, say. */
	if ((options->mode | options->cursors_mode) & ~(mode_t)0777)
		return torc_fail(-EINVAL, "%s: modes %#o and %#o: at most 0777",
				 address, options->mode, options->cursors_mode);
	if (options->memory & ~(TORC_MEMORY_HUGE | TORC_MEMORY_LOCKED |
				TORC_MEMORY_PREFAULT | TORC_MEMORY_NUMA))
		return torc_fail(-EINVAL, "%s: memory %#x makes no sense",
				 address, options->memory);
	if (options->sync > TORC_SYNC_COMMIT)
		return torc_fail(-EINVAL, "%s: no such way to sync: %u", address,
				 (unsigned int)options->sync);
	return torc_check_reserved(address, options->reserved,
				   sizeof(options->reserved));
}

int torc_topic_open(struct torc_bus *bus, const char *address,
		    const struct torc_topic_options *options,
		    struct torc_topic **ret_topic)
{
	static const struct torc_topic_options defaults;
	const struct torc_mapping *mapping;
	struct torc_place place = { .bus = NULL };
	const char *rest;
	int r;

	if (!options)
		options = &defaults;
	r = check_options(address, options);
	if (!r)
		r = torc_mapping_of(address, &mapping, &rest);
	if (!r && options->sync && !mapping->disk)
		r = torc_fail(-EINVAL, "%s: memory cannot be synced to a disk; "
			      "make it a file:PATH", address);
	if (!r && options->flags & GIVEN && !mapping->given)
		r = torc_fail(-ENOTSUP, "%s: its kind cannot be given to an "
			      "owner or a group", address);
	if (!r && mapping->locate)
		r = mapping->locate(rest, bus, &place);
	if (r)
		return r;
	r = open_or_create(mapping, &place, mapping->on_bus ? rest : address, rest,
			   options, ret_topic);
	torc_bus_close(place.bus);
	return r;
}

struct torc_topic *torc_topic_close(struct torc_topic *topic)
{
	return torc_topic_unref(topic);
}

const char *torc_topic_name(const struct torc_topic *topic)
{
	return topic->name;
}

int torc_topic_fd(const struct torc_topic *topic)
{
	if (!topic->mapping->handed_on)
		return torc_fail(-ENOTSUP, "%s: only a memfd topic is handed "
				 "on as a descriptor", topic->name);
	return topic->fd;
}

/* ---- Mapping ------------------------------------------------------------ */

static int guard(const struct torc_view *view, enum torc_access access,
		 int *unusable)
{
	int r = torc_guard_add(view->ring_base, view->ring_size,
			       access == TORC_ACCESS_PUBLISH, -EPROTO, unusable);

	if (!r && view->cursors_base)
		r = torc_guard_add(view->cursors_base, view->cursors_size,
				   access != TORC_ACCESS_LOOK, TORC_CURSORS_CUT,
				   unusable);
	return r;
}

static int explain_mapping(const struct torc_topic *topic,
			   enum torc_access access, int r)
{
	if (r == -ENOENT)
		return torc_fail(-ENOENT, "%s: was removed meanwhile",
				 topic->name);
	if (r == -EROFS)
		return torc_fail(r, "%s: on a read-only file system, where "
				 "nobody can publish to it", topic->name);
	return r == -EACCES ? torc_topic_refused(topic, access) : r;
}

/*
 * Say whose the cursors are, if somebody has written over that: who may write them
 * shall not keep publishers out.
 */
static void sign_cursors(const struct torc_topic *topic,
			 const struct torc_view *view)
{
	struct torc_cursors_shm *cursors = view->cursors_base;
	unsigned char id[sizeof(cursors->id)];

	torc_copy(id, cursors->id, sizeof(id));
	if (torc_load_acquire(&cursors->magic) == TORC_CURSORS_MAGIC &&
	    !memcmp(id, topic->constants.id, sizeof(id)))
		return;
	torc_copy(cursors->id, topic->constants.id, sizeof(id));
	torc_store_release(&cursors->magic, TORC_CURSORS_MAGIC);
}

int torc_topic_restore_cursors(struct torc_topic *topic, struct torc_view *view)
{
	struct torc_view anew = { .ring_base = NULL };
	int r = topic->mapping->map(topic, TORC_ACCESS_PUBLISH, &anew);

	if (r)
		return explain_mapping(topic, TORC_ACCESS_PUBLISH, r);
	munmap(anew.ring_base, anew.ring_size);
	/* Where they were, as handles know them. */
	if (mremap(anew.cursors_base, anew.cursors_size, anew.cursors_size,
		   MREMAP_MAYMOVE | MREMAP_FIXED,
		   view->cursors_base) == MAP_FAILED) {
		r = -errno;
		munmap(anew.cursors_base, anew.cursors_size);
		return torc_fail(r, "%s: cannot map its cursors: %s",
				 topic->name, strerrordesc_np(-r));
	}
	sign_cursors(topic, view);
	return torc_memory_apply(topic, TORC_ACCESS_PUBLISH, view);
}

int torc_topic_attach(struct torc_topic *topic, enum torc_access access,
		      int *unusable, struct torc_view *ret_view)
{
	struct torc_view view = { .ring_base = NULL };
	int r = topic->mapping->map(topic, access, &view);

	if (r)
		return explain_mapping(topic, access, r);
	r = guard(&view, access, unusable);
	if (r) {
		torc_topic_unmap(topic, &view);
		return torc_fail(r, "%s: out of memory", topic->name);
	}
	if (topic->mapping->parts_named && view.cursors_base &&
	    access != TORC_ACCESS_LOOK)
		sign_cursors(topic, &view);
	r = torc_ring_attach(&view.ring, view.ring_base, view.ring_size,
			     view.cursors_base, view.cursors_size);
	/* What was checked at opening may have been changed since. */
	if (!r && topic->constants.flags & TORC_RING_CHECKED &&
	    (uint64_t)(view.ring.data - (unsigned char *)view.ring_base) +
			    view.ring.capacity +
			    torc_checks_size(view.ring.capacity) >
		    view.ring_size)
		r = -EPROTO;
	if (r) {
		torc_topic_unmap(topic, &view);
		return torc_ring_error(topic, -EPROTO);
	}
	if (access != TORC_ACCESS_LOOK)
		r = torc_memory_apply(topic, access, &view);
	if (r) {
		torc_topic_unmap(topic, &view);
		return r;
	}
	*ret_view = view;
	return 0;
}

int torc_topic_map(struct torc_topic *topic, enum torc_access access,
		   int *unusable, struct torc_view *ret_view)
{
	int r;

	if (access != TORC_ACCESS_LOOK && topic->inspecting)
		return torc_fail(-EPERM, "%s: was opened to be looked at only; "
				 "open it without TORC_INSPECT", topic->name);
	r = access == TORC_ACCESS_LOOK ? 0 : torc_topic_hold(topic);
	return r ? explain_mapping(topic, access, r)
		 : torc_topic_attach(topic, access, unusable, ret_view);
}

void torc_topic_unmap(struct torc_topic *topic, struct torc_view *view)
{
	torc_guard_remove(view->ring_base);
	if (view->cursors_base)
		torc_guard_remove(view->cursors_base);
	topic->mapping->unmap(topic, view);
	view->ring_base = NULL;
}
