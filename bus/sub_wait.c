/* SPDX-License-Identifier: MIT */
/*
 * Waiting for messages of one subscriber, or of any of several.  For many see
 * set.c; how one sleeps, wait.c.
 */
#include "subscriber.h"

struct subs {
	struct torc_subscriber *const *subs;
	int count;
};

/* The index of one that has something to say, or -EAGAIN. */
static int which_has_message(const struct subs *subs)
{
	for (int i = 0; i < subs->count; i++)
		if (torc_sub_ready(subs->subs[i]))
			return i;
	return -EAGAIN;
}

static bool any_ready(void *context)
{
	const struct subs *subs = context;

	for (int i = 0; i < subs->count; i++)
		if (torc_sub_ready(subs->subs[i]) ||
		    torc_load_relaxed(&subs->subs[i]->interrupted))
			return true;
	return false;
}

static bool any_interrupted(const struct subs *subs)
{
	bool interrupted = false;

	for (int i = 0; i < subs->count; i++)
		interrupted |= torc_interrupted(&subs->subs[i]->interrupted);
	return interrupted;
}

/*
 * Nobody wakes a subscriber without a word, or one that sleeps otherwise than the
 * first: then all are polled.
 */
static int any_sleep(void *context, uint64_t ns)
{
	const struct subs *subs = context;
	const struct torc_topic *topic = subs->subs[0]->topic;
	uint32_t *words[TORC_WORDS_MAX];
	int count = 0;

	for (; count < subs->count; count++) {
		const struct torc_subscriber *sub = subs->subs[count];

		if (!sub->room_word ||
		    sub->topic->mapping->sleep != topic->mapping->sleep)
			break;
		words[count] = &sub->view.ring.cursors->data_word;
	}
	return torc_sleep(topic, words, count == subs->count ? count : 0, ns,
			  any_ready, context);
}

static int wait_for(struct subs *subs, int64_t timeout_ns)
{
	const struct torc_event event = { any_ready, any_sleep, subs };
	struct torc_waiting waiting;
	int r;

	torc_waiting_begin(&waiting, &subs->subs[0]->patience, timeout_ns);
	do {
		r = torc_wait_turn(&waiting, &event);
		for (int i = 0; i < subs->count && r == -EAGAIN; i++)
			torc_sub_skip_dead(subs->subs[i]);
	} while (r == -EAGAIN);
	if (!r)
		torc_waiting_end(&waiting);
	return r;
}

int torc_sub_wait_any(struct torc_subscriber *const *subs, int count,
		      int64_t timeout_ns)
{
	struct subs all = { subs, count };
	int i, r;

	if (count < 1)
		return torc_fail(-EINVAL, "nothing to wait for");
	if (count > TORC_WORDS_MAX)
		return torc_fail(-E2BIG, "%d topics to wait for; more than %d "
				 "take a set", count, TORC_WORDS_MAX);
	for (i = 0; i < count; i++)
		if (subs[i]->forkable.unusable)
			return torc_unusable(&subs[i]->forkable,
					     subs[i]->topic);
	for (;;) {
		i = which_has_message(&all);
		if (i >= 0)
			return i;
		if (any_interrupted(&all))
			return -EINTR;
		for (i = 0; i < count; i++)
			torc_sub_looked_in_vain(subs[i]);
		if (!timeout_ns)
			return -ETIMEDOUT;
		r = wait_for(&all, timeout_ns);
		if (r)
			return r;
	}
}

int torc_sub_wait(struct torc_subscriber *sub, int64_t timeout_ns)
{
	int r = torc_sub_wait_any(&sub, 1, timeout_ns);

	return r < 0 ? r : 0;
}

void torc_sub_wake(struct torc_subscriber *sub)
{
	torc_interrupt(sub->topic, &sub->interrupted,
		       sub->room_word ? &sub->view.ring.cursors->data_word
				      : NULL);
}
