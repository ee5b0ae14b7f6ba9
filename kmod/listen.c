// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Receiving in the kernel: a thread that calls a driver for each message.
 */
#include "internal.h"

#include <linux/err.h>
#include <linux/export.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

static unsigned int spin_us = 20;
module_param_named(listen_spin_us, spin_us, uint, 0644);
MODULE_PARM_DESC(listen_spin_us,
		 "microseconds that a listener polls before it sleeps");

struct torc_listener {
	struct torc_topic *topic;
	struct torc_consumer consumer;
	bool joined;
	void (*each)(const struct torc_message *message, void *context);
	void *context;
	struct task_struct *thread;
};

static void join(struct torc_listener *listener)
{
	const struct torc_ring *ring = &listener->topic->ring;
	int r = torc_consumer_join(&listener->consumer, ring,
				   TORC_SLOT_LISTENER,
				   TORC_LOSSLESS | TORC_OLDEST);

	listener->joined = !r;
	if (!r)
		torc_store_release(&listener->consumer.slot->pid,
				   (u32)task_pid_nr(current));
}

/* Receive what is there; -EAGAIN if there is no more. */
static int receive(struct torc_listener *listener)
{
	struct torc_consumer *consumer = &listener->consumer;
	struct torc_message message;
	int r;

	while (!kthread_should_stop()) {
		r = torc_consumer_peek(consumer, &message);
		if (!r) {
			listener->each(&message, listener->context);
			r = torc_consumer_release(consumer);
		}
		if (r)
			return r;
		if (torc_word_armed(torc_topic_word(listener->topic,
						    TORC_WORD_ROOM), true))
			torc_topic_wake(listener->topic, TORC_WORD_ROOM);
		cond_resched();
	}
	return -EAGAIN;
}

/* Look for a while whether there is more, which is quicker than being woken. */
static bool poll_briefly(struct torc_listener *listener)
{
	u64 until = ktime_get_ns() + (u64)READ_ONCE(spin_us) * NSEC_PER_USEC;
	struct torc_message message;
	int r;

	do {
		r = torc_consumer_peek(&listener->consumer, &message);
		cpu_relax();
	} while (r == -EAGAIN && ktime_get_ns() < until && !need_resched());
	return !r || r == -ESTALE;
}

/* Until there may be a message; for a while, if the ring is damaged. */
static void rest(struct torc_listener *listener)
{
	struct torc_topic *topic = listener->topic;
	struct torc_sleepers *sleepers = &topic->sleepers[TORC_WORD_DATA];
	s64 wakes = atomic64_read(&sleepers->wakes);
	struct torc_message message;

	if (listener->joined && poll_briefly(listener))
		return;
	torc_word_arm(torc_topic_word(topic, TORC_WORD_DATA));
	torc_topic_barrier(topic);
	if (listener->joined &&
	    !torc_consumer_peek(&listener->consumer, &message))
		return;
	/* Who dies between commit and wake wakes nobody. */
	wait_event_interruptible_timeout(
		sleepers->queue,
		atomic64_read(&sleepers->wakes) != wakes ||
			kthread_should_stop(),
		msecs_to_jiffies(10) + 1);
}

static int listen(void *context)
{
	struct torc_listener *listener = context;

	while (!kthread_should_stop()) {
		/* Evicted, or the ring is damaged: begin anew. */
		if (!listener->joined || receive(listener) != -EAGAIN)
			join(listener);
		rest(listener);
		cond_resched();
	}
	torc_store_relaxed(&torc_subscriber_slot(&listener->topic->ring,
						 TORC_SLOT_LISTENER)->pid, 0);
	torc_consumer_leave(&listener->consumer);
	return 0;
}

int torc_topic_listen(struct torc_topic *topic,
		      void (*each)(const struct torc_message *message,
				   void *context),
		      void *context, struct torc_listener **ret)
{
	struct torc_listener *listener;
	struct task_struct *thread;

	if (topic->flags & TORC_DRIVER_PUBLISHES)
		return -EPERM;
	listener = kzalloc(sizeof(*listener), GFP_KERNEL);
	if (!listener)
		return -ENOMEM;
	listener->topic = topic;
	listener->each = each;
	listener->context = context;
	thread = kthread_create(listen, listener, "torc-%s", topic->name);
	if (IS_ERR(thread)) {
		kfree(listener);
		return PTR_ERR(thread);
	}
	if (cmpxchg(&topic->listener, NULL, listener)) {
		kthread_stop(thread);
		kfree(listener);
		return -EBUSY;
	}
	/* A thread that never ran would not clear away what it did not begin. */
	listener->thread = thread;
	wake_up_process(thread);
	*ret = listener;
	return 0;
}
EXPORT_SYMBOL_GPL(torc_topic_listen);

void torc_listener_stop(struct torc_listener *listener)
{
	if (!listener)
		return;
	kthread_stop(listener->thread);
	WRITE_ONCE(listener->topic->listener, NULL);
	kfree(listener);
}
EXPORT_SYMBOL_GPL(torc_listener_stop);
