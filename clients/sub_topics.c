/* SPDX-License-Identifier: MIT */
/*
 * torc-sub: joins topics, takes messages out of them, and leaves them.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "sub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX	256		/* messages */
#define BATCH_BYTES	(256u << 10)	/* about as many, at most */
#define ROUND_BATCHES	16		/* before the next topic's turn */
#define BUFFER_BYTES	(256u << 10)	/* when output is written out */

/* ---- Joining ------------------------------------------------------------ */

static struct sub_topic *find(struct sub *sub, const char *name)
{
	for (int i = 0; i < sub->topics_count; i++) {
		if (!strcmp(sub->topics[i].name, name))
			return &sub->topics[i];
	}
	return NULL;
}

static void add(struct sub *sub, const char *name, int globbed)
{
	size_t count = (size_t)sub->topics_count + 1;
	struct sub_topic *topics;
	struct torc_subscriber **subs;
	char *copy = strdup(name);

	topics = realloc(sub->topics, count * sizeof(*topics));
	if (topics)
		sub->topics = topics;
	subs = realloc(sub->subs, count * sizeof(*subs));
	if (subs)
		sub->subs = subs;
	if (!copy || !topics || !subs)
		cli_no_memory();
	topics[sub->topics_count++] = (struct sub_topic){
		.name = copy,
		.globbed = globbed,
		.late = sub->started,
		.batch = BATCH_MAX,
	};
}

/* A name on the bus, for torc_bus_list(). */
static int add_if_matching(const char *name, void *context)
{
	struct sub *sub = context;

	for (int i = 0; i < sub->patterns_count; i++) {
		if (cli_matches(sub->patterns[i], name) && !find(sub, name))
			add(sub, name, 1);
	}
	return 0;
}

static int is_ring_missing(struct sub *sub, struct sub_topic *topic, int error)
{
	/* A match that has gone already; it may come again. */
	if (error != -ENOENT)
		return 0;
	topic->late = 1;
	if (topic->globbed || sub->wait)
		return 1;
	cli_note("%s: no such topic on bus %s (a publisher creates it; --wait "
		 "waits for one)", topic->name, torc_bus_path(sub->bus));
	return 0;
}

/* 0; 1 if it is not there yet; -1 to end the program. */
static int join(struct sub *sub, struct sub_topic *topic)
{
	struct torc_sub_options options = { .flags = sub->flags };
	int r;

	r = torc_topic_open(sub->bus, topic->name, NULL, &topic->topic);
	if (is_ring_missing(sub, topic, r))
		return 1;
	if (!r) {
		/* All of what came after we did. */
		if (topic->late)
			options.flags |= TORC_SUB_OLDEST;
		r = torc_sub_open(topic->topic, &options, &topic->sub);
	}
	if (!r)
		r = torc_set_add(sub->set, topic->sub, topic);
	if (!r)
		return 0;
	topic->sub = torc_sub_close(topic->sub);
	topic->topic = torc_topic_close(topic->topic);
	if (r == -ENOENT)
		sub->status = CLI_FAILED;
	else
		sub->status = cli_failed(r);
	topic->done = 1;
	return topic->globbed ? 1 : -1;
}

static void list_subs(struct sub *sub)
{
	sub->subs_count = 0;
	for (int i = 0; i < sub->topics_count; i++) {
		if (sub->topics[i].sub)
			sub->subs[sub->subs_count++] = sub->topics[i].sub;
	}
}

int sub_join(struct sub *sub)
{
	int r, globs = 0;

	for (int i = 0; i < sub->patterns_count; i++) {
		if (cli_is_glob(sub->patterns[i]))
			globs = 1;
		else if (!sub->started && !find(sub, sub->patterns[i]))
			add(sub, sub->patterns[i], 0);
	}
	r = globs ? torc_bus_list(sub->bus, add_if_matching, sub) : 0;
	if (r) {
		sub->status = cli_failed(r);
		return -1;
	}
	for (int i = 0; i < sub->topics_count; i++) {
		struct sub_topic *topic = &sub->topics[i];

		if (!topic->sub && !topic->done && join(sub, topic) < 0)
			return -1;
	}
	sub->started = 1;
	list_subs(sub);
	return 0;
}

int sub_missing(const struct sub *sub)
{
	int missing = 0;

	for (int i = 0; i < sub->topics_count; i++) {
		const struct sub_topic *topic = &sub->topics[i];

		missing += !topic->sub && !topic->done && !topic->globbed;
	}
	return missing;
}

/* ---- Leaving ------------------------------------------------------------ */

static void leave(struct sub *sub, struct sub_topic *topic)
{
	if (topic->sub)
		sub->lost += torc_sub_lost(topic->sub);
	topic->sub = torc_sub_close(topic->sub);
	topic->topic = torc_topic_close(topic->topic);
	topic->done = 1;
}

void sub_leave(struct sub *sub)
{
	for (int i = 0; i < sub->topics_count; i++) {
		leave(sub, &sub->topics[i]);
		free(sub->topics[i].name);
	}
	free(sub->topics);
	free(sub->subs);
	free(sub->buffer);
	free(sub->out.data);
	sub->out = (struct text){ 0 };
	sub->topics_count = sub->subs_count = 0;
	sub->set = torc_set_close(sub->set);
	sub->bus = torc_bus_close(sub->bus);
}

int sub_all_ended(struct sub *sub)
{
	int open = 0, ended = 0;

	for (int i = 0; i < sub->topics_count; i++) {
		struct sub_topic *topic = &sub->topics[i];

		if (topic->sub && torc_sub_ended(topic->sub) == 1)
			leave(sub, topic);
		if (topic->done)
			ended++;
		else if (topic->sub || !topic->globbed)
			open++;
	}
	list_subs(sub);
	return ended && !open;
}

uint64_t sub_lost(const struct sub *sub)
{
	uint64_t lost = sub->lost;

	for (int i = 0; i < sub->subs_count; i++)
		lost += torc_sub_lost(sub->subs[i]);
	return lost;
}

/* ---- Taking messages ---------------------------------------------------- */

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
	struct torc_message messages[BATCH_MAX];
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
	else if (bytes < BATCH_BYTES / 4 && topic->batch < BATCH_MAX)
		topic->batch *= 2;
	return n;
}

/* A round of one topic: 1 if there is more, 0 if not, -1 to end. */
static int drain(struct sub *sub, struct sub_topic *topic)
{
	char time[SUB_TIME_MAX] = "";
	uint64_t left;
	int n, max;

	for (int i = 0; i < ROUND_BATCHES; i++) {
		left = sub->count - sub->messages;
		max = left < BATCH_MAX ? (int)left : BATCH_MAX;
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
	int r, more = 0;

	for (int i = 0; i < sub->topics_count; i++) {
		if (!sub->topics[i].sub)
			continue;
		r = drain(sub, &sub->topics[i]);
		if (r < 0)
			return r;
		more |= r;
	}
	if (sub->messages != before) {
		sub->last_ns = cli_now();
		if (!sub->first_ns)
			sub->first_ns = sub->last_ns;
	}
	return more;
}
