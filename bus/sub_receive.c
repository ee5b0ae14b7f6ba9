/* SPDX-License-Identifier: MIT */
/*
 * Subscribers: receiving.
 */
#include "subscriber.h"

#include <stdlib.h>

/* The usual message is received without a call within these. */
#define FLATTEN __attribute__((flatten))

/*
 * Publishers get room a sixteenth of the capacity at a time; so they need not
 * be thought of for each message, but also when there is no more.
 */
static inline void after_release(struct torc_subscriber *sub)
{
	if (torc_unlikely(torc_distance(sub->consumer.cursor,
					sub->room_next) >= 0)) {
		sub->room_next = sub->consumer.cursor + sub->room_step;
		torc_sub_wake_publishers(sub);
	}
}

static int none_asked_for(const struct torc_subscriber *sub)
{
	return torc_fail(-EINVAL, "%s: at least one message has to be asked for",
			 sub->topic->name);
}

/* There was nothing, or an error. */
static __attribute__((noinline)) int no_message(struct torc_subscriber *sub,
						int error)
{
	if (error != -EAGAIN)
		return torc_ring_error(sub->topic, error);
	torc_sub_looked_in_vain(sub);
	if (sub->own_set)
		torc_set_settle(sub->own_set);
	return error;
}

FLATTEN int torc_sub_peek_batch(struct torc_subscriber *sub,
				struct torc_message *ret_messages, int max)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_peek_batch(&sub->consumer, ret_messages, max);
	if (torc_likely(r > 0))
		return r;
	return r ? no_message(sub, r) : none_asked_for(sub);
}

FLATTEN int torc_sub_peek(struct torc_subscriber *sub,
			  struct torc_message *ret_message)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_peek(&sub->consumer, ret_message);
	return torc_likely(!r) ? 0 : no_message(sub, r);
}

int torc_sub_release(struct torc_subscriber *sub)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_release(&sub->consumer);
	if (torc_unlikely(r))
		return torc_ring_error(sub->topic, r);
	after_release(sub);
	return 0;
}

FLATTEN int torc_sub_receive(struct torc_subscriber *sub, void *buffer,
			     size_t size, struct torc_message *ret_message)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_receive(&sub->consumer, buffer, size, ret_message);
	if (torc_unlikely(r)) {
		if (r == -EMSGSIZE)
			return torc_fail(r, "%s: message of %zu bytes for a "
					 "buffer of %zu", sub->topic->name,
					 ret_message->length, size);
		return no_message(sub, r);
	}
	after_release(sub);
	return 0;
}

static int dispatch_lossy(struct torc_subscriber *sub,
			  int (*each)(const struct torc_message *message,
				      void *context),
			  void *context, int max)
{
	size_t size = torc_message_max(&sub->view.ring);
	struct torc_message message;
	int n, r;

	if (!sub->copy)
		sub->copy = malloc(size);
	if (!sub->copy)
		return torc_fail(-ENOMEM, "%s: out of memory",
				 sub->topic->name);
	for (n = 0; n < max; n++) {
		r = torc_sub_receive(sub, sub->copy, size, &message);
		if (r)
			return r == -EAGAIN && n ? n : r;
		r = each(&message, context);
		if (r)
			return r;
	}
	return n;
}

int torc_sub_dispatch(struct torc_subscriber *sub,
		      int (*each)(const struct torc_message *message,
				  void *context),
		      void *context, int max)
{
	struct torc_message message;
	int n, r;

	if (max < 1)
		return none_asked_for(sub);
	if (!sub->consumer.lossless)
		return dispatch_lossy(sub, each, context, max);
	for (n = 0; n < max; n++) {
		r = torc_sub_peek(sub, &message);
		if (r)
			return r == -EAGAIN && n ? n : r;
		r = each(&message, context);
		if (!r) {
			r = torc_sub_release(sub);
			if (r)
				return r;
			continue;
		}
		/* That it may have been garbled comes first. */
		n = torc_sub_release(sub);
		return n ? n : r;
	}
	return n;
}

uint64_t torc_sub_lost(const struct torc_subscriber *sub)
{
	return sub->consumer.lost;
}

size_t torc_sub_message_max(const struct torc_subscriber *sub)
{
	return torc_message_max(&sub->view.ring);
}

int torc_sub_fd(struct torc_subscriber *sub)
{
	int r;

	if (sub->forkable.unusable)
		return torc_unusable(&sub->forkable, sub->topic);
	if (sub->own_set)
		return torc_set_fd(sub->own_set);
	r = torc_set_open_alone(sub, sub->options.wait, &sub->own_set);
	return r ? r : torc_set_fd(sub->own_set);
}
