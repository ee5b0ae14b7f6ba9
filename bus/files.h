/* SPDX-License-Identifier: MIT */
/*
 * Topics that are files, in topic->place.
 */
#ifndef BUS_FILES_H
#define BUS_FILES_H

#include "mapping.h"

#include <sys/types.h>

/* Whose a new object is to be, and what they and others may. */
struct torc_permissions {
	uid_t owner;		/* -1: as the system made it */
	gid_t group;		/* -1: the same */
	mode_t mode;
};

/* Of the ring and of the cursors, as @options ask for. */
void torc_permissions_of(const struct torc_topic_options *options,
			 struct torc_permissions *ring,
			 struct torc_permissions *cursors);
/* Give them to the new file @fd, whatever the umask was; -errno, told. */
int torc_permit(const struct torc_topic *topic, int fd,
		const struct torc_permissions *permissions);

/* ---- Making (files_make.c) ------------------------------------------------ */

/* How the files of a new ring are to be. */
struct torc_filling {
	/*
	 * Have in the new ring, open as @ring_fd, what it is to hold when it gets
	 * its name; @ring and @cursors are mapped.  NULL: nothing.
	 */
	int (*fill)(struct torc_topic *topic, int ring_fd, void *ring,
		    void *cursors, void *context);
	void *context;
	struct torc_permissions ring, cursors;
	bool replace;		/* what has the name; else -EEXIST */
};

int torc_files_make(struct torc_topic *topic,
		    const struct torc_constants_shm *constants,
		    const struct torc_filling *filling);
/* The locks, which come first, held, lest others take the rest for left over. */
int torc_files_make_locks(struct torc_topic *topic, const unsigned char id[16],
			  const struct torc_permissions *ring);
/* Remove the parts of a ring that is no more. */
void torc_files_forget(struct torc_topic *topic, const unsigned char id[16]);

/* ---- Taking part in them, and removing them ------------------------------- */

/* As hold(), for who has the two parts; @is_there: was not removed. */
int torc_files_hold_parts(struct torc_topic *topic,
			  bool (*is_there)(struct torc_topic *topic));
/* Let go of what keeps it: true if nobody else is there, nor can come. */
bool torc_files_left(struct torc_topic *topic);

/* What stays though it has the name of what is to be removed. */
enum torc_spared {
	TORC_SPARED_USED = 1,	/* -EBUSY: what is in use, or no ring */
	TORC_SPARED_PERSISTENT = 2,	/* -EBUSY: a persistent ring */
	TORC_SPARED_FOREIGN = 4,	/* -EPROTO: what is no ring */
};

/* Remove what is at @place and its parts, but for what is of the kinds @spared. */
int torc_place_clear(const struct torc_place *place, unsigned int spared);

/* ---- A mapping's functions ----------------------------------------------- */

int torc_files_create(struct torc_topic *topic, const char *rest,
		      const struct torc_constants_shm *constants,
		      const struct torc_topic_options *options);
int torc_files_open(struct torc_topic *topic, const char *rest);
int torc_files_hold(struct torc_topic *topic);
int torc_files_describe(struct torc_topic *topic, enum torc_object object,
			int flags);
int torc_files_map(struct torc_topic *topic, enum torc_access access,
		   struct torc_view *view);
void torc_files_release(struct torc_topic *topic);
int torc_files_remove(struct torc_topic *topic, const char *rest,
		      unsigned int flags);

#endif /* BUS_FILES_H */
