/* SPDX-License-Identifier: MIT */
/*
 * BENCH_WAKE: what a publisher and a subscriber do that sleeps between messages,
 * the same for every system.  One way is timed, from before the sending to after
 * the receipt, on a clock that both cores share.
 */
#ifndef TORC_BENCH_WAKE_H
#define TORC_BENCH_WAKE_H

#include "loops.h"

/* When everything has been received, let the subscriber fall asleep. */
BENCH_INLINE void bench_let_sleep(const struct bench_job *job, uint64_t count)
{
	uint64_t until;

	while (torc_load_acquire(&job->control->received) != count)
		torc_pause();
	until = bench_ticks() + bench_to_ticks(BENCH_ASLEEP_NS);
	while (bench_ticks() < until)
		torc_pause();
}

BENCH_INLINE void bench_wake(struct bench_job *job, const struct bench_ops *ops,
			     void *port)
{
	struct bench_control *control = job->control;
	uint64_t until, stop = BENCH_STOP;
	struct bench_source source;

	bench_source_init(job, &source, 0);
	bench_barrier(job, 0, 2);
	until = bench_ticks() + bench_to_ticks(BENCH_WAKES_NS);
	do {
		bench_let_sleep(job, source.sequence);
		torc_store_release(&control->sent, bench_ticks());
		bench_send_next(job, ops, port, &source);
	} while (bench_ticks() < until &&
		 source.sequence < BENCH_LATENCIES_MAX);
	bench_let_sleep(job, source.sequence);
	memcpy(source.messages, &stop, sizeof(stop));
	bench_send(job, ops, port, source.messages, job->size);
}

/* As bench_await(), asleep. */
BENCH_INLINE uint64_t bench_sleep(struct bench_job *job,
				  const struct bench_ops *ops, void *port,
				  struct bench_expected *expected)
{
	struct torc_message message = { 0 };
	int n;

	while ((n = ops->peek(port, &message, 1)) == -EAGAIN) {
		n = ops->sleep(port);
		if (n)
			bench_die(job, "sleeping: %s", strerror(-n));
	}
	if (n <= 0)
		bench_die(job, "receiving: %s", strerror(-n));
	if (bench_word(message.data) == BENCH_STOP)
		return BENCH_STOP;
	bench_check(job, &message, expected);
	return expected->next[0] - 1;
}

BENCH_INLINE void bench_be_woken(struct bench_job *job,
				 const struct bench_ops *ops, void *port)
{
	struct bench_control *control = job->control;
	struct bench_expected expected = { .places = bench_places(job->size) };
	static uint64_t times[BENCH_LATENCIES_MAX];
	uint32_t count = 0;

	bench_barrier(job, 1, 2);
	while (bench_sleep(job, ops, port, &expected) != BENCH_STOP) {
		times[count] = bench_ticks() - torc_load_acquire(&control->sent);
		control->latencies[count] = (uint32_t)times[count];
		count++;
		if (ops->release(port))
			bench_die(job, "releasing failed");
		torc_store_release(&control->received, count);
	}
	control->latencies_count = count;
	control->elapsed = bench_median(times, (int)count);
	control->count = 1;
}

#endif /* TORC_BENCH_WAKE_H */
