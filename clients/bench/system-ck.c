/* SPDX-License-Identifier: MIT */
/*
 * Concurrency Kit's ck_ring in shared memory, with entries of one cache line:
 * a length and up to 56 bytes.  A message is written in place, in the reserved
 * entry, which is faster than building it outside and copying it in.  ck_ring
 * has no counterpart for its consumers: the entry is copied out.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <sys/mman.h>

#include <ck_ring.h>

#include "play.h"

#define CK_DATA_MAX 56u

struct ck_entry {
	uint64_t length;
	unsigned char data[CK_DATA_MAX];
} __attribute__((aligned(64)));

CK_RING_PROTOTYPE(bench, ck_entry)

struct ck_shared {
	struct ck_ring ring __attribute__((aligned(TORC_LINE)));
	struct ck_entry entries[] __attribute__((aligned(TORC_LINE)));
};

struct ck_state {
	struct ck_shared *shared[2];	/* RTT: there and back */
	size_t size;
};

struct ck_port {
	struct ck_shared *send, *receive;
	struct ck_entry entry;	/* copied out */
};

static const char *ck_refuses(const struct bench_job *job)
{
	return job->size > CK_DATA_MAX ? "an entry holds 56 bytes" : NULL;
}

static void ck_tear_down(struct bench_job *job)
{
	struct ck_state *state = job->state;

	for (int i = 0; i < 2; i++)
		if (state->shared[i])
			munmap(state->shared[i], state->size);
	free(state);
	job->state = NULL;
}

static int ck_set_up(struct bench_job *job)
{
	unsigned int entries = (unsigned int)(job->capacity /
					      sizeof(struct ck_entry));
	struct ck_state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	job->state = state;
	state->size = sizeof(struct ck_shared) +
		      entries * sizeof(struct ck_entry);
	for (int i = 0; i < (job->mode == BENCH_RTT ? 2 : 1); i++) {
		state->shared[i] = bench_shared(state->size);
		if (!state->shared[i]) {
			ck_tear_down(job);
			return -ENOMEM;
		}
		ck_ring_init(&state->shared[i]->ring, entries);
	}
	return 0;
}

static int ck_spsc_send(void *port, const void *data, size_t size)
{
	struct ck_shared *shared = ((struct ck_port *)port)->send;
	struct ck_entry *entry =
		ck_ring_enqueue_reserve_spsc_bench(&shared->ring,
						   shared->entries);

	if (torc_unlikely(!entry))
		return -EAGAIN;
	entry->length = size;
	memcpy(entry->data, data, size);
	ck_ring_enqueue_commit_spsc(&shared->ring);
	return 0;
}

static int ck_mpsc_send(void *port, const void *data, size_t size)
{
	struct ck_shared *shared = ((struct ck_port *)port)->send;
	unsigned int ticket;
	struct ck_entry *entry =
		ck_ring_enqueue_reserve_mpsc_bench(&shared->ring,
						   shared->entries, &ticket);

	if (torc_unlikely(!entry))
		return -EAGAIN;
	entry->length = size;
	memcpy(entry->data, data, size);
	ck_ring_enqueue_commit_mpsc(&shared->ring, ticket);
	return 0;
}

static int ck_peek(void *port, struct torc_message *ret, int max)
{
	struct ck_port *p = port;
	struct ck_shared *shared = p->receive;

	(void)max;
	if (!ck_ring_dequeue_spsc_bench(&shared->ring, shared->entries,
					&p->entry))
		return -EAGAIN;
	ret->data = p->entry.data;
	ret->length = p->entry.length;
	return 1;
}

static int ck_release(void *port)
{
	(void)port;
	return 0;
}

static const struct bench_ops ck_spsc_ops = {
	.pauses = 1,
	.rest = BENCH_REST,
	.send = ck_spsc_send,
	.peek = ck_peek,
	.release = ck_release,
};

static const struct bench_ops ck_mpsc_ops = {
	.rest = BENCH_REST,
	.send = ck_mpsc_send,
	.peek = ck_peek,
	.release = ck_release,
};

static void ck_run(struct bench_job *job, enum bench_role role, int index)
{
	const struct ck_state *state = job->state;
	bool rtt = job->mode == BENCH_RTT, publishes = role == BENCH_PUBLISHER;
	struct ck_port port = {
		.send = state->shared[rtt && !publishes],
		.receive = state->shared[rtt && publishes],
	};

	if (job->mode == BENCH_MPSC)
		bench_play(job, &ck_mpsc_ops, &port, role, index);
	else
		bench_play(job, &ck_spsc_ops, &port, role, index);
}

const struct bench_system bench_ck = {
	.name = "ck",
	.what = "Concurrency Kit's ck_ring, 64-byte entries, up to 56 bytes",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_MPSC),
	.refuses = ck_refuses,
	.set_up = ck_set_up,
	.run = ck_run,
	.tear_down = ck_tear_down,
};
