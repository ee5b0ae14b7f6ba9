/* SPDX-License-Identifier: MIT */
#include "acts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* In a victim: it has not died where it should. */
#define MUST(call) STAGE_MUST(actor->stage, call)

void act_out(void *context)
{
	struct actor *actor = context;

	actor->act->prepare(actor);
	victim_begin();
	actor->act->call(actor);
	victim_end();
}

/* ---- Publishers --------------------------------------------------------- */

static uint32_t *begun(struct actor *actor)
{
	return &actor->stage->report->begun[actor->index];
}

static uint32_t *ended(struct actor *actor)
{
	return &actor->stage->report->ended[actor->index];
}

/* What it is about to say. */
static unsigned char speeches[5][LENGTH_MAX];

static void open_pub_with(struct actor *actor, enum torc_full full)
{
	struct torc_pub_options options = { .full = full };
	const uint32_t *lengths = actor->act->lengths;

	MUST(torc_pub_open(actor->stage->topic, &options, &actor->pub));
	for (uint32_t i = 0; i < 5 && lengths[i]; i++)
		speech(speeches[i], actor->stage->who + actor->index, i,
		       lengths[i]);
}

static void open_pub(struct actor *actor)
{
	open_pub_with(actor, TORC_FULL_WAIT);
}

static void open_impatient_pub(struct actor *actor)
{
	open_pub_with(actor, TORC_FULL_FAIL);
}

static void publish(struct actor *actor)
{
	const uint32_t *lengths = actor->act->lengths;

	for (uint32_t i = 0; i < 5 && lengths[i]; i++) {
		++*begun(actor);
		MUST(torc_pub_publish(actor->pub, speeches[i], lengths[i]));
		++*ended(actor);
	}
}

static void publish_batch(struct actor *actor)
{
	struct torc_span spans[5];
	int r;

	for (uint32_t i = 0; i < 5; i++) {
		spans[i].data = speeches[i];
		spans[i].length = actor->act->lengths[i];
	}
	*begun(actor) += 5;
	r = torc_pub_publish_batch(actor->pub, spans, 5);
	MUST(r);
	*ended(actor) += (uint32_t)r;
}

static void commit_less(struct actor *actor)
{
	uint32_t length = actor->act->lengths[0];
	void *payload;

	MUST(torc_pub_reserve(actor->pub, 3 * length, &payload));
	memset(payload, 0xee, 3 * length);
	memcpy(payload, speeches[0], length);
	++*begun(actor);
	MUST(torc_pub_commit(actor->pub, length));
	++*ended(actor);
}

static void abort_and_publish(struct actor *actor)
{
	void *payload;

	MUST(torc_pub_reserve(actor->pub, 200, &payload));
	memset(payload, 0xee, 200);
	torc_pub_abort(actor->pub);
	publish(actor);
}

/* There may be no room for it, whatever it does about it. */
static void publish_full(struct actor *actor)
{
	int r;

	++*begun(actor);
	r = torc_pub_publish(actor->pub, speeches[0], actor->act->lengths[0]);
	if (r == -EAGAIN)
		--*begun(actor);
	else
		++*ended(actor);
}

static void close_pub(struct actor *actor)
{
	torc_pub_close(actor->pub);
}

static void nothing(struct actor *actor)
{
	(void)actor;
}

const struct act act_publish_short = { open_pub, publish, { 8, 40 },
				       ACT_PUBLISHER };
const struct act act_publish_long = { open_pub, publish, { 400 },
				      ACT_PUBLISHER };
const struct act act_publish_batch = { open_pub, publish_batch,
				       { 8, 100, 8, 200, 50 }, ACT_PUBLISHER };
const struct act act_commit_less = { open_pub, commit_less, { 100 },
				     ACT_PUBLISHER };
const struct act act_abort = { open_pub, abort_and_publish, { 8 },
			       ACT_PUBLISHER };
const struct act act_publish_full = { open_impatient_pub, publish_full, { 8 },
				      ACT_PUBLISHER };
const struct act act_pub_open = { nothing, open_pub, { 0 }, ACT_OTHER };
const struct act act_pub_close = { open_pub, close_pub, { 0 }, ACT_OTHER };

/* ---- Subscribers -------------------------------------------------------- */

static void open_sub_with(struct actor *actor, unsigned int flags)
{
	struct torc_sub_options options = { .flags = flags,
					    .wait = TORC_WAIT_SLEEP };

	MUST(torc_sub_open(actor->stage->topic, &options, &actor->sub));
}

static void open_sub(struct actor *actor)
{
	open_sub_with(actor, 0);
}

static void open_sub_oldest(struct actor *actor)
{
	open_sub_with(actor, TORC_SUB_OLDEST);
}

static void open_sub_lossy(struct actor *actor)
{
	open_sub_with(actor, TORC_SUB_LOSSY | TORC_SUB_OLDEST);
}

/* Who has looked in vain for long asks who is dead. */
static void open_sub_and_look(struct actor *actor)
{
	const struct timespec while_ago = { .tv_nsec = 25000000 };
	struct torc_message message;

	open_sub(actor);
	torc_sub_peek(actor->sub, &message);
	nanosleep(&while_ago, NULL);
}

static void receive(struct actor *actor)
{
	unsigned char bytes[LENGTH_MAX];
	struct torc_message message;

	for (int i = 0; i < 3; i++)
		MUST(torc_sub_receive(actor->sub, bytes, sizeof(bytes),
				      &message));
	torc_sub_receive(actor->sub, bytes, sizeof(bytes), &message);
}

static void release(struct actor *actor)
{
	struct torc_message messages[4];

	MUST(torc_sub_peek(actor->sub, messages));
	MUST(torc_sub_release(actor->sub));
	MUST(torc_sub_peek_batch(actor->sub, messages, 4));
	MUST(torc_sub_release(actor->sub));
}

static int ignore(const struct torc_message *message, void *context)
{
	(void)message;
	(void)context;
	return 0;
}

static void dispatch(struct actor *actor)
{
	MUST(torc_sub_dispatch(actor->sub, ignore, NULL, 8));
}

static void wait_asleep(struct actor *actor)
{
	struct torc_message message;

	while (!torc_sub_peek(actor->sub, &message))
		MUST(torc_sub_release(actor->sub));
	torc_sub_wait(actor->sub, 12000000);
}

static void wait_by_descriptor(struct actor *actor)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct torc_message message;

	poll_fd.fd = torc_sub_fd(actor->sub);
	MUST(poll_fd.fd);
	for (int i = 0; i < 2; i++) {
		poll(&poll_fd, 1, 12);
		while (!torc_sub_peek(actor->sub, &message))
			MUST(torc_sub_release(actor->sub));
	}
	actor->sub = torc_sub_close(actor->sub);
}

static void close_sub(struct actor *actor)
{
	torc_sub_close(actor->sub);
}

const struct act act_sub_open = { nothing, open_sub, { 0 }, ACT_OTHER };
const struct act act_sub_open_oldest = { nothing, open_sub_oldest, { 0 }, ACT_OTHER };
const struct act act_sub_open_lossy = { nothing, open_sub_lossy, { 0 }, ACT_OTHER };
const struct act act_sub_close = { open_sub, close_sub, { 0 }, ACT_OTHER };
const struct act act_receive = { open_sub_oldest, receive, { 0 }, ACT_LOSSLESS };
const struct act act_receive_lossy = { open_sub_lossy, receive, { 0 }, ACT_OTHER };
const struct act act_release = { open_sub_oldest, release, { 0 }, ACT_LOSSLESS };
const struct act act_dispatch = { open_sub_oldest, dispatch, { 0 }, ACT_LOSSLESS };
const struct act act_wait = { open_sub_and_look, wait_asleep, { 0 }, ACT_LOSSLESS };
const struct act act_wait_by_descriptor = { open_sub, wait_by_descriptor, { 0 },
					    ACT_OTHER };

/* ---- Topics ------------------------------------------------------------- */

static void open_topic(struct actor *actor)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | (actor->stage->many ? TORC_MANY : 0)
	};

	MUST(torc_topic_open(NULL, "stage", &options, &actor->topic));
}

static void close_topic(struct actor *actor)
{
	torc_topic_close(actor->topic);
}

static void repair(struct actor *actor)
{
	MUST(torc_topic_repair(actor->topic));
}

const struct act act_topic_open = { nothing, open_topic, { 0 }, ACT_OTHER };
const struct act act_topic_close = { open_topic, close_topic, { 0 }, ACT_OTHER };
const struct act act_repair = { open_topic, repair, { 0 }, ACT_OTHER };
