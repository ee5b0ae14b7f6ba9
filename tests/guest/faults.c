/* SPDX-License-Identifier: MIT */
/*
 * Goal: when any one allocation in a call fails, the call fails and leaves nothing
 * behind, or does without.
 * Method: the kernel's fault injection (fail-nth) makes the first allocation of a
 * call fail, of slabs or pages, then in a new call the second, until a call has no
 * more.  What leaked is found by kmemleak at the guest's end.  What the kernel's own
 * threads do for a call is not reached: devtmpfs's making of the node, the making of a
 * thread.
 */
#include "device.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		harness_skip("this kernel injects no faults");
	CHECK_EQ(write(fd, value, strlen(value)), strlen(value));
	close(fd);
}

/*
 * Also allocations that may sleep, of single pages, of such as processes map, and
 * without a word.
 */
static int faults_open(void)
{
	set("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	set("/sys/kernel/debug/failslab/verbose", "0");
	set("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	set("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	set("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	set("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	return open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
}

/* The @nth allocation from now on will fail; 0: none. */
static void faults_arm(int faults, int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", nth);

	CHECK_EQ(pwrite(faults, text, (size_t)length, 0), length);
}

/* How many allocations are left until that which would fail; 0: one has. */
static int faults_left(int faults)
{
	char text[16] = "";

	CHECK(pread(faults, text, sizeof(text) - 1, 0) > 0);
	return atoi(text);
}

/*
 * Each allocation from the @nth on; how many of them @act cannot do without.  It
 * returns -1, with errno, if it failed, and else undoes what it did.
 */
static int allocations_fail_from(int nth, int (*act)(void *context),
				 void *context)
{
	int faults = faults_open(), failed = 0, left, r;

	CHECK(faults >= 0);
	for (;; nth++) {
		faults_arm(faults, nth);
		r = act(context);
		left = faults_left(faults);
		faults_arm(faults, 0);
		failed += r < 0;
		if (r < 0)
			/* The last is what is said of a lock. */
			CHECK(errno == ENOMEM || errno == EFAULT ||
			      errno == ENOLCK);
		/* There was no such allocation. */
		if (left)
			break;
	}
	CHECK_EQ(r, 0);
	printf("# %d allocations, %d of them indispensable\n", nth - 1, failed);
	close(faults);
	return failed;
}

static void every_allocation_fails(int (*act)(void *context), void *context)
{
	CHECK(allocations_fail_from(1, act, context) > 0);
}

static int count_allocations(int (*act)(void *context), void *context)
{
	const int many = 1000000;
	int faults = faults_open(), left;

	CHECK(faults >= 0);
	faults_arm(faults, many);
	CHECK_EQ(act(context), 0);
	left = faults_left(faults);
	faults_arm(faults, 0);
	close(faults);
	return many - left;
}

/* ---- Making topics ------------------------------------------------------- */

static int make(void *request)
{
	int control = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC), r, error;

	if (control < 0)
		return -1;
	r = ioctl(control, TORC_IOC_CREATE, request);
	error = errno;
	close(control);
	errno = error;
	return r;
}

static void make_of(uint32_t memory, uint32_t flags, void *address)
{
	struct torc_driver_create request = device_request(memory, flags);
	char path[sizeof(TORC_DRIVER_FOLDER) + TORC_DRIVER_NAME_MAX];

	/* As few pages as can be. */
	request.capacity = TORC_CAPACITY_MIN;
	request.subscribers = 1;
	request.address = (uintptr_t)address;
	request.size = address ? 16 * PAGE : 0;
	every_allocation_fails(make, &request);
	snprintf(path, sizeof(path), "%s%s", TORC_DRIVER_FOLDER, request.name);
	CHECK_FAILS(ENOENT, access(path, F_OK));
}

TEST(making_a_topic_of_shmem)
{
	make_of(TORC_PAGES_SHMEM, 0, NULL);
}

TEST(making_a_topic_of_one_buffer)
{
	make_of(TORC_PAGES_CONTIG, 0, NULL);
}

TEST(making_a_topic_of_single_pages)
{
	make_of(TORC_PAGES_FAULT, TORC_DRIVER_MANY, NULL);
}

TEST(making_a_topic_of_own_memory)
{
	void *memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	make_of(TORC_PAGES_USER, TORC_DRIVER_PUBLISHES, memory);
}

/* ---- Using one ----------------------------------------------------------- */

static int open_and_close(void *context)
{
	int fd = device_open(context, O_RDWR);

	return fd < 0 ? -1 : close(fd);
}

static int subscribe_and_close(void *context)
{
	const struct device *d = context;
	uint32_t slot;
	int fd = device_subscribe(d->fd, &slot);

	return fd < 0 ? -1 : close(fd);
}

static int map_and_touch(void *context)
{
	const struct device *d = context;
	volatile unsigned char *page =
		device_map(d->fd, d->constants.data_offset, PAGE, PROT_READ);

	if (page == MAP_FAILED)
		return -1;
	/* A fault that fails for want of memory is tried again. */
	(void)page[0];
	/* Which may want memory, too. */
	while (munmap((void *)(uintptr_t)page, PAGE))
		CHECK_EQ(errno, ENOMEM);
	return 0;
}

static int write_and_read(void *context)
{
	const struct device *d = context;
	char got[16];

	if (write(d->fd, "0123456789", 10) < 0)
		return -1;
	CHECK_EQ(read(d->fd, got, sizeof(got)), 10);
	return 0;
}

static int ask_for_signals(void *context)
{
	const struct device *d = context;

	return fcntl(d->fd, F_SETFL, O_RDWR | O_ASYNC) ?
		       -1 : fcntl(d->fd, F_SETFL, O_RDWR);
}

static int lock_and_unlock(void *context)
{
	const struct device *d = context;
	struct flock lock = { .l_type = F_WRLCK, .l_start = TORC_LOCK_PUBLISHER,
			      .l_len = 1 };

	if (fcntl(d->fd, F_OFD_SETLK, &lock))
		return -1;
	lock.l_type = F_UNLCK;
	while (fcntl(d->fd, F_OFD_SETLK, &lock))
		CHECK_EQ(errno, ENOLCK);
	return 0;
}

TEST(using_a_topic)
{
	struct device d;

	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_MANY, 0600);
	every_allocation_fails(open_and_close, &d);
	every_allocation_fails(subscribe_and_close, &d);
	every_allocation_fails(map_and_touch, &d);
	every_allocation_fails(write_and_read, &d);
	every_allocation_fails(ask_for_signals, &d);
	every_allocation_fails(lock_and_unlock, &d);
	device_end(&d);
}

/* ---- Loading modules ----------------------------------------------------- */

struct loading {
	const char *name, *parameters;
	int file;
};

static int load_and_unload(void *context)
{
	const struct loading *loading = context;

	if (syscall(SYS_finit_module, loading->file, loading->parameters, 0))
		return -1;
	/* Which may want memory, too. */
	while (syscall(SYS_delete_module, loading->name, O_NONBLOCK))
		CHECK_EQ(errno, ENOMEM);
	return 0;
}

/*
 * The kernel's own allocations come first, hundreds of them, then those of what the
 * module does when it begins: unless there is time, only of the @last of all.
 */
static void loading(const char *name, const char *parameters, int last)
{
	struct loading loading = { name, parameters, -1 };
	char path[200];
	int count;

	snprintf(path, sizeof(path), "%s/%s.ko", getenv("TORC_MODULES"), name);
	loading.file = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(loading.file >= 0);
	count = count_allocations(load_and_unload, &loading);
	if (last > count || harness_seconds(0, 1))
		last = count;
	allocations_fail_from(count - last + 1, load_and_unload, &loading);
	close(loading.file);
}

TEST(loading_drivers_that_publish_and_listen)
{
	loading("torc_tick", "capacity=4096", 30);
	loading("torc_exec", "capacity=4096", 30);
	loading("torc_echo", "capacity=4096", 60);
}

TEST(loading_the_module)
{
	CHECK(!syscall(SYS_delete_module, "torc", O_NONBLOCK));
	loading("torc", "topics=one", 60);
	shell("insmod $TORC_MODULES/torc.ko");
}
