/* SPDX-License-Identifier: MIT */
/*
 * storm SECONDS [SEED]: publishers and subscribers of topics on which somebody
 * writes random bytes at random places, of the constants, of what publishers
 * write, of the records and of the cursors.
 *
 * Built with AddressSanitizer.  Nobody may crash or touch anything outside of
 * the mappings, hang, or take more and more memory; whoever is told that the ring
 * is damaged closes it and joins again.  Every TURN_MS the topic is made anew.
 * Signals come all the while, so a wait for what will never be ends, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <torc/torc.h>

#define TURN_MS		100
#define HANG_MS		10000
#define WORKERS		6
#define BLOCK		4096u
#define TIMEOUT_NS	2000000	/* of waits */
#define SIGNAL_US	5000

enum role { PUBLISH, LOSSLESS, LOSSY };

static const enum role roles[WORKERS] = { PUBLISH, PUBLISH, LOSSLESS,
					  LOSSLESS, LOSSY,  LOSSY };

static struct shared {
	bool stop;
	uint64_t calls[WORKERS];	/* completed: signs of life */
	uint64_t messages[WORKERS];
	uint64_t damaged[WORKERS];	/* -EPROTO */
	uint64_t writes;
} *shared;

static uint64_t state;

static uint64_t random_word(void)
{
	/* xorshift64* */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_RELAXED);
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- Who takes part ----------------------------------------------------- */

/* False to join anew. */
static bool go_on(int index, int r)
{
	count(&shared->calls[index]);
	if (!r)
		count(&shared->messages[index]);
	if (r == -EPROTO)
		count(&shared->damaged[index]);
	/* A topic that was removed goes on silently: leave now and then. */
	if (r == -EINTR)
		return random_word() % 16;
	return (r >= 0 || r == -EAGAIN || r == -ETIMEDOUT || r == -EMSGSIZE) &&
	       random_word() % 2000;
}

static void publish(int index, struct torc_topic *topic)
{
	static const enum torc_full ways[] = { TORC_FULL_WAIT, TORC_FULL_DROP,
					       TORC_FULL_FAIL, TORC_FULL_EVICT };
	struct torc_pub_options options = {
		.full = ways[random_word() % 4],
		.timeout_ns = TIMEOUT_NS,
	};
	struct torc_publisher *pub;
	static char data[BLOCK];
	int r = torc_pub_open(topic, &options, &pub);

	if (r) {
		go_on(index, r);
		return;
	}
	do {
		size_t length = random_word() % BLOCK / (1 + random_word() % 64);

		if (random_word() % 4) {
			r = torc_pub_publish(pub, data, length);
		} else {
			void *payload;

			r = torc_pub_reserve(pub, length, &payload);
			if (!r) {
				memset(payload, 0x5a, length);
				r = torc_pub_commit(pub, length);
			}
		}
	} while (!stopped() && go_on(index, r));
	torc_pub_close(pub);
}

static int receive(struct torc_subscriber *sub)
{
	struct torc_message messages[8], message;
	static char buffer[BLOCK];
	volatile char sum = 0;
	int n;

	if (random_word() % 2)
		return torc_sub_receive(sub, buffer, sizeof(buffer), &message);
	n = torc_sub_peek_batch(sub, messages, 8);
	for (int i = 0; i < n; i++) {
		const char *data = messages[i].data;

		for (size_t k = 0; k < messages[i].length; k++)
			sum = (char)(sum + data[k]);
	}
	return n < 0 ? n : torc_sub_release(sub);
}

static void subscribe(int index, struct torc_topic *topic)
{
	struct torc_sub_options options = {
		.flags = (roles[index] == LOSSY ? TORC_SUB_LOSSY : 0) |
			 (random_word() % 2 ? TORC_SUB_OLDEST : 0),
	};
	struct torc_subscriber *sub;
	int r = torc_sub_open(topic, &options, &sub);

	if (r) {
		go_on(index, r);
		return;
	}
	do {
		r = receive(sub);
		if (r == -EAGAIN)
			r = torc_sub_wait(sub, TIMEOUT_NS) ? -EAGAIN : 1;
	} while (!stopped() && go_on(index, r));
	torc_sub_close(sub);
}

static void on_alarm(int number)
{
	(void)number;
}

static void interrupt_all_the_time(void)
{
	struct itimerval interval = { { 0, SIGNAL_US }, { 0, SIGNAL_US } };
	struct sigaction action = { .sa_handler = on_alarm };

	if (sigaction(SIGALRM, &action, NULL) ||
	    setitimer(ITIMER_REAL, &interval, NULL))
		fail("setitimer");
}

static void work(int index, uint64_t seed)
{
	interrupt_all_the_time();
	state = seed + (uint64_t)index * 0x9e3779b97f4a7c15ull;
	while (!stopped()) {
		struct torc_topic *topic;
		struct torc_topic_info info;
		int r = torc_topic_open(NULL, "storm", NULL, &topic);

		if (r) {
			go_on(index, r);
			usleep(1000);
			continue;
		}
		torc_topic_get_info(topic, &info);
		if (roles[index] == PUBLISH)
			publish(index, topic);
		else
			subscribe(index, topic);
		torc_topic_close(topic);
	}
	exit(0);
}

/* ---- The storm ---------------------------------------------------------- */

struct target {
	unsigned char *memory;
	size_t size;
};

static struct target map_file(const char *path)
{
	struct target target = { 0 };
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	if (fstat(fd, &st))
		fail(path);
	target.size = (size_t)st.st_size;
	target.memory = mmap(NULL, target.size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	if (target.memory == MAP_FAILED)
		fail("mmap");
	close(fd);
	return target;
}

/* Write a word somewhere: anything, or nearly what was there. */
static void strike(const struct target *target)
{
	size_t head = target->size < 8192 ? target->size : 8192;
	/* Half of the time where the words are. */
	size_t at = random_word() % (random_word() % 2 ? head : target->size);
	uint64_t word, how = random_word();
	unsigned char *place = target->memory + (at & ~(size_t)7);

	word = __atomic_load_n((uint64_t *)(void *)place, __ATOMIC_RELAXED);
	switch (how % 4) {
	case 0:
		word = random_word();
		break;
	case 1:
		word ^= 1ull << (how >> 8) % 64;
		break;
	case 2:
		word += ((how >> 8) % 1024 - 512) * 16;
		break;
	default:
		word = 0;
		break;
	}
	__atomic_store_n((uint64_t *)(void *)place, word, __ATOMIC_RELAXED);
	count(&shared->writes);
}

/* One topic's life: made, struck, removed. */
static void turn(struct torc_bus *bus, const char *directory, uint64_t number)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | (number % 3 ? TORC_MANY : 0),
		.capacity = 4096u << number % 5, .subscribers = 8,
		.publishers = number % 3 ? 8 : 0,
	};
	uint64_t until = now_ms() + TURN_MS;
	struct torc_topic *topic;
	struct target ring, cursors;
	char path[256];

	torc_bus_remove(bus, "storm", 0);
	if (torc_topic_open(bus, "storm", &options, &topic)) {
		fprintf(stderr, "storm: %s\n", torc_errmsg());
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/storm", directory);
	ring = map_file(path);
	/* The constants hold the id by which the cursors are named. */
	cursors = (struct target){ 0 };
	snprintf(path, sizeof(path),
		 "set -- %s/.*.cursors; [ -e \"$1\" ] && ls -t \"$@\"", directory);
	{
		FILE *list = popen(path, "r");
		char line[256] = "";

		if (list && fgets(line, sizeof(line), list)) {
			line[strcspn(line, "\n")] = '\0';
			cursors = map_file(line);
		}
		if (list)
			pclose(list);
	}
	usleep(TURN_MS * 1000 / 4);
	while (now_ms() < until) {
		strike(random_word() % 2 && cursors.size ? &cursors : &ring);
		if (random_word() % 8 == 0)
			usleep((useconds_t)(random_word() % 2000));
	}
	munmap(ring.memory, ring.size);
	if (cursors.size)
		munmap(cursors.memory, cursors.size);
	torc_topic_close(topic);
}

/* With handle_abort=1, AddressSanitizer says where. */
static void hangs(int index, pid_t pid)
{
	fprintf(stderr, "storm: worker %d hangs\n", index);
	kill(pid, SIGABRT);
	waitpid(pid, NULL, 0);
	exit(1);
}

/* Is everybody alive, and doing something? */
static void watch(const pid_t *pids, uint64_t *seen, uint64_t *seen_at)
{
	for (int i = 0; i < WORKERS; i++) {
		uint64_t calls = __atomic_load_n(&shared->calls[i],
						 __ATOMIC_RELAXED);
		int status;

		if (waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			fprintf(stderr, "storm: worker %d ended: status %#x\n",
				i, (unsigned int)status);
			exit(1);
		}
		if (calls != seen[i]) {
			seen[i] = calls;
			seen_at[i] = now_ms();
		} else if (now_ms() - seen_at[i] > HANG_MS) {
			hangs(i, pids[i]);
		}
	}
}

static void report(void)
{
	uint64_t published = 0, received = 0, damaged = 0;

	for (int i = 0; i < WORKERS; i++) {
		if (roles[i] == PUBLISH)
			published += shared->messages[i];
		else
			received += shared->messages[i];
		damaged += shared->damaged[i];
	}
	printf("%" PRIu64 " words overwritten, %" PRIu64 " messages published, "
	       "%" PRIu64 " calls of subscribers, %" PRIu64 " times damaged\n",
	       shared->writes, published, received, damaged);
}

static void start_workers(pid_t pids[WORKERS], uint64_t seen_at[WORKERS])
{
	for (int i = 0; i < WORKERS; i++) {
		seen_at[i] = now_ms();
		pids[i] = fork();
		if (pids[i] < 0)
			fail("fork");
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			work(i, state);
		}
	}
}

/* True if all are well. */
static bool end_workers(const pid_t pids[WORKERS])
{
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < WORKERS; i++) {
		uint64_t limit = now_ms() + HANG_MS;
		int status;

		while (!waitpid(pids[i], &status, WNOHANG)) {
			if (now_ms() > limit)
				hangs(i, pids[i]);
			usleep(1000);
		}
		if (status) {
			fprintf(stderr, "storm: worker %d ended: status %#x\n",
				i, (unsigned int)status);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 0) : 15;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : now_ms();
	uint64_t seen[WORKERS] = { 0 }, seen_at[WORKERS], end;
	char directory[] = "/dev/shm/torc-storm.XXXXXX", command[64];
	struct torc_bus *bus;
	pid_t pids[WORKERS];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !mkdtemp(directory))
		fail(directory);
	setenv("TORC_DIR", directory, 1);
	if (torc_bus_open(NULL, &bus))
		fail(torc_errmsg());
	printf("storm: seed %" PRIu64 "\n", seed);
	fflush(stdout);
	state = seed | 1;
	start_workers(pids, seen_at);
	end = now_ms() + seconds * 1000;
	for (uint64_t n = 0; now_ms() < end; n++) {
		turn(bus, directory, n);
		watch(pids, seen, seen_at);
	}
	if (!end_workers(pids))
		return 1;
	report();
	torc_bus_close(bus);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command) ? 1 : 0;
}
