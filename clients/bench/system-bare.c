/* SPDX-License-Identifier: MIT */
/*
 * The floor: what a message of this size costs where it lies in fresh lines and
 * everything is left out that makes a ring safe.  A word says that it is there;
 * the lines that follow are zeroed ahead, as a ring's, so that the publisher has
 * them when it needs them.  All messages are of one size, none is lost, nobody
 * joins, leaves, dies or sleeps, and room is looked for in quarters of the memory.
 * With several publishers each claims by adding to one word.
 *
 * The loops are those of all systems, with the same checks of what arrives.  So what
 * a ring takes beside this is its own, and what this takes beside the limit no ring
 * can save.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <sys/mman.h>

#include <torc/layout.h>

#include "play.h"

#define BARE_PAUSES	1	/* as system-ring.c */
#define BARE_LINE	64u
/* How far zeroes reach past the next record: as torc/sp.h, torc/mp.h. */
#define BARE_AHEAD	128u
#define BARE_MAX	2048u	/* bytes of a record; ring zeroes no longer ones */
#define BARE_STEP	4096u	/* MPSC: zeroed at once */

struct bare_shared {
	uint64_t tail __attribute__((aligned(TORC_LINE)));	/* MPSC */
	uint64_t cursor __attribute__((aligned(TORC_LINE)));	/* read */
	/* A record that begins below the capacity may end beyond it. */
	unsigned char data[] __attribute__((aligned(4096)));
};

struct bare_state {
	struct bare_shared *shared[2];	/* RTT: there and back */
	size_t size;
};

/* One end of one direction; positions are in bytes. */
struct bare_end {
	struct bare_shared *shared;
	uint64_t mask;
	uint64_t record;	/* bytes, the word included */
	uint64_t at;		/* the next record */
	uint64_t peeked;	/* subscriber: end of what was */
	uint64_t zeroed;	/* publisher: up to here */
	/* Where a publisher looks for room, or a subscriber tells of some. */
	uint64_t bound;
};

struct bare_port {
	struct bare_end send, receive;
};

static const char *bare_refuses(const struct bench_job *job)
{
	if (job->publishers > 1)
		return "it has room for one publisher";
	return torc_record_size(job->size) > BARE_MAX ?
		       "it is for messages of up to 2 KiB" : NULL;
}

static void bare_tear_down(struct bench_job *job)
{
	struct bare_state *state = job->state;

	for (int i = 0; i < 2; i++)
		if (state->shared[i])
			munmap(state->shared[i], state->size);
	free(state);
	job->state = NULL;
}

static int bare_set_up(struct bench_job *job)
{
	struct bare_state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	job->state = state;
	state->size = sizeof(struct bare_shared) + 2 * job->capacity;
	for (int i = 0; i < (job->mode == BENCH_RTT ? 2 : 1); i++) {
		state->shared[i] = bench_shared(state->size);
		if (!state->shared[i]) {
			bare_tear_down(job);
			return -ENOMEM;
		}
	}
	return 0;
}

static uint64_t *bare_word(const struct bare_end *end, uint64_t position)
{
	return (uint64_t *)(void *)(end->shared->data + (position & end->mask));
}

/* ---- Publishing ----------------------------------------------------------- */

static bool bare_has_room(struct bare_end *end)
{
	uint64_t reach = 3 * end->record + BARE_AHEAD + BARE_STEP;

	if (torc_likely(end->at < end->bound))
		return true;
	end->bound = torc_load_acquire(&end->shared->cursor) + end->mask + 1 -
		     reach;
	return end->at < end->bound;
}

static void bare_zero(struct bare_end *end, uint64_t to)
{
	for (; end->zeroed < to; end->zeroed += BARE_LINE)
		memset(bare_word(end, end->zeroed), 0, BARE_LINE);
}

static void bare_write(struct bare_end *end, const void *data, size_t size)
{
	uint64_t *word = bare_word(end, end->at);

	torc_copy_payload(word + 1, data, size);
	torc_store_release(word, size);
	end->at += end->record;
}

static int bare_send(void *port, const void *data, size_t size)
{
	struct bare_end *end = &((struct bare_port *)port)->send;
	uint64_t ahead = BARE_AHEAD;

	if (!bare_has_room(end))
		return -EAGAIN;
	bare_write(end, data, size);
	if (end->record > BARE_LINE)
		ahead += torc_align(end->record, BARE_LINE);
	bare_zero(end, torc_align(end->at, BARE_LINE) + ahead);
	return 0;
}

static int bare_claim_and_send(void *port, const void *data, size_t size)
{
	struct bare_end *end = &((struct bare_port *)port)->send;

	if (!bare_has_room(end))
		return -EAGAIN;
	end->at = torc_add(&end->shared->tail, end->record) - end->record;
	bare_write(end, data, size);
	if (torc_unlikely(end->at + 2 * end->record > end->zeroed))
		bare_zero(end, end->at + 2 * end->record + BARE_STEP);
	return 0;
}

/* ---- Subscribing ---------------------------------------------------------- */

static int bare_peek(void *port, struct torc_message *ret, int max)
{
	struct bare_end *end = &((struct bare_port *)port)->receive;
	uint64_t at = end->at;
	int n;

	for (n = 0; n < max; n++) {
		uint64_t *word = bare_word(end, at);
		uint64_t size = torc_load_acquire(word);

		if (!size)
			break;
		ret[n].data = word + 1;
		ret[n].length = size;
		at += end->record;
	}
	end->peeked = at;
	return n ? n : -EAGAIN;
}

static int bare_release(void *port)
{
	struct bare_end *end = &((struct bare_port *)port)->receive;

	end->at = end->peeked;
	if (torc_unlikely(end->at >= end->bound)) {
		torc_store_release(&end->shared->cursor, end->at);
		end->bound = end->at + (end->mask + 1) / 16;
	}
	return 0;
}

/* ---- Both ----------------------------------------------------------------- */

static const struct bench_ops bare_ops = {
	.pauses = BARE_PAUSES,
	.rest = BENCH_REST,
	.send = bare_send,
	.peek = bare_peek,
	.release = bare_release,
};

static const struct bench_ops bare_mpsc_ops = {
	.rest = BENCH_REST,
	.send = bare_claim_and_send,
	.peek = bare_peek,
	.release = bare_release,
};

/* The memory is zero: its beginning need not be zeroed. */
static void bare_open(const struct bench_job *job, struct bare_end *end,
		      struct bare_shared *shared)
{
	*end = (struct bare_end){
		.shared = shared,
		.mask = job->capacity - 1,
		.record = torc_record_size(job->size),
		.zeroed = 2 * BARE_STEP,
	};
}

static __attribute__((flatten)) void
bare_run(struct bench_job *job, enum bench_role role, int index)
{
	const struct bare_state *state = job->state;
	bool rtt = job->mode == BENCH_RTT, publishes = role == BENCH_PUBLISHER;
	struct bare_port port;

	bare_open(job, &port.send, state->shared[rtt && !publishes]);
	bare_open(job, &port.receive, state->shared[rtt && publishes]);
	if (job->mode == BENCH_MPSC)
		bench_play(job, &bare_mpsc_ops, &port, role, index);
	else
		bench_play(job, &bare_ops, &port, role, index);
}

const struct bench_system bench_bare = {
	.name = "bare",
	.what = "words with a message beside them, and nothing else: the floor",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_MPSC),
	.refuses = bare_refuses,
	.set_up = bare_set_up,
	.run = bare_run,
	.tear_down = bare_tear_down,
};
