/* SPDX-License-Identifier: MIT */
/*
 * A publisher without room: it has the dead cleared away, evicts, or waits, until
 * there is some.  See publisher.h.
 */
#include "publisher.h"
#include "repairer.h"

/* Ask who is dead no more often than this while there is no room. */
#define LOOK_AFTER_NS 1000000u

/* ---- Waking subscribers ------------------------------------------------- */

int torc_pub_wake_subscribers(struct torc_publisher *pub)
{
	uint32_t *word = &pub->cursors->data_word;

	if (!torc_word_disarm(word))
		return 0;
	pub->stats.woken++;
	torc_bells_ring(&pub->ringer, pub->topic, &pub->view.ring);
	torc_wake_sleepers(pub->topic, word);
	return 0;
}

/* ---- The dead ----------------------------------------------------------- */

static struct torc_repairer repairer_of(struct torc_publisher *pub)
{
	return (struct torc_repairer){ &pub->view.ring, &pub->forkable,
				       pub->slot_index };
}

int torc_pub_mend(struct torc_publisher *pub)
{
	struct torc_repairer repairer = repairer_of(pub);
	int r = torc_repair_claims(&repairer);

	if (r > 0) {
		pub->stats.repaired += (uint64_t)r;
		torc_pub_wake_subscribers(pub);
	}
	return r < 0 ? r : 0;
}

/* ---- No room ------------------------------------------------------------ */

static bool stuck(const struct torc_publisher *pub)
{
	return pub->many && pub->mp.blocked == TORC_MP_STUCK;
}

static uint32_t blocker(const struct torc_publisher *pub)
{
	return pub->many ? pub->mp.blocker : pub->sp.blocker;
}

/* Would a message of the length fit now? */
static bool has_room(struct torc_attempt *attempt)
{
	struct torc_publisher *pub = attempt->pub;
	uint64_t size = torc_record_size(attempt->needed);
	const struct torc_ring *ring = &pub->view.ring;
	uint64_t tail = pub->many ? torc_load_relaxed(&ring->shm->tail)
				  : pub->sp.tail;
	uint64_t end = torc_record_place(ring, tail, size) + size +
		       ring->ahead;

	return (pub->many ? torc_mp_make_room(&pub->mp, end)
			  : torc_sp_make_room(&pub->sp, end)) != -EAGAIN;
}

static bool room_or_interrupt(void *context)
{
	struct torc_attempt *attempt = context;

	return has_room(attempt) ||
	       torc_load_relaxed(&attempt->pub->interrupted);
}

static int sleep_for_room(void *context, uint64_t ns)
{
	struct torc_attempt *attempt = context;
	struct torc_publisher *pub = attempt->pub;
	/* Another publisher's commit, too, may be what makes room. */
	uint32_t *words[] = { &pub->cursors->room_word,
			      &pub->cursors->data_word };

	return torc_sleep(pub->topic, words, stuck(pub) ? 2 : 1, ns,
			  room_or_interrupt, attempt);
}

static int wait_for_room(struct torc_attempt *attempt)
{
	const struct torc_event event = { room_or_interrupt, sleep_for_room,
					  attempt };
	int r = torc_wait_turn(&attempt->waiting, &event);

	if (r)
		return r;
	if (!has_room(attempt) && torc_interrupted(&attempt->pub->interrupted))
		return -EINTR;
	torc_waiting_end(&attempt->waiting);
	return 0;
}

/* Clear the way: 1 if something was done about it. */
static int clear_way(struct torc_publisher *pub, uint64_t now)
{
	struct torc_repairer repairer = repairer_of(pub);
	int r = 0;

	if (now - pub->looked_at < LOOK_AFTER_NS)
		return 0;
	pub->looked_at = now;
	if (stuck(pub)) {
		r = torc_repair_claim(&repairer, pub->mp.stuck_at);
		if (r > 0) {
			pub->stats.repaired++;
			torc_pub_wake_subscribers(pub);
		}
	} else if (blocker(pub) < pub->view.ring.subscribers) {
		r = torc_repair_subscriber(&repairer, blocker(pub));
	}
	/* Where one has died, others may have, too. */
	if (r > 0)
		pub->looked_at = 0;
	return r;
}

/* 0 if it holds nobody any more, and there should be room by now. */
static int evict(struct torc_publisher *pub, uint32_t slot)
{
	struct torc_subscriber_slot_shm *shm =
		torc_subscriber_slot(&pub->view.ring, slot);

	if (!torc_cas(&shm->state, TORC_SUBSCRIBER_LOSSLESS,
		      TORC_SUBSCRIBER_EVICTED))
		return 0;
	pub->stats.evicted++;
	return 1;
}

/* Evict who is in the way, if it is time: 1 if so. */
static int evict_when_due(struct torc_attempt *attempt, uint64_t now)
{
	struct torc_publisher *pub = attempt->pub;
	uint32_t slot = blocker(pub);
	uint64_t cursor;

	if (slot >= pub->view.ring.subscribers)
		return 0;
	cursor = torc_load_relaxed(
		&torc_subscriber_slot(&pub->view.ring, slot)->cursor);
	if (cursor != attempt->cursor || slot != attempt->slot) {
		attempt->cursor = cursor;
		attempt->slot = slot;
		attempt->stalled_since = now;
	}
	if (pub->options.timeout_ns > 0 &&
	    now - attempt->stalled_since < (uint64_t)pub->options.timeout_ns)
		return 0;
	return evict(pub, slot);
}

static void begin_attempt(struct torc_attempt *attempt)
{
	struct torc_publisher *pub = attempt->pub;
	int64_t timeout = -1;

	if (pub->options.full == TORC_FULL_WAIT && pub->options.timeout_ns > 0)
		timeout = pub->options.timeout_ns;
	torc_waiting_begin(&attempt->waiting, &pub->patience, timeout);
	attempt->begun = true;
	attempt->stalled_since = torc_now_ns();
	attempt->cursor = UINT64_MAX;
	torc_store_relaxed(&pub->slot->blocked, ++pub->stats.blocked);
}

int torc_pub_make_room(struct torc_attempt *attempt)
{
	struct torc_publisher *pub = attempt->pub;
	uint64_t now;
	int r;

	r = torc_pub_check(pub);
	if (r)
		return r;
	if (!attempt->begun)
		begin_attempt(attempt);
	now = torc_now_ns();
	r = clear_way(pub, now);
	if (r)
		return r < 0 ? r : 0;
	if (pub->options.full == TORC_FULL_EVICT && !stuck(pub) &&
	    evict_when_due(attempt, now))
		return 0;
	if (pub->options.full == TORC_FULL_FAIL)
		return -EAGAIN;
	if (pub->options.full == TORC_FULL_DROP) {
		torc_store_relaxed(&pub->slot->dropped, ++pub->stats.dropped);
		return TORC_DROPPED;
	}
	r = wait_for_room(attempt);
	return r == -EAGAIN ? 0 : r;
}
