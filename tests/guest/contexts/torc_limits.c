// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * For tests: asks for more than there is for drivers of a topic: claims in the midst
 * of each other, which are given back at once, and listeners, which are kept until
 * this is unloaded.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "torc_kernel.h"

static char *into;
module_param(into, charp, 0444);
MODULE_PARM_DESC(into, "the topic");

static uint most;
module_param(most, uint, 0444);
MODULE_PARM_DESC(most, "claims to have at once, if they can be had");

static uint claims;
module_param(claims, uint, 0444);
MODULE_PARM_DESC(claims, "told: how many were had");

static int refused;
module_param(refused, int, 0444);
MODULE_PARM_DESC(refused, "told: error of the first that was not");

static int first, second;
module_param(first, int, 0444);
MODULE_PARM_DESC(first, "told: error of listening");
module_param(second, int, 0444);
MODULE_PARM_DESC(second, "told: error of listening once more");

static uint heard;
module_param(heard, uint, 0444);
MODULE_PARM_DESC(heard, "told: messages that the first listener got");

static struct torc_topic *topic;
static struct torc_listener *listeners[2];

/* Every other one is given up.  All are in this task, preemption being off. */
static int claim_all(void)
{
	static const u32 message;
	struct torc_reservation *reservations;
	uint i;

	reservations = kcalloc(most, sizeof(*reservations), GFP_KERNEL);
	if (!reservations)
		return -ENOMEM;
	while (claims < most && !refused) {
		refused = torc_topic_reserve(topic, sizeof(message),
					     &reservations[claims]);
		if (!refused)
			claims++;
	}
	for (i = 0; i < claims; i++) {
		memcpy(reservations[i].payload, &message, sizeof(message));
		if (i % 2)
			torc_topic_abort(topic, &reservations[i]);
		else
			torc_topic_commit(topic, &reservations[i],
					  sizeof(message));
	}
	kfree(reservations);
	return 0;
}

static void hear(const struct torc_message *message, void *context)
{
	if (context == &listeners[0])
		WRITE_ONCE(heard, heard + 1);
}

static int __init torc_limits_init(void)
{
	int r;

	topic = torc_topic_get(into ?: "");
	if (IS_ERR(topic))
		return PTR_ERR(topic);
	r = claim_all();
	if (r) {
		torc_topic_put(topic);
		return r;
	}
	first = torc_topic_listen(topic, hear, &listeners[0], &listeners[0]);
	second = torc_topic_listen(topic, hear, &listeners[1], &listeners[1]);
	return 0;
}

static void __exit torc_limits_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(listeners); i++)
		torc_listener_stop(listeners[i]);
	torc_topic_put(topic);
}

module_init(torc_limits_init);
module_exit(torc_limits_exit);
MODULE_DESCRIPTION("torc test: all that drivers may have of a topic, and more");
MODULE_LICENSE("Dual MIT/GPL");
