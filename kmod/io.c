// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Messages by system calls: read(), write(), poll() and SIGIO of a topic's files.
 */
#include "node.h"

#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* ---- Is there a message? ------------------------------------------------- */

/* The node's own consumer, from the oldest message on. */
static int join(struct torc_open *open)
{
	int r;

	lockdep_assert_held(&open->reading);
	if (open->joined)
		return 0;
	r = torc_consumer_join(&open->consumer, &open->topic->ring,
			       TORC_NO_SLOT, TORC_OLDEST);
	open->joined = !r;
	return r;
}

/* By the cursor in its slot, which the process may have set to anything. */
static bool subscription_ready(struct torc_open *open)
{
	const struct torc_ring *ring = &open->topic->ring;
	u64 cursor = torc_load_relaxed(&torc_own_slot(open)->cursor);
	struct torc_mark floor;

	cursor &= ~(u64)(TORC_RECORD_ALIGN - 1);
	if (torc_mark_current(ring, &ring->shm->floor, &floor) ||
	    torc_distance(floor.position, cursor) > 0)
		return true;
	return torc_header_committed(torc_header_load(ring, cursor, true));
}

/* 1, 0, or an error. */
static int ready(struct torc_open *open)
{
	struct torc_message message;
	int r;

	if (open->slot)
		return subscription_ready(open);
	if (mutex_lock_killable(&open->reading))
		return -EINTR;
	r = join(open);
	if (!r)
		r = torc_consumer_peek(&open->consumer, &message);
	mutex_unlock(&open->reading);
	return r == -EAGAIN ? 0 : r ?: 1;
}

/* From now on publishers wake who waits for a message. */
static void arm(struct torc_topic *topic)
{
	torc_word_arm(torc_topic_word(topic, TORC_WORD_DATA));
	torc_topic_barrier(topic);
}

/* As ready(); armed if not. */
static int ready_or_armed(struct torc_open *open)
{
	int r = ready(open);

	if (r)
		return r;
	arm(open->topic);
	return ready(open);
}

/* The next message after this, or after a read() that found none, is signalled. */
int torc_node_fasync(int fd, struct file *file, int on)
{
	struct torc_open *open = file->private_data;
	int r = fasync_helper(fd, file, on, &open->topic->fasync);

	if (on && r >= 0)
		arm(open->topic);
	return r;
}

__poll_t torc_node_poll(struct file *file, poll_table *wait)
{
	struct torc_open *open = file->private_data;
	struct torc_topic *topic = open->topic;
	__poll_t mask = 0;
	int r;

	poll_wait(file, &topic->sleepers[TORC_WORD_DATA].queue, wait);
	r = ready_or_armed(open);
	if (r)
		mask = r < 0 ? EPOLLERR : EPOLLIN | EPOLLRDNORM;
	if (file->f_mode & FMODE_WRITE && !open->slot)
		mask |= EPOLLOUT | EPOLLWRNORM;
	return mask;
}

/* ---- read() and write() -------------------------------------------------- */

static int wait_for_message(struct torc_open *open)
{
	struct torc_sleepers *sleepers =
		&open->topic->sleepers[TORC_WORD_DATA];
	s64 wakes = atomic64_read(&sleepers->wakes);
	long left;

	if (ready_or_armed(open))
		return 0;
	/* Who dies between commit and wake wakes nobody. */
	left = wait_event_interruptible_timeout(
		sleepers->queue, atomic64_read(&sleepers->wakes) != wakes,
		msecs_to_jiffies(10) + 1);
	return min(left, 0L);
}

/* The length of a message that is not empty, or an error. */
static ssize_t take_message(struct torc_open *open, char __user *buffer,
			    size_t size)
{
	struct torc_message message;
	int r = join(open);

	while (!r) {
		r = torc_consumer_peek(&open->consumer, &message);
		if (r)
			break;
		if (message.length > size)
			return -EMSGSIZE;
		if (copy_to_user(buffer, message.data, message.length))
			return -EFAULT;
		r = torc_consumer_release(&open->consumer);
		/* Empty ones would be taken for the end of the file. */
		if (!r && message.length)
			return message.length;
		if (r == -ESTALE)
			r = 0;
		if (signal_pending(current))
			return -ERESTARTSYS;
		cond_resched();
	}
	return r;
}

ssize_t torc_node_read(struct file *file, char __user *buffer, size_t size,
			 loff_t *position)
{
	struct torc_open *open = file->private_data;
	ssize_t r;

	do {
		if (mutex_lock_interruptible(&open->reading))
			return -ERESTARTSYS;
		r = take_message(open, buffer, size);
		mutex_unlock(&open->reading);
		if (r != -EAGAIN)
			return r;
		if (!(file->f_flags & O_NONBLOCK))
			r = wait_for_message(open);
		else if (file->f_flags & FASYNC)
			r = ready_or_armed(open) ? 0 : -EAGAIN;
	} while (!r);
	return r;
}

ssize_t torc_node_write(struct file *file, const char __user *buffer,
			  size_t size, loff_t *position)
{
	struct torc_open *open = file->private_data;
	struct torc_topic *topic = open->topic;
	void *copy;
	int r;

	if (size > torc_message_max(&topic->ring))
		return -EMSGSIZE;
	/* Publishing must not fault. */
	copy = kvmalloc(size ?: 1, GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;
	if (copy_from_user(copy, buffer, size))
		r = -EFAULT;
	else
		r = torc_topic_write(topic, copy, size,
				     file->f_flags & O_NONBLOCK);
	kvfree(copy);
	return r ?: size;
}
