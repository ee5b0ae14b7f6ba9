/* SPDX-License-Identifier: MIT */
/*
 * A bus, or another directory, and the names in it.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "internal.h"

struct torc_bus {
	uint32_t references;
	int fd;
	const char *on;		/* for words: "on bus", or "in directory" */
	char path[];
};

#define TORC_NAME_MAX 127
#define TORC_FILE_MAX 255

struct torc_bus *torc_bus_ref(struct torc_bus *bus);
/* The same; with NULL the default bus. */
int torc_bus_get(struct torc_bus *bus, struct torc_bus **ret_bus);

/* As torc_bus_open(), of a directory that is there. */
int torc_directory_open(const char *path, const char *on,
			struct torc_bus **ret_bus);
/* Call @each with the bus's files; stops at a nonzero result. */
int torc_bus_each_file(struct torc_bus *bus,
		       int (*each)(const char *file, void *context),
		       void *context);

/* -EINVAL if no topic can be called so. */
int torc_name_check(const char *name);
/* "a/b" is the file "a:b", which no name can be. */
void torc_name_to_file(const char *name, char file[TORC_FILE_MAX + 1]);

/* Where shm_open() makes its objects; see shm_open(3). */
#define TORC_POSIX_DIRECTORY "/dev/shm"

/* A file in a directory. */
struct torc_place {
	struct torc_bus *bus;
	char file[TORC_FILE_MAX + 1];
};

#endif /* BUS_BUS_H */
