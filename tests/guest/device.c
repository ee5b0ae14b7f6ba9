/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct torc_driver_create device_request(uint32_t memory, uint32_t flags)
{
	static int number;
	struct torc_driver_create create = {
		.capacity = 65536,
		.flags = flags,
		.memory = memory,
		.mode = 0600,
	};

	snprintf(create.name, sizeof(create.name), "device-%d-%d", (int)getpid(),
		 number++);
	return create;
}

void device_make(struct device *device, uint32_t memory, uint32_t flags,
		 uint32_t mode)
{
	struct torc_driver_create request = device_request(memory, flags);

	request.mode = mode;
	device_make_as(device, &request);
}

void device_make_as(struct device *device,
		    const struct torc_driver_create *request)
{
	memcpy(device->name, request->name, sizeof(device->name));
	snprintf(device->path, sizeof(device->path), "%s%s", TORC_DRIVER_FOLDER,
		 request->name);
	device->control = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);
	CHECK(device->control >= 0);
	CHECK(!ioctl(device->control, TORC_IOC_CREATE, request));
	device_attach(device);
}

void device_attach(struct device *device)
{
	void *constants;

	device->fd = device_open(device, O_RDWR);
	CHECK(device->fd >= 0);
	constants = device_map(device->fd, 0, PAGE, PROT_READ);
	CHECK(constants != MAP_FAILED);
	memcpy(&device->constants, constants, sizeof(device->constants));
	munmap(constants, PAGE);
	CHECK(device->constants.magic == TORC_RING_MAGIC);
}

int device_open(const struct device *device, int flags)
{
	return open(device->path, flags | O_CLOEXEC);
}

void device_end(struct device *device)
{
	close(device->fd);
	close(device->control);
	CHECK_FAILS(ENOENT, access(device->path, F_OK));
}

void *device_map(int fd, uint64_t offset, uint64_t size, int protection)
{
	return mmap(NULL, size, protection, MAP_SHARED, fd, (off_t)offset);
}

int device_subscribe(int fd, uint32_t *ret_slot)
{
	struct torc_driver_subscribe subscribe = { .slot = 0 };

	if (ioctl(fd, TORC_IOC_SUBSCRIBE, &subscribe))
		return -1;
	*ret_slot = subscribe.slot;
	return subscribe.fd;
}
