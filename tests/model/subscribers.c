/* SPDX-License-Identifier: MIT */
/*
 * Threads that receive.
 */
#include "ring.h"

/* What was received is one whole message; note it. */
static void heard(const struct torc_message *m, const unsigned char *data)
{
	uint32_t id = data[0];

	MODEL_CHECK(id < IDS && m->length == given.length &&
			    !memcmp(data, bodies[id], m->length),
		    "message %u of %zu bytes is garbled", id, m->length);
	model_note(m->sequence << 32 | id);
}

static bool skip_dead(struct torc_consumer *c)
{
	struct torc_claim claim;
	int r;

	if (ring.kind != TORC_KIND_MP ||
	    torc_load_relaxed(&ring.shm->tail) == c->cursor)
		return false;
	r = torc_claim_outcome(&ring, c->cursor, &death, &claim);
	if (torc_consumer_lapped(c))
		return false;
	MODEL_CHECK(r >= 0, "outcome: %d", r);
	if (!r)
		return false;
	torc_consumer_skip(c, claim.length);
	return true;
}

/* Receive until all has been said. */
static void listen_to_all(struct torc_consumer *c, bool wakes)
{
	unsigned char buffer[LONGEST];
	struct torc_message m;

	while (!given.expected || c->count < given.expected) {
		bool over;
		int r;

		model_forget(0, c, sizeof(*c));
		model_poll();
		over = !given.expected && model_ended(given.publishers);
		r = torc_consumer_receive(c, buffer, sizeof(buffer), &m);
		if (r == -ESTALE) {
			MODEL_CHECK(given.evicts && c->evicted,
				    "stale, and nobody evicted it");
			return;
		}
		MODEL_CHECK(!r || r == -EAGAIN, "receive: %d", r);
		if (!r)
			heard(&m, buffer);
		if (wakes)
			wake(&ring.cursors->room_word);
		if (!r || (!given.expected && skip_dead(c)))
			continue;
		if (over && (ring.kind == TORC_KIND_SP ||
			     torc_load_relaxed(&ring.shm->tail) == c->cursor))
			break;
		model_await();
	}
	model_note(LOST | c->lost);
}

void listen_first(void)
{
	struct torc_consumer c = consumers[0];

	model_note(BEGIN | c.count);
	listen_to_all(&c, false);
}

void listen_second(void)
{
	struct torc_consumer c = consumers[1];

	model_note(BEGIN | c.count);
	listen_to_all(&c, false);
}

void listen_and_wake(void)
{
	struct torc_consumer c = consumers[0];

	model_note(BEGIN | c.count);
	listen_to_all(&c, true);
}

void join_and_listen(void)
{
	struct torc_consumer c;

	memset(&c, 0, sizeof(c));
	MODEL_CHECK(!torc_consumer_join(&c, &ring, 0, given.join_flags), "join");
	model_note(BEGIN | c.count);
	listen_to_all(&c, false);
}

void listen_and_leave(void)
{
	struct torc_consumer c = consumers[0];
	unsigned char buffer[LONGEST];
	struct torc_message m;

	model_note(BEGIN | c.count);
	if (!torc_consumer_receive(&c, buffer, sizeof(buffer), &m))
		heard(&m, buffer);
	torc_consumer_leave(&c);
}

static bool has_message(void *context)
{
	struct torc_message m;

	return torc_consumer_peek(context, &m) != -EAGAIN;
}

/* Sleep until there is a message, as the library does. */
static void listen_in_sleep(struct torc_consumer c, bool bell)
{
	uint32_t *word = &ring.cursors->data_word;
	unsigned char buffer[LONGEST];
	struct torc_message m;

	model_note(BEGIN | c.count);
	while (c.count < given.expected) {
		model_forget(0, &c, sizeof(c));
		if (!torc_consumer_receive(&c, buffer, sizeof(buffer), &m))
			heard(&m, buffer);
		else if (bell)
			sleep_behind_bell(c.slot, word, has_message, &c);
		else
			sleep_on(word, has_message, &c);
	}
	model_note(LOST | c.lost);
}

void listen_asleep(void)
{
	listen_in_sleep(consumers[0], false);
}

/* The last of those that there are. */
void listen_behind_bell(void)
{
	listen_in_sleep(consumers[given.bells - 1], true);
}
