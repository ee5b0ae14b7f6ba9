// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Publishing, by drivers and for processes, and waking.
 *
 * Where the driver publishes alone, a raw spinlock makes all its contexts one
 * publisher.  Where it is one of many, each context of each processor is a publisher
 * of its own, with a slot: an interrupt in the midst of a claim takes another and
 * waits for nobody.  Preemption is off from claim to commit, so others do not wait
 * long either, and each finds a slot.
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
	list_for_each_entry(open, &topic->signals, signals_link) {
		/* Its eventfd may serve many: that it is this one's turn. */
		if (open->slot)
			torc_store_relaxed(&torc_subscriber_slot(
					&topic->ring, open->slot)->bell_armed,
					   0);
		torc_eventfd_signal(open->eventfd);
	}
	spin_unlock_irqrestore(&topic->signals_lock, flags);
	kill_fasync(&topic->fasync, SIGIO, POLL_IN);
}

void torc_topic_wake(struct torc_topic *topic, enum torc_driver_word word)
{
	struct torc_sleepers *sleepers = &topic->sleepers[word];

	torc_word_disarm(torc_topic_word(topic, word));
	atomic64_inc(&sleepers->wakes);
	trace_torc_wake(topic->name, word);
	wake_up_poll(&sleepers->queue,
		     word == TORC_WORD_DATA ? EPOLLIN : EPOLLOUT);
	if (word == TORC_WORD_DATA)
		signal_files(topic);
}

void torc_topic_wake_soon(struct irq_work *waker)
{
	torc_topic_wake(container_of(waker, struct torc_topic, waker),
			TORC_WORD_DATA);
}

/*
 * With interrupts off the caller may hold locks of the scheduler's, and wait
 * queues' locks sleep where the kernel is PREEMPT_RT: then an interrupt of its own
 * wakes, as soon as there may be one, or that kernel's thread for such.
 */
static bool must_wake_later(void)
{
	return irqs_disabled() ||
	       (IS_ENABLED(CONFIG_PREEMPT_RT) && !preemptible());
}

void torc_topic_notify(struct torc_topic *topic)
{
	if (!torc_word_armed(torc_topic_word(topic, TORC_WORD_DATA), true))
		return;
	if (must_wake_later())
		irq_work_queue(&topic->waker);
	else
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

/* ---- One of many --------------------------------------------------------- */

/* A processor's contexts: tasks, soft and hard interrupts. */
#define CONTEXTS	3u
#define OWN_MAX		192u

/* Claims that may be lost to others, be they hostile. */
#define TRIES		128u

u32 torc_own_publishers(void)
{
	return min(num_possible_cpus() * CONTEXTS, OWN_MAX);
}

/* That of this context, if nobody has it: another's in a very large machine. */
static struct torc_own_publisher *take_own(struct torc_topic *topic)
{
	u32 first = smp_processor_id() * CONTEXTS + interrupt_context_level();
	u32 i;

	for (i = 0; i < topic->own_count; i++) {
		struct torc_own_publisher *own =
			&topic->own[(first + i) % topic->own_count];

		if (!atomic_cmpxchg_acquire(&own->taken, 0, 1))
			return own;
	}
	return NULL;
}

static void give_back(struct torc_own_publisher *own)
{
	/* What was claimed is committed: nobody takes it for a dead one's. */
	torc_store_release(&own->mp.slot->pid, 0);
	atomic_set_release(&own->taken, 0);
}

static int reserve_among_many(struct torc_topic *topic, size_t length,
			      struct torc_reservation *ret)
{
	struct torc_own_publisher *own;
	int r = -EBUSY;

	preempt_disable();
	own = take_own(topic);
	if (own) {
		/* The owner of a claim is alive. */
		torc_store_relaxed(&own->mp.slot->pid, 1);
		r = torc_mp_try_reserve(&own->mp, TRIES, length, &ret->payload);
		if (!r) {
			ret->publisher = own;
			return 0;
		}
		give_back(own);
	}
	preempt_enable();
	return r;
}

/* ---- Alone --------------------------------------------------------------- */

static int reserve_alone(struct torc_topic *topic, size_t length,
			 struct torc_reservation *ret)
{
	unsigned long flags;
	int r;

	raw_spin_lock_irqsave(&topic->publishing, flags);
	r = torc_sp_reserve(&topic->sp, length, &ret->payload);
	if (r) {
		raw_spin_unlock_irqrestore(&topic->publishing, flags);
		return r;
	}
	ret->publisher = NULL;
	ret->flags = flags;
	/* For sparse: commit or abort has the lock now. */
	__release(&topic->publishing);
	return 0;
}

/* ---- By drivers ---------------------------------------------------------- */

static int reserve(struct torc_topic *topic, size_t length,
		   struct torc_reservation *ret)
{
	if (topic->own_count)
		return reserve_among_many(topic, length, ret);
	if (topic->flags & TORC_DRIVER_PUBLISHES)
		return reserve_alone(topic, length, ret);
	return -EPERM;
}

int torc_topic_reserve(struct torc_topic *topic, size_t length,
		       struct torc_reservation *ret)
{
	int r = reserve(topic, length, ret);

	if (r) {
		atomic64_inc(&topic->dropped);
		trace_torc_drop(topic->name, length, r);
	}
	return r;
}
EXPORT_SYMBOL_GPL(torc_topic_reserve);

static void published(struct torc_topic *topic, size_t length)
{
	atomic64_inc(&topic->published);
	trace_torc_publish(topic->name, length);
	torc_topic_notify(topic);
}

void torc_topic_commit(struct torc_topic *topic,
		       const struct torc_reservation *reservation,
		       size_t length)
{
	struct torc_own_publisher *own = reservation->publisher;

	if (own) {
		torc_mp_commit(&own->mp, length);
		give_back(own);
		preempt_enable();
	} else {
		__acquire(&topic->publishing);
		torc_sp_commit(&topic->sp, length);
		raw_spin_unlock_irqrestore(&topic->publishing,
					   reservation->flags);
	}
	published(topic, length);
}
EXPORT_SYMBOL_GPL(torc_topic_commit);

void torc_topic_abort(struct torc_topic *topic,
		      const struct torc_reservation *reservation)
{
	struct torc_own_publisher *own = reservation->publisher;

	if (own) {
		torc_mp_abort(&own->mp);
		give_back(own);
		preempt_enable();
		/* Others' messages may have waited behind it. */
		torc_topic_notify(topic);
	} else {
		__acquire(&topic->publishing);
		raw_spin_unlock_irqrestore(&topic->publishing,
					   reservation->flags);
	}
}
EXPORT_SYMBOL_GPL(torc_topic_abort);

int torc_topic_publish(struct torc_topic *topic, const void *data,
		       size_t length)
{
	struct torc_reservation reservation;
	int r = torc_topic_reserve(topic, length, &reservation);

	if (r)
		return r;
	memcpy(reservation.payload, data, length);
	torc_topic_commit(topic, &reservation, length);
	return 0;
}
EXPORT_SYMBOL_GPL(torc_topic_publish);

/* ---- For processes ------------------------------------------------------- */

/*
 * On a topic for one process, as that, if there is none.  Everything read from the
 * ring may be hostile; nothing outlives this call.
 */
static int publish_as_process(struct torc_topic *topic, const void *data,
			      size_t length)
{
	struct torc_sp sp;
	int r = -EBUSY;

	mutex_lock(&topic->writing);
	if (!topic->owners[0].file)
		r = torc_sp_init(&sp, &topic->ring);
	if (!r)
		r = torc_sp_publish(&sp, data, length);
	mutex_unlock(&topic->writing);
	if (!r)
		published(topic, length);
	return r;
}

/* -EAGAIN: there may be room later. */
static int try_write(struct torc_topic *topic, const void *data, size_t length)
{
	struct torc_reservation reservation;
	int r = reserve(topic, length, &reservation);

	if (r == -EPERM)
		return publish_as_process(topic, data, length);
	if (r)
		return r == -EBUSY ? -EAGAIN : r;
	memcpy(reservation.payload, data, length);
	torc_topic_commit(topic, &reservation, length);
	return 0;
}

int torc_topic_write(struct torc_topic *topic, const void *data, size_t length,
		     bool nonblock)
{
	struct torc_sleepers *sleepers = &topic->sleepers[TORC_WORD_ROOM];
	long left;
	int r;

	for (;;) {
		s64 wakes = atomic64_read(&sleepers->wakes);

		r = try_write(topic, data, length);
		if (r != -EAGAIN || nonblock)
			return r;
		/* Who makes room may not know of us: look again soon. */
		torc_word_arm(torc_topic_word(topic, TORC_WORD_ROOM));
		left = wait_event_interruptible_timeout(
			sleepers->queue,
			atomic64_read(&sleepers->wakes) != wakes,
			msecs_to_jiffies(10) + 1);
		if (left < 0)
			return left;
	}
}
