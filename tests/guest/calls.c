/* SPDX-License-Identifier: MIT */
/*
 * Goal: read(), write(), poll() and the ioctls of the nodes do what driver.h says,
 * and refuse all else.
 */
#include "device.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An address that nothing is mapped at. */
#define NOWHERE ((void *)0x1000)

/* Who publishes: one process, drivers, many. */
static const uint32_t publishers[] = { 0, TORC_DRIVER_PUBLISHES,
				       TORC_DRIVER_MANY };

static int control(void)
{
	int fd = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static int create(const struct torc_driver_create *request)
{
	int fd = control(), r = ioctl(fd, TORC_IOC_CREATE, request);
	int error = errno;

	close(fd);
	errno = error;
	return r;
}

TEST(topics_are_not_made_of_nonsense)
{
	struct torc_driver_create good = device_request(TORC_PAGES_SHMEM, 0),
				  bad;
	static const char *const names[] = {
		"", "control", "/a", "a/", "a//b", ".a", "a/.b", "../a", "a b",
		"a:b", "a!b", "\xff", "control/a",
	};
	int fd = control();

#define REFUSED(error, change)                                                \
	do {                                                                  \
		bad = good;                                                   \
		change;                                                       \
		CHECK_FAILS(error, create(&bad));                             \
	} while (0)
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		REFUSED(EINVAL, strcpy(bad.name, names[i]));
	REFUSED(EINVAL, memset(bad.name, 'a', sizeof(bad.name)));
	REFUSED(EINVAL, memset(bad.type, 'a', sizeof(bad.type)));
	REFUSED(EINVAL, bad.flags = 8);
	REFUSED(EINVAL, bad.flags = TORC_DRIVER_PUBLISHES | TORC_DRIVER_MANY);
	REFUSED(EINVAL, bad.memory = 77);
	REFUSED(EINVAL, bad.cache = TORC_CACHE_WC);
	REFUSED(EINVAL, bad.memory = TORC_PAGES_CONTIG; bad.cache = 3);
	REFUSED(EINVAL, bad.mode = 01777);
	REFUSED(EINVAL, bad.publishers = 2);
	REFUSED(EINVAL, bad.reserved[5] = 1);
	REFUSED(EINVAL, bad.address = PAGE);
	REFUSED(EINVAL, bad.size = PAGE);
	REFUSED(EINVAL, bad.memory = TORC_PAGES_USER);
	REFUSED(EINVAL, bad.memory = TORC_PAGES_USER;
		bad.flags = TORC_DRIVER_MANY);
	REFUSED(EINVAL, bad.memory = TORC_PAGES_USER;
		bad.flags = TORC_DRIVER_PUBLISHES | TORC_DRIVER_PERSISTENT);
	REFUSED(EINVAL, bad.memory = TORC_PAGES_USER;
		bad.flags = TORC_DRIVER_PUBLISHES; bad.cache = TORC_CACHE_UC);
	REFUSED(E2BIG, bad.flags = TORC_DRIVER_MANY;
		bad.publishers = TORC_PUBLISHERS_MAX);
	REFUSED(E2BIG, bad.subscribers = TORC_SUBSCRIBERS_MAX - 1);
	REFUSED(E2BIG, bad.publishers = 1u << 20);
	REFUSED(E2BIG, bad.subscribers = UINT32_MAX);
	REFUSED(E2BIG, bad.capacity = UINT64_MAX);
	REFUSED(ENOMEM, bad.capacity = 1ull << 40);
#undef REFUSED
	CHECK_FAILS(EFAULT, ioctl(fd, TORC_IOC_CREATE, NOWHERE));
	CHECK_FAILS(EFAULT, ioctl(fd, TORC_IOC_REMOVE, NOWHERE));
	CHECK_FAILS(ENOTTY, ioctl(fd, TORC_IOC_SUBSCRIBE, NOWHERE));
	CHECK_FAILS(ENOTTY, ioctl(fd, 0x5401, NOWHERE));
	CHECK(!ioctl(fd, TORC_IOC_CREATE, &good));
	CHECK_FAILS(EEXIST, create(&good));
	/* A node cannot be a folder, too. */
	strcat(good.name, "/a");
	CHECK_FAILS(EEXIST, create(&good));
	close(fd);
}

TEST(names_to_remove_are_looked_at)
{
	struct torc_driver_name name = { "nobodys" };
	int fd = control();

	CHECK_FAILS(ENOENT, ioctl(fd, TORC_IOC_REMOVE, &name));
	memset(name.name, 0, sizeof(name.name));
	CHECK_FAILS(ENOENT, ioctl(fd, TORC_IOC_REMOVE, &name));
	memset(name.name, 'a', sizeof(name.name));
	CHECK_FAILS(EINVAL, ioctl(fd, TORC_IOC_REMOVE, &name));
	close(fd);
}

static bool exists(const char *name)
{
	char path[TORC_DRIVER_NAME_MAX + 16];

	snprintf(path, sizeof(path), "%s%s", TORC_DRIVER_FOLDER, name);
	return !access(path, F_OK);
}

static void remove_topic(const struct torc_driver_create *request)
{
	struct torc_driver_name name;
	int fd = control();

	memcpy(name.name, request->name, sizeof(name.name));
	CHECK(!ioctl(fd, TORC_IOC_REMOVE, &name));
	close(fd);
}

/* One of two threads that want a topic of the same description of control. */
struct maker {
	pthread_barrier_t *together;
	int control, error;
	struct torc_driver_create request;
};

static void *make(void *context)
{
	struct maker *maker = context;

	pthread_barrier_wait(maker->together);
	maker->error = ioctl(maker->control, TORC_IOC_CREATE,
			     &maker->request) ? errno : 0;
	return NULL;
}

TEST(a_description_of_control_makes_one_topic)
{
	for (int i = 0; i < 20; i++) {
		struct maker makers[2];
		pthread_barrier_t together;
		pthread_t thread;
		int fd = control(), loser;

		CHECK(!pthread_barrier_init(&together, NULL, 2));
		for (int n = 0; n < 2; n++)
			makers[n] = (struct maker){
				&together, fd, 0,
				device_request(TORC_PAGES_SHMEM,
					       TORC_DRIVER_PERSISTENT),
			};
		CHECK(!pthread_create(&thread, NULL, make, &makers[0]));
		make(&makers[1]);
		CHECK(!pthread_join(thread, NULL));
		pthread_barrier_destroy(&together);
		loser = makers[0].error ? 0 : 1;
		CHECK_EQ(makers[loser].error, EBUSY);
		CHECK_EQ(makers[!loser].error, 0);
		/* Nor does it leave what nobody would remove. */
		CHECK(!exists(makers[loser].request.name));
		CHECK_FAILS(EBUSY, ioctl(fd, TORC_IOC_CREATE,
					 &makers[loser].request));
		CHECK(!exists(makers[loser].request.name));
		close(fd);
		remove_topic(&makers[!loser].request);
	}
}

TEST(a_removed_topic_goes_on_for_who_has_it_open)
{
	for_each_memory(m) {
		struct device d;
		struct torc_driver_name name;
		char got[8];

		device_make(&d, memories[m], TORC_DRIVER_PERSISTENT, 0600);
		memcpy(name.name, d.name, sizeof(name.name));
		CHECK(!ioctl(d.control, TORC_IOC_REMOVE, &name));
		CHECK_FAILS(ENOENT, ioctl(d.control, TORC_IOC_REMOVE, &name));
		CHECK_FAILS(ENOENT, device_open(&d, O_RDWR));
		CHECK_EQ(write(d.fd, "on", 2), 2);
		CHECK_EQ(read(d.fd, got, sizeof(got)), 2);
		device_end(&d);
	}
}

TEST(a_persistent_topic_stays_with_its_messages)
{
	for_each_memory(m) {
		struct device d;
		struct torc_driver_name name;
		char got[8];
		int fd;

		device_make(&d, memories[m], TORC_DRIVER_PERSISTENT, 0600);
		CHECK_EQ(write(d.fd, "stays", 5), 5);
		close(d.fd);
		close(d.control);
		d.fd = device_open(&d, O_RDONLY);
		CHECK_EQ(read(d.fd, got, sizeof(got)), 5);
		fd = control();
		memcpy(name.name, d.name, sizeof(name.name));
		CHECK(!ioctl(fd, TORC_IOC_REMOVE, &name));
		close(fd);
		device_end(&d);
	}
}

TEST(the_ioctls_of_a_node_refuse_nonsense)
{
	for_each_memory(m) {
		struct device d;
		struct torc_driver_subscribe subscribe = { .reserved = { 1 } };
		struct torc_driver_wait wait = { .word = 2 };
		uint32_t slot;
		int sub, writing;

		device_make(&d, memories[m], 0, 0600);
		CHECK_FAILS(EINVAL, ioctl(d.fd, TORC_IOC_SUBSCRIBE, &subscribe));
		CHECK_FAILS(EFAULT, ioctl(d.fd, TORC_IOC_SUBSCRIBE, NOWHERE));
		writing = device_open(&d, O_WRONLY);
		CHECK_FAILS(EACCES, device_subscribe(writing, &slot));
		sub = device_subscribe(d.fd, &slot);
		CHECK(sub >= 0);
		CHECK_FAILS(EINVAL, device_subscribe(sub, &slot));
		CHECK_FAILS(EINVAL, ioctl(d.fd, TORC_IOC_WAIT, &wait));
		wait = (struct torc_driver_wait){ .reserved = { 0, 1 } };
		CHECK_FAILS(EINVAL, ioctl(d.fd, TORC_IOC_WAIT, &wait));
		CHECK_FAILS(EFAULT, ioctl(d.fd, TORC_IOC_WAIT, NOWHERE));
		wait = (struct torc_driver_wait){ .value = 12345 };
		CHECK_FAILS(EAGAIN, ioctl(d.fd, TORC_IOC_WAIT, &wait));
		wait = (struct torc_driver_wait){ .timeout_ns = 1000000 };
		CHECK_FAILS(ETIMEDOUT, ioctl(sub, TORC_IOC_WAIT, &wait));
		CHECK_FAILS(EINVAL, ioctl(d.fd, TORC_IOC_WAKE, 2ul));
		CHECK(!ioctl(d.fd, TORC_IOC_WAKE, 1ul));
		CHECK_FAILS(EBADF, ioctl(sub, TORC_IOC_EVENTFD, 999));
		CHECK_FAILS(EINVAL, ioctl(sub, TORC_IOC_EVENTFD, d.fd));
		CHECK(!ioctl(sub, TORC_IOC_EVENTFD, -1));
		CHECK_FAILS(ENOTTY, ioctl(d.fd, TORC_IOC_CREATE, NOWHERE));
		CHECK_FAILS(ENOTTY, ioctl(sub, TORC_IOC_REMOVE, NOWHERE));
		CHECK_FAILS(EINVAL, read(sub, &slot, sizeof(slot)));
		CHECK_FAILS(EINVAL, write(sub, &slot, sizeof(slot)));
		close(writing);
		close(sub);
		device_end(&d);
	}
}

TEST(no_sleep_on_a_word_is_longer_than_a_second)
{
	struct torc_driver_wait wait = { .timeout_ns = UINT64_MAX };
	struct device d;

	device_make(&d, TORC_PAGES_SHMEM, 0, 0600);
	CHECK_FAILS(ETIMEDOUT, ioctl(d.fd, TORC_IOC_WAIT, &wait));
	device_end(&d);
}

/* The lowest number that is free. */
static int next_fd(void)
{
	int fd = dup(STDIN_FILENO);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

TEST(a_subscription_that_cannot_be_had_takes_nothing)
{
	struct device d;
	struct rlimit before, limit;
	void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	uint32_t slot, other;
	int fd;

	CHECK(page != MAP_FAILED);
	device_make(&d, TORC_PAGES_SHMEM, 0, 0600);
	fd = next_fd();
	CHECK(!getrlimit(RLIMIT_NOFILE, &before));
	limit = before;
	limit.rlim_cur = (rlim_t)fd;
	/* More often than there are slots. */
	for (int i = 0; i < 100; i++) {
		CHECK_FAILS(EFAULT, ioctl(d.fd, TORC_IOC_SUBSCRIBE, page));
		CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
		CHECK_FAILS(EMFILE, device_subscribe(d.fd, &slot));
		CHECK(!setrlimit(RLIMIT_NOFILE, &before));
	}
	CHECK_EQ(device_subscribe(d.fd, &slot), fd);
	close(fd);
	CHECK_EQ(device_subscribe(d.fd, &other), fd);
	CHECK_EQ(slot, other);
	close(fd);
	device_end(&d);
}

TEST(read_and_write_move_one_message_each)
{
	for (unsigned int way = 0; way < 9; way++) {
		struct device d;
		static char big[16384], got[16384];
		int reading;

		device_make(&d, memories[way % 3], publishers[way / 3], 0600);
		reading = device_open(&d, O_RDONLY | O_NONBLOCK);
		CHECK_FAILS(EAGAIN, read(reading, got, sizeof(got)));
		CHECK_FAILS(EBADF, write(reading, "x", 1));
		CHECK_EQ(write(d.fd, "one", 3), 3);
		CHECK_EQ(write(d.fd, "", 0), 0);
		CHECK_EQ(write(d.fd, "three", 5), 5);
		CHECK_FAILS(EMSGSIZE, read(reading, got, 2));
		CHECK_EQ(read(reading, got, sizeof(got)), 3);
		CHECK(!memcmp(got, "one", 3));
		CHECK_EQ(read(reading, got, sizeof(got)), 5);
		CHECK_FAILS(EAGAIN, read(reading, got, sizeof(got)));
		CHECK_FAILS(EFAULT, write(d.fd, NOWHERE, 8));
		CHECK_FAILS(EMSGSIZE, write(d.fd, big, sizeof(big)));
		for (int i = 0; i < 200; i++) {
			memset(big, i, 4000);
			CHECK_EQ(write(d.fd, big, 4000), 4000);
			CHECK_EQ(read(reading, got, sizeof(got)), 4000);
			CHECK(!memcmp(got, big, 4000));
		}
		CHECK_EQ(write(d.fd, "x", 1), 1);
		CHECK_FAILS(EFAULT, read(reading, NOWHERE, 8));
		CHECK_EQ(read(reading, got, sizeof(got)), 1);
		close(reading);
		device_end(&d);
	}
}

TEST(write_leaves_a_topic_to_the_one_process_that_publishes)
{
	for_each_memory(m) {
		struct flock lock = { .l_type = F_WRLCK,
				      .l_start = (off_t)TORC_LOCK_PUBLISHER,
				      .l_len = 1 };
		struct device d;
		int publisher;

		device_make(&d, memories[m], 0, 0600);
		publisher = device_open(&d, O_RDWR);
		CHECK(publisher >= 0 && !fcntl(publisher, F_OFD_SETLK, &lock));
		CHECK_FAILS(EBUSY, write(d.fd, "x", 1));
		close(publisher);
		CHECK_EQ(write(d.fd, "x", 1), 1);
		device_end(&d);
	}
}

TEST(who_may_write_is_told_so_by_poll)
{
	struct pollfd pollers[2];
	struct device d;

	device_make(&d, TORC_PAGES_SHMEM, 0, 0600);
	pollers[0] = (struct pollfd){ d.fd, POLLOUT, 0 };
	pollers[1] = (struct pollfd){ device_open(&d, O_RDONLY), POLLOUT, 0 };
	CHECK_EQ(poll(pollers, 2, 0), 1);
	CHECK_EQ(pollers[0].revents, POLLOUT);
	close(pollers[1].fd);
	device_end(&d);
}

static void write_late(const void *context)
{
	const struct device *d = context;

	usleep(50000);
	CHECK_EQ(write(d->fd, "late", 4), 4);
}

TEST(read_poll_and_epoll_wait_for_a_message)
{
	for (int i = 0; i < 27; i++) {
		struct epoll_event event = { .events = EPOLLIN };
		struct device d;
		struct pollfd poller;
		char got[8];
		pid_t pid;
		int epoll = epoll_create1(EPOLL_CLOEXEC), reading;

		device_make(&d, memories[i / 9], publishers[i / 3 % 3], 0600);
		reading = device_open(&d, O_RDONLY);
		poller = (struct pollfd){ reading, POLLIN, 0 };
		CHECK_EQ(poll(&poller, 1, 0), 0);
		CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, reading, &event));
		pid = child_start(write_late, &d);
		if (i % 3 == 1)
			CHECK_EQ(poll(&poller, 1, -1), 1);
		else if (i % 3 == 2)
			CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
		CHECK_EQ(read(reading, got, sizeof(got)), 4);
		CHECK_EQ(poll(&poller, 1, 0), 0);
		CHECK_EQ(child_end(pid), 0);
		close(epoll);
		close(reading);
		device_end(&d);
	}
}

/* The words and the slot of a subscription, and arming the data word. */
static struct torc_cursors_shm *words_of(const struct device *d, int sub)
{
	struct torc_cursors_shm *words =
		device_map(sub, d->constants.ring_size, PAGE,
			   PROT_READ | PROT_WRITE);

	CHECK(words != MAP_FAILED);
	return words;
}

TEST(an_eventfd_tells_of_messages)
{
	for_each_memory(m) {
		struct device d;
		struct torc_cursors_shm *words;
		uint64_t count = 0;
		uint32_t slot;
		int sub, event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		sub = device_subscribe(d.fd, &slot);
		CHECK(sub >= 0 && !ioctl(sub, TORC_IOC_EVENTFD, event));
		words = words_of(&d, sub);
		CHECK_EQ(write(d.fd, "x", 1), 1);
		CHECK_FAILS(EAGAIN, read(event, &count, sizeof(count)));
		words->data_word = 3;
		CHECK_EQ(write(d.fd, "x", 1), 1);
		CHECK_EQ(read(event, &count, sizeof(count)), sizeof(count));
		CHECK_EQ(words->data_word, 2);
		/* A closed subscription's is let go. */
		munmap(words, PAGE);
		close(sub);
		close(event);
		CHECK_EQ(write(d.fd, "x", 1), 1);
		device_end(&d);
	}
}

TEST(a_topic_has_as_many_eventfds_as_subscriber_slots)
{
	struct device d;
	int fds[TORC_SUBSCRIBERS_MAX], event = eventfd(0, EFD_CLOEXEC);
	uint32_t count;

	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_PUBLISHES, 0600);
	count = d.constants.subscribers;
	for (uint32_t i = 0; i < count; i++) {
		fds[i] = device_open(&d, O_RDONLY);
		CHECK(fds[i] >= 0);
		CHECK(!ioctl(fds[i], TORC_IOC_EVENTFD, event));
	}
	CHECK_FAILS(EUSERS, ioctl(d.fd, TORC_IOC_EVENTFD, event));
	/* Another in its place is none more, and one less is. */
	CHECK(!ioctl(fds[0], TORC_IOC_EVENTFD, event));
	CHECK(!ioctl(fds[1], TORC_IOC_EVENTFD, -1));
	CHECK(!ioctl(d.fd, TORC_IOC_EVENTFD, event));
	CHECK_FAILS(EUSERS, ioctl(fds[1], TORC_IOC_EVENTFD, event));
	close(fds[0]);
	CHECK(!ioctl(fds[1], TORC_IOC_EVENTFD, event));
	for (uint32_t i = 1; i < count; i++)
		close(fds[i]);
	close(event);
	device_end(&d);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

TEST(sigio_tells_of_messages)
{
	struct device d;
	struct pollfd poller;

	signal(SIGIO, count_signal);
	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_PUBLISHES, 0600);
	CHECK(!fcntl(d.fd, F_SETOWN, getpid()) &&
	      !fcntl(d.fd, F_SETFL, O_RDWR | O_ASYNC));
	/* poll() arms the word. */
	poller = (struct pollfd){ d.fd, POLLIN, 0 };
	CHECK_EQ(poll(&poller, 1, 0), 0);
	CHECK_EQ(write(d.fd, "x", 1), 1);
	CHECK_EQ(signals, 1);
	device_end(&d);
}

static void sigio_after_reads(uint32_t memory, uint32_t flags)
{
	struct device d;
	char got[8];
	int writer;

	signal(SIGIO, count_signal);
	signals = 0;
	device_make(&d, memory, flags, 0600);
	writer = device_open(&d, O_WRONLY);
	CHECK(!fcntl(d.fd, F_SETOWN, getpid()) &&
	      !fcntl(d.fd, F_SETFL, O_RDWR | O_ASYNC | O_NONBLOCK));
	for (int i = 1; i <= 3; i++) {
		CHECK_EQ(write(writer, "xy", 2), 2);
		CHECK_EQ(signals, i);
		/* Who has not read it is told no more. */
		CHECK_EQ(write(writer, "xy", 2), 2);
		CHECK_EQ(signals, i);
		CHECK_EQ(read(d.fd, got, sizeof(got)), 2);
		CHECK_EQ(read(d.fd, got, sizeof(got)), 2);
		CHECK_FAILS(EAGAIN, read(d.fd, got, sizeof(got)));
	}
	close(writer);
	device_end(&d);
}

TEST(sigio_comes_to_a_subscription)
{
	struct torc_cursors_shm *words;
	struct device d;
	uint32_t slot;
	int sub;

	signal(SIGIO, count_signal);
	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_PUBLISHES, 0600);
	sub = device_subscribe(d.fd, &slot);
	CHECK(sub >= 0);
	words = words_of(&d, sub);
	CHECK(!fcntl(sub, F_SETOWN, getpid()) &&
	      !fcntl(sub, F_SETFL, O_RDWR | O_ASYNC));
	for (int i = 1; i <= 3; i++) {
		CHECK_EQ(write(d.fd, "x", 1), 1);
		CHECK_EQ(signals, i);
		words->data_word |= 1;
	}
	munmap(words, PAGE);
	close(sub);
	CHECK_EQ(write(d.fd, "x", 1), 1);
	CHECK_EQ(signals, 3);
	device_end(&d);
}

TEST(sigio_comes_after_a_read_that_found_nothing)
{
	for (int i = 0; i < 9; i++)
		sigio_after_reads(memories[i % 3], publishers[i / 3]);
}

static void read_for_ever(const void *context)
{
	const struct device *d = context;
	char got[8];

	while (read(d->fd, got, sizeof(got)) >= 0)
		;
}

TEST(poll_returns_while_the_same_file_is_read)
{
	struct device d;
	struct pollfd poller;
	pid_t pid;

	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_MANY, 0600);
	pid = child_start(read_for_ever, &d);
	usleep(200000);
	poller = (struct pollfd){ d.fd, POLLIN, 0 };
	CHECK_EQ(poll(&poller, 1, 0), 0);
	kill(pid, SIGKILL);
	CHECK_EQ(child_end(pid), -SIGKILL);
	device_end(&d);
}

/* How many of some laps' messages found no room. */
static int messages_without_room(int fd)
{
	char message[1000] = { 0 };
	int refused = 0;

	for (int i = 0; i < 500; i++)
		if (write(fd, message, sizeof(message)) < 0) {
			CHECK_EQ(errno, EAGAIN);
			refused++;
		}
	return refused;
}

TEST(what_was_written_beside_the_words_ends_with_its_writer)
{
	for_each_memory(m) {
		struct torc_subscriber_slot_shm *nobodys;
		struct torc_cursors_shm *words;
		struct device d;
		uint32_t slot;
		int sub;

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		CHECK(!fcntl(d.fd, F_SETFL, O_RDWR | O_NONBLOCK));
		sub = device_subscribe(d.fd, &slot);
		CHECK(sub >= 0);
		words = words_of(&d, sub);
		nobodys = (void *)((unsigned char *)words + TORC_CURSORS_SLOTS);
		nobodys->cursor = 0;
		nobodys->state = TORC_SUBSCRIBER_LOSSLESS;
		CHECK(messages_without_room(d.fd) > 0);
		munmap(words, PAGE);
		close(sub);
		CHECK_EQ(messages_without_room(d.fd), 0);
		device_end(&d);
	}
}

TEST(a_damaged_ring_is_told)
{
	for_each_memory(m) {
		struct device d;
		struct pollfd poller;
		uint64_t *header;
		char got[8];

		device_make(&d, memories[m], 0, 0600);
		CHECK_EQ(write(d.fd, "x", 1), 1);
		header = device_map(d.fd, d.constants.data_offset, PAGE,
				    PROT_READ | PROT_WRITE);
		CHECK(header != MAP_FAILED);
		*header = UINT64_MAX;
		CHECK_FAILS(EPROTO, read(d.fd, got, sizeof(got)));
		poller = (struct pollfd){ d.fd, POLLIN, 0 };
		CHECK_EQ(poll(&poller, 1, -1), 1);
		CHECK(poller.revents & POLLERR && !(poller.revents & POLLIN));
		munmap(header, PAGE);
		device_end(&d);
	}
}

static long futex(const uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void sleep_on_futex(const void *context)
{
	const struct device *d = context;
	const uint32_t *word = device_map(d->fd, d->constants.data_offset, PAGE,
					  PROT_READ);

	CHECK(word != MAP_FAILED);
	CHECK(!futex(word, FUTEX_WAIT, *word));
}

TEST(shmem_carries_futexes_and_the_others_do_not)
{
	for_each_memory(m) {
		struct device d;
		uint32_t *word;
		pid_t pid;

		device_make(&d, memories[m], 0, 0600);
		word = device_map(d.fd, d.constants.data_offset, PAGE,
				  PROT_READ | PROT_WRITE);
		CHECK(word != MAP_FAILED);
		*word = 1;
		if (memories[m] == TORC_PAGES_SHMEM) {
			pid = child_start(sleep_on_futex, &d);
			while (!futex(word, FUTEX_WAKE, 1))
				usleep(1000);
			CHECK_EQ(child_end(pid), 0);
		} else {
			CHECK_FAILS(EFAULT, futex(word, FUTEX_WAKE, 1));
		}
		munmap(word, PAGE);
		device_end(&d);
	}
}

static void kill_while_reading(const void *context)
{
	const struct device *d = context;
	char got[8];

	(void)!read(d->fd, got, sizeof(got));
}

TEST(sleepers_can_be_killed)
{
	for (int i = 0; i < 20; i++) {
		struct device d;
		pid_t pid;

		device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_MANY, 0600);
		pid = child_start(kill_while_reading, &d);
		usleep((unsigned int)i * 1000);
		kill(pid, SIGKILL);
		CHECK_EQ(child_end(pid), -SIGKILL);
		device_end(&d);
	}
}
