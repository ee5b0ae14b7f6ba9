/* SPDX-License-Identifier: MIT */
/*
 * The ring of torc/ring.h, embedded: no library, one block of anonymous memory.
 * With several publishers the kind that takes many, else the kind that takes
 * one.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <sys/mman.h>

#include <torc/ring.h>

#include "play.h"

/*
 * PAUSEs between two polls of round trips.  With 0, 1, 2 and 3, near: 8 bytes
 * 155, 145, 153 and 184 ns, 48 bytes 234, 230, 224 and 253 ns.
 */
#define RING_PAUSES 1

struct ring_state {
	unsigned char *memory[2];	/* RTT: there and back */
	struct torc_constants_shm constants;
};

struct ring_port {
	struct torc_sp sp;
	struct torc_mp mp;
	struct torc_consumer consumer;
	struct torc_consumer *idle;	/* FANOUT */
};

static void ring_tear_down(struct bench_job *job)
{
	struct ring_state *state = job->state;
	size_t size = state->constants.ring_size + state->constants.cursors_size;

	for (int i = 0; i < 2; i++)
		if (state->memory[i])
			munmap(state->memory[i], size);
	free(state);
	job->state = NULL;
}

static int ring_set_up(struct bench_job *job)
{
	struct torc_ring_config config = {
		.capacity = job->capacity,
		.kind = job->mode == BENCH_MPSC ? TORC_KIND_MP : TORC_KIND_SP,
	};
	struct ring_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	job->state = state;
	if (job->subscribers > 64)
		config.subscribers = (uint32_t)job->subscribers;
	r = torc_ring_layout(&config, &state->constants);
	for (int i = 0; !r && i < (job->mode == BENCH_RTT ? 2 : 1); i++) {
		state->memory[i] = bench_shared(state->constants.ring_size +
						state->constants.cursors_size);
		if (!state->memory[i])
			r = -ENOMEM;
		else
			torc_ring_format(&state->constants, state->memory[i],
					 state->memory[i] +
						 state->constants.ring_size);
	}
	if (r)
		ring_tear_down(job);
	return r;
}

static int ring_attach(const struct ring_state *state, int i,
		       struct torc_ring *ring)
{
	return torc_ring_attach(ring, state->memory[i],
				state->constants.ring_size,
				state->memory[i] + state->constants.ring_size,
				state->constants.cursors_size);
}

static int ring_sp_send(void *port, const void *data, size_t size)
{
	return torc_sp_publish(&((struct ring_port *)port)->sp, data, size);
}

static int ring_sp_batch(void *port, const struct torc_span *spans, int count)
{
	return torc_sp_publish_batch(&((struct ring_port *)port)->sp, spans,
				     count);
}

static int ring_mp_send(void *port, const void *data, size_t size)
{
	return torc_mp_publish(&((struct ring_port *)port)->mp, data, size);
}

static int ring_mp_batch(void *port, const struct torc_span *spans, int count)
{
	return torc_mp_publish_batch(&((struct ring_port *)port)->mp, spans,
				     count);
}

static int ring_peek(void *port, struct torc_message *ret, int max)
{
	return torc_consumer_peek_batch(&((struct ring_port *)port)->consumer,
					ret, max);
}

static int ring_release(void *port)
{
	return torc_consumer_release(&((struct ring_port *)port)->consumer);
}

static int ring_receive(void *port, int index, void *buffer, size_t size)
{
	struct torc_message message;

	return torc_consumer_receive(&((struct ring_port *)port)->idle[index],
				     buffer, size, &message);
}

static uint64_t ring_lost(void *port, int index)
{
	return ((struct ring_port *)port)->idle[index].lost;
}

static const struct bench_ops ring_sp_ops = {
	.pauses = RING_PAUSES,
	.rest = BENCH_REST,
	.send = ring_sp_send,
	.send_batch = ring_sp_batch,
	.peek = ring_peek,
	.release = ring_release,
	.receive = ring_receive,
	.lost = ring_lost,
};

static const struct bench_ops ring_mp_ops = {
	.rest = BENCH_REST,
	.send = ring_mp_send,
	.send_batch = ring_mp_batch,
	.peek = ring_peek,
	.release = ring_release,
};

/* Become what @role is; a subscriber joins before any publisher begins. */
static int ring_open(struct bench_job *job, struct ring_port *port,
		     enum bench_role role, int index)
{
	const struct ring_state *state = job->state;
	bool rtt = job->mode == BENCH_RTT, publishes = role == BENCH_PUBLISHER;
	struct torc_ring ring;
	int r;

	r = ring_attach(state, rtt && !publishes, &ring);
	if (!r && job->mode == BENCH_MPSC && publishes)
		return torc_mp_init(&port->mp, &ring, (uint32_t)index);
	if (!r && (publishes || rtt))
		r = torc_sp_init(&port->sp, &ring);
	if (!r && rtt)
		r = ring_attach(state, publishes, &ring);
	if (!r && job->mode == BENCH_FANOUT && !publishes) {
		port->idle = calloc((size_t)job->subscribers,
				    sizeof(*port->idle));
		if (!port->idle)
			return -ENOMEM;
		for (int i = 0; !r && i < job->subscribers; i++)
			r = torc_consumer_join(&port->idle[i], &ring,
					       (uint32_t)i, 0);
		return r;
	}
	if (!r && (!publishes || rtt))
		r = torc_consumer_join(&port->consumer, &ring, 0,
				       TORC_LOSSLESS);
	return r;
}

/* All inline, as in a program that publishes in one place. */
static __attribute__((flatten)) void
ring_run(struct bench_job *job, enum bench_role role, int index)
{
	struct ring_port port = { 0 };
	int r = ring_open(job, &port, role, index);

	if (r)
		bench_die(job, "attaching: %s", strerror(-r));
	if (job->mode == BENCH_MPSC)
		bench_play(job, &ring_mp_ops, &port, role, index);
	else
		bench_play(job, &ring_sp_ops, &port, role, index);
}

const struct bench_system bench_ring = {
	.name = "ring",
	.what = "the header-only ring, embedded (mpsc: its MP kind)",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_FANOUT) | BENCH_BIT(BENCH_MPSC),
	.set_up = ring_set_up,
	.run = ring_run,
	.tear_down = ring_tear_down,
};
