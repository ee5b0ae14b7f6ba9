/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * An open file of a topic.
 */
#ifndef TORC_NODE_H
#define TORC_NODE_H

#include <linux/eventfd.h>
#include <linux/poll.h>

#include "internal.h"

struct torc_open {
	struct torc_topic *topic;
	u32 slot;		/* of a subscription; 0: this is the node */

	struct mutex reading;	/* the node's: */
	struct torc_consumer consumer;
	bool joined;

	struct eventfd_ctx *eventfd;	/* in topic->signals if there is one */
	struct list_head signals_link;
};

/* Of a subscription. */
static inline struct torc_subscriber_slot_shm *
torc_own_slot(const struct torc_open *open)
{
	return torc_subscriber_slot(&open->topic->ring, open->slot);
}

/* ---- io.c --------------------------------------------------------------- */

/* read() and write() are the node's alone. */
ssize_t torc_node_read(struct file *file, char __user *buffer, size_t size,
		       loff_t *position);
ssize_t torc_node_write(struct file *file, const char __user *buffer,
			size_t size, loff_t *position);
__poll_t torc_node_poll(struct file *file, poll_table *wait);
int torc_node_fasync(int fd, struct file *file, int on);

#endif /* TORC_NODE_H */
