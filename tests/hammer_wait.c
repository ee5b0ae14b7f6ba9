/* SPDX-License-Identifier: MIT */
/*
 * The boundary of sleep: one process sleeps, another wakes it at a random distance
 * from its falling asleep, again and again, by each way there is.
 *
 * Goal: no wake-up is lost.  Method: nothing is timed, which would tell of the
 * machine's load.  A futex sleeps for LOST_NS, thousands of times longer than the
 * library lets it; who wakes only then, half of that after the waker's call has
 * returned, was not woken.  A descriptor has its timer,
 * but if the waker's call has returned and the bell is still armed, nobody will
 * ring it.  The two have a processor each, if there are two: on one, the switch from
 * one to the other would be the barrier that is to be tried.
 *
 * Who runs later than LATE_NS after the waker's call has returned is counted, and
 * apart from them those whom the scheduler let wait for that long, and those who
 * slept more than once: somebody stopped them.
 *
 *	hammer_wait [sleeps [way]]	default: a share; with TORC_LONG, 10 million;
 *					all ways, or the one that is called so
 *
 * A sleep is counted when its words have been armed and looked past.
 */
#include "seat.h"
#include "topic.h"
#include "wait.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLEEPS_SHARE	100000u
#define SLEEPS_LONG	10000000u
#define LOST_NS		20000000000u
#define LATE_NS		5000000u
#define DISTANCE_BITS	9u	/* at most so many PAUSEs, as a power of two */

struct shared {
	uint64_t turn __attribute__((aligned(TORC_LINE)));	/* sleeper's */
	uint64_t done __attribute__((aligned(TORC_LINE)));	/* waker's */
	uint64_t done_ns;	/* when */
	uint64_t sleeps, lost, spurious, late, held_up, stopped;
};

struct hammer {
	const char *name;
	unsigned int flags;	/* of the topic */
	void (*sleeper)(struct hammer *hammer);
	void (*waker)(struct hammer *hammer);
	/* for both */
	struct torc_topic *topic;
	struct shared *shared;
	uint64_t count;
	/* each one's own */
	uint64_t random;
	int schedstat;		/* descriptor; -1: the kernel keeps none */
};

static void must(int r)
{
	if (r >= 0)
		return;
	printf("# %s\n", torc_errmsg());
	exit(1);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Short distances as often as long ones. */
static void keep_distance(uint64_t *state)
{
	uint64_t bits = next_random(state) % (DISTANCE_BITS + 1);
	uint64_t pauses = next_random(state) & ((1u << bits) - 1);

	while (pauses--)
		torc_pause();
}

/* Until *@word is at least @value; what it is. */
static uint64_t await(const uint64_t *word, uint64_t value)
{
	uint64_t now;

	for (unsigned int tries = 1; (now = torc_load_acquire(word)) < value;
	     tries++)
		if (tries % 4096)
			torc_pause();
		else
			sched_yield();
	return now;
}

/* The waker's call has returned. */
static void be_done(struct shared *shared, uint64_t turn)
{
	torc_store_relaxed(&shared->done_ns, torc_now_ns());
	torc_store_release(&shared->done, turn);
}

/* The other one goes about its turn at the same time. */
static void announce(struct hammer *hammer, uint64_t turn)
{
	torc_store_release(&hammer->shared->turn, turn);
	keep_distance(&hammer->random);
}

/* ---- Late ---------------------------------------------------------------- */

/* What the scheduler has done with us, ever. */
struct fate {
	uint64_t held_up_ns;	/* kept waiting for a processor */
	long sleeps;		/* being stopped is one, too */
};

static struct fate fate_now(const struct hammer *hammer)
{
	unsigned long long ran, waited = 0;
	char text[64] = "";
	struct rusage usage;

	if (pread(hammer->schedstat, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%llu %llu", &ran, &waited);
	getrusage(RUSAGE_SELF, &usage);
	return (struct fate){ waited, usage.ru_nvcsw };
}

/* We run; @before: fate_now() before we slept. */
static void count_late(struct hammer *hammer, uint64_t done, struct fate before)
{
	struct fate fate = fate_now(hammer);
	struct shared *shared = hammer->shared;
	uint64_t now = torc_now_ns(), since;

	if (torc_load_acquire(&shared->done) != done)
		return;
	since = torc_load_relaxed(&shared->done_ns);
	if (now < since + LATE_NS)
		return;
	shared->late++;
	if (now < since + LATE_NS + fate.held_up_ns - before.held_up_ns)
		shared->held_up++;
	else if (fate.sleeps > before.sleeps + 1)
		shared->stopped++;
}

/* ---- For a message, on a futex ------------------------------------------ */

struct sleep {
	struct torc_subscriber *sub;
	struct torc_subscriber_slot_shm *slot;
	uint64_t cursor;
};

static bool message_there(void *context)
{
	struct sleep *sleep = context;

	return torc_sub_ready(sleep->sub);
}

/* Has the waker been done for long?  On a busy machine it may not have run. */
static bool long_done(const struct shared *shared, uint64_t turn)
{
	return torc_load_acquire(&shared->done) == turn &&
	       torc_now_ns() - torc_load_relaxed(&shared->done_ns) >=
		       LOST_NS / 2;
}

/* Sleep on @word until @ready, which the waker sees to before it is @done. */
static void sleep_until(struct hammer *hammer, uint32_t *word, uint64_t done,
			bool (*ready)(void *context), struct sleep *sleep)
{
	struct shared *shared = hammer->shared;

	do {
		struct fate before = fate_now(hammer);
		uint64_t begun = torc_now_ns();

		must(torc_sleep(hammer->topic, &word, 1, LOST_NS, ready,
				sleep));
		count_late(hammer, done, before);
		shared->sleeps++;
		if (torc_now_ns() - begun >= LOST_NS &&
		    long_done(shared, done))
			shared->lost++;
		else if (!ready(sleep))
			shared->spurious++;
	} while (!ready(sleep));
}

static void sleep_for_messages(struct hammer *hammer)
{
	struct shared *shared = hammer->shared;
	struct torc_message message;
	struct sleep sleep = { 0 };
	uint64_t number;

	must(torc_sub_open(hammer->topic, NULL, &sleep.sub));
	while (shared->sleeps < hammer->count) {
		announce(hammer, shared->turn + 1);
		sleep_until(hammer,
			    &torc_sub_seat(sleep.sub)->cursors->data_word,
			    shared->turn, message_there, &sleep);
		must(torc_sub_receive(sleep.sub, &number, sizeof(number),
				      &message));
	}
	torc_store_release(&shared->turn, UINT64_MAX);
	torc_sub_close(sleep.sub);
}

/* Publish one message a turn. */
static void publish(struct hammer *hammer)
{
	struct shared *shared = hammer->shared;
	struct torc_publisher *pub;
	uint64_t turn;

	must(torc_pub_open(hammer->topic, NULL, &pub));
	for (turn = 1; await(&shared->turn, turn) != UINT64_MAX; turn++) {
		keep_distance(&hammer->random);
		must(torc_pub_publish(pub, &turn, sizeof(turn)));
		be_done(shared, turn);
	}
	torc_pub_close(pub);
}

/* ---- For room, on a futex ----------------------------------------------- */

static bool room_there(void *context)
{
	struct sleep *sleep = context;

	return torc_load_acquire(&sleep->slot->cursor) != sleep->cursor;
}

static void sleep_for_room(struct hammer *hammer)
{
	struct shared *shared = hammer->shared;
	struct torc_view view;
	int unusable = 0;
	struct torc_publisher *pub;
	struct sleep sleep = { 0 };
	uint64_t turn = 0;

	must(torc_topic_map(hammer->topic, TORC_ACCESS_PUBLISH, &unusable,
			    &view));
	must(torc_pub_open(hammer->topic, NULL, &pub));
	sleep.slot = torc_subscriber_slot(&view.ring, 0);
	await(&shared->done, 1);	/* it has joined */
	while (shared->sleeps < hammer->count) {
		sleep.cursor = torc_load_acquire(&sleep.slot->cursor);
		must(torc_pub_publish(pub, &turn, sizeof(turn)));
		announce(hammer, ++turn);
		sleep_until(hammer, &view.ring.cursors->room_word,
			    turn + 1, room_there, &sleep);
		/* No turn before the one who wakes is through. */
		await(&shared->done, turn + 1);
	}
	torc_store_release(&shared->turn, UINT64_MAX);
	torc_pub_close(pub);
	torc_topic_unmap(hammer->topic, &view);
}

static void receive(struct hammer *hammer)
{
	struct shared *shared = hammer->shared;
	struct torc_subscriber *sub;
	struct torc_message message;
	uint64_t turn, number;

	must(torc_sub_open(hammer->topic, NULL, &sub));
	torc_store_release(&shared->done, 1u);
	for (turn = 1; await(&shared->turn, turn) != UINT64_MAX; turn++) {
		keep_distance(&hammer->random);
		must(torc_sub_receive(sub, &number, sizeof(number), &message));
		/* Finding nothing more, it wakes who waits for room. */
		torc_sub_receive(sub, &number, sizeof(number), &message);
		be_done(shared, turn + 1);
	}
	torc_sub_close(sub);
}

/* ---- For a message, in an event loop ------------------------------------ */

static void sleep_in_poll(struct hammer *hammer)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct shared *shared = hammer->shared;
	struct torc_subscriber_slot_shm *slot;
	struct torc_subscriber *sub;
	struct torc_message message;
	uint64_t number;

	must(torc_sub_open(hammer->topic, NULL, &sub));
	slot = torc_sub_seat(sub)->slot;
	poll_fd.fd = torc_sub_fd(sub);
	must(poll_fd.fd);
	while (shared->sleeps < hammer->count) {
		uint64_t turn = shared->turn + 1;

		announce(hammer, turn);
		while (torc_sub_receive(sub, &number, sizeof(number),
					&message)) {
			struct fate before = fate_now(hammer);

			shared->sleeps++;
			poll(&poll_fd, 1, -1);
			count_late(hammer, turn, before);
			/* In this order. */
			if (torc_load_acquire(&shared->done) == turn &&
			    torc_load_acquire(&slot->bell_armed))
				shared->lost++;
			else if (!torc_sub_ready(sub))
				shared->spurious++;
		}
	}
	torc_store_release(&shared->turn, UINT64_MAX);
	torc_sub_close(sub);
}

/* ---- Running ------------------------------------------------------------ */

/* To the first or the last of the processors that we may use. */
static void stay(bool first)
{
	cpu_set_t all, one;
	size_t cpu = first ? 0 : CPU_SETSIZE - 1;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	while (!CPU_ISSET(cpu, &all))
		cpu = first ? cpu + 1 : cpu - 1;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static pid_t start(void (*body)(struct hammer *hammer), struct hammer *hammer)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	stay(body == hammer->sleeper);
	hammer->schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
	hammer->random = 0x9e3779b97f4a7c15u ^ (uint64_t)getpid();
	body(hammer);
	fflush(stdout);
	_exit(0);
}

static bool run(struct hammer *hammer)
{
	struct torc_topic_options options = { .flags = TORC_CREATE |
						       hammer->flags };
	struct shared *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status[2] = { 1, 1 };
	pid_t pids[2];

	if (shared == MAP_FAILED)
		return false;
	hammer->shared = shared;
	must(torc_topic_open(NULL, "anon:", &options, &hammer->topic));
	pids[0] = start(hammer->sleeper, hammer);
	pids[1] = start(hammer->waker, hammer);
	/* One that gives up leaves the other waiting. */
	for (int i = 0; i < 2; i++) {
		pid_t pid = wait(&status[i]);

		if (status[i])
			kill(pids[pid == pids[0]], SIGKILL);
	}
	printf("# %s: %" PRIu64 " sleeps, %" PRIu64 " woken in vain, %" PRIu64
	       " late, of these %" PRIu64 " by the scheduler, %" PRIu64
	       " stopped, %" PRIu64 " not woken\n", hammer->name,
	       shared->sleeps, shared->spurious, shared->late,
	       shared->held_up, shared->stopped, shared->lost);
	torc_topic_close(hammer->topic);
	status[0] |= status[1] || shared->lost ||
		     shared->sleeps < hammer->count;
	munmap(shared, sizeof(*shared));
	return !status[0];
}

int main(int argc, char **argv)
{
	static struct hammer hammers[] = {
		{ .name = "a message of one publisher, futex",
		  .sleeper = sleep_for_messages, .waker = publish },
		{ .name = "a message of many publishers, futex",
		  .flags = TORC_MANY,
		  .sleeper = sleep_for_messages, .waker = publish },
		{ .name = "room, futex",
		  .sleeper = sleep_for_room, .waker = receive },
		{ .name = "a message of one publisher, descriptor",
		  .sleeper = sleep_in_poll, .waker = publish },
	};
	const size_t count = sizeof(hammers) / sizeof(hammers[0]);
	uint64_t sleeps = argc > 1 ? strtoull(argv[1], NULL, 0) :
			  getenv("TORC_LONG") ? SLEEPS_LONG : SLEEPS_SHARE;
	const char *only = argc > 2 ? argv[2] : NULL;
	unsigned int passed = 0, failed = 0;

	for (size_t i = 0; i < count; i++) {
		if (only && strcmp(hammers[i].name, only) != 0)
			continue;
		/* Half of them on the ring with one publisher. */
		hammers[i].count = only ? sleeps : i ? sleeps / 6
					: sleeps - 3 * (sleeps / 6);
		if (run(&hammers[i]))
			passed++;
		else
			failed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
