/* SPDX-License-Identifier: MIT */
/*
 * Threads that publish, and those that repair what dead publishers leave.
 */
#include "ring.h"

static bool is_dead(void *context, uint32_t slot)
{
	(void)context;
	return slot >= DEAD_SLOT || model_dead(slot);
}

const struct torc_death death = { is_dead, NULL };

/* Repair is one at a time, and the dead stay so: none is started again here. */
static void mend(uint64_t position)
{
	int r;

	if (!model_trylock(0))
		return;
	r = torc_claim_repair(&ring, position, &death);
	MODEL_CHECK(r >= 0, "repair: %d", r);
	model_unlock(0);
}

static void mp_publish(uint32_t slot)
{
	struct torc_mp mp = mps[slot];
	int r;

	for (uint32_t i = 0; i < given.each; i++) {
		for (;;) {
			model_poll();
			r = torc_mp_publish(&mp, bodies[ID(slot, i)],
					    given.length);
			if (r != -EAGAIN)
				break;
			if (mp.blocked == TORC_MP_STUCK)
				mend(mp.stuck_at);
			model_await();
			model_forget((int)i, &mp, sizeof(mp));
		}
		MODEL_CHECK(!r, "publish: %d", r);
		wake(&ring.cursors->data_word);
		model_note(ID(slot, i));
		model_forget((int)i + 1, &mp, sizeof(mp));
	}
}

void mp_first(void)
{
	mp_publish(0);
}

void mp_second(void)
{
	mp_publish(1);
}

/* Use one claim, or give it up. */
void mp_once(void)
{
	struct torc_mp mp = mps[0];
	void *payload;

	for (;;) {
		model_poll();
		if (!torc_mp_reserve(&mp, given.length, &payload))
			break;
		model_await();
		model_forget(0, &mp, sizeof(mp));
	}
	if (given.aborts) {
		torc_mp_abort(&mp);
		return;
	}
	model_copy(payload, bodies[ID(0, 0)], given.length);
	torc_mp_commit(&mp, given.length);
	model_note(ID(0, 0));
}

/* Give a claim up, then use half of one. */
void mp_abort_and_shrink(void)
{
	struct torc_mp mp = mps[0];
	void *payload;

	MODEL_CHECK(!torc_mp_reserve(&mp, 20, &payload), "reserve");
	model_copy(payload, bodies[63], 16);
	torc_mp_abort(&mp);
	model_forget(1, &mp, sizeof(mp));
	MODEL_CHECK(!torc_mp_reserve(&mp, 100, &payload), "reserve");
	model_copy(payload, bodies[ID(0, 0)], given.length);
	torc_mp_commit(&mp, given.length);
	model_note(ID(0, 0));
}

void mp_batch(void)
{
	struct torc_mp mp = mps[1];

	MODEL_CHECK(torc_mp_publish_batch(&mp, spans, 2) == 2, "batch");
	model_note(ID(1, 0));
	model_note(ID(1, 1));
}

static void evict(uint32_t slot)
{
	if (slot < ring.subscribers)
		torc_cas(&torc_subscriber_slot(&ring, slot)->state,
			 TORC_SUBSCRIBER_LOSSLESS, TORC_SUBSCRIBER_EVICTED);
}

static void sp_publish_from(struct torc_sp *own, uint32_t first, bool evicts)
{
	int r;

	for (uint32_t i = first; i < given.each; i++) {
		for (;;) {
			model_poll();
			r = torc_sp_publish(own, bodies[ID(0, i)],
					    given.length);
			if (r != -EAGAIN)
				break;
			if (evicts) {
				evict(own->blocker);
				continue;
			}
			model_await();
			model_forget((int)i, own, sizeof(*own));
		}
		MODEL_CHECK(!r, "publish: %d", r);
		wake(&ring.cursors->data_word);
		model_note(ID(0, i));
		model_forget((int)i + 1, own, sizeof(*own));
	}
}

void sp_publish(void)
{
	struct torc_sp own = sp;

	sp_publish_from(&own, 0, false);
}

void sp_publish_and_evict(void)
{
	struct torc_sp own = sp;

	sp_publish_from(&own, 0, true);
}

/* When the first publisher has ended, go on with a message of one's own. */
void sp_take_over(void)
{
	struct torc_sp own;

	memset(&own, 0, sizeof(own));
	for (;;) {
		model_poll();
		if (model_ended(1))
			break;
		model_await();
		model_forget(0, NULL, 0);
	}
	MODEL_CHECK(!torc_sp_init(&own, &ring), "init");
	for (;;) {
		int r;

		model_poll();
		r = torc_sp_publish(&own, bodies[ID(1, 0)], given.length);
		if (!r)
			break;
		MODEL_CHECK(r == -EAGAIN, "publish: %d", r);
		model_await();
		model_forget(1, &own, sizeof(own));
	}
	model_note(ID(1, 0));
}

/* Sleep until there is room, as the library does. */
static bool has_room(void *context)
{
	struct torc_sp *own = context;
	void *payload;

	return !torc_sp_reserve(own, given.length, &payload);
}

void sp_publish_asleep(void)
{
	struct torc_sp own = sp;

	for (uint32_t i = 0; i < given.each; i++) {
		void *payload;

		while (torc_sp_reserve(&own, given.length, &payload)) {
			sleep_on(&ring.cursors->room_word, has_room, &own);
			model_forget((int)i, &own, sizeof(own));
		}
		model_copy(payload, bodies[ID(0, i)], given.length);
		torc_sp_commit(&own, given.length);
		model_note(ID(0, i));
		model_forget((int)i + 1, &own, sizeof(own));
	}
}

/* ---- Menders -------------------------------------------------------------- */

void mend_first(void)
{
	mend(constants.first_position);
}

void mender(void)
{
	for (;;) {
		uint64_t position = 0;

		model_poll();
		if (model_dead(0)) {
			if (!torc_claim_settled(&ring, 0, &position))
				mend(position);
			return;
		}
		if (model_ended(1))
			return;
		model_await();
		model_forget(0, NULL, 0);
	}
}
