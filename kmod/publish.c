// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Publishing, by drivers and for processes, and waking.
 *
 * Who sleeps arms the wait word, in shared memory, and looks again; who publishes
 * looks at the word after the commit.  The driver fences in between.  Processes do
 * not, so a sleeper in the kernel makes all processors pass a barrier instead, as
 * membarrier() does.
 */
#include "internal.h"

#include <linux/eventfd.h>
#include <linux/export.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>

#define CREATE_TRACE_POINTS
#include "trace.h"

#include "compat.h"
#include "node.h"

/* ---- Waking -------------------------------------------------------------- */

u32 *torc_topic_word(struct torc_topic *topic, enum torc_driver_word word)
{
	struct torc_cursors_shm *cursors = topic->ring.cursors;

	return word == TORC_WORD_DATA ? &cursors->data_word
				      : &cursors->room_word;
}

static void signal_files(struct torc_topic *topic)
{
	struct torc_open *open;
	unsigned long flags;

	spin_lock_irqsave(&topic->signals_lock, flags);
	list_for_each_entry(open, &topic->signals, signals_link)
		torc_eventfd_signal(open->eventfd);
	spin_unlock_irqrestore(&topic->signals_lock, flags);
	kill_fasync(&topic->fasync, SIGIO, POLL_IN);
}

void torc_topic_wake(struct torc_topic *topic, enum torc_driver_word word)
{
	struct torc_sleepers *sleepers = &topic->sleepers[word];

	torc_word_disarm(torc_topic_word(topic, word));
	WRITE_ONCE(sleepers->wakes, READ_ONCE(sleepers->wakes) + 1);
	trace_torc_wake(topic->name, word);
	wake_up_poll(&sleepers->queue,
		     word == TORC_WORD_DATA ? EPOLLIN : EPOLLOUT);
	if (word == TORC_WORD_DATA)
		signal_files(topic);
}

static void wake_if_armed(struct torc_topic *topic)
{
	if (torc_word_armed(torc_topic_word(topic, TORC_WORD_DATA), true))
		torc_topic_wake(topic, TORC_WORD_DATA);
}

static void pass_barrier(void *unused)
{
	smp_mb();
}

void torc_topic_barrier(struct torc_topic *topic)
{
	if (!(topic->flags & TORC_DRIVER_PUBLISHES))
		smp_call_function(pass_barrier, NULL, true);
}

/* ---- By drivers ---------------------------------------------------------- */

int torc_topic_reserve(struct torc_topic *topic, size_t length,
		       void **ret_payload)
{
	unsigned long flags;
	int r;

	if (!(topic->flags & TORC_DRIVER_PUBLISHES))
		return -EPERM;
	raw_spin_lock_irqsave(&topic->publishing, flags);
	r = torc_sp_reserve(&topic->sp, length, ret_payload);
	if (r) {
		raw_spin_unlock_irqrestore(&topic->publishing, flags);
		atomic64_inc(&topic->dropped);
		trace_torc_drop(topic->name, length, r);
		return r;
	}
	topic->publishing_flags = flags;
	/* For sparse: commit or abort has the lock now. */
	__release(&topic->publishing);
	return 0;
}
EXPORT_SYMBOL_GPL(torc_topic_reserve);

void torc_topic_commit(struct torc_topic *topic, size_t length)
{
	__acquire(&topic->publishing);
	torc_sp_commit(&topic->sp, length);
	raw_spin_unlock_irqrestore(&topic->publishing, topic->publishing_flags);
	atomic64_inc(&topic->published);
	trace_torc_publish(topic->name, length);
	wake_if_armed(topic);
}
EXPORT_SYMBOL_GPL(torc_topic_commit);

void torc_topic_abort(struct torc_topic *topic)
{
	__acquire(&topic->publishing);
	raw_spin_unlock_irqrestore(&topic->publishing, topic->publishing_flags);
}
EXPORT_SYMBOL_GPL(torc_topic_abort);

int torc_topic_publish(struct torc_topic *topic, const void *data,
		       size_t length)
{
	void *payload;
	int r = torc_topic_reserve(topic, length, &payload);

	if (r)
		return r;
	memcpy(payload, data, length);
	torc_topic_commit(topic, length);
	return 0;
}
EXPORT_SYMBOL_GPL(torc_topic_publish);

/* ---- For processes ------------------------------------------------------- */

/* The slot bears a PID for as long as we may have a claim: its owner is alive. */
static int publish_claimed(struct torc_mp *mp, const void *data, size_t length)
{
	int r;

	torc_store_release(&mp->slot->pid, 1);
	r = torc_mp_publish(mp, data, length);
	torc_store_release(&mp->slot->pid, 0);
	return r;
}

/*
 * On a topic that processes publish, as one of them: the one publisher, if there
 * is none, or in the last slot, which torc_node_lock() keeps for us.  Everything
 * read from the ring may be hostile; nothing outlives this call.
 */
static int publish_as_process(struct torc_topic *topic, struct file *file,
			      const void *data, size_t length)
{
	struct torc_mp mp;
	struct torc_sp sp;
	int r;

	mutex_lock(&topic->writing);
	if (topic->ring.kind == TORC_KIND_MP) {
		r = torc_mp_init(&mp, &topic->ring, topic->ring.publishers - 1);
		if (!r)
			r = publish_claimed(&mp, data, length);
	} else if (torc_node_locked(file, TORC_LOCK_PUBLISHER)) {
		r = -EBUSY;
	} else {
		r = torc_sp_init(&sp, &topic->ring);
		if (!r)
			r = torc_sp_publish(&sp, data, length);
	}
	mutex_unlock(&topic->writing);
	if (r)
		return r;
	atomic64_inc(&topic->published);
	trace_torc_publish(topic->name, length);
	wake_if_armed(topic);
	return 0;
}

static int try_write(struct torc_topic *topic, struct file *file,
		     const void *data, size_t length)
{
	if (topic->flags & TORC_DRIVER_PUBLISHES)
		return torc_topic_publish(topic, data, length);
	return publish_as_process(topic, file, data, length);
}

int torc_topic_write(struct torc_topic *topic, struct file *file,
		     const void *data, size_t length, bool nonblock)
{
	struct torc_sleepers *sleepers = &topic->sleepers[TORC_WORD_ROOM];
	long left;
	int r;

	for (;;) {
		u64 wakes = READ_ONCE(sleepers->wakes);

		r = try_write(topic, file, data, length);
		if (r != -EAGAIN || nonblock)
			return r;
		/* Who makes room may not know of us: look again soon. */
		torc_word_arm(torc_topic_word(topic, TORC_WORD_ROOM));
		left = wait_event_interruptible_timeout(
			sleepers->queue, READ_ONCE(sleepers->wakes) != wakes,
			msecs_to_jiffies(10) + 1);
		if (left < 0)
			return left;
	}
}
