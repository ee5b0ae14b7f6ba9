/* SPDX-License-Identifier: MIT */
/*
 * Goal: the ioctls mean the same to 32-bit processes.
 * Method: "int $0x80", which enters the kernel as a 32-bit process does, with its
 * numbers of system calls and 32 bits of each argument; it wants no 32-bit library.
 * Whether the structures look the same to a 32-bit compiler, driver.h asserts.
 */
#include "device.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SYS_IOCTL_32 54

/* As ioctl(). */
static int ioctl_32(int fd, unsigned int request, uintptr_t argument)
{
	int r;

	CHECK(argument <= UINT32_MAX);
	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(SYS_IOCTL_32), "b"(fd), "c"(request),
			   "d"((uint32_t)argument)
			 : "memory", "r8", "r9", "r10", "r11");
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/* A page that 32-bit pointers reach, zero. */
static void *low_page(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	CHECK(page != MAP_FAILED);
	return page;
}

static int open_control(void)
{
	int fd = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	/* A kernel without 32-bit processes kills, or knows of no such call. */
	if (ioctl_32(fd, TORC_IOC_REMOVE, 0) && errno == ENOSYS)
		harness_skip("the kernel has no 32-bit processes");
	return fd;
}

TEST(a_topic_is_made_and_removed)
{
	struct torc_driver_create *create = low_page();
	struct torc_driver_name *name = low_page();
	struct torc_constants_shm *constants;
	int control = open_control(), fd;
	char path[160] = TORC_DRIVER_FOLDER;

	*create = device_request(TORC_PAGES_FAULT, TORC_DRIVER_MANY);
	create->capacity = 1 << 20;
	strcpy(create->type, "compat");
	create->publishers = 3;
	create->reserved[5] = 1;
	CHECK_FAILS(EINVAL, ioctl_32(control, TORC_IOC_CREATE,
				     (uintptr_t)create));
	create->reserved[5] = 0;
	CHECK_FAILS(EFAULT, ioctl_32(control, TORC_IOC_CREATE, PAGE));
	CHECK_EQ(ioctl_32(control, TORC_IOC_CREATE, (uintptr_t)create), 0);
	fd = open(strcat(path, create->name), O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	constants = device_map(fd, 0, PAGE, PROT_READ);
	CHECK(constants != MAP_FAILED);
	CHECK_EQ(constants->capacity, 1 << 20);
	CHECK(!strcmp(constants->type, "compat"));
	memcpy(name->name, create->name, sizeof(name->name));
	CHECK_EQ(ioctl_32(control, TORC_IOC_REMOVE, (uintptr_t)name), 0);
	CHECK_FAILS(ENOENT, ioctl_32(control, TORC_IOC_REMOVE,
				     (uintptr_t)name));
	CHECK_FAILS(ENOTTY, ioctl_32(control, TORC_IOC_SUBSCRIBE,
				     (uintptr_t)name));
}

TEST(memory_at_32_bit_addresses_is_published_into)
{
	struct torc_driver_create *create = low_page();
	uint64_t size = 64 * PAGE;
	struct torc_constants_shm *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int control = open_control();

	CHECK(memory != MAP_FAILED);
	*create = device_request(TORC_PAGES_USER, TORC_DRIVER_PUBLISHES);
	create->capacity = 0;
	create->address = (uintptr_t)memory;
	create->size = size;
	CHECK_EQ(ioctl_32(control, TORC_IOC_CREATE, (uintptr_t)create), 0);
	CHECK(memory->magic == TORC_RING_MAGIC);
}

TEST(a_subscription_is_had_and_wakes_and_sleeps)
{
	struct torc_driver_subscribe *subscribe = low_page();
	struct torc_driver_wait *wait = low_page();
	struct torc_cursors_shm *words;
	uint64_t count, before;
	struct device d;
	int event;

	open_control();
	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_PUBLISHES, 0600);
	CHECK_FAILS(EFAULT, ioctl_32(d.fd, TORC_IOC_SUBSCRIBE, PAGE));
	CHECK_EQ(ioctl_32(d.fd, TORC_IOC_SUBSCRIBE, (uintptr_t)subscribe), 0);
	words = device_map(subscribe->fd, d.constants.ring_size, PAGE,
			   PROT_READ | PROT_WRITE);
	CHECK(subscribe->slot && words != MAP_FAILED);

	/* All of the 64 bits of a time count. */
	*wait = (struct torc_driver_wait){ .word = TORC_WORD_DATA,
					   .value = words->data_word,
					   .timeout_ns = 50000000 };
	before = now_ns();
	CHECK_FAILS(ETIMEDOUT, ioctl_32(subscribe->fd, TORC_IOC_WAIT,
					(uintptr_t)wait));
	CHECK(now_ns() - before >= 50000000);
	wait->value++;
	CHECK_FAILS(EAGAIN, ioctl_32(d.fd, TORC_IOC_WAIT, (uintptr_t)wait));
	wait->reserved[1] = 1ull << 63;
	CHECK_FAILS(EINVAL, ioctl_32(d.fd, TORC_IOC_WAIT, (uintptr_t)wait));

	/* What is no pointer is taken as it is. */
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK_EQ(ioctl_32(subscribe->fd, TORC_IOC_EVENTFD, (uintptr_t)event),
		 0);
	CHECK_EQ(ioctl_32(d.fd, TORC_IOC_WAKE, TORC_WORD_DATA), 0);
	CHECK_EQ(read(event, &count, sizeof(count)), sizeof(count));
	CHECK_EQ(ioctl_32(subscribe->fd, TORC_IOC_EVENTFD, UINT32_MAX), 0);
	CHECK_EQ(ioctl_32(d.fd, TORC_IOC_WAKE, TORC_WORD_DATA), 0);
	CHECK_FAILS(EAGAIN, read(event, &count, sizeof(count)));
	CHECK_FAILS(EBADF, ioctl_32(d.fd, TORC_IOC_EVENTFD, 999));
	CHECK_FAILS(EINVAL, ioctl_32(d.fd, TORC_IOC_WAKE, 2));
	munmap(words, PAGE);
	close(subscribe->fd);
	device_end(&d);
}
