/* SPDX-License-Identifier: MIT */
/*
 * Goal: the driver publishes into memory of a process (TORC_PAGES_USER), takes no
 * more than it may, survives whatever the process does to the memory, and gives it
 * back however the process ends.
 * Method: the node and ring.h, without libtorc; write() makes the driver publish.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <torc/driver.h>
#include <torc/ring.h>

#define SIZE (512u << 10)

static const char *topic_name(void)
{
	static char name[TORC_DRIVER_NAME_MAX];

	snprintf(name, sizeof(name), "user-%d", (int)getpid());
	return name;
}

static int control_open(void)
{
	int fd = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static int create(int control, const char *name, const void *memory,
		  uint64_t size)
{
	struct torc_driver_create create = {
		.flags = TORC_DRIVER_PUBLISHES,
		.memory = TORC_PAGES_USER,
		.mode = 0600,
		.address = (uintptr_t)memory,
		.size = size,
	};

	strcpy(create.name, name);
	return ioctl(control, TORC_IOC_CREATE, &create);
}

static int node_open(const char *name, int flags)
{
	char path[sizeof(TORC_DRIVER_FOLDER) + TORC_DRIVER_NAME_MAX];

	snprintf(path, sizeof(path), "%s%s", TORC_DRIVER_FOLDER, name);
	return open(path, flags | O_CLOEXEC);
}

static unsigned char *memory_new(int flags, int fd)
{
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(memory != MAP_FAILED);
	/* What was there before is nothing to the driver. */
	memset(memory, 0xa5, SIZE);
	return memory;
}

static unsigned char *memory_private(void)
{
	return memory_new(MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void consumer_join(struct torc_consumer *consumer, void *memory)
{
	struct torc_ring ring;

	CHECK_EQ(torc_ring_attach(&ring, memory, SIZE, NULL, 0), 0);
	CHECK_EQ(torc_consumer_join(consumer, &ring, TORC_NO_SLOT, TORC_OLDEST),
		 0);
}

/* A message, of a length that soon takes one round the ring. */
struct letter {
	uint64_t number;
	unsigned char filler[992];
};

static struct letter letter_new(uint64_t number)
{
	struct letter letter = { .number = number };

	memset(letter.filler, (int)(number % 251), sizeof(letter.filler));
	return letter;
}

static void write_number(int node, uint64_t number)
{
	struct letter letter = letter_new(number);

	CHECK_EQ(write(node, &letter, sizeof(letter)), sizeof(letter));
}

static void expect_number(struct torc_consumer *consumer, uint64_t want)
{
	struct letter letter, expected = letter_new(want);
	struct torc_message message;

	CHECK_EQ(torc_consumer_receive(consumer, &letter, sizeof(letter),
				       &message), 0);
	CHECK_EQ(message.length, sizeof(letter));
	CHECK(!memcmp(&letter, &expected, sizeof(letter)));
}

static long locked_kib(void)
{
	char line[128];
	long kib = -1;
	FILE *status = fopen("/proc/self/status", "re");

	CHECK(status);
	while (fgets(line, sizeof(line), status))
		sscanf(line, "VmLck: %ld", &kib);
	fclose(status);
	return kib;
}

/* ---- Publishing into it -------------------------------------------------- */

static void driver_publishes_into(unsigned char *memory)
{
	struct torc_consumer consumer;
	int control = control_open(), node;

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	node = node_open(topic_name(), O_WRONLY);
	CHECK(node >= 0);
	consumer_join(&consumer, memory);
	/* More than once round the ring. */
	for (uint64_t i = 0; i < 2000; i++) {
		write_number(node, i);
		expect_number(&consumer, i);
	}
	CHECK_EQ(consumer.lost, 0);
	close(node);
	close(control);
	CHECK_FAILS(ENOENT, node_open(topic_name(), O_WRONLY));
	CHECK_EQ(munmap(memory, SIZE), 0);
}

TEST(publishes_into_private_memory)
{
	driver_publishes_into(memory_private());
}

TEST(publishes_into_shared_memory)
{
	driver_publishes_into(memory_new(MAP_SHARED | MAP_ANONYMOUS, -1));
}

TEST(publishes_into_a_tmpfs_file)
{
	int fd = memfd_create("user", MFD_CLOEXEC);

	CHECK_EQ(ftruncate(fd, SIZE), 0);
	driver_publishes_into(memory_new(MAP_SHARED, fd));
}

TEST(publishes_into_it_from_a_hard_interrupt)
{
	unsigned char *memory = memory_private();
	struct torc_consumer consumer;
	struct torc_message message;
	int control = control_open();
	uint64_t tick[2];

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	consumer_join(&consumer, memory);
	shell("insmod $TORC_MODULES/torc_tick.ko into=%s", topic_name());
	for (uint64_t i = 0; i < 200; i++) {
		while (torc_consumer_receive(&consumer, tick, sizeof(tick),
					     &message) == -EAGAIN)
			usleep(1000);
		CHECK_EQ(tick[0], i);
	}
	/* It lasts for as long as the driver wants it. */
	close(control);
	CHECK(locked_kib() > 0);
	shell("rmmod torc_tick");
	CHECK_EQ(locked_kib(), 0);
}

TEST(others_read_but_do_not_map_it)
{
	struct torc_driver_subscribe subscribe = { .slot = 0 };
	unsigned char *memory = memory_private();
	int control = control_open(), node;
	struct letter letter;

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	node = node_open(topic_name(), O_RDWR);
	write_number(node, 7);
	CHECK_EQ(read(node, &letter, sizeof(letter)), sizeof(letter));
	CHECK_EQ(letter.number, 7);
	CHECK_FAILS(ENODEV, (intptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED,
					   node, 0));
	CHECK(!ioctl(node, TORC_IOC_SUBSCRIBE, &subscribe));
	CHECK_FAILS(ENODEV, (intptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED,
					   subscribe.fd, 0));
}

/* ---- What is refused ----------------------------------------------------- */

TEST(refuses_areas_that_make_no_sense)
{
	unsigned char *memory = memory_private();
	int control = control_open();

	CHECK_FAILS(EINVAL, create(control, topic_name(), memory + 8, SIZE));
	CHECK_FAILS(EINVAL, create(control, topic_name(), memory, SIZE - 8));
	CHECK_FAILS(EINVAL, create(control, topic_name(), memory,
				   -(uint64_t)4096));
	CHECK_FAILS(ENOSPC, create(control, topic_name(), memory, 4096));
	CHECK_FAILS(ENOSPC, create(control, topic_name(), memory, 0));
	CHECK_EQ(locked_kib(), 0);
}

TEST(refuses_memory_that_is_not_there_or_not_writable)
{
	unsigned char *memory = memory_private();
	int control = control_open();

	CHECK_EQ(mprotect(memory + SIZE / 2, 4096, PROT_READ), 0);
	CHECK_FAILS(EFAULT, create(control, topic_name(), memory, SIZE));
	CHECK_EQ(munmap(memory + SIZE / 2, 4096), 0);
	CHECK_FAILS(EFAULT, create(control, topic_name(), memory, SIZE));
	CHECK_EQ(locked_kib(), 0);
	CHECK_FAILS(ENOENT, node_open(topic_name(), O_RDONLY));
}

TEST(keeps_to_the_limit_of_locked_memory)
{
	struct rlimit limit = { SIZE / 2, SIZE / 2 };
	unsigned char *memory = memory_private();
	int control = control_open();

	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	/* Root is above the limit. */
	CHECK_EQ(setuid(65534), 0);
	CHECK_FAILS(ENOMEM, create(control, topic_name(), memory, SIZE));
	CHECK_EQ(create(control, topic_name(), memory, SIZE / 2), 0);
	CHECK(locked_kib() > (long)(SIZE >> 12));
}

/* ---- Its end ------------------------------------------------------------- */

TEST(gives_it_back_when_control_closes)
{
	unsigned char *memory = memory_private();
	int control = control_open();

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	CHECK(locked_kib() > (long)(SIZE >> 11));
	close(control);
	CHECK_EQ(locked_kib(), 0);
}

TEST(the_module_is_not_unloaded_while_memory_is_pinned)
{
	int control = control_open();

	CHECK_EQ(create(control, topic_name(), memory_private(), SIZE), 0);
	CHECK_FAILS(EAGAIN, syscall(SYS_delete_module, "torc", O_NONBLOCK));
	close(control);
}

/* Pages pinned for long by all of the system since it started, less the unpinned. */
static long long pinned_pages(void)
{
	long long acquired = -1, released = -1;
	char line[128];
	FILE *vmstat;
	int refresh = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	/* Each processor counts for itself, and tells it now and then. */
	CHECK_EQ(write(refresh, "1", 1), 1);
	close(refresh);
	vmstat = fopen("/proc/vmstat", "re");
	CHECK(vmstat);
	while (fgets(line, sizeof(line), vmstat)) {
		sscanf(line, "nr_foll_pin_acquired %lld", &acquired);
		sscanf(line, "nr_foll_pin_released %lld", &released);
	}
	fclose(vmstat);
	CHECK(acquired >= 0 && released >= 0);
	return acquired - released;
}

static void pin_and_exit(const void *name)
{
	CHECK_EQ(create(control_open(), name, memory_private(), SIZE), 0);
}

TEST(no_page_stays_pinned_when_processes_end)
{
	long long before = pinned_pages();
	int control = control_open();

	CHECK_EQ(create(control, topic_name(), memory_private(), SIZE), 0);
	CHECK(pinned_pages() > before);
	close(control);
	CHECK_EQ(pinned_pages(), before);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(child_end(child_start(pin_and_exit, topic_name())), 0);
	CHECK_EQ(pinned_pages(), before);
}

static void own_until_killed(const void *name)
{
	CHECK_EQ(create(control_open(), name, memory_private(), SIZE), 0);
	for (;;)
		pause();
}

TEST(survives_the_owner)
{
	char name[TORC_DRIVER_NAME_MAX];

	strcpy(name, topic_name());
	for (int i = 0; i < 20; i++) {
		pid_t pid = child_start(own_until_killed, name);
		int node;

		while ((node = node_open(name, O_WRONLY)) < 0)
			usleep(1000);
		write_number(node, 1);
		kill(pid, SIGKILL);
		CHECK_EQ(child_end(pid), -SIGKILL);
		/* The memory is ours to write as long as we have it open. */
		for (uint64_t n = 0; n < 10; n++)
			write_number(node, n);
		close(node);
		CHECK_FAILS(ENOENT, node_open(name, O_WRONLY));
	}
}

/* ---- What the owner may do to it ----------------------------------------- */

TEST(goes_on_when_the_memory_is_taken_away)
{
	unsigned char *memory = memory_private();
	int control = control_open(), node;

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	node = node_open(topic_name(), O_RDWR);
	write_number(node, 1);
	CHECK_EQ(madvise(memory, SIZE, MADV_DONTNEED), 0);
	CHECK_EQ(memory[0], 0);
	write_number(node, 2);
	CHECK_EQ(munmap(memory, SIZE), 0);
	for (uint64_t n = 0; n < 1000; n++)
		write_number(node, n);
}

static void sees_one_message(const void *memory)
{
	struct torc_consumer consumer;
	struct torc_message message;

	consumer_join(&consumer, (void *)(uintptr_t)memory);
	usleep(100000);
	expect_number(&consumer, 1);
	CHECK_EQ(torc_consumer_peek(&consumer, &message), -EAGAIN);
}

TEST(a_forked_child_sees_no_more)
{
	unsigned char *memory = memory_private();
	struct torc_consumer consumer;
	int control = control_open(), node;
	pid_t pid;

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	node = node_open(topic_name(), O_WRONLY);
	write_number(node, 1);
	pid = child_start(sees_one_message, memory);
	write_number(node, 2);
	CHECK_EQ(child_end(pid), 0);
	consumer_join(&consumer, memory);
	expect_number(&consumer, 1);
	expect_number(&consumer, 2);
}

static void scribble(unsigned char *memory, unsigned int *seed)
{
	for (int i = 0; i < 200; i++) {
		size_t offset = (size_t)rand_r(seed) % SIZE;

		/* Mostly where the words are that matter. */
		if (i % 4)
			offset %= 16384;
		memory[offset] = (unsigned char)rand_r(seed);
	}
}

static void scribble_for_ever(const void *memory)
{
	unsigned int seed = (unsigned int)getpid();

	for (;;)
		scribble((unsigned char *)(uintptr_t)memory, &seed);
}

TEST(withstands_an_owner_who_writes_anything_anywhere)
{
	unsigned char *memory = memory_new(MAP_SHARED | MAP_ANONYMOUS, -1);
	uint64_t end = now_ns() + harness_seconds(3, 60) * 1000000000ull;
	int control = control_open(), node;
	unsigned char message[1000] = { 0 };
	unsigned long published = 0;
	pid_t pid;

	CHECK_EQ(create(control, topic_name(), memory, SIZE), 0);
	node = node_open(topic_name(), O_RDWR | O_NONBLOCK);
	pid = child_start(scribble_for_ever, memory);
	while (now_ns() < end) {
		for (size_t length = 0; length < sizeof(message); length += 37)
			published += write(node, message, length) >= 0;
		for (int i = 0; i < 100; i++)
			if (read(node, message, sizeof(message)) < 0)
				break;
	}
	kill(pid, SIGKILL);
	CHECK_EQ(child_end(pid), -SIGKILL);
	CHECK(published > 0);
	close(node);
	close(control);
	driver_publishes_into(memory_private());
}
