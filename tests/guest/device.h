/* SPDX-License-Identifier: MIT */
/*
 * The driver's nodes as they are, without libtorc.
 */
#ifndef TORC_TESTS_GUEST_DEVICE_H
#define TORC_TESTS_GUEST_DEVICE_H

#include "harness.h"

#include <torc/driver.h>

#define PAGE 4096u
#define NOBODY 65534u

static const enum torc_driver_memory memories[] = {
	TORC_PAGES_SHMEM, TORC_PAGES_CONTIG, TORC_PAGES_FAULT,
};

#define for_each_memory(m)                                                    \
	for (unsigned int m = 0; m < sizeof(memories) / sizeof(memories[0]);  \
	     m++)

/* A topic: the node's descriptor, its constants, its maker. */
struct device {
	char name[TORC_DRIVER_NAME_MAX];
	char path[TORC_DRIVER_NAME_MAX + 16];
	struct torc_constants_shm constants;
	int control, fd;
};

/* What TORC_IOC_CREATE takes, with a new name. */
struct torc_driver_create device_request(uint32_t memory, uint32_t flags);
/* Made, and open for reading and writing. */
void device_make(struct device *device, uint32_t memory, uint32_t flags,
		 uint32_t mode);
void device_make_as(struct device *device,
		    const struct torc_driver_create *request);
/* Open what a driver made, by its path. */
void device_attach(struct device *device);
int device_open(const struct device *device, int flags);
/* Close it and see it gone. */
void device_end(struct device *device);

/* mmap() of the node; MAP_FAILED and errno on failure. */
void *device_map(int fd, uint64_t offset, uint64_t size, int protection);
/* A subscription's descriptor. */
int device_subscribe(int fd, uint32_t *ret_slot);

#endif /* TORC_TESTS_GUEST_DEVICE_H */
