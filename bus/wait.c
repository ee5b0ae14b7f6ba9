/* SPDX-License-Identifier: MIT */
/*
 * Sleeping until a word is woken, and waking (an event count over a futex).
 *
 * Who waits spins, then yields, then sleeps.  A sleeper arms the word, makes all
 * wakers' processors pass a barrier with membarrier(), looks once more, and
 * sleeps on the value it armed.  So a waker needs no fence: either it sees the
 * word armed, or its store came before the sleeper's last look.  A waker clears
 * the word first, by compare-and-swap from the value it saw, and then wakes: a
 * sleeper that was about to sleep finds another value and looks again.  (The
 * other way round it could fall asleep between the two, on a word that nobody
 * would wake.)  What a later sleeper armed it cannot clear, because arming
 * changes the sequence.
 *
 * A waker that dies before the wake wakes nobody, so no sleep is longer than
 * TORC_SLEEP_NS.
 */
#include "internal.h"

#include <ck_pr.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Where membarrier() is refused (seccomp), wakers fence. */
static bool refused;

/* Sleepers that cannot make wakers pass a barrier, or be woken at all. */
#define POLL_NS 1000000u
/* futex_waitv() takes no more */
#define WORDS_MAX 128

uint64_t torc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

static void register_once(void)
{
	refused = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0;
}

bool torc_wake_register(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_once);
	return !refused;
}

void torc_wake(uint32_t *word)
{
	uint32_t seen = torc_load_relaxed(word);

	if (!(seen & TORC_WORD_ARMED))
		return;
	torc_cas(word, seen, seen & ~TORC_WORD_ARMED);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Arm @word, with a new sequence; returns what it holds then. */
static uint32_t arm(uint32_t *word)
{
	uint32_t seen, armed;

	do {
		seen = torc_load_relaxed(word);
		armed = (seen + 2) | TORC_WORD_ARMED;
	} while (!torc_cas(word, seen, armed));
	return armed;
}

static struct timespec duration(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u),
				  .tv_nsec = (long)(ns % 1000000000u) };
}

/* Sleep until one of @words does not hold its value, or for @ns. */
static int futex_sleep(uint32_t *const *words, const uint32_t *values, int count,
		       uint64_t ns)
{
	struct futex_waitv waitv[WORDS_MAX];
	struct timespec timeout = duration(ns);

	if (count == 1)
		return syscall(SYS_futex, words[0], FUTEX_WAIT, values[0],
			       &timeout, NULL, 0) ? -errno : 0;
	for (int i = 0; i < count; i++)
		waitv[i] = (struct futex_waitv){ .val = values[i],
						 .uaddr = (uintptr_t)words[i],
						 .flags = FUTEX_32 };
	timeout = duration(torc_now_ns() + ns);
	return syscall(SYS_futex_waitv, waitv, count, 0, &timeout,
		       CLOCK_MONOTONIC) < 0 ? -errno : 0;
}

/*
 * Sleep for at most @ns.  Without words, more words than the kernel takes, or a
 * kernel that cannot wait for several (before 5.16), poll.
 */
static int torc_sleep(uint32_t *const *words, int count, uint64_t ns,
		      bool (*ready)(void *context), void *context)
{
	struct timespec poll = duration(ns < POLL_NS ? ns : POLL_NS);
	uint32_t values[WORDS_MAX];
	int r;

	if (!count || count > WORDS_MAX)
		return nanosleep(&poll, NULL) ? -EINTR : 0;
	for (int i = 0; i < count; i++)
		values[i] = arm(words[i]);
	/*
	 * MO(torc_sleep:A), pairs with torc_wake_if_armed:A.  Event count: who
	 * stores after this sees the word armed.
	 */
	torc_fence_full();
	if (refused || membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED))
		ns = ns < POLL_NS ? ns : POLL_NS;
	if (ready(context))
		return 0;
	r = futex_sleep(words, values, count, ns);
	if (r == -ENOSYS)
		return nanosleep(&poll, NULL) ? -EINTR : 0;
	return r == -EINTR ? r : 0;
}

static uint64_t later(uint64_t now, uint64_t ns)
{
	return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

void torc_waiting_begin(struct torc_waiting *waiting, uint64_t spin_ns,
			uint64_t yield_ns, int64_t timeout_ns)
{
	uint64_t now = torc_now_ns();

	waiting->spin_until = later(now, spin_ns);
	waiting->yield_until = later(waiting->spin_until, yield_ns);
	waiting->deadline =
		timeout_ns < 0 ? UINT64_MAX : later(now, (uint64_t)timeout_ns);
}

int torc_wait_turn(const struct torc_waiting *waiting, uint32_t *const *words,
		   int count, bool (*ready)(void *context), void *context)
{
	uint64_t started = torc_now_ns(), now, ns = TORC_SLEEP_NS;
	int r;

	for (;;) {
		/* Reading the clock is the pause between looks, with a few
		 * more while the end is far. */
		for (int i = 0; i < 16; i++) {
			if (ready(context))
				return 0;
			ck_pr_stall();
		}
		now = torc_now_ns();
		if (now >= waiting->deadline)
			return -ETIMEDOUT;
		/* The caller may have to look after the dead. */
		if (now - started >= TORC_SLEEP_NS)
			return -EAGAIN;
		if (now < waiting->spin_until)
			continue;
		if (now >= waiting->yield_until)
			break;
		sched_yield();
	}
	if (waiting->deadline - now < ns)
		ns = waiting->deadline - now;
	r = torc_sleep(words, count, ns, ready, context);
	if (ready(context))
		return 0;
	return r ? r : -EAGAIN;
}
