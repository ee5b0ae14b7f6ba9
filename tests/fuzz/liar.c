/* SPDX-License-Identifier: MIT */
#include "liar.h"
#include "hostile_atomic.h"
#include "script.h"

#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <torc/ring.h>

#define LOADS_MAX	2000000u	/* of one call */
#define SLEEPS_MAX	3000u
#define TRUTH_AFTER	3u	/* sleeps */

enum { ONCE, EVERY_OTHER_TIME, AGAIN };
#define VALUES	(LIES / 3)

static struct {
	bool lying;
	uint64_t at;		/* the load that lies, or is the first to */
	unsigned int pattern, value;
	uint64_t loads, sleeps;	/* since then */
	const volatile void *word;	/* which it was */
	bool fails;		/* the next compare-and-swap */
	uint64_t state;		/* of random_word() */
} lies;

void lies_begin(uint64_t at, unsigned int which)
{
	memset(&lies, 0, sizeof(lies));
	lies.at = at;
	lies.pattern = which / VALUES;
	lies.value = which % VALUES;
	lies.state = 88172645463325252u + at * LIES + which;
	lies.lying = true;
}

uint64_t lies_end(void)
{
	lies.lying = false;
	return lies.loads;
}

static uint64_t random_word(void)
{
	/* xorshift64* */
	lies.state ^= lies.state >> 12;
	lies.state ^= lies.state << 25;
	lies.state ^= lies.state >> 27;
	return lies.state * 0x2545f4914f6cdd1dull;
}

#define REGIONS 16
static struct region regions[REGIONS];

struct region *region_of(const volatile void *at)
{
	for (int i = 0; i < REGIONS; i++)
		if ((uintptr_t)at - (uintptr_t)regions[i].base <
		    regions[i].size)
			return &regions[i];
	return NULL;
}

/* In the linker's care (--wrap): what of the library is shared. */
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd,
		  off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd,
		  off_t offset);
int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *time,
		 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *time,
		 const sigset_t *mask);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd,
		  off_t offset)
{
	void *base = __real_mmap(at, size, protection, flags, fd, offset);
	int i = 0;

	if (base == MAP_FAILED || !(flags & MAP_SHARED))
		return base;
	while (i < REGIONS && regions[i].size)
		i++;
	MUST(i < REGIONS);
	regions[i] = (struct region){ base, size };
	return base;
}

int __wrap_munmap(void *at, size_t size)
{
	struct region *region = region_of(at);

	if (region)
		region->size = 0;
	return __real_munmap(at, size);
}

/* Who waits may wait as long as there are lies; so soon there are none. */
static void sleep_once(void)
{
	MUST(++lies.sleeps < SLEEPS_MAX);
	if (lies.sleeps == TRUTH_AFTER)
		lies.lying = false;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)time;
	(void)rest;
	sleep_once();
	return 0;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *time,
		 const sigset_t *mask)
{
	sleep_once();
	return __real_ppoll(fds, count, time, mask);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_futex_waitv || (number == SYS_futex && b == FUTEX_WAIT))
		sleep_once();
	return __real_syscall(number, a, b, c, d, e, f);
}

static uint64_t lie(uint64_t value)
{
	switch (lies.value) {
	case 0:
		return 0;
	case 1:
		return ~0ull;
	case 2:
		return value + 16;
	case 3:
		return value - 16;
	case 4:
		return value ^ 1ull << random_word() % 64;
	case 5:
		return value + CAPACITY / 2 * (1 + random_word() % 4);
	case 6:
		return TORC_HEADER(random_word() % 4, random_word() % 4,
				   random_word() % CAPACITY);
	default:
		return random_word() >> random_word() % 64;
	}
}

/* Has this call loaded @word before? */
static bool loaded_before(const volatile void *word)
{
	static const volatile void *seen[4096];
	static uint64_t calls[4096], call;
	size_t i = (uintptr_t)word / 4 % 4096;
	bool before;

	if (!lies.loads)
		call++;
	before = seen[i] == word && calls[i] == call;
	seen[i] = word;
	calls[i] = call;
	return before;
}

/*
 * The tail: who claims tries until the tail is what it was when it was loaded, as
 * long as others win (docs/crash-safety.md, Progress).  So it does not always lie.
 */
static bool is_claimed_by(const volatile void *word, const struct region *region)
{
	const struct torc_constants_shm *c = (const void *)region->base;

	return c->magic == TORC_RING_MAGIC &&
	       word == region->base + c->publishing_offset +
			       offsetof(struct torc_publishing_shm, tail);
}

static bool is_time_to_lie(const volatile void *word,
			   const struct region *region)
{
	bool again = loaded_before(word);

	MUST(++lies.loads < LOADS_MAX);
	if (lies.loads == lies.at)
		lies.word = word;
	lies.fails |= lies.loads == lies.at && lies.pattern == ONCE;
	if (lies.loads == lies.at && lies.pattern != AGAIN)
		return true;
	if (lies.loads < lies.at || is_claimed_by(word, region))
		return false;
	return lies.pattern == EVERY_OTHER_TIME
		       ? word == lies.word && lies.loads % 2 == lies.at % 2
		       : lies.pattern == AGAIN && again;
}

uint64_t hostile(const volatile void *word, uint64_t value)
{
	const struct region *region = lies.lying ? region_of(word) : NULL;

	return region && is_time_to_lie(word, region) ? lie(value) : value;
}

void *aligned(const volatile void *word, size_t size)
{
	MUST((uintptr_t)word % size == 0);
	return (void *)(uintptr_t)word;
}

bool hostile_failure(void)
{
	bool fails = lies.lying && lies.fails && lies.value % 2;

	lies.fails = false;
	return fails;
}
