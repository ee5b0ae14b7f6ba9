/* SPDX-License-Identifier: MIT */
/* All that publishers and subscribers do: loops.h and wake.h by mode and role. */
#ifndef TORC_BENCH_PLAY_H
#define TORC_BENCH_PLAY_H

#include "loops.h"
#include "wake.h"

BENCH_INLINE void bench_play(struct bench_job *job, const struct bench_ops *ops,
			     void *port, enum bench_role role, int index)
{
	if (job->mode == BENCH_RTT && role == BENCH_PUBLISHER)
		bench_ping(job, ops, port);
	else if (job->mode == BENCH_RTT)
		bench_pong(job, ops, port);
	else if (job->mode == BENCH_WAKE && role == BENCH_PUBLISHER)
		bench_wake(job, ops, port);
	else if (job->mode == BENCH_WAKE)
		bench_be_woken(job, ops, port);
	else if (role == BENCH_PUBLISHER)
		bench_publish(job, ops, port, index);
	else if (job->mode == BENCH_FANOUT && ops->receive)
		bench_idle(job, ops, port);
	else
		bench_subscribe(job, ops, port);
}

#endif /* TORC_BENCH_PLAY_H */
