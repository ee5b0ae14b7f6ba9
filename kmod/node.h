/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * An open file of a topic.
 */
#ifndef TORC_NODE_H
#define TORC_NODE_H

#include <linux/eventfd.h>

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

#endif /* TORC_NODE_H */
