/* SPDX-License-Identifier: MIT */
/*
 * Tests of topics of file:PATH, in fixture_disk: images of their files, and
 * messages that tell whether they are intact.
 */
#ifndef TORC_TESTS_DISKS_H
#define TORC_TESTS_DISKS_H

#include "fixture.h"

/* Of the topic @name; the first holds for three more calls, the other for none. */
const char *disk_path(const char *name);
const char *disk_address(const char *name);
/* Open it as it is there; remove it, which nobody has open. */
struct torc_topic *disk_open(const char *name);
void disk_remove(const char *name);

/* Its file, as it is in the memory of the machine. */
struct image {
	unsigned char *bytes;
	size_t size;
};

struct image image_take(const char *name);
void image_write(const struct image *image, const char *name);

/* Publish messages with the numbers [@from, @to). */
void disk_publish(struct torc_publisher *pub, uint64_t from, uint64_t to);
/* The same in batches of 7, which are published whole. */
void disk_publish_batches(struct torc_publisher *pub, uint64_t from,
			  uint64_t to);
size_t disk_message_length(uint64_t number);

struct content {
	uint64_t first, next, count;
	uint64_t dropped;	/* bytes, at reopening */
	bool gaps;
};

/* All that is there: each intact and itself, in order. */
struct content disk_read_all(struct torc_topic *topic);

/* From now on let system call @number, if argument @arg has @bits, fail. */
void refuse(int number, unsigned int arg, uint32_t bits, int error);

#endif /* TORC_TESTS_DISKS_H */
