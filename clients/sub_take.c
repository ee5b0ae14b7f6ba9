/* SPDX-License-Identifier: MIT */
/*
 * torc-sub: takes messages out of the topics that have some.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "sub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define BATCH_BYTES	(32u << 10)	/* about as many, at most */
#define ROUND_BATCHES	16		/* before the next topic's turn */
#define ROUND_TURNS	64		/* before the rest has its turn */
#define BUFFER_BYTES	(32u << 10)	/* when output is written out */

static int failed(struct sub *sub, struct sub_topic *topic, int error)
{
	sub_flush(sub);
	if (error == -ESTALE) {
		cli_note("%s: evicted, %" PRIu64 " messages lost: read too "
			 "slowly for a publisher that does not wait (--lossy "
			 "holds nobody back, and goes on)", topic->name,
			 torc_sub_lost(topic->sub));
		sub->status = CLI_FAILED;
	} else {
		sub->status = cli_failed(error);
	}
	return -1;
}

/* Make the copy's buffer as large as it takes. */
static void grow_buffer(struct sub *sub, size_t length)
{
	free(sub->buffer);
	sub->buffer_size = length < 4096 ? 4096 : length * 2;
	sub->buffer = malloc(sub->buffer_size);
	if (!sub->buffer)
		cli_no_memory();
}

/* Copies; how many, or an error. */
static int take_lossy(struct sub *sub, struct sub_topic *topic, int max,
		      const char *time)
{
	struct torc_message message = { .length = 0 };
	int r = 0, n = 0;

	if (!sub->buffer)
		grow_buffer(sub, 0);
	while (n < max && sub->out.used < BUFFER_BYTES) {
		r = torc_sub_receive(topic->sub, sub->buffer, sub->buffer_size,
				     &message);
		if (r == -EMSGSIZE) {
			grow_buffer(sub, message.length);
			continue;
		}
		if (r)
			break;
		sub_print(sub, topic, &message, time);
		sub->bytes += message.length;
		n++;
	}
	return n ? n : r;
}

/*
 * Straight from the ring; how many, or an error.  What is in the buffer may be
 * garbled until it was released without an eviction, and is not written before.
 */
static int take_lossless(struct sub *sub, struct sub_topic *topic, int max,
			 const char *time)
{
	struct torc_message messages[SUB_BATCH_MAX];
	size_t before = sub->out.used, bytes = 0;
	int r, n;

	n = torc_sub_peek_batch(topic->sub, messages,
				max < topic->batch ? max : topic->batch);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		sub_print(sub, topic, &messages[i], time);
		bytes += messages[i].length;
	}
	r = torc_sub_release(topic->sub);
	if (r) {
		sub->out.used = before;
		return r;
	}
	sub->bytes += bytes;
	/* Large messages in small batches: the buffer holds a whole batch. */
	if (bytes > BATCH_BYTES && topic->batch > 1)
		topic->batch /= 2;
	else if (bytes < BATCH_BYTES / 4 && topic->batch < SUB_BATCH_MAX)
		topic->batch *= 2;
	return n;
}

int sub_take(struct sub *sub, struct sub_topic *topic)
{
	char time[SUB_TIME_MAX] = "";
	uint64_t left;
	int n, max;

	for (int i = 0; i < ROUND_BATCHES; i++) {
		left = sub->count - sub->messages;
		max = left < SUB_BATCH_MAX ? (int)left : SUB_BATCH_MAX;
		if (!max)
			return 0;
		if (sub->format == SUB_JSON)
			sub_time(time);
		n = sub->flags & TORC_SUB_LOSSY ?
			take_lossy(sub, topic, max, time) :
			take_lossless(sub, topic, max, time);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return failed(sub, topic, n);
		sub->messages += (uint64_t)n;
		if (sub->out.used >= BUFFER_BYTES && sub_flush(sub))
			return -1;
	}
	return 1;
}

int sub_drain(struct sub *sub)
{
	uint64_t before = sub->messages;
	void *topic;
	int r, turns;

	for (turns = 0; turns < ROUND_TURNS; turns++) {
		r = torc_set_wait(sub->set, 0, &topic);
		if (r)
			break;
		if (sub_take(sub, topic) < 0)
			return -1;
		if (sub->messages == sub->count)
			break;
	}
	if (sub->messages != before) {
		sub->last_ns = cli_now();
		if (!sub->first_ns)
			sub->first_ns = sub->last_ns;
	}
	return turns == ROUND_TURNS;
}
