/* SPDX-License-Identifier: MIT */
/*
 * Removing topics by their names.
 */
#include "address.h"
#include "topic.h"

#include <string.h>

static int explain(const char *address, const struct torc_bus *bus, int r)
{
	switch (r) {
	case -ENOENT:
		return torc_fail(r, "%s: no such topic %s %s", address,
				 bus->on, bus->path);
	case -EPROTO:
	case -EISDIR:
	case -ELOOP:	/* a symbolic link */
		return torc_fail(r, "%s: not a ring; it stays", address);
	case -EBUSY:
		return torc_fail(r, "%s: somebody takes part in it", address);
	default:
		return torc_fail(r, "%s: cannot remove it %s %s: %s", address,
				 bus->on, bus->path, strerrordesc_np(-r));
	}
}

int torc_bus_remove(struct torc_bus *bus, const char *address,
		    unsigned int flags)
{
	const struct torc_mapping *mapping;
	struct torc_place place = { .bus = NULL };
	const char *rest;
	int r = torc_mapping_of(address, &mapping, &rest);

	if (r)
		return r;
	if (flags & ~TORC_REMOVE_STALE)
		return torc_fail(-EINVAL, "%s: flags %#x make no sense", address,
				 flags);
	if (!mapping->remove)
		return torc_fail(-EINVAL, "%s: without a name, it goes with "
				 "the last who has it", address);
	if (mapping->locate)
		r = mapping->locate(rest, bus, &place);
	if (r)
		return r;
	r = torc_topic_remove(mapping, &place, rest, flags);
	if (r && place.bus)
		explain(address, place.bus, r);
	torc_bus_close(place.bus);
	return r;
}
