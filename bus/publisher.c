/* SPDX-License-Identifier: MIT */
/*
 * Publishers: taking a slot, publishing, and what to do without room: wait, or
 * have the dead cleared away.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ask who is dead no more often than this while there is no room. */
#define LOOK_AFTER_NS 1000000u

struct torc_publisher {
	struct torc_cursors_shm *cursors;
	bool many;
	bool checked;	/* messages have check words */
	bool plain;		/* neither: the shortest way is open */
	bool fences;	/* what is published has to be fenced: no membarrier() */
	bool reserved;
	union {
		struct torc_sp sp;
		struct torc_mp mp;
	};
	size_t reserved_length;
	/* From here on not touched while there is room. */
	struct torc_forkable forkable;	/* fds: locks, cursors */
	struct torc_pub_options options;
	struct torc_patience patience;
	uint32_t interrupted;
	struct torc_pub_stats stats;
	struct torc_publisher_slot_shm *slot;
	uint32_t slot_index;
	uint64_t looked_at;		/* torc_now_ns() */
	struct torc_ringer *ringer;
	struct torc_topic *topic;
	struct torc_view view;
	enum torc_sync sync;		/* of a topic on a disk */
	uint64_t sync_interval_ns, sync_next;	/* torc_now_ns() */
	uint64_t unsynced;		/* ASYNC: bytes; INTERVAL: whether any */
};

static int locks_fd(const struct torc_publisher *pub)
{
	return pub->forkable.fds[0];
}

/* ---- Waking subscribers ------------------------------------------------- */

static __attribute__((noinline)) int wake(struct torc_publisher *pub)
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

/* Mend what is left of all dead publishers. */
static int mend_all(struct torc_publisher *pub)
{
	struct torc_repairer repairer = repairer_of(pub);
	int r = torc_repair_claims(&repairer);

	if (r > 0) {
		pub->stats.repaired += (uint64_t)r;
		wake(pub);
	}
	return r < 0 ? r : 0;
}

static void evict(struct torc_publisher *pub, uint32_t slot)
{
	struct torc_subscriber_slot_shm *shm =
		torc_subscriber_slot(&pub->view.ring, slot);

	if (torc_cas(&shm->state, TORC_SUBSCRIBER_LOSSLESS,
		     TORC_SUBSCRIBER_EVICTED))
		pub->stats.evicted++;
}

/* ---- No room ------------------------------------------------------------ */

/* One message's, or batch's, endeavour to get room. */
struct attempt {
	struct torc_publisher *pub;
	struct torc_waiting waiting;
	bool begun;
	uint64_t needed;	/* bytes of payload */
	uint64_t stalled_since;	/* EVICT: when the cursor last moved */
	uint64_t cursor;
	uint32_t slot;
};

/* Messages that this publisher drops instead of waiting. */
#define DROPPED 1

static bool stuck(const struct torc_publisher *pub)
{
	return pub->many && pub->mp.blocked == TORC_MP_STUCK;
}

static uint32_t blocker(const struct torc_publisher *pub)
{
	return pub->many ? pub->mp.blocker : pub->sp.blocker;
}

/* Would a message of the length fit now? */
static bool has_room(struct attempt *attempt)
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
	struct attempt *attempt = context;

	return has_room(attempt) ||
	       torc_load_relaxed(&attempt->pub->interrupted);
}

static int sleep_for_room(void *context, uint64_t ns)
{
	struct attempt *attempt = context;
	struct torc_publisher *pub = attempt->pub;
	/* Another publisher's commit, too, may be what makes room. */
	uint32_t *words[] = { &pub->cursors->room_word,
			      &pub->cursors->data_word };

	return torc_sleep(pub->topic, words, stuck(pub) ? 2 : 1, ns,
			  room_or_interrupt, attempt);
}

static int wait_for_room(struct attempt *attempt)
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
			wake(pub);
		}
	} else if (blocker(pub) < pub->view.ring.subscribers) {
		r = torc_repair_subscriber(&repairer, blocker(pub));
	}
	/* Where one has died, others may have, too. */
	if (r > 0)
		pub->looked_at = 0;
	return r;
}

static int evict_when_due(struct attempt *attempt, uint64_t now)
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
	evict(pub, slot);
	return 1;
}

static void begin_attempt(struct attempt *attempt)
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

/*
 * After -EAGAIN: do as the options say.  0 to try again, DROPPED, or what the
 * call shall return.
 */
static int no_room(struct attempt *attempt)
{
	struct torc_publisher *pub = attempt->pub;
	uint64_t now;
	int r;

	if (pub->forkable.unusable)
		return torc_unusable(&pub->forkable, pub->topic);
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
		return DROPPED;
	}
	r = wait_for_room(attempt);
	return r == -EAGAIN ? 0 : r;
}

/* ---- Publishing --------------------------------------------------------- */

static inline int notify(struct torc_publisher *pub)
{
	if (torc_unlikely(torc_word_armed(&pub->cursors->data_word,
					  pub->fences)))
		return wake(pub);
	return 0;
}

static inline int try_reserve(struct torc_publisher *pub, size_t length,
			      void **ret_payload)
{
	return pub->many ? torc_mp_reserve(&pub->mp, length, ret_payload)
			 : torc_sp_reserve(&pub->sp, length, ret_payload);
}

/* ---- On a disk ---------------------------------------------------------- */

/* Before the reserved message is committed. */
static void note_check(struct torc_publisher *pub, size_t length)
{
	uint32_t slot = pub->many ? pub->slot_index : 0;

	torc_check_note(&pub->view.ring,
			pub->many ? pub->mp.start : pub->sp.start,
			TORC_HEADER(TORC_RECORD_MESSAGE, slot, length));
}

/* After a commit of so many bytes: write it out, if it is time to. */
static int sync_committed(struct torc_publisher *pub, size_t length)
{
	uint64_t now;

	switch (pub->sync) {
	case TORC_SYNC_NONE:
		return 0;
	case TORC_SYNC_ASYNC:
		pub->unsynced += torc_record_size(length);
		if (pub->unsynced < pub->view.ring.mark_step)
			return 0;
		pub->unsynced = 0;
		torc_disk_sync_begin(pub->topic);
		return 0;
	case TORC_SYNC_INTERVAL:
		now = torc_now_ns();
		pub->unsynced = 1;
		if (now < pub->sync_next)
			return 0;
		pub->sync_next = now + pub->sync_interval_ns;
		break;
	case TORC_SYNC_COMMIT:
		break;
	}
	return torc_pub_sync(pub);
}

int torc_pub_sync(struct torc_publisher *pub)
{
	if (pub->forkable.unusable)
		return torc_unusable(&pub->forkable, pub->topic);
	if (!pub->topic->mapping->disk)
		return 0;
	pub->unsynced = 0;
	return torc_disk_sync(pub->topic);
}

static void open_on_disk(struct torc_publisher *pub)
{
	uint32_t flags = pub->topic->constants.flags;

	pub->checked = true;
	pub->plain = false;
	pub->sync = (enum torc_sync)TORC_RING_SYNC_POLICY(flags);
	pub->sync_interval_ns = TORC_RING_SYNC_INTERVAL(flags) * 1000000ull;
	pub->sync_next = torc_now_ns() + pub->sync_interval_ns;
}

static inline int commit(struct torc_publisher *pub, size_t length)
{
	if (torc_unlikely(pub->checked))
		note_check(pub, length);
	if (pub->many)
		torc_mp_commit(&pub->mp, length);
	else
		torc_sp_commit(&pub->sp, length);
	notify(pub);
	return torc_unlikely(pub->checked) ? sync_committed(pub, length) : 0;
}

static int explain(const struct torc_publisher *pub, int error, size_t length)
{
	if (error == -EMSGSIZE)
		return torc_fail(error, "%s: message of %zu bytes; the topic "
				 "takes at most %zu: make it with a larger "
				 "capacity", pub->topic->name, length,
				 torc_pub_message_max(pub));
	if (error == -EPROTO)
		return torc_fail(error, "%s: the ring is damaged; remove it "
				 "and make it anew", pub->topic->name);
	return error;
}

/* After @r, the first attempt's failure: until there is room, or no hope. */
static __attribute__((noinline)) int reserve_slowly(struct torc_publisher *pub,
						    size_t length,
						    void **ret_payload, int r)
{
	struct attempt attempt = { .pub = pub, .needed = length };

	while (r == -EAGAIN) {
		r = no_room(&attempt);
		if (r)
			return r == -EPROTO ? explain(pub, r, length)
					    : r;
		r = try_reserve(pub, length, ret_payload);
	}
	return r ? explain(pub, r, length) : 0;
}

static inline int reserve(struct torc_publisher *pub, size_t length,
			  void **ret_payload)
{
	int r;

	if (torc_unlikely(pub->forkable.unusable))
		return torc_unusable(&pub->forkable, pub->topic);
	if (torc_unlikely(pub->reserved))
		torc_pub_abort(pub);
	r = try_reserve(pub, length, ret_payload);
	return torc_likely(!r) ? 0
			       : reserve_slowly(pub, length, ret_payload, r);
}

static __attribute__((noinline)) int publish(struct torc_publisher *pub,
					     const void *data, size_t length)
{
	void *payload;
	int r = reserve(pub, length, &payload);

	if (torc_unlikely(r))
		return r == DROPPED ? 0 : r;
	torc_copy_payload(payload, data, length);
	return commit(pub, length);
}

/*
 * The usual cases of torc_pub_publish() are functions that call none and need no
 * stack, which saves a third of their time.
 */
static __attribute__((noinline)) int
publish_short_of_many(struct torc_publisher *pub, const void *data,
		      size_t length)
{
	if (torc_unlikely(pub->checked || pub->reserved ||
			  !torc_mp_publish_short(&pub->mp, data, length)))
		return publish(pub, data, length);
	return notify(pub);
}

int torc_pub_publish(struct torc_publisher *pub, const void *data,
		     size_t length)
{
	if (torc_unlikely(length > TORC_SHORT - TORC_HEADER_SIZE ||
			  pub->forkable.unusable))
		return publish(pub, data, length);
	if (!pub->plain)
		return publish_short_of_many(pub, data, length);
	if (torc_unlikely(!torc_sp_publish_short(&pub->sp, data, length)))
		return publish(pub, data, length);
	return notify(pub);
}

int torc_pub_publishv(struct torc_publisher *pub, const struct iovec *pieces,
		      int count)
{
	unsigned char *to;
	size_t length = 0;
	void *payload;
	int r;

	for (int i = 0; i < count; i++)
		if (__builtin_add_overflow(length, pieces[i].iov_len, &length))
			return explain(pub, -EMSGSIZE, SIZE_MAX);
	r = reserve(pub, length, &payload);
	if (r)
		return r == DROPPED ? 0 : r;
	to = payload;
	for (int i = 0; i < count; i++) {
		if (pieces[i].iov_len)
			memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
		to += pieces[i].iov_len;
	}
	return commit(pub, length);
}

int torc_pub_publish_batch(struct torc_publisher *pub,
			   const struct torc_span *messages, int count)
{
	struct attempt attempt = { .pub = pub };
	int r;

	if (torc_unlikely(pub->forkable.unusable))
		return torc_unusable(&pub->forkable, pub->topic);
	if (count < 1)
		return torc_fail(-EINVAL, "%s: a batch has at least one "
				 "message", pub->topic->name);
	if (torc_unlikely(pub->reserved))
		torc_pub_abort(pub);
	if (torc_unlikely(pub->checked)) {
		r = publish(pub, messages[0].data, messages[0].length);
		return r ? r : 1;
	}
	attempt.needed = messages[0].length;
	for (;;) {
		r = pub->many ? torc_mp_publish_batch(&pub->mp, messages, count)
			      : torc_sp_publish_batch(&pub->sp, messages,
						      count);
		if (torc_likely(r > 0)) {
			notify(pub);
			return r;
		}
		/* Rather a few now than all later. */
		if (r == -EAGAIN && count > 1) {
			count = 1;
			continue;
		}
		if (r != -EAGAIN)
			return explain(pub, r, messages[0].length);
		r = no_room(&attempt);
		if (r)
			return r;	/* DROPPED is one message, too */
	}
}

int torc_pub_reserve(struct torc_publisher *pub, size_t length,
		     void **ret_payload)
{
	int r = reserve(pub, length, ret_payload);

	if (r)
		return r == DROPPED ? -EAGAIN : r;
	pub->reserved = true;
	pub->reserved_length = length;
	return 0;
}

int torc_pub_commit(struct torc_publisher *pub, size_t length)
{
	if (torc_unlikely(pub->forkable.unusable))
		return torc_unusable(&pub->forkable, pub->topic);
	if (torc_unlikely(!pub->reserved || length > pub->reserved_length))
		return torc_fail(-EINVAL, "%s: nothing was reserved, or less",
				 pub->topic->name);
	pub->reserved = false;
	return commit(pub, length);
}

void torc_pub_abort(struct torc_publisher *pub)
{
	if (!pub->reserved || pub->forkable.unusable)
		return;
	pub->reserved = false;
	if (pub->many) {
		torc_mp_abort(&pub->mp);
		notify(pub);
	}
}

void torc_pub_wake(struct torc_publisher *pub)
{
	torc_interrupt(pub->topic, &pub->interrupted,
		       &pub->cursors->room_word);
}

size_t torc_pub_message_max(const struct torc_publisher *pub)
{
	return torc_message_max(&pub->view.ring);
}

void torc_pub_get_stats(const struct torc_publisher *pub,
			struct torc_pub_stats *ret_stats)
{
	*ret_stats = pub->stats;
}

/* ---- Opening and closing ------------------------------------------------ */

static int explain_busy(const struct torc_publisher *pub)
{
	const struct torc_ring *ring = &pub->view.ring;

	if (ring->kind == TORC_KIND_MP)
		return torc_fail(-EBUSY, "%s: all %u publisher slots are "
				 "taken", pub->topic->name, ring->publishers);
	return torc_fail(-EBUSY, "%s: it takes one publisher and has one, "
			 "process %u; end that, or make the topic for many",
			 pub->topic->name,
			 torc_load_relaxed(&torc_publisher_slot(ring, 0)->pid));
}

/*
 * Lock a slot that nobody has, and whose last owner left nothing.  -EAGAIN: one
 * may be had in a moment.
 */
static int take_slot(struct torc_publisher *pub)
{
	const struct torc_ring *ring = &pub->view.ring;
	bool passing = false;
	uint64_t position;
	int r;

	for (uint32_t i = 0; i < ring->publishers; i++) {
		r = torc_lock_set(locks_fd(pub), F_WRLCK,
				  TORC_LOCK_PUBLISHER + i, 1);
		if (r == -EAGAIN) {
			passing |= !torc_publisher_present(ring, i);
			continue;
		}
		if (r)
			return torc_fail(r, "%s: cannot lock a publisher slot: "
					 "%s", pub->topic->name,
					 strerrordesc_np(-r));
		if (!torc_publisher_alive(ring, locks_fd(pub), i)) {
			if (ring->kind == TORC_KIND_SP ||
			    torc_claim_settled(ring, i, &position) == 1) {
				pub->slot_index = i;
				return 0;
			}
			passing = true;
		}
		torc_lock_set(locks_fd(pub), F_UNLCK, TORC_LOCK_PUBLISHER + i,
			      1);
	}
	return passing ? -EAGAIN : -EBUSY;
}

/* What the dead left would be in the way of who takes their slots. */
static int take_slot_patiently(struct torc_publisher *pub)
{
	int tries = 0, r;

	pub->slot_index = TORC_PUBLISHERS_MAX;
	do {
		r = mend_all(pub);
		if (!r)
			r = take_slot(pub);
	} while (r == -EAGAIN && torc_lock_pause(&tries));
	return r == -EAGAIN || r == -EBUSY ? explain_busy(pub) : r;
}

static void sign_slot(struct torc_publisher *pub)
{
	struct torc_publishing_shm *shm = pub->view.ring.shm;
	struct torc_process self;
	uint64_t joined;

	torc_process_self(&self);
	pub->slot = torc_publisher_slot(&pub->view.ring, pub->slot_index);
	torc_store_relaxed(&pub->slot->start_time, self.start_time);
	torc_store_relaxed(&pub->slot->pid_namespace, self.pid_namespace);
	torc_store_relaxed(&pub->slot->blocked, 0);
	torc_store_relaxed(&pub->slot->dropped, 0);
	torc_store_release(&pub->slot->pid, self.pid);
	do
		joined = torc_load_relaxed(&shm->joined);
	while (!torc_cas(&shm->joined, joined, joined + 1));
}

static int join(struct torc_publisher *pub)
{
	const struct torc_ring *ring = &pub->view.ring;
	int r;

	r = take_slot_patiently(pub);
	if (r)
		return r == -EPROTO ? explain(pub, r, 0) : r;
	r = pub->many ? torc_mp_init(&pub->mp, ring, pub->slot_index)
		      : torc_sp_init(&pub->sp, ring);
	if (r)
		return explain(pub, r, 0);
	sign_slot(pub);
	return 0;
}

int torc_pub_open(struct torc_topic *topic,
		  const struct torc_pub_options *options,
		  struct torc_publisher **ret_pub)
{
	struct torc_publisher *pub;
	int r = options ? torc_check_reserved(topic->name, options->reserved,
					      sizeof(options->reserved))
			: 0;

	if (r)
		return r;
	pub = calloc(1, sizeof(*pub));
	if (!pub)
		return torc_fail(-ENOMEM, "%s: out of memory", topic->name);
	if (options)
		pub->options = *options;
	r = pub->options.full > TORC_FULL_EVICT
		    ? torc_fail(-EINVAL, "%s: no such way to be full",
				topic->name)
		    : torc_patience_init(&pub->patience, topic->name,
					 pub->options.wait);
	if (r) {
		free(pub);
		return r;
	}
	pub->forkable.fds[0] = pub->forkable.fds[1] = -1;
	pub->topic = torc_topic_ref(topic);
	torc_forkable_add(&pub->forkable);
	pub->fences = !torc_wake_register();
	r = torc_topic_map(topic, TORC_ACCESS_PUBLISH, &pub->forkable.unusable,
			   &pub->view);
	if (!r) {
		pub->many = pub->view.ring.kind == TORC_KIND_MP;
		pub->plain = !pub->many;
		if (topic->mapping->disk)
			open_on_disk(pub);
		pub->cursors = pub->view.ring.cursors;
		r = torc_describe_locks(topic, &pub->forkable);
	}
	if (!r)
		r = join(pub);
	if (r)
		torc_pub_close(pub);
	else
		*ret_pub = pub;
	return r;
}

struct torc_publisher *torc_pub_close(struct torc_publisher *pub)
{
	if (!pub)
		return NULL;
	if (pub->slot && !pub->forkable.unusable) {
		torc_pub_abort(pub);
		mend_all(pub);
		torc_store_release(&pub->slot->pid, 0);
		if (pub->sync && pub->unsynced)
			torc_pub_sync(pub);
		/* Who waits may wait for the last publisher's end. */
		wake(pub);
	}
	torc_ringer_free(pub->ringer);
	torc_forkable_remove(&pub->forkable);
	if (pub->view.ring_base)
		torc_topic_unmap(pub->topic, &pub->view);
	torc_topic_unref(pub->topic);
	free(pub);
	return NULL;
}
