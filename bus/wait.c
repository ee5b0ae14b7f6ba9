/* SPDX-License-Identifier: MIT */
/*
 * Waiting: spinning, yielding, and sleeping on wait words (word.h) by futexes.
 *
 * A sleeper arms the word, makes all wakers' processors pass a barrier with
 * membarrier(), looks once more, and sleeps on the value it armed; so a waker
 * needs no fence.  One that dies before the wake wakes nobody, so no sleep is
 * longer than TORC_SLEEP_NS.  docs/waiting.md says what else was tried.
 */
#include "wait.h"

#include <ck_pr.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Adaptive spinning: twice what the last message took, if that was not long, else
 * less and less.  Yielding follows, for those who share a processor.
 */
#define SPIN_FIRST_NS	20000u
#define SPIN_MIN_NS	2000u
#define SPIN_MAX_NS	50000u
#define YIELD_NS	10000u

/* Where membarrier() is refused (seccomp), wakers fence. */
static bool refused;

uint64_t torc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t torc_coarse_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- Waking ------------------------------------------------------------- */

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

bool torc_wake_barrier(void)
{
	return !refused && !membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

void torc_wake_sleepers(const struct torc_topic *topic, uint32_t *word)
{
	if (topic->mapping->wake)
		topic->mapping->wake(topic, word);
	else
		syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void torc_wake(const struct torc_topic *topic, uint32_t *word)
{
	if (torc_word_disarm(word))
		torc_wake_sleepers(topic, word);
}

void torc_interrupt(const struct torc_topic *topic, uint32_t *flag,
		    uint32_t *word)
{
	int saved = errno;

	torc_store_relaxed(flag, 1u);
	/*
	 * Armed anew, not disarmed: others may rely on it who are not to be woken
	 * for this, behind their bells.
	 */
	if (word && torc_word_armed(word, true)) {
		torc_word_arm(word);
		torc_wake_sleepers(topic, word);
	}
	errno = saved;
}

bool torc_interrupted(uint32_t *flag)
{
	if (!torc_load_relaxed(flag))
		return false;
	torc_store_relaxed(flag, 0u);
	return true;
}

/* ---- Sleeping ----------------------------------------------------------- */

static struct timespec duration(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u),
				  .tv_nsec = (long)(ns % 1000000000u) };
}

/* Sleep until one of @words does not hold its value, or for @ns. */
static int futex_sleep(uint32_t *const *words, const uint32_t *values, int count,
		       uint64_t ns)
{
	struct futex_waitv waitv[TORC_WORDS_MAX];
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

int torc_sleep(const struct torc_topic *topic, uint32_t *const *words, int count,
	       uint64_t ns, bool (*ready)(void *context), void *context)
{
	uint64_t poll_ns = ns < TORC_POLL_NS ? ns : TORC_POLL_NS;
	struct timespec poll = duration(poll_ns);
	uint32_t values[TORC_WORDS_MAX];
	int r;

	if (!count || (count > 1 && topic->mapping->sleep))
		return nanosleep(&poll, NULL) ? -EINTR : 0;
	for (int i = 0; i < count; i++)
		values[i] = torc_word_arm(words[i]);
	if (!torc_wake_barrier())
		ns = poll_ns;
	if (ready(context))
		return 0;
	if (topic->mapping->sleep)
		r = topic->mapping->sleep(topic, words[0], values[0], ns);
	else
		r = futex_sleep(words, values, count, ns);
	/* A kernel that cannot wait for several (before 5.16). */
	if (r == -ENOSYS)
		return nanosleep(&poll, NULL) ? -EINTR : 0;
	return r == -EINTR ? r : 0;
}

/* ---- Patience ----------------------------------------------------------- */

int torc_patience_init(struct torc_patience *patience, const char *name,
		       enum torc_wait policy)
{
	static const uint64_t spin_ns[] = {
		[TORC_WAIT_ADAPTIVE] = SPIN_FIRST_NS,
		[TORC_WAIT_SPIN] = UINT64_MAX,
		[TORC_WAIT_SLEEP] = 0,
	};

	if ((unsigned int)policy > TORC_WAIT_SLEEP)
		return torc_fail(-EINVAL, "%s: no such way to wait: %u", name,
				 (unsigned int)policy);
	*patience = (struct torc_patience){ policy, spin_ns[policy] };
	return 0;
}

static uint64_t later(uint64_t now, uint64_t ns)
{
	return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

void torc_waiting_begin(struct torc_waiting *waiting,
			struct torc_patience *patience, int64_t timeout_ns)
{
	uint64_t now = torc_now_ns();

	*waiting = (struct torc_waiting){
		.patience = patience,
		.begun = now,
		.spin_until = later(now, patience->spin_ns),
		.yield_until = later(now, patience->spin_ns),
		.deadline = timeout_ns < 0 ? UINT64_MAX
					   : later(now, (uint64_t)timeout_ns),
	};
	if (patience->policy == TORC_WAIT_ADAPTIVE)
		waiting->yield_until += YIELD_NS;
}

void torc_waiting_end(const struct torc_waiting *waiting)
{
	struct torc_patience *patience = waiting->patience;
	uint64_t took, spin = patience->spin_ns;

	if (patience->policy != TORC_WAIT_ADAPTIVE)
		return;
	took = torc_now_ns() - waiting->begun;
	if (took > SPIN_MAX_NS)
		spin /= 2;
	else
		spin -= spin / 8;
	if (took <= SPIN_MAX_NS && spin < 2 * took)
		spin = 2 * took;
	if (spin < SPIN_MIN_NS)
		spin = SPIN_MIN_NS;
	patience->spin_ns = spin < SPIN_MAX_NS ? spin : SPIN_MAX_NS;
}

int torc_wait_turn(const struct torc_waiting *waiting,
		   const struct torc_event *event)
{
	uint64_t started = torc_now_ns(), now, ns = TORC_SLEEP_NS;
	int r;

	for (;;) {
		/* Reading the clock is the pause between looks, with a few
		 * more while the end is far. */
		for (int i = 0; i < 16; i++) {
			if (event->ready(event->context))
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
	r = event->sleep(event->context, ns);
	if (event->ready(event->context))
		return 0;
	return r ? r : -EAGAIN;
}
