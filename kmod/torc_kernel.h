/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/**
 * DOC: torc for drivers
 *
 * A driver makes topics, or takes those that processes made, publishes to them from
 * any context, and listens to what processes publish.  Processes find a topic as
 * /dev/torc/NAME, with libtorc as "dev:NAME".
 *
 * Who publishes is decided when a topic is made:
 *
 *	TORC_DRIVER_PUBLISHES	drivers do; no process may write any of the ring
 *	TORC_DRIVER_MANY	drivers and processes do, in one order for all
 *	neither			one process does
 *
 * Nothing here waits for a process, nor trusts what it may have written.
 *
 * All of it is exported to GPL modules.
 */
#ifndef TORC_KERNEL_H
#define TORC_KERNEL_H

#include <linux/types.h>

#include <torc/driver.h>
#include <torc/message.h>

struct torc_topic;
struct torc_listener;
struct torc_own_publisher;

/**
 * struct torc_topic_config - what a new topic shall be; zero means the default
 * @name:	under /dev/torc
 * @type:	what the messages are; may be NULL
 * @capacity:	bytes; default 64 KiB
 * @flags:	TORC_DRIVER_PUBLISHES, TORC_DRIVER_MANY
 * @memory:	enum torc_driver_memory
 * @cache:	enum torc_driver_cache
 * @mode:	of the node, root's; default 0600
 * @publishers:	slots for processes that publish
 * @subscribers: slots for processes that subscribe
 */
struct torc_topic_config {
	const char *name;
	const char *type;
	u64 capacity;
	u32 flags;
	enum torc_driver_memory memory;
	enum torc_driver_cache cache;
	umode_t mode;
	u32 publishers;
	u32 subscribers;
};

/**
 * torc_topic_create() - make a topic and its node
 * @config:	what it shall be
 *
 * Context: May sleep.
 * Return: The topic, or ERR_PTR(): -EEXIST, -EINVAL, -E2BIG, -ENOSPC, -ENOMEM.
 */
struct torc_topic *torc_topic_create(const struct torc_topic_config *config);

/**
 * torc_topic_destroy() - remove a topic's node, and let it go
 * @topic:	the topic; NULL is nothing
 *
 * Processes that have it open keep its memory; nobody publishes to it any more.
 *
 * Context: May sleep.  No other call with @topic is going on or comes after.
 */
void torc_topic_destroy(struct torc_topic *topic);

/**
 * torc_topic_get() - take part in a topic that a process made
 * @name:	the topic
 *
 * So a driver publishes into memory of a process (TORC_PAGES_USER), which makes
 * the topic and then tells the driver its name.  The topic, its memory too, stays
 * until torc_topic_put(), but nobody new finds it once it was removed.
 *
 * Context: May sleep.
 * Return: The topic, or ERR_PTR(-ENOENT).
 */
struct torc_topic *torc_topic_get(const char *name);

/**
 * torc_topic_put() - be done with what torc_topic_get() got
 * @topic:	the topic
 *
 * Context: May sleep.  No other call by this user of it comes after.
 */
void torc_topic_put(struct torc_topic *topic);

/**
 * torc_topic_publish() - publish a copy of a message
 * @topic:	the topic, with TORC_DRIVER_PUBLISHES or TORC_DRIVER_MANY; several
 *		drivers may publish
 * @data:	the message
 * @length:	bytes
 *
 * Never waits for subscribers: a lossless one that is too far behind makes it
 * fail, and each failure counts as a drop.
 *
 * With TORC_DRIVER_PUBLISHES it copies with interrupts off, one processor at a
 * time.  With TORC_DRIVER_MANY it copies with preemption off, and neither waits for
 * an interrupted one nor for other processors; but what is published after a claim
 * that is not committed yet can be seen only after that.
 *
 * Context: Any but NMI.  Where interrupts are off, and on PREEMPT_RT where
 * preemption is, sleepers are woken a moment later, by an irq_work.
 * Return: 0; -EAGAIN (no room); -EMSGSIZE; -EPERM (one process publishes here);
 * with TORC_DRIVER_MANY also -EBUSY (others won 128 claims meanwhile, a look for
 * room counting as 16, or all of the driver's slots are taken) and -EPROTO (a
 * process damaged the ring).
 */
int torc_topic_publish(struct torc_topic *topic, const void *data,
		       size_t length);

/**
 * struct torc_reservation - room for a message
 * @payload:	where to write it
 * @publisher:	who of the driver has it; not for the caller, as is
 * @flags:	interrupts before
 */
struct torc_reservation {
	void *payload;
	struct torc_own_publisher *publisher;
	unsigned long flags;
};

/**
 * torc_topic_reserve() - get room to write a message in place
 * @topic:	as for torc_topic_publish()
 * @length:	bytes
 * @ret:	where
 *
 * torc_topic_commit() or torc_topic_abort() must follow if this succeeds, on this
 * processor and soon: until then the caller may not sleep.  With
 * TORC_DRIVER_PUBLISHES interrupts are off and a spinlock is held, so nothing else
 * may be reserved.  With TORC_DRIVER_MANY preemption is off, and processes can
 * change what is written.
 *
 * Context: Any but NMI.
 * Return: As torc_topic_publish().
 */
int torc_topic_reserve(struct torc_topic *topic, size_t length,
		       struct torc_reservation *ret);

/**
 * torc_topic_commit() - publish what was reserved
 * @topic:	the topic
 * @reservation: from torc_topic_reserve()
 * @length:	bytes, at most what was reserved
 *
 * Wakes who waits for it, after interrupts are as they were.
 *
 * Context: As torc_topic_reserve(), which came before.
 */
void torc_topic_commit(struct torc_topic *topic,
		       const struct torc_reservation *reservation,
		       size_t length);

/**
 * torc_topic_abort() - give up what was reserved
 * @topic:	the topic
 * @reservation: from torc_topic_reserve()
 *
 * Context: As torc_topic_reserve(), which came before.
 */
void torc_topic_abort(struct torc_topic *topic,
		      const struct torc_reservation *reservation);

/**
 * torc_topic_listen() - call a function for each message that processes publish
 * @topic:	the topic, made without TORC_DRIVER_PUBLISHES
 * @each:	called by a thread of its own, one message after the other; it may
 *		sleep.  What @message->data points at may be changed by its
 *		publisher at any time: copy it, then check it
 * @context:	passed to it
 * @ret:	the listener; one per topic
 *
 * Publishers are held until the thread has read, unless they evict it; then it
 * begins again with the oldest message.
 *
 * Context: May sleep.
 * Return: 0, -EBUSY (there is one), -EPERM, -ENOMEM.
 */
int torc_topic_listen(struct torc_topic *topic,
		      void (*each)(const struct torc_message *message,
				   void *context),
		      void *context, struct torc_listener **ret);

/**
 * torc_listener_stop() - listen no more
 * @listener:	from torc_topic_listen(); NULL is nothing
 *
 * The function is not running any more, and is not called again.
 *
 * Context: May sleep.  Not from the listener's function.
 */
void torc_listener_stop(struct torc_listener *listener);

#endif /* TORC_KERNEL_H */
