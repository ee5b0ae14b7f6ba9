/* SPDX-License-Identifier: MIT */
/*
 * Mappings that are files in a directory; files.c does the rest.
 *
 * shm:		the default; the directory is the bus's, which is on tmpfs.
 * posix:	the directory is that of shm_open(3): a program that knows that
 *		alone gets at the ring by shm_open("/NAME").
 *
 * A third, file:, is in mapping_file.c.
 */
#include "address.h"
#include "files.h"

#include <string.h>

static int shm_locate(const char *name, struct torc_bus *bus,
		      struct torc_place *ret)
{
	int r = torc_name_check(name);

	if (r)
		return r;
	torc_name_to_file(name, ret->file);
	return torc_bus_get(bus, &ret->bus);
}

static int posix_locate(const char *name, struct torc_bus *bus,
			struct torc_place *ret)
{
	(void)bus;
	name += *name == '/';
	if (!*name || *name == '.' || strchr(name, '/') ||
	    strlen(name) > TORC_FILE_MAX)
		return torc_fail(-EINVAL, "posix:%s: a name of shm_open() has "
				 "1 to %d characters, no \"/\" but the first, "
				 "and here does not begin with a dot", name,
				 TORC_FILE_MAX);
	strcpy(ret->file, name);
	return torc_directory_open(TORC_POSIX_DIRECTORY, "in directory",
				   &ret->bus);
}

const struct torc_mapping torc_mapping_shm = {
	.name = "shm",
	.prefix = "shm:",
	.given = true,
	.parts_named = true,
	.locate = shm_locate,
	.create = torc_files_create,
	.open = torc_files_open,
	.hold = torc_files_hold,
	.describe = torc_files_describe,
	.map = torc_files_map,
	.unmap = torc_unmap_parts,
	.release = torc_files_release,
	.remove = torc_files_remove,
	.on_bus = true,
};

const struct torc_mapping torc_mapping_posix = {
	.name = "posix",
	.prefix = "posix:",
	.given = true,
	.parts_named = true,
	.locate = posix_locate,
	.create = torc_files_create,
	.open = torc_files_open,
	.hold = torc_files_hold,
	.describe = torc_files_describe,
	.map = torc_files_map,
	.unmap = torc_unmap_parts,
	.release = torc_files_release,
	.remove = torc_files_remove,
};
