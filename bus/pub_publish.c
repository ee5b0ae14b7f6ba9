/* SPDX-License-Identifier: MIT */
/*
 * Publishers: publishing.
 */
#include "publisher.h"

#include <string.h>

/* After a commit: wake who sleeps.  0, for callers that end with it. */
static inline int notify(struct torc_publisher *pub, bool fence)
{
	if (torc_unlikely(torc_word_armed(&pub->cursors->data_word, fence)))
		return torc_pub_wake_subscribers(pub);
	return 0;
}

static inline int try_reserve(struct torc_publisher *pub, size_t length,
			      void **ret_payload)
{
	return pub->many ? torc_mp_reserve(&pub->mp, length, ret_payload)
			 : torc_sp_reserve(&pub->sp, length, ret_payload);
}

static inline int commit(struct torc_publisher *pub, size_t length)
{
	if (torc_unlikely(pub->checked))
		torc_pub_note_check(pub, length);
	if (pub->many)
		torc_mp_commit(&pub->mp, length);
	else
		torc_sp_commit(&pub->sp, length);
	notify(pub, pub->fences);
	if (torc_unlikely(pub->checked))
		return torc_pub_sync_committed(pub, torc_record_size(length));
	return 0;
}

static int explain(const struct torc_publisher *pub, int error, size_t length)
{
	if (error != -EMSGSIZE)
		return torc_ring_error(pub->topic, error);
	return torc_fail(error, "%s: message of %zu bytes; the topic takes at "
			 "most %zu: make it with a larger capacity",
			 pub->topic->name, length, torc_pub_message_max(pub));
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

static inline bool is_reserved(const struct torc_publisher *pub)
{
	return pub->forkable.unusual & TORC_PUB_RESERVED;
}

static inline int reserve(struct torc_publisher *pub, size_t length,
			  void **ret_payload)
{
	int r = torc_pub_check(pub);

	if (torc_unlikely(r))
		return r;
	if (torc_unlikely(is_reserved(pub)))
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
 * stack, which saves a third of their time.  One comparison tells whether a message
 * is short and the publisher may take the shortest way: no bit of what would keep it
 * from that is as low as those of a short length (publisher.h).
 */
#define SHORT_MAX (TORC_SHORT - TORC_HEADER_SIZE)

static __attribute__((noinline)) int
publish_unusual(struct torc_publisher *pub, const void *data, size_t length)
{
	uint64_t unusual = pub->forkable.special ^ TORC_PUB_SPECIAL(TORC_PUB_MANY);

	if (torc_unlikely((length | unusual) > SHORT_MAX ||
			  !torc_mp_publish_short(&pub->mp, data, length)))
		return publish(pub, data, length);
	return notify(pub, false);
}

int torc_pub_publish(struct torc_publisher *pub, const void *data,
		     size_t length)
{
	if (torc_unlikely((length | pub->forkable.special) > SHORT_MAX))
		return publish_unusual(pub, data, length);
	if (torc_unlikely(!torc_sp_publish_short(&pub->sp, data, length)))
		return publish(pub, data, length);
	return notify(pub, false);
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
		n = torc_pub_publish_checked(pub, messages, count, &bytes);
	else if (pub->many)
		n = torc_mp_publish_batch(&pub->mp, messages, count);
	else
		n = torc_sp_publish_batch(&pub->sp, messages, count);
	if (torc_unlikely(n <= 0))
		return n;
	notify(pub, pub->fences);
	if (torc_likely(!pub->checked))
		return n;
	r = torc_pub_sync_committed(pub, bytes);
	return r ? r : n;
}

int torc_pub_publish_batch(struct torc_publisher *pub,
			   const struct torc_span *messages, int count)
{
	struct torc_attempt attempt = { .pub = pub };
	int r = torc_pub_check(pub);

	if (torc_unlikely(r))
		return r;
	if (count < 1)
		return torc_fail(-EINVAL, "%s: a batch has at least one "
				 "message", pub->topic->name);
	if (torc_unlikely(is_reserved(pub)))
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
	pub->forkable.unusual |= TORC_PUB_RESERVED;
	pub->reserved_length = length;
	return 0;
}

int torc_pub_commit(struct torc_publisher *pub, size_t length)
{
	int r = torc_pub_check(pub);

	if (torc_unlikely(r))
		return r;
	if (torc_unlikely(!is_reserved(pub) || length > pub->reserved_length))
		return torc_fail(-EINVAL, "%s: nothing was reserved, or less "
				 "than %zu bytes", pub->topic->name, length);
	pub->forkable.unusual &= ~TORC_PUB_RESERVED;
	return commit(pub, length);
}

void torc_pub_abort(struct torc_publisher *pub)
{
	if (!is_reserved(pub) || torc_pub_check(pub))
		return;
	pub->forkable.unusual &= ~TORC_PUB_RESERVED;
	if (pub->many) {
		torc_mp_abort(&pub->mp);
		notify(pub, pub->fences);
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
