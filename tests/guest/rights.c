/* SPDX-License-Identifier: MIT */
/*
 * Goal: a process gets at nothing of a topic that its descriptor does not give it,
 * whatever it does with its mappings, and the module outlives every user.
 * Method: each way to hold the memory, each trick with mmap() and its relatives.
 */
#include "device.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ PROT_READ
#define WRITE (PROT_READ | PROT_WRITE)

/* Does writing to @at kill? */
static void write_byte(const void *at)
{
	*(volatile char *)(uintptr_t)at = 1;
}

static bool writing_kills(const void *at)
{
	int status = child_end(child_start(write_byte, at));

	CHECK(status == 0 || status == -SIGSEGV || status == -SIGBUS);
	return status != 0;
}

TEST(each_region_is_writable_only_as_it_is_said)
{
	for_each_memory(m) {
		struct device d;
		uint64_t ring, publishing, cursors;
		void *at;

		device_make(&d, memories[m], 0, 0600);
		ring = d.constants.ring_size;
		publishing = d.constants.publishing_offset;
		cursors = d.constants.cursors_size;
		CHECK_FAILS(EACCES, device_map(d.fd, 0, PAGE, WRITE));
		CHECK_FAILS(EACCES, device_map(d.fd, 0, ring, WRITE));
		CHECK(device_map(d.fd, 0, ring, READ) != MAP_FAILED);
		at = device_map(d.fd, publishing, ring - publishing, WRITE);
		CHECK(at != MAP_FAILED && !writing_kills(at));
		at = device_map(d.fd, ring, cursors, WRITE);
		CHECK(at != MAP_FAILED && !writing_kills(at));
		at = device_map(d.fd, 0, PAGE, READ);
		CHECK(writing_kills(at));
		munmap(at, PAGE);
	}
}

TEST(nothing_is_writable_where_the_driver_publishes)
{
	for_each_memory(m) {
		struct device d;

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		for (uint64_t at = 0; at < d.constants.ring_size +
					       d.constants.cursors_size;
		     at += PAGE)
			CHECK_FAILS(EACCES, device_map(d.fd, at, PAGE, WRITE));
		device_end(&d);
	}
}

TEST(a_subscription_may_write_the_words_and_its_own_slot_only)
{
	for_each_memory(m) {
		struct device d;
		uint32_t slot, other;
		int fd, fd2;

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		fd = device_subscribe(d.fd, &slot);
		fd2 = device_subscribe(d.fd, &other);
		CHECK(fd >= 0 && fd2 >= 0 && slot && other && slot != other);
		for (uint64_t at = 0; at < d.constants.ring_size +
					       d.constants.cursors_size;
		     at += PAGE) {
			bool ours = at == d.constants.ring_size ||
				    at == d.constants.ring_size + slot * PAGE;
			void *page = device_map(fd, at, PAGE, WRITE);

			CHECK((page != MAP_FAILED) == ours);
			if (page != MAP_FAILED)
				munmap(page, PAGE);
		}
		close(fd);
		close(fd2);
		device_end(&d);
	}
}

TEST(a_subscriptions_mappings_stay_as_they_are)
{
	for_each_memory(m) {
		struct device d;
		uint64_t ring, own;
		uint32_t slot;
		char *at;
		int fd;

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		ring = d.constants.ring_size;
		fd = device_subscribe(d.fd, &slot);
		CHECK(fd >= 0);
		own = ring + slot * PAGE;
		CHECK_FAILS(EACCES, device_map(fd, own, 2 * PAGE, WRITE));
		CHECK_FAILS(EACCES, device_map(fd, own - PAGE, 2 * PAGE, WRITE));
		CHECK_FAILS(EINVAL, mmap(NULL, PAGE, WRITE, MAP_PRIVATE, fd,
					 (off_t)own));
		/* From its own slot to another's it does not grow or go. */
		at = device_map(fd, own, PAGE, WRITE);
		CHECK(at != MAP_FAILED);
		CHECK_FAILS(EACCES, mprotect(at, PAGE, WRITE | PROT_EXEC));
		CHECK_FAILS(EFAULT, mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
		CHECK_EQ(syscall(SYS_remap_file_pages, at, PAGE, 0,
				 d.constants.data_offset / PAGE, 0), -1);
		/* What was mapped to be read is not written. */
		at = device_map(fd, own, PAGE, READ);
		CHECK(at != MAP_FAILED);
		CHECK_FAILS(EACCES, mprotect(at, PAGE, WRITE));
		CHECK(writing_kills(at));
		close(fd);
	}
}

TEST(offsets_and_sizes_outside_are_refused)
{
	for_each_memory(m) {
		struct device d;
		uint64_t ring, end;

		device_make(&d, memories[m], 0, 0600);
		ring = d.constants.ring_size;
		end = ring + d.constants.cursors_size;
		CHECK_FAILS(EINVAL, device_map(d.fd, end, PAGE, READ));
		CHECK_FAILS(EINVAL, device_map(d.fd, end - PAGE, 2 * PAGE, READ));
		CHECK_FAILS(EINVAL, device_map(d.fd, ring - PAGE, 2 * PAGE,
					       READ));
		CHECK_FAILS(EINVAL, device_map(d.fd, 0, end, READ));
		CHECK_FAILS(EINVAL, device_map(d.fd, 1ull << 40, PAGE, READ));
		CHECK_FAILS(EOVERFLOW, device_map(d.fd, UINT64_MAX - PAGE + 1,
						  2 * PAGE, READ));
		CHECK_FAILS(EINVAL, mmap(NULL, PAGE, READ, MAP_PRIVATE, d.fd, 0));
		CHECK_FAILS(EINVAL, mmap(NULL, PAGE, WRITE, MAP_PRIVATE, d.fd,
					 (off_t)ring));
		CHECK_FAILS(EPERM, device_map(d.fd, 0, PAGE,
					      PROT_READ | PROT_EXEC));
		device_end(&d);
	}
}

TEST(a_mapping_once_read_only_stays_so)
{
	for_each_memory(m) {
		struct device d;
		uint64_t data, size;
		char *at, *moved;
		int fd;

		device_make(&d, memories[m], 0, 0644);
		data = d.constants.data_offset;
		size = d.constants.capacity;
		at = device_map(d.fd, data, size, READ);
		CHECK(at != MAP_FAILED);
		CHECK_FAILS(EACCES, mprotect(at, size, WRITE));
		CHECK_FAILS(EACCES, mprotect(at, PAGE, READ | PROT_EXEC));
		/* Neither where it lies nor moved does it grow. */
		CHECK_FAILS(EFAULT, mremap(at, size, 2 * size, MREMAP_MAYMOVE));
		moved = mremap(at, size, PAGE, 0);
		CHECK(moved == at);
		CHECK_FAILS(EFAULT, mremap(at, PAGE, size, MREMAP_MAYMOVE));
		CHECK(writing_kills(at));
		/* A hole in the middle leaves the rest as it was. */
		at = device_map(d.fd, data, size, READ);
		CHECK(!munmap(at + PAGE, PAGE));
		CHECK_FAILS(EACCES, mprotect(at + 2 * PAGE, PAGE, WRITE));
		CHECK(writing_kills(at) && writing_kills(at + 2 * PAGE));
		/* Who opened it read-only maps nothing writable. */
		fd = device_open(&d, O_RDONLY);
		CHECK_FAILS(EACCES, device_map(fd, data, PAGE, WRITE));
		at = device_map(fd, data, PAGE, READ);
		CHECK(at != MAP_FAILED);
		CHECK_FAILS(EACCES, mprotect(at, PAGE, WRITE));
		close(fd);
	}
}

TEST(remap_file_pages_does_not_get_round_it)
{
	for_each_memory(m) {
		struct device d;
		uint64_t publishing;
		char *at;

		device_make(&d, memories[m], 0, 0600);
		publishing = d.constants.publishing_offset;
		/* From what may be written to what may not. */
		at = device_map(d.fd, publishing, PAGE, WRITE);
		CHECK(at != MAP_FAILED);
		CHECK_EQ(syscall(SYS_remap_file_pages, at, PAGE, 0, 0, 0), -1);
		/* From what is mapped read-only to what may be written. */
		at = device_map(d.fd, 0, PAGE, READ);
		if (!syscall(SYS_remap_file_pages, at, PAGE, 0, 1, 0)) {
			CHECK_FAILS(EACCES, mprotect(at, PAGE, WRITE));
			CHECK(writing_kills(at));
		}
	}
}

TEST(proc_self_mem_and_madvise_do_not_get_round_it)
{
	for_each_memory(m) {
		struct device d;
		struct torc_constants_shm *at;
		int mem = open("/proc/self/mem", O_RDWR);

		device_make(&d, memories[m], 0, 0600);
		at = device_map(d.fd, 0, PAGE, READ);
		CHECK(at != MAP_FAILED && mem >= 0);
		CHECK_FAILS(EIO, pwrite(mem, "x", 1, (off_t)(uintptr_t)at));
		madvise(at, PAGE, MADV_REMOVE);
		madvise(at, PAGE, MADV_DONTNEED);
		madvise(at, PAGE, MADV_PAGEOUT);
		CHECK(at->magic == TORC_RING_MAGIC);
		close(mem);
	}
}

struct second_user {
	const struct device *device;
	int reading_fd;
};

static void as_nobody(const void *context)
{
	const struct second_user *user = context;
	char path[40];

	CHECK(!setgid(NOBODY) && !setuid(NOBODY));
	CHECK_FAILS(EACCES, device_open(user->device, O_RDWR));
	CHECK_FAILS(EACCES, device_open(user->device, O_WRONLY));
	CHECK_FAILS(EACCES, open(TORC_DRIVER_CONTROL, O_RDONLY));
	/* The node's mode counts, not how the descriptor came to us. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", user->reading_fd);
	CHECK_FAILS(EACCES, open(path, O_RDWR));
	CHECK_FAILS(EACCES, device_map(user->reading_fd,
				       user->device->constants.data_offset,
				       PAGE, WRITE));
}

static void subscribe_as_nobody(const void *context)
{
	const struct device *d = context;
	uint32_t slot;
	int fd, sub;

	CHECK(!setgid(NOBODY) && !setuid(NOBODY));
	fd = device_open(d, O_RDONLY);
	CHECK(fd >= 0);
	sub = device_subscribe(fd, &slot);
	CHECK(sub >= 0);
	CHECK(device_map(sub, d->constants.ring_size + slot * PAGE, PAGE,
			 WRITE) != MAP_FAILED);
	CHECK_FAILS(EACCES, device_map(fd, d->constants.ring_size, PAGE,
				       WRITE));
}

TEST(another_user_has_what_the_mode_gives_it)
{
	for_each_memory(m) {
		struct device d;
		struct second_user user = { &d, -1 };

		device_make(&d, memories[m], 0, 0600);
		user.reading_fd = device_open(&d, O_RDONLY);
		CHECK_EQ(child_end(child_start(as_nobody, &user)), 0);
		close(user.reading_fd);
		device_end(&d);

		device_make(&d, memories[m], 0, 0644);
		CHECK_EQ(child_end(child_start(subscribe_as_nobody, &d)), 0);
		device_end(&d);
	}
}

/* A child keeps the ring it inherits, and loses a subscription's pages. */
static void look_at_inherited(const void *context)
{
	void *const *pages = (void *const *)(uintptr_t)context;
	unsigned char resident;

	CHECK(((const struct torc_constants_shm *)pages[0])->magic ==
	      TORC_RING_MAGIC);
	CHECK_FAILS(ENOMEM, mincore(pages[1], PAGE, &resident));
}

TEST(a_forked_child_does_not_keep_its_parents_slot)
{
	for_each_memory(m) {
		struct device d;
		void *pages[2];
		uint32_t slot;
		int fd;

		device_make(&d, memories[m], 0, 0600);
		fd = device_subscribe(d.fd, &slot);
		pages[0] = device_map(d.fd, 0, PAGE, READ);
		pages[1] = device_map(fd, d.constants.ring_size + slot * PAGE, PAGE,
				      WRITE);
		CHECK(pages[0] != MAP_FAILED && pages[1] != MAP_FAILED);
		CHECK_EQ(child_end(child_start(look_at_inherited, pages)), 0);
		munmap(pages[0], PAGE);
		munmap(pages[1], PAGE);
		close(fd);
		device_end(&d);
	}
}

TEST(a_slot_has_nothing_of_its_last_owners)
{
	for_each_memory(m) {
		struct device d;
		uint64_t own;
		uint32_t slot, other;
		unsigned char *page;
		int fd;

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		fd = device_subscribe(d.fd, &slot);
		own = d.constants.ring_size + slot * PAGE;
		page = device_map(fd, own, PAGE, WRITE);
		CHECK(page != MAP_FAILED);
		memset(page, 0xa5, PAGE);
		munmap(page, PAGE);
		close(fd);
		fd = device_subscribe(d.fd, &other);
		CHECK_EQ(slot, other);
		page = device_map(fd, own, PAGE, READ);
		CHECK(page != MAP_FAILED);
		for (uint32_t i = 0; i < PAGE; i++)
			CHECK_EQ(page[i], 0);
		munmap(page, PAGE);
		close(fd);
		device_end(&d);
	}
}

/* What F_OFD_GETLK says of a byte. */
static short who_locks(int fd, uint64_t byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)byte,
			      .l_len = 1 };

	CHECK(!fcntl(fd, F_OFD_GETLK, &lock));
	return lock.l_type;
}

static int lock_bytes(int fd, uint64_t first, uint64_t count)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)first,
			      .l_len = (off_t)count };

	return fcntl(fd, F_OFD_SETLK, &lock);
}

TEST(the_driver_answers_for_the_slots_that_it_gives)
{
	struct torc_driver_create request =
		device_request(TORC_PAGES_SHMEM, TORC_DRIVER_MANY);
	uint64_t processes = 4, slots = TORC_LOCK_SUBSCRIBER;
	struct device d;
	uint32_t slot;
	int other, sub;

	request.publishers = (uint32_t)processes;
	device_make_as(&d, &request);
	other = device_open(&d, O_RDWR);
	sub = device_subscribe(d.fd, &slot);
	CHECK(other >= 0 && sub >= 0);
	/* Who has it is alive; the next is nobody's. */
	CHECK_EQ(who_locks(other, slots + slot), F_WRLCK);
	CHECK_EQ(who_locks(other, slots + slot + 1), F_UNLCK);
	CHECK_FAILS(EAGAIN, lock_bytes(other, slots + slot + 1, 1));
	CHECK_FAILS(EAGAIN, lock_bytes(other, slots - 1, 2));
	close(sub);
	CHECK_EQ(who_locks(other, slots + slot), F_UNLCK);
	/* The publishers behind those of processes are its own. */
	CHECK_EQ(who_locks(other, TORC_LOCK_PUBLISHER + processes), F_WRLCK);
	CHECK_FAILS(EAGAIN, lock_bytes(other, TORC_LOCK_PUBLISHER + processes,
				       1));
	CHECK_FAILS(EAGAIN, lock_bytes(other, TORC_LOCK_PUBLISHER, 0));
	CHECK(!lock_bytes(other, TORC_LOCK_PUBLISHER, processes));
	CHECK_EQ(who_locks(d.fd, TORC_LOCK_PUBLISHER + processes - 1), F_WRLCK);
	CHECK_FAILS(EAGAIN, lock_bytes(d.fd, TORC_LOCK_PUBLISHER, 1));
	close(other);
	CHECK(!lock_bytes(d.fd, TORC_LOCK_PUBLISHER, 1));
	device_end(&d);
}

TEST(a_slot_is_free_again_when_its_owner_is_killed)
{
	for_each_memory(m) {
		struct device d;
		uint32_t slot;
		int fds[TORC_SUBSCRIBERS_MAX], count = 0, status;
		pid_t pid;

		device_make(&d, memories[m], 0, 0600);
		while ((fds[count] = device_subscribe(d.fd, &slot)) >= 0)
			count++;
		CHECK_EQ(errno, EUSERS);
		CHECK(count >= 16);
		close(fds[--count]);
		pid = fork();
		if (!pid) {
			device_subscribe(d.fd, &slot);
			device_map(d.fd, 0, PAGE, READ);
			kill(getpid(), SIGKILL);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		fds[count] = device_subscribe(d.fd, &slot);
		CHECK(fds[count] >= 0);
		while (count >= 0)
			close(fds[count--]);
		device_end(&d);
	}
}

TEST(the_module_is_not_unloaded_while_anything_is_mapped)
{
	for_each_memory(m) {
		struct device d;
		struct torc_constants_shm *at;

		device_make(&d, memories[m], 0, 0600);
		at = device_map(d.fd, 0, PAGE, READ);
		CHECK(at != MAP_FAILED);
		close(d.fd);
		close(d.control);
		CHECK_FAILS(EAGAIN, syscall(SYS_delete_module, "torc",
					    O_NONBLOCK));
		CHECK(at->magic == TORC_RING_MAGIC);
		munmap(at, PAGE);
		CHECK_FAILS(ENOENT, access(d.path, F_OK));
	}
}
