/* SPDX-License-Identifier: MIT */
/*
 * What publishers and subscribers do, the same for every system.
 *
 * A system provides a struct bench_ops that is constant where BENCH_ROLES() is
 * used.  Everything here is always inlined, so the compiler sees through the
 * pointers: each system gets loops of its own with no indirect call in them,
 * which would cost more than many a message.
 *
 * Nobody sleeps, but in BENCH_WAKE (wake.h): who finds no message or no room tries again.  A publisher
 * that shares its core with others gives way to them, after a while.
 */
#ifndef TORC_BENCH_LOOPS_H
#define TORC_BENCH_LOOPS_H

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <torc/atomic.h>
#include <torc/message.h>

#include "bench.h"
#include "clock.h"
#include "pattern.h"

#define BENCH_INLINE static inline __attribute__((always_inline))

#define BENCH_PEEK_MAX		64	/* messages looked at together */
#define BENCH_PAUSES_TO_YIELD	200
/*
 * A subscriber that keeps up polls the very line that is being written, and
 * both are slowed by it.  One that found nothing therefore lets some messages
 * gather.  8 bytes, near, with 256, 1024 and 4096 PAUSEs: torc 191, 214 and 216,
 * ck 61, 61 and 59, torc-mp 52, 70 and 73 million messages/s.
 */
#define BENCH_REST		1024
#define BENCH_STOP		UINT64_MAX	/* RTT: first word of the last */

struct bench_ops {
	int pauses;	/* RTT: between two polls */
	int rest;	/* others: PAUSEs of a subscriber that found nothing */
	/* All: 0 or a count; -EAGAIN for no room or no message; -errno. */
	int (*send)(void *port, const void *data, size_t size);
	int (*send_batch)(void *port, const struct torc_span *spans, int count);
	int (*peek)(void *port, struct torc_message *ret, int max);
	int (*release)(void *port);
	/* WAKE: until peek() may find something; NULL if peek() sleeps itself. */
	int (*sleep)(void *port);
	/* FANOUT: of the idle subscriber @index */
	int (*receive)(void *port, int index, void *buffer, size_t size);
	uint64_t (*lost)(void *port, int index);
};

/* ---- Publishing ---------------------------------------------------------- */

BENCH_INLINE void bench_give_way(const struct bench_job *job, unsigned int tries)
{
	if (job->publishers > 1 && tries % BENCH_PAUSES_TO_YIELD ==
					   BENCH_PAUSES_TO_YIELD - 1)
		sched_yield();
	else
		torc_pause();
}

BENCH_INLINE void bench_send(struct bench_job *job, const struct bench_ops *ops,
			     void *port, const void *data, size_t size)
{
	for (unsigned int tries = 0;; tries++) {
		int r = ops->send(port, data, size);

		if (torc_likely(!r))
			return;
		if (r != -EAGAIN)
			bench_die(job, "sending: %s", strerror(-r));
		bench_give_way(job, tries);
	}
}

BENCH_INLINE void bench_send_next(struct bench_job *job,
				  const struct bench_ops *ops, void *port,
				  struct bench_source *source)
{
	bench_send(job, ops, port, bench_source_next(source), job->size);
}

/* Send job->batch messages, all at once. */
BENCH_INLINE void bench_send_batch(struct bench_job *job,
				   const struct bench_ops *ops, void *port,
				   struct bench_source *source)
{
	struct torc_span spans[BENCH_BATCH_MAX];
	unsigned int tries = 0;
	int sent = 0;

	for (int i = 0; i < job->batch; i++) {
		spans[i].data = bench_source_next(source);
		spans[i].length = job->size;
	}
	while (sent < job->batch) {
		int r = ops->send_batch(port, spans + sent, job->batch - sent);

		if (torc_likely(r > 0))
			sent += r;
		else if (r == -EAGAIN)
			bench_give_way(job, tries++);
		else
			bench_die(job, "sending a batch: %s", strerror(-r));
	}
}

BENCH_INLINE void bench_send_until(struct bench_job *job,
				   const struct bench_ops *ops, void *port,
				   struct bench_source *source,
				   uint64_t deadline)
{
	if (ops->send_batch && job->batch > 1) {
		do {
			bench_send_batch(job, ops, port, source);
		} while (bench_ticks() < deadline);
	} else {
		do {
			for (int i = 0; i < job->burst; i++)
				bench_send_next(job, ops, port, source);
		} while (bench_ticks() < deadline);
	}
}

static inline void bench_source_init(struct bench_job *job,
				     struct bench_source *source, int index)
{
	unsigned int places = bench_places(job->size);
	unsigned int count = bench_ready(job->size);

	/* A batch and those that are numbered ahead must not overlap. */
	while ((int)count < 2 * job->batch)
		count *= 2;
	source->stride = (job->size + 63) & ~(size_t)63;
	source->messages = aligned_alloc(64, source->stride * count);
	if (!source->messages)
		bench_die(job, "no memory for messages");
	source->mask = count - 1;
	source->tag = (uint64_t)index << BENCH_SEQUENCE_BITS;
	source->sequence = 0;
	for (unsigned int i = 0; i < count; i++) {
		memcpy(bench_source_at(source, i),
		       job->pattern + bench_pattern_place(i, places),
		       job->size);
		bench_source_number(source, i);
	}
}

/*
 * THROUGHPUT, MPSC, FANOUT.  Warm up, have the subscriber read all of it, then
 * publish until the time is up.  FANOUT measures here, the others at the end of
 * the subscriber.
 */
BENCH_INLINE void bench_publish(struct bench_job *job,
				const struct bench_ops *ops, void *port,
				int index)
{
	struct bench_control *control = job->control;
	uint64_t start, warm;
	struct bench_source source;

	bench_source_init(job, &source, index);
	bench_barrier(job, index, job->publishers + 1);
	bench_send_until(job, ops, port, &source,
			 bench_ticks() + bench_to_ticks(BENCH_WARM_NS));
	warm = source.sequence;
	torc_store_release(&control->published[index].warm, warm + 1);
	if (job->mode == BENCH_FANOUT)
		start = bench_ticks();
	else
		for (unsigned int tries = 0;
		     !(start = torc_load_acquire(&control->start.ticks));
		     tries++)
			bench_give_way(job, tries);
	bench_send_until(job, ops, port, &source,
			 start + bench_to_ticks(job->run_ns));
	if (job->mode == BENCH_FANOUT) {
		control->elapsed = bench_ticks() - start;
		control->count = source.sequence - warm;
	}
	torc_store_release(&control->published[index].total,
			   source.sequence + 1);
}

/* ---- Subscribing --------------------------------------------------------- */

BENCH_INLINE void bench_check(struct bench_job *job,
			      const struct torc_message *message,
			      struct bench_expected *expected)
{
	uint64_t word, sequence, index;

	if (torc_unlikely(message->length != job->size))
		bench_die(job, "message %llu has %zu bytes instead of %zu",
			  (unsigned long long)expected->received,
			  message->length, job->size);
	word = bench_word(message->data);
	index = word >> BENCH_SEQUENCE_BITS;
	sequence = word & ((1ull << BENCH_SEQUENCE_BITS) - 1);
	if (torc_unlikely(index >= (uint64_t)job->publishers))
		bench_die(job, "message %llu is garbled: it says publisher %llu",
			  (unsigned long long)expected->received,
			  (unsigned long long)index);
	if (torc_unlikely(sequence != expected->next[index]))
		bench_die(job, "lost or doubled: message %llu of publisher %llu "
			  "instead of %llu", (unsigned long long)sequence,
			  (unsigned long long)index,
			  (unsigned long long)expected->next[index]);
	if (torc_unlikely(!bench_pattern_check(
		    job->pattern +
			    bench_pattern_place(sequence, expected->places),
		    message->data, job->size)))
		bench_die(job, "message %llu of publisher %llu is garbled",
			  (unsigned long long)sequence,
			  (unsigned long long)index);
	expected->next[index] = sequence + 1;
	expected->received++;
}

/* Was everything received that all publishers sent, when warm or at all? */
static inline bool bench_all_received(const struct bench_job *job,
				      const struct bench_expected *expected,
				      bool warm)
{
	uint64_t sum = 0;

	for (int i = 0; i < job->publishers; i++) {
		uint64_t count =
			warm ? torc_load_acquire(
				       &job->control->published[i].warm) :
			       torc_load_acquire(
				       &job->control->published[i].total);

		if (!count)
			return false;
		sum += count - 1;
	}
	return sum == expected->received;
}

/* THROUGHPUT, MPSC: receive and check, until all publishers are done. */
BENCH_INLINE void bench_subscribe(struct bench_job *job,
				  const struct bench_ops *ops, void *port)
{
	struct bench_control *control = job->control;
	struct torc_message messages[BENCH_PEEK_MAX];
	struct bench_expected expected = { .places = bench_places(job->size) };
	uint64_t start = 0, before = 0;

	bench_barrier(job, job->publishers, job->publishers + 1);
	for (;;) {
		int n = ops->peek(port, messages, BENCH_PEEK_MAX);

		if (torc_likely(n > 0)) {
			for (int i = 0; i < n; i++)
				bench_check(job, &messages[i], &expected);
			n = ops->release(port);
			if (torc_unlikely(n))
				bench_die(job, "releasing: %s", strerror(-n));
			continue;
		}
		if (n != -EAGAIN)
			bench_die(job, "receiving: %s", strerror(-n));
		for (int i = 0; i < ops->rest; i++)
			torc_pause();
		if (!bench_all_received(job, &expected, !start))
			continue;
		if (start)
			break;
		before = expected.received;
		start = bench_ticks();
		torc_store_release(&control->start.ticks, start);
	}
	control->elapsed = bench_ticks() - start;
	control->count = expected.received - before;
}

/*
 * FANOUT: idle until the publisher is done; then what each of the subscribers
 * gets and what it lost must add up to all.
 */
BENCH_INLINE void bench_idle(struct bench_job *job, const struct bench_ops *ops,
			     void *port)
{
	const uint64_t *shared = &job->control->published[0].total;
	struct timespec nap = { .tv_nsec = 500000 };
	unsigned char *buffer = malloc(job->size);
	uint64_t total;

	if (!buffer)
		bench_die(job, "no memory for messages");
	bench_barrier(job, 1, 2);
	while (!(total = torc_load_acquire(shared)))
		nanosleep(&nap, NULL);
	total--;
	for (int i = 0; i < job->subscribers; i++) {
		struct torc_message message = { buffer, job->size, 0, 0, 0, 0 };
		struct bench_expected expected = { .places = bench_places(job->size) };
		int r;

		while (!(r = ops->receive(port, i, buffer, job->size))) {
			if (!expected.received)
				expected.next[0] = bench_word(buffer);
			bench_check(job, &message, &expected);
		}
		if (r != -EAGAIN)
			bench_die(job, "receiving: %s", strerror(-r));
		if (expected.next[0] != total ||
		    expected.received + ops->lost(port, i) != total)
			bench_die(job, "idle subscriber %d received %llu and "
				  "lost %llu of %llu messages", i,
				  (unsigned long long)expected.received,
				  (unsigned long long)ops->lost(port, i),
				  (unsigned long long)total);
	}
	free(buffer);
}

/* ---- Round trips --------------------------------------------------------- */

/* One message; its sequence number, or BENCH_STOP.  To be released. */
BENCH_INLINE uint64_t bench_await(struct bench_job *job,
				  const struct bench_ops *ops, void *port,
				  struct bench_expected *expected)
{
	struct torc_message message = { 0 };
	int n;

	while ((n = ops->peek(port, &message, 1)) == -EAGAIN)
		for (int i = 0; i < ops->pauses; i++)
			torc_pause();
	if (n <= 0)
		bench_die(job, "receiving: %s", strerror(-n));
	if (torc_unlikely(bench_word(message.data) == BENCH_STOP))
		return BENCH_STOP;
	bench_check(job, &message, expected);
	return expected->next[0] - 1;
}

BENCH_INLINE void bench_round_trip(struct bench_job *job,
				   const struct bench_ops *ops, void *port,
				   struct bench_source *source,
				   struct bench_expected *expected)
{
	bench_send_next(job, ops, port, source);
	bench_await(job, ops, port, expected);
	if (ops->release(port))
		bench_die(job, "releasing failed");
}

/* A group of them; the time it took. */
BENCH_INLINE uint64_t bench_trip_group(struct bench_job *job,
				       const struct bench_ops *ops, void *port,
				       struct bench_source *source,
				       struct bench_expected *expected)
{
	uint64_t start = bench_ticks();

	for (int i = 0; i < BENCH_GROUP; i++)
		bench_round_trip(job, ops, port, source, expected);
	return bench_ticks() - start;
}

/*
 * The side that measures: first groups, of which the median counts, so that a
 * process that is interrupted meanwhile does not; then single round trips.
 */
BENCH_INLINE void bench_ping(struct bench_job *job, const struct bench_ops *ops,
			     void *port)
{
	struct bench_control *control = job->control;
	uint64_t limit = bench_to_ticks(BENCH_TRIPS_NS), start, now;
	struct bench_expected expected = { .places = bench_places(job->size) };
	uint64_t groups[BENCH_GROUPS], stop = BENCH_STOP;
	struct bench_source source;
	int i;

	bench_source_init(job, &source, 0);
	bench_barrier(job, 0, 2);
	start = bench_ticks();
	for (i = 0; i < BENCH_GROUPS / 10 && bench_ticks() - start < limit; i++)
		bench_trip_group(job, ops, port, &source, &expected);

	start = bench_ticks();
	for (i = 0; i < BENCH_GROUPS && bench_ticks() - start < limit; i++)
		groups[i] = bench_trip_group(job, ops, port, &source,
					     &expected);
	control->elapsed = bench_median(groups, i);
	control->count = BENCH_GROUP;

	start = now = bench_ticks();
	for (i = 0; i < BENCH_LATENCIES_MAX && now - start < limit; i++) {
		uint64_t before = bench_ticks();

		bench_round_trip(job, ops, port, &source, &expected);
		now = bench_ticks();
		control->latencies[i] = (uint32_t)(now - before);
	}
	control->latencies_count = (uint32_t)i;
	memcpy(source.messages, &stop, sizeof(stop));
	bench_send(job, ops, port, source.messages, job->size);
}

BENCH_INLINE void bench_pong(struct bench_job *job, const struct bench_ops *ops,
			     void *port)
{
	struct bench_expected expected = { .places = bench_places(job->size) };
	struct bench_source source;

	bench_source_init(job, &source, 0);
	bench_barrier(job, 1, 2);
	while (bench_await(job, ops, port, &expected) != BENCH_STOP) {
		bench_send_next(job, ops, port, &source);
		if (ops->release(port))
			bench_die(job, "releasing failed");
	}
}

#endif /* TORC_BENCH_LOOPS_H */
