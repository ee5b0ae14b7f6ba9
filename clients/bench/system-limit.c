/* SPDX-License-Identifier: MIT */
/*
 * The limit: what this machine does with two processes and the least work.
 *
 * Round trips: a bare word bounced each way, in a line that is always the same
 * or in a fresh one each time, with 0 to 3 PAUSEs between polls.  Which of the
 * eight is fastest depends on where the two cores lie, so all are measured each
 * time and the fastest counts.
 *
 * Wake-ups: a word, and a futex on it.
 *
 * Everything else: blocks handed over by memcpy() through a shared buffer.  The
 * source is sent in pieces of a message's size, but of 4 KiB at least, and the
 * receiver checks every byte where it lies, as for all systems.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "play.h"

#define LIMIT_LINES	1024u	/* of 64 bytes, each way; a power of two */
#define LIMIT_WORDS	8u	/* in a line */
#define LIMIT_BLOCK	65536u	/* bytes */
/*
 * A power of two.  Both sides together must leave the cores' own caches, else
 * each line goes from core to core with a message each way: near, with 4, 16, 64
 * and 256 blocks, 8.4, 12, 53 and 46 GB/s in pieces of 4 KiB.
 */
#define LIMIT_BLOCKS	64u

struct limit_shared {
	uint64_t ping[LIMIT_LINES * LIMIT_WORDS]
		__attribute__((aligned(TORC_LINE)));
	uint64_t pong[LIMIT_LINES * LIMIT_WORDS]
		__attribute__((aligned(TORC_LINE)));
	uint32_t count __attribute__((aligned(TORC_LINE)));	/* WAKE: futex */
	uint64_t word;
	uint64_t head __attribute__((aligned(TORC_LINE)));	/* blocks */
	uint64_t tail __attribute__((aligned(TORC_LINE)));
	unsigned char blocks[] __attribute__((aligned(4096)));
};

struct limit_state {
	struct limit_shared *shared;
	size_t size;
	size_t block;
};

static void limit_tear_down(struct bench_job *job)
{
	struct limit_state *state = job->state;

	munmap(state->shared, state->size);
	free(state);
	job->state = NULL;
}

static int limit_set_up(struct bench_job *job)
{
	struct limit_state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	/* As many whole messages as fit; never is part of a block sent. */
	job->burst = (int)(LIMIT_BLOCK / job->size);
	if (!job->burst)
		job->burst = 1;
	state->block = (size_t)job->burst * job->size;
	state->size = sizeof(struct limit_shared) + LIMIT_BLOCKS * state->block;
	state->shared = bench_shared(state->size);
	if (!state->shared) {
		free(state);
		return -ENOMEM;
	}
	job->state = state;
	return 0;
}

/* ---- Round trips ---------------------------------------------------------- */

/* One process's side: wait for a word, then store the next. */
BENCH_INLINE void limit_await(const uint64_t *lines, uint64_t i, bool fresh,
			      int pauses)
{
	const uint64_t *line =
		lines + (fresh ? i % LIMIT_LINES * LIMIT_WORDS : 0);

	while (torc_load_acquire(line) != i)
		for (int p = 0; p < pauses; p++)
			torc_pause();
}

BENCH_INLINE void limit_store(uint64_t *lines, uint64_t i, bool fresh)
{
	torc_store_release(lines + (fresh ? i % LIMIT_LINES * LIMIT_WORDS : 0),
			   i);
}

/* @count round trips from word @from on; the time they took. */
BENCH_INLINE uint64_t limit_trips(struct limit_shared *shared, bool pings,
				  uint64_t from, uint64_t count, bool fresh,
				  int pauses)
{
	uint64_t start = bench_ticks();

	for (uint64_t i = from; i < from + count; i++) {
		if (pings)
			limit_store(shared->ping, i, fresh);
		limit_await(pings ? shared->pong : shared->ping, i, fresh,
			    pauses);
		if (!pings)
			limit_store(shared->pong, i, fresh);
	}
	return bench_ticks() - start;
}

/* The same, each timed. */
BENCH_INLINE void limit_latencies(struct bench_control *control,
				  struct limit_shared *shared, bool pings,
				  uint64_t from, bool fresh, int pauses)
{
	uint32_t each = BENCH_LATENCIES_MAX / BENCH_VARIANTS;
	uint32_t *at = control->latencies + control->latencies_count;

	for (uint32_t i = 0; i < each; i++) {
		uint64_t ticks =
			limit_trips(shared, pings, from + i, 1, fresh, pauses);

		if (pings)
			at[i] = (uint32_t)ticks;
	}
	if (pings)
		control->latencies_count += each;
}

/* The time of a group of round trips; this process pings or echoes. */
BENCH_INLINE uint64_t limit_variant(struct bench_job *job, bool pings,
				    bool fresh, int pauses, uint64_t *from)
{
	struct limit_state *state = job->state;
	uint64_t groups[BENCH_LIMIT_GROUPS];

	for (int i = -1; i < BENCH_LIMIT_GROUPS; i++) {
		/* The first is to warm up. */
		groups[i < 0 ? 0 : i] = limit_trips(state->shared, pings, *from,
						    BENCH_GROUP, fresh, pauses);
		*from += BENCH_GROUP;
	}
	limit_latencies(job->control, state->shared, pings, *from, fresh,
			pauses);
	*from += BENCH_LATENCIES_MAX / BENCH_VARIANTS;
	return bench_median(groups, BENCH_LIMIT_GROUPS);
}

static void limit_bounce(struct bench_job *job, bool pings)
{
	struct bench_control *control = job->control;
	uint64_t from = 1, elapsed[BENCH_VARIANTS];
	int best = 0;

	bench_barrier(job, !pings, 2);
	/* Inline, so that fresh and the PAUSEs are constants in each. */
	elapsed[0] = limit_variant(job, pings, false, 0, &from);
	elapsed[1] = limit_variant(job, pings, false, 1, &from);
	elapsed[2] = limit_variant(job, pings, false, 2, &from);
	elapsed[3] = limit_variant(job, pings, false, 3, &from);
	elapsed[4] = limit_variant(job, pings, true, 0, &from);
	elapsed[5] = limit_variant(job, pings, true, 1, &from);
	elapsed[6] = limit_variant(job, pings, true, 2, &from);
	elapsed[7] = limit_variant(job, pings, true, 3, &from);
	if (!pings)
		return;

	for (int i = 1; i < BENCH_VARIANTS; i++)
		if (elapsed[i] < elapsed[best])
			best = i;
	control->elapsed = elapsed[best];
	control->count = BENCH_GROUP;
	/* Only the best one's latencies count. */
	control->latencies_count = BENCH_LATENCIES_MAX / BENCH_VARIANTS;
	memmove(control->latencies,
		control->latencies +
			(uint32_t)best * control->latencies_count,
		control->latencies_count * sizeof(control->latencies[0]));
}

/* ---- Blocks --------------------------------------------------------------- */

struct limit_port {
	struct limit_shared *shared;
	size_t block;		/* bytes */
	size_t size;		/* of a message */
	size_t at;		/* in the current block */
	uint64_t here;		/* blocks that this side is done with */
	uint64_t there;		/* the other side, as last seen */
};

static unsigned char *limit_block(const struct limit_port *p)
{
	return p->shared->blocks + p->here % LIMIT_BLOCKS * p->block;
}

static int limit_send(void *port, const void *data, size_t size)
{
	struct limit_port *p = port;

	if (torc_unlikely(!p->at && p->here - p->there == LIMIT_BLOCKS)) {
		p->there = torc_load_acquire(&p->shared->tail);
		if (p->here - p->there == LIMIT_BLOCKS)
			return -EAGAIN;
	}
	memcpy(limit_block(p) + p->at, data, size);
	p->at += size;
	if (p->at + size > p->block) {
		p->at = 0;
		torc_store_release(&p->shared->head, ++p->here);
	}
	return 0;
}

static int limit_peek(void *port, struct torc_message *ret, int max)
{
	struct limit_port *p = port;
	int n = (int)(p->block / p->size);

	if (p->there == p->here) {
		p->there = torc_load_acquire(&p->shared->head);
		if (p->there == p->here)
			return -EAGAIN;
	}
	for (int i = 0; i < n && i < max; i++) {
		ret[i].data = limit_block(p) + (size_t)i * p->size;
		ret[i].length = p->size;
	}
	return n;
}

static int limit_release(void *port)
{
	struct limit_port *p = port;

	torc_store_release(&p->shared->tail, ++p->here);
	return 0;
}

static const struct bench_ops limit_ops = {
	.send = limit_send,
	.peek = limit_peek,
	.release = limit_release,
};

/* ---- Wake-ups ------------------------------------------------------------- */

struct futex_port {
	struct limit_shared *shared;
	uint32_t seen;
	uint64_t word;
};

static int futex_send(void *port, const void *data, size_t size)
{
	struct limit_shared *shared = ((struct futex_port *)port)->shared;

	memcpy(&shared->word, data, size);
	torc_store_release(&shared->count, shared->count + 1);
	syscall(SYS_futex, &shared->count, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 0;
}

static int futex_peek(void *port, struct torc_message *ret, int max)
{
	struct futex_port *p = port;

	(void)max;
	if (torc_load_acquire(&p->shared->count) == p->seen)
		return -EAGAIN;
	p->seen++;
	p->word = p->shared->word;
	ret->data = &p->word;
	ret->length = sizeof(p->word);
	return 1;
}

static int futex_sleep(void *port)
{
	const struct futex_port *p = port;

	syscall(SYS_futex, &p->shared->count, FUTEX_WAIT, p->seen, NULL, NULL,
		0);
	return 0;
}

static int futex_release(void *port)
{
	(void)port;
	return 0;
}

static const struct bench_ops futex_ops = {
	.send = futex_send,
	.peek = futex_peek,
	.release = futex_release,
	.sleep = futex_sleep,
};

static void limit_run(struct bench_job *job, enum bench_role role, int index)
{
	const struct limit_state *state = job->state;
	struct limit_port port = {
		.shared = state->shared,
		.block = state->block,
		.size = job->size,
	};

	struct futex_port futex_port = { .shared = state->shared };

	if (job->mode == BENCH_RTT)
		limit_bounce(job, role == BENCH_PUBLISHER);
	else if (job->mode == BENCH_WAKE)
		bench_play(job, &futex_ops, &futex_port, role, index);
	else
		bench_play(job, &limit_ops, &port, role, index);
}

const struct bench_system bench_limit = {
	.name = "limit",
	.what = "bare words (rtt), a bare futex (wake), blocks by memcpy "
		"(others)",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_WAKE),
	.set_up = limit_set_up,
	.run = limit_run,
	.tear_down = limit_tear_down,
};
