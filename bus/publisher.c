/* SPDX-License-Identifier: MIT */
/*
 * Publishers: taking a slot, and publishing.
 */
#include "publisher.h"

#include "check.h"
#include "disk.h"
#include "lock.h"
#include "owners.h"
#include "repair.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int locks_fd(const struct torc_publisher *pub)
{
	return pub->forkable.fds[0];
}

/* ---- Publishing --------------------------------------------------------- */

static inline int notify(struct torc_publisher *pub)
{
	if (torc_unlikely(torc_word_armed(&pub->cursors->data_word,
					  pub->fences)))
		return torc_pub_wake_subscribers(pub);
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

/*
 * Publish a batch, its check words noted before the commit.  As
 * torc_sp_publish_batch(); *@ret_bytes are those of its records.
 */
static int publish_checked_batch(struct torc_publisher *pub,
				 const struct torc_span *messages, int count,
				 uint64_t *ret_bytes)
{
	const struct torc_ring *ring = &pub->view.ring;
	uint64_t begin, end = 0, header = 0;
	int n;

	if (pub->many) {
		n = torc_mp_write_batch(&pub->mp, messages, count, &header);
		begin = pub->mp.claim;
		end = pub->mp.end;
	} else {
		begin = pub->sp.tail;
		n = torc_sp_write_batch(&pub->sp, messages, count, &header,
					&end);
	}
	if (n < 0)
		return n;
	torc_check_note_batch(ring, begin, end, header);
	if (pub->many)
		torc_mp_commit_batch(&pub->mp, header);
	else
		torc_sp_advance(&pub->sp, header, end, (uint64_t)n);
	*ret_bytes = end - begin;
	return n;
}

/* After a commit of so many bytes: write it out, if it is time to. */
static int sync_committed(struct torc_publisher *pub, uint64_t bytes)
{
	uint64_t now;

	switch (pub->sync) {
	case TORC_SYNC_NONE:
		return 0;
	case TORC_SYNC_ASYNC:
		pub->unsynced += bytes;
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
	return torc_likely(!pub->checked)
		       ? 0 : sync_committed(pub, torc_record_size(length));
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
	struct torc_attempt attempt = { .pub = pub, .needed = length };

	while (r == -EAGAIN) {
		r = torc_pub_make_room(&attempt);
		if (r)
			return explain(pub, r, length);
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
		return r == TORC_DROPPED ? 0 : r;
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

	if (count < 0)
		return torc_fail(-EINVAL, "%s: a message of %d pieces",
				 pub->topic->name, count);
	for (int i = 0; i < count; i++)
		if (__builtin_add_overflow(length, pieces[i].iov_len, &length))
			return explain(pub, -EMSGSIZE, SIZE_MAX);
	r = reserve(pub, length, &payload);
	if (r)
		return r == TORC_DROPPED ? 0 : r;
	to = payload;
	for (int i = 0; i < count; i++) {
		if (pieces[i].iov_len)
			memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
		to += pieces[i].iov_len;
	}
	return commit(pub, length);
}

/* As torc_sp_publish_batch(), on whatever kind of ring, and wake who sleeps. */
static inline int try_batch(struct torc_publisher *pub,
			    const struct torc_span *messages, int count)
{
	uint64_t bytes = 0;
	int n, r;

	if (torc_unlikely(pub->checked))
		n = publish_checked_batch(pub, messages, count, &bytes);
	else if (pub->many)
		n = torc_mp_publish_batch(&pub->mp, messages, count);
	else
		n = torc_sp_publish_batch(&pub->sp, messages, count);
	if (torc_unlikely(n <= 0))
		return n;
	notify(pub);
	r = torc_unlikely(pub->checked) ? sync_committed(pub, bytes) : 0;
	return r ? r : n;
}

int torc_pub_publish_batch(struct torc_publisher *pub,
			   const struct torc_span *messages, int count)
{
	struct torc_attempt attempt = { .pub = pub };
	int r;

	if (torc_unlikely(pub->forkable.unusable))
		return torc_unusable(&pub->forkable, pub->topic);
	if (count < 1)
		return torc_fail(-EINVAL, "%s: a batch has at least one "
				 "message", pub->topic->name);
	if (torc_unlikely(pub->reserved))
		torc_pub_abort(pub);
	attempt.needed = messages[0].length;
	for (;;) {
		r = try_batch(pub, messages, count);
		if (torc_likely(r > 0))
			return r;
		/* Rather a few now than all later. */
		if (r == -EAGAIN && count > 1) {
			count = 1;
			continue;
		}
		if (r != -EAGAIN)
			return explain(pub, r, messages[0].length);
		r = torc_pub_make_room(&attempt);
		if (r)
			return r;	/* TORC_DROPPED is one message, too */
	}
}

int torc_pub_reserve(struct torc_publisher *pub, size_t length,
		     void **ret_payload)
{
	int r = reserve(pub, length, ret_payload);

	if (r)
		return r == TORC_DROPPED ? -EAGAIN : r;
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
 * may be had in a moment; if that is doubtful, it costs some of the @tries.
 */
static int take_slot(struct torc_publisher *pub, int *tries)
{
	const struct torc_ring *ring = &pub->view.ring;
	bool passing = false, doubtful = false;
	uint64_t position;
	int r, present;

	for (uint32_t i = 0; i < ring->publishers; i++) {
		r = torc_lock_set(locks_fd(pub), F_WRLCK,
				  TORC_LOCK_PUBLISHER + i, 1);
		if (r == -EAGAIN) {
			present = torc_publisher_present(ring, i);
			passing |= !present;
			doubtful |= present < 0;
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
	if (doubtful && !passing)
		*tries += TORC_LOCK_DOUBTFUL;
	return passing || doubtful ? -EAGAIN : -EBUSY;
}

/* What the dead left would be in the way of who takes their slots. */
static int take_slot_patiently(struct torc_publisher *pub)
{
	int tries = 0, r;

	pub->slot_index = TORC_PUBLISHERS_MAX;
	do {
		r = torc_pub_mend(pub);
		if (!r)
			r = take_slot(pub, &tries);
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
		return explain(pub, r, 0);
	r = pub->many ? torc_mp_init(&pub->mp, ring, pub->slot_index)
		      : torc_sp_init(&pub->sp, ring);
	if (r)
		return explain(pub, r, 0);
	sign_slot(pub);
	return 0;
}

static int check_options(const struct torc_topic *topic,
			 const struct torc_pub_options *options,
			 struct torc_patience *ret_patience)
{
	int r = torc_check_reserved(topic->name, options->reserved,
				    sizeof(options->reserved));

	if (!r && options->full > TORC_FULL_EVICT)
		r = torc_fail(-EINVAL, "%s: no such way to be full: %u",
			      topic->name, (unsigned int)options->full);
	return r ? r : torc_patience_init(ret_patience, topic->name,
					  options->wait);
}

int torc_pub_open(struct torc_topic *topic,
		  const struct torc_pub_options *options,
		  struct torc_publisher **ret_pub)
{
	static const struct torc_pub_options defaults;
	struct torc_patience patience;
	struct torc_publisher *pub;
	int r;

	if (!options)
		options = &defaults;
	r = check_options(topic, options, &patience);
	if (r)
		return r;
	pub = calloc(1, sizeof(*pub));
	if (!pub)
		return torc_fail(-ENOMEM, "%s: out of memory", topic->name);
	pub->options = *options;
	pub->patience = patience;
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
		torc_pub_mend(pub);
		torc_store_release(&pub->slot->pid, 0);
		if (pub->sync && pub->unsynced)
			torc_pub_sync(pub);
		/* Who waits may wait for the last publisher's end. */
		torc_pub_wake_subscribers(pub);
	}
	torc_ringer_free(pub->ringer);
	torc_forkable_remove(&pub->forkable);
	if (pub->view.ring_base)
		torc_topic_unmap(pub->topic, &pub->view);
	torc_topic_unref(pub->topic);
	free(pub);
	return NULL;
}
