/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever a process does to what it may write, and whatever it asks of the
 * nodes, the kernel stays whole and serves the others; and participants may be
 * killed at any time.
 * Method: random bytes at random places while the driver publishes and receives;
 * random calls by four threads; kill -9.  The seed is told, and TORC_SEED repeats
 * it; the guest's console tells of what the kernel found.
 */
#include "device.h"
#include "topics.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- Random numbers (xorshift, Marsaglia) -------------------------------- */

static uint64_t seed(void)
{
	const char *given = getenv("TORC_SEED");
	uint64_t s = given ? strtoull(given, NULL, 0) : now_ns();

	printf("# seed %llu\n", (unsigned long long)s);
	fflush(stdout);
	return s | 1;
}

static uint32_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

/* Numbers that are likely to be at some edge. */
static uint64_t edgy(uint64_t *state)
{
	static const uint64_t edges[] = { 0, 1, 2, 8, 4095, 4096, 65536,
					  1ull << 31, UINT32_MAX, 1ull << 40,
					  INT64_MAX, UINT64_MAX };
	uint32_t n = next(state);

	switch (n % 4) {
	case 0:
		return edges[next(state) % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return next(state) % 65536;
	case 2:
		return ((uint64_t)next(state) << 32) | next(state);
	default:
		return next(state) % 4 * PAGE;
	}
}

/* ---- Scribbling ---------------------------------------------------------- */

struct area {
	unsigned char *at;
	uint64_t size;
};

static void scribble(uint64_t *state, const struct area *area)
{
	uint64_t offset = next(state) % area->size & ~7ull;

	/* Where the words are is the more interesting part. */
	if (next(state) % 2)
		offset %= 2048;
	*(volatile uint64_t *)(void *)(area->at + offset) = edgy(state);
}

/* A topic works as it should, though others do not. */
static void works(uint32_t memory)
{
	struct device d;
	char got[8];

	device_make(&d, memory, TORC_DRIVER_PUBLISHES, 0600);
	CHECK_EQ(write(d.fd, "works", 5), 5);
	CHECK_EQ(read(d.fd, got, sizeof(got)), 5);
	device_end(&d);
}

/* Everything that a publisher may write, while the kernel writes and reads. */
static void scribble_as_publisher(const struct device *d, uint64_t *state,
				  uint64_t until_ns)
{
	uint64_t ring = d->constants.ring_size;
	uint64_t publishing = d->constants.publishing_offset;
	const struct area areas[] = {
		{ device_map(d->fd, publishing, ring - publishing,
			     PROT_READ | PROT_WRITE), ring - publishing },
		{ device_map(d->fd, ring, d->constants.cursors_size,
			     PROT_READ | PROT_WRITE),
		  d->constants.cursors_size },
	};
	int fd = device_open(d, O_RDWR | O_NONBLOCK);
	char buffer[4096] = { 0 };
	struct pollfd poller = { fd, POLLIN | POLLOUT, 0 };

	CHECK(areas[0].at != MAP_FAILED && areas[1].at != MAP_FAILED && fd >= 0);
	while (now_ns() < until_ns) {
		for (uint32_t n = next(state) % 64; n; n--)
			scribble(state, &areas[next(state) % 2]);
		(void)!write(fd, buffer, next(state) % sizeof(buffer));
		(void)!read(fd, buffer, sizeof(buffer));
		poll(&poller, 1, 0);
		ioctl(fd, TORC_IOC_WAKE, (unsigned long)next(state) % 2);
		/* A new description joins anew. */
		if (next(state) % 8 == 0) {
			close(fd);
			fd = device_open(d, O_RDWR | O_NONBLOCK);
			poller.fd = fd;
		}
	}
	close(fd);
	munmap(areas[0].at, areas[0].size);
	munmap(areas[1].at, areas[1].size);
}

TEST(a_publisher_may_write_nonsense_everywhere)
{
	uint64_t state = seed();
	uint64_t ns = harness_seconds(1, 10) * 1000000000ull;

	for_each_memory(m) {
		for (uint32_t flags = 0; flags <= TORC_DRIVER_MANY; flags += 4) {
			struct device d;

			device_make(&d, memories[m], flags, 0600);
			scribble_as_publisher(&d, &state, now_ns() + ns);
			device_end(&d);
		}
		works(memories[m]);
	}
}

TEST(a_subscriber_may_write_nonsense_to_its_pages)
{
	uint64_t state = seed();
	uint64_t ns = harness_seconds(1, 20) * 1000000000ull;

	for_each_memory(m) {
		struct device d;
		struct area areas[2] = { { NULL, PAGE }, { NULL, PAGE } };
		char sent[512], got[512];
		uint32_t slot;
		uint64_t until;
		int sub, reading;

		device_make(&d, memories[m], TORC_DRIVER_PUBLISHES, 0600);
		reading = device_open(&d, O_RDONLY | O_NONBLOCK);
		CHECK_FAILS(EAGAIN, read(reading, got, sizeof(got)));
		sub = device_subscribe(d.fd, &slot);
		areas[0].at = device_map(sub, d.constants.ring_size, PAGE,
					 PROT_READ | PROT_WRITE);
		areas[1].at = device_map(sub, d.constants.ring_size +
						      slot * PAGE, PAGE,
					 PROT_READ | PROT_WRITE);
		CHECK(areas[0].at != MAP_FAILED && areas[1].at != MAP_FAILED);
		CHECK(!fcntl(d.fd, F_SETFL, O_RDWR | O_NONBLOCK));
		until = now_ns() + ns;
		while (now_ns() < until) {
			struct pollfd poller = { sub, POLLIN, 0 };

			for (uint32_t n = next(&state) % 16; n; n--)
				scribble(&state, &areas[next(&state) % 2]);
			memset(sent, (int)next(&state), sizeof(sent));
			/* It may hold the driver up, and nothing else. */
			if (write(d.fd, sent, sizeof(sent)) < 0) {
				CHECK_EQ(errno, EAGAIN);
			} else {
				CHECK_EQ(read(reading, got, sizeof(got)),
					 sizeof(got));
				CHECK(!memcmp(got, sent, sizeof(got)));
			}
			poll(&poller, 1, 0);
		}
		munmap(areas[0].at, PAGE);
		munmap(areas[1].at, PAGE);
		close(sub);
		close(reading);
		device_end(&d);
		works(memories[m]);
	}
}

/* A driver that listens, while what it listens to is anything. */
TEST(a_publisher_may_write_nonsense_to_a_driver_that_listens)
{
	uint64_t state = seed();
	uint64_t ns = harness_seconds(1, 20) * 1000000000ull;

	for_each_memory(m) {
		struct device d = { .name = "echo/request", .control = -1 };
		const char *load = "insmod $TORC_MODULES/torc_echo.ko";
		char got[8];
		int reply;

		shell("%s memory=%u", load, memories[m]);
		snprintf(d.path, sizeof(d.path), "/dev/torc/%s", d.name);
		device_attach(&d);
		scribble_as_publisher(&d, &state, now_ns() + ns);
		close(d.fd);
		/* It ends as ever, and works when it begins anew. */
		shell("rmmod torc_echo");
		shell("%s memory=%u", load, memories[m]);
		device_attach(&d);
		reply = open("/dev/torc/echo/reply", O_RDONLY | O_CLOEXEC);
		CHECK(reply >= 0);
		CHECK_EQ(write(d.fd, "works", 5), 5);
		CHECK_EQ(read(reply, got, sizeof(got)), 5);
		close(d.fd);
		close(reply);
		shell("rmmod torc_echo");
	}
}

/* ---- Words that never stand still ---------------------------------------- */

#define LETTERS 300

static void flip_words(const void *context)
{
	struct torc_cursors_shm *words = (void *)(uintptr_t)context;

	for (uint32_t i = 0;; i++) {
		__atomic_store_n(&words->data_word, i, __ATOMIC_RELAXED);
		__atomic_store_n(&words->room_word, i, __ATOMIC_RELAXED);
	}
}

static void write_letters(const void *context)
{
	const struct device *d = context;

	for (int i = 0; i < LETTERS; i++) {
		if (i % 16 == 0)
			usleep(1000);
		CHECK_EQ(write(d->fd, &i, sizeof(i)), sizeof(i));
	}
}

TEST(words_that_change_all_the_time_keep_nobody_from_going_on)
{
	for_each_memory(m) {
		struct torc_driver_wait wait = { .timeout_ns = 100000 };
		void *words;
		struct device d;
		struct pollfd poller;
		pid_t flipper, writer;
		int reader, number;

		device_make(&d, memories[m], TORC_DRIVER_MANY, 0600);
		words = device_map(d.fd, d.constants.ring_size, PAGE,
				   PROT_READ | PROT_WRITE);
		CHECK(words != MAP_FAILED);
		reader = device_open(&d, O_RDONLY);
		flipper = child_start(flip_words, words);
		writer = child_start(write_letters, &d);
		poller = (struct pollfd){ reader, POLLIN, 0 };
		for (int i = 0; i < LETTERS; i++) {
			if (i % 4 == 0)
				poll(&poller, 1, 1);
			if (i % 4 == 1)
				ioctl(reader, TORC_IOC_WAIT, &wait);
			CHECK_EQ(read(reader, &number, sizeof(number)),
				 sizeof(number));
			CHECK_EQ(number, i);
		}
		CHECK_EQ(child_end(writer), 0);
		kill(flipper, SIGKILL);
		CHECK_EQ(child_end(flipper), -SIGKILL);
		munmap(words, PAGE);
		close(reader);
		device_end(&d);
	}
}

/* ---- Claims of the dead that cannot be mended ----------------------------- */

/*
 * All slots claim the same place, each less than that before it, and no claim ends
 * where a record begins: then each look at one takes as long as it can.
 */
static void claim_in_vain(const struct device *d)
{
	uint64_t publishing = d->constants.publishing_offset;
	uint64_t size = d->constants.ring_size - publishing;
	struct torc_publishing_shm *shm =
		device_map(d->fd, publishing, size, PROT_READ | PROT_WRITE);
	struct torc_publisher_slot_shm *slots = (void *)(shm + 1);

	CHECK(shm != MAP_FAILED);
	shm->tail += d->constants.capacity / 2;
	for (uint32_t i = 0; i < d->constants.publishers; i++) {
		slots[i].claim_position = 0;
		slots[i].claim_length = (d->constants.publishers - i) * 32;
	}
	munmap(shm, size);
}

TEST(claims_that_cannot_be_mended_are_given_up_soon)
{
	struct torc_driver_create request =
		device_request(TORC_PAGES_SHMEM, TORC_DRIVER_MANY);
	struct flock lock = { .l_type = F_WRLCK,
			      .l_start = (off_t)TORC_LOCK_PUBLISHER,
			      .l_len = 1 };
	struct device d;

	request.publishers = 900;
	device_make_as(&d, &request);
	for (int i = 0; i < 10; i++) {
		int locks = device_open(&d, O_RDWR);

		CHECK(locks >= 0 && !fcntl(locks, F_OFD_SETLK, &lock));
		claim_in_vain(&d);
		close(locks);
	}
	device_end(&d);
}

/* ---- Random calls -------------------------------------------------------- */

#define FILES 6
#define FUZZERS 4
#define NAMES 8

/* What the threads of the fuzzer share, without locks: descriptors and a topic. */
struct fuzzing {
	struct device device;
	uint64_t seed, until_ns;
	int fds[FILES];
};

struct fuzzer {
	struct fuzzing *shared;
	uint64_t state;
	pthread_t thread;
};

static void fuzz_map(uint64_t *state, int fd)
{
	uint64_t size = (next(state) % 24 + 1) * PAGE;
	int protection = (int)(next(state) % 8);
	void *at = mmap(NULL, size, protection,
			next(state) % 8 ? MAP_SHARED : MAP_PRIVATE, fd,
			(off_t)(edgy(state) & ~(uint64_t)(PAGE - 1)));

	if (at == MAP_FAILED)
		return;
	mprotect(at, PAGE, (int)(next(state) % 8));
	madvise(at, size, (int)(next(state) % 26));
	if (next(state) % 2)
		munmap((char *)at + size / 2 / PAGE * PAGE, PAGE);
	munmap(at, size);
}

/* Another thread may be in the midst of a call with the one that is closed. */
static void replace_file(struct fuzzing *shared, uint32_t i, int fd)
{
	int old = shared->fds[i];

	shared->fds[i] = fd;
	close(old);
}

static void fuzz_ioctl(struct fuzzing *shared, uint64_t *state, uint32_t i)
{
	int fd = shared->fds[i];
	union {
		struct torc_driver_subscribe subscribe;
		struct torc_driver_wait wait;
		struct torc_driver_create create;
		uint64_t words[64];
	} u;
	static const unsigned long commands[] = {
		TORC_IOC_CREATE, TORC_IOC_REMOVE, TORC_IOC_SUBSCRIBE,
		TORC_IOC_WAIT, TORC_IOC_WAKE, TORC_IOC_EVENTFD,
	};
	unsigned long command = commands[next(state) % 6];

	memset(&u, 0, sizeof(u));
	for (uint32_t n = next(state) % 4; n; n--)
		u.words[next(state) % 8] = edgy(state);
	if (command == TORC_IOC_WAIT && u.wait.timeout_ns > 1000000)
		u.wait.timeout_ns = 1000000;
	if (command == TORC_IOC_WAKE)
		ioctl(fd, command, edgy(state) % 4);
	else if (command == TORC_IOC_EVENTFD)
		ioctl(fd, command, (int)(next(state) % 16) - 1);
	else if (!ioctl(fd, command, next(state) % 16 ? &u : NULL) &&
		 command == TORC_IOC_SUBSCRIBE)
		replace_file(shared, i, u.subscribe.fd);
}

/* Few, so that they are in each other's way. */
static struct torc_driver_name fuzz_name(unsigned int i)
{
	struct torc_driver_name name = { "" };

	snprintf(name.name, sizeof(name.name), "fuzz-%u%s", i / 2,
		 i % 2 ? "/below" : "");
	return name;
}

/* Topics are made, used and removed while others do so. */
static void fuzz_topics(uint64_t *state)
{
	static _Alignas(PAGE) char own[32 * PAGE];
	struct torc_driver_create create =
		device_request(next(state) % 4, next(state) % 8);
	struct torc_driver_name name = fuzz_name(next(state) % NAMES);
	int control = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC), fd;
	char path[sizeof(TORC_DRIVER_FOLDER) + TORC_DRIVER_NAME_MAX];

	memcpy(create.name, name.name, sizeof(create.name));
	if (create.memory == TORC_PAGES_USER) {
		create.capacity = 0;
		create.address = (uintptr_t)own;
		create.size = next(state) % 2 ? sizeof(own) : edgy(state);
	}
	switch (next(state) % 8) {
	case 0:
		create.capacity = edgy(state);
		break;
	case 1:
		create.address = edgy(state);
		break;
	case 2:
		create.cache = next(state) % 4;
		break;
	}
	ioctl(control, TORC_IOC_CREATE, &create);
	snprintf(path, sizeof(path), "%s%s", TORC_DRIVER_FOLDER, name.name);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, path, sizeof(path));
		fuzz_map(state, fd);
	}
	name = fuzz_name(next(state) % NAMES);
	ioctl(control, TORC_IOC_REMOVE, &name);
	close(fd);
	close(control);
}

static void fuzz_once(struct fuzzing *shared, uint64_t *state)
{
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR };
	uint32_t i = next(state) % FILES;
	int fd = shared->fds[i];
	struct pollfd poller = { fd, (short)next(state), 0 };
	struct flock lock = { .l_type = (short)(next(state) % 3),
			      .l_start = (off_t)(TORC_LOCK_BASE +
						 next(state) % 0x30000),
			      .l_len = next(state) % 4 };
	char buffer[512];

	switch (next(state) % 10) {
	case 0:
		fuzz_map(state, fd);
		break;
	case 1:
	case 2:
		fuzz_ioctl(shared, state, i);
		break;
	case 3:
		(void)!read(fd, buffer, next(state) % sizeof(buffer));
		break;
	case 4:
		memset(buffer, (int)next(state), sizeof(buffer));
		(void)!write(fd, buffer, next(state) % sizeof(buffer));
		break;
	case 5:
		poll(&poller, 1, 0);
		break;
	case 6:
		fcntl(fd, next(state) % 2 ? F_OFD_SETLK : F_OFD_GETLK, &lock);
		break;
	case 7:
		fcntl(fd, F_SETFL, O_NONBLOCK | (next(state) % 2 * O_ASYNC));
		break;
	case 8:
		fuzz_topics(state);
		break;
	default:
		replace_file(shared, i,
			     device_open(&shared->device,
					 flags[next(state) % 3] | O_NONBLOCK));
	}
}

static void *fuzz(void *context)
{
	struct fuzzer *fuzzer = context;

	while (now_ns() < fuzzer->shared->until_ns)
		fuzz_once(fuzzer->shared, &fuzzer->state);
	return NULL;
}

/* In a process of its own, because descriptors get lost between the threads. */
static void fuzz_all(const void *context)
{
	struct fuzzing shared = *(const struct fuzzing *)context;
	struct fuzzer fuzzers[FUZZERS];

	/* For TORC_IOC_EVENTFD to come upon. */
	CHECK(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) >= 0);
	signal(SIGIO, SIG_IGN);
	for (int i = 0; i < FILES; i++) {
		shared.fds[i] = device_open(&shared.device,
					    O_RDWR | O_NONBLOCK);
		CHECK(!fcntl(shared.fds[i], F_SETOWN, getpid()));
	}
	for (unsigned int i = 0; i < FUZZERS; i++) {
		fuzzers[i] = (struct fuzzer){ &shared, shared.seed + 2 * i, 0 };
		CHECK(!pthread_create(&fuzzers[i].thread, NULL, fuzz,
				      &fuzzers[i]));
	}
	for (int i = 0; i < FUZZERS; i++)
		CHECK(!pthread_join(fuzzers[i].thread, NULL));
}

/* What stays though nobody has it open. */
static void remove_fuzzed(const struct device *d)
{
	for (unsigned int i = 0; i < NAMES; i++) {
		struct torc_driver_name name = fuzz_name(i);

		if (ioctl(d->control, TORC_IOC_REMOVE, &name))
			CHECK_EQ(errno, ENOENT);
	}
}

TEST(random_calls_by_four_threads_hurt_nobody)
{
	struct fuzzing fuzzing = { .seed = seed() };
	const char *seconds = getenv("TORC_CALLS_S");
	uint64_t ns = (seconds ? strtoull(seconds, NULL, 0) : 6) * 1000000000 / 3;

	for_each_memory(m) {
		device_make(&fuzzing.device, memories[m],
			    m == 1 ? TORC_DRIVER_MANY : 0, 0600);
		fuzzing.seed += 2 * FUZZERS;
		fuzzing.until_ns = now_ns() + ns;
		CHECK_EQ(child_end(child_start(fuzz_all, &fuzzing)), 0);
		remove_fuzzed(&fuzzing.device);
		device_end(&fuzzing.device);
		works(memories[m]);
	}
}

/* ---- Deaths -------------------------------------------------------------- */

struct victim {
	const char *address;
	bool publishes;
};

static void take_part_for_ever(const void *context)
{
	const struct victim *victim = context;
	struct torc_topic *topic = topic_open(victim->address, 0);
	struct torc_message message;
	char payload[100] = { 0 };

	if (victim->publishes) {
		struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);

		for (;;)
			torc_pub_publish(pub, payload, sizeof(payload));
	} else {
		struct torc_subscriber *sub = sub_open(topic, 0);

		for (;;)
			if (!torc_sub_wait(sub, -1))
				torc_sub_receive(sub, payload, sizeof(payload),
						 &message);
	}
}

static void publish_works(const void *address)
{
	struct torc_topic *topic = topic_open(address, 0);
	struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);

	MUST(torc_pub_publish(pub, "works", 5));
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/*
 * A new subscriber gets what a new publisher sends.  It may get a window full of
 * messages before, which waited behind a claim of one who died: so the publisher,
 * who may have to wait for room, is another process.
 */
static void still_works(struct torc_topic *topic, const char *address)
{
	struct torc_subscriber *sub = sub_open(topic, 0);
	pid_t publisher = child_start(publish_works, address);
	struct torc_message message;
	char got[100];

	do {
		MUST(torc_sub_wait(sub, -1));
		MUST(torc_sub_receive(sub, got, sizeof(got), &message));
	} while (message.length != 5);
	CHECK(!memcmp(got, "works", 5));
	CHECK_EQ(child_end(publisher), 0);
	torc_sub_close(sub);
}

TEST(participants_killed_at_any_time_leave_a_working_topic)
{
	unsigned int deaths = harness_seconds(30, 1000);
	uint64_t state = seed();

	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, TORC_MANY,
							65536);
		struct victim victims[] = { { address, true },
					    { address, true },
					    { address, false },
					    { address, false } };
		pid_t pids[4];

		for (int i = 0; i < 4; i++)
			pids[i] = child_start(take_part_for_ever, &victims[i]);
		for (unsigned int n = 0; n < deaths; n++) {
			uint32_t i = next(&state) % 4;

			usleep(next(&state) % 10000);
			kill(pids[i], SIGKILL);
			CHECK_EQ(child_end(pids[i]), -SIGKILL);
			pids[i] = child_start(take_part_for_ever, &victims[i]);
		}
		for (int i = 0; i < 4; i++) {
			kill(pids[i], SIGKILL);
			CHECK_EQ(child_end(pids[i]), -SIGKILL);
		}
		still_works(topic, address);
		topic_destroy(topic, address);
	}
}

static void ask_for_ever(const void *unused)
{
	struct torc_topic *topic = topic_open("dev:echo/request", 0);
	struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);

	(void)unused;
	for (uint32_t i = 0;; i++)
		publish_stamped(pub, 0, i);
}

TEST(who_asks_a_driver_may_be_killed_at_any_time)
{
	unsigned int deaths = harness_seconds(20, 500);
	uint64_t state = seed();

	for (unsigned int many = 0; many < 2; many++) {
		struct device d = { .path = "/dev/torc/echo/request" };
		char got[STAMPED_MAX];
		ssize_t length;
		int reply;

		shell("insmod $TORC_MODULES/torc_echo.ko many=%u", many);
		reply = open("/dev/torc/echo/reply", O_RDONLY | O_CLOEXEC);
		CHECK(reply >= 0);
		for (unsigned int n = 0; n < deaths; n++) {
			pid_t pid = child_start(ask_for_ever, NULL);

			usleep(next(&state) % 20000);
			kill(pid, SIGKILL);
			CHECK_EQ(child_end(pid), -SIGKILL);
		}
		device_attach(&d);
		CHECK_EQ(write(d.fd, "works", 5), 5);
		close(d.fd);
		do {
			length = read(reply, got, sizeof(got));
			CHECK(length >= 0);
		} while (length != 5 || memcmp(got, "works", 5));
		close(reply);
		shell("rmmod torc_echo");
	}
}

/* ---- Everything is given back -------------------------------------------- */

static long free_kib(void)
{
	char line[100];
	long kib = -1;
	FILE *file = fopen("/proc/meminfo", "r");

	CHECK(file);
	while (kib < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "MemAvailable: %ld", &kib);
	fclose(file);
	CHECK(kib >= 0);
	return kib;
}

TEST(memory_comes_back_when_topics_go)
{
	struct torc_driver_create request;
	long before;

	works(TORC_PAGES_SHMEM);
	before = free_kib();
	for (int n = 0; n < 60; n++) {
		int control = open(TORC_DRIVER_CONTROL, O_RDWR);

		request = device_request(memories[n % 3], 0);
		request.capacity = 2u << 20;
		/* No contiguous buffer may be left in a small machine. */
		if (ioctl(control, TORC_IOC_CREATE, &request))
			CHECK(errno == ENOMEM && n % 3 == 1);
		close(control);
	}
	/* 60 topics of 2 MiB and more; others take and give a little. */
	CHECK(before - free_kib() < 32 << 10);
}
