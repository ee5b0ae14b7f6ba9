// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * torc_echo: answers each message that processes publish to the topic
 * "echo/request" with a copy of it on "echo/reply", for measuring the way there and
 * back.
 *
 * A reply for which there is no room is dropped: who asks should read the answers.
 */
#include <linux/module.h>

#include "torc_kernel.h"

static unsigned long capacity = 1 << 20;
module_param(capacity, ulong, 0444);
MODULE_PARM_DESC(capacity, "bytes of each ring (default 1 MiB)");

static unsigned int mode = 0600;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "of both nodes (default 0600)");

static unsigned int memory = TORC_PAGES_SHMEM;
module_param(memory, uint, 0444);
MODULE_PARM_DESC(memory, "of both rings: 0 shmem (default), 1 contig, 2 fault");

static bool many;
module_param(many, bool, 0444);
MODULE_PARM_DESC(many, "many processes may ask (default: one)");

static struct torc_topic *requests, *replies;
static struct torc_listener *listener;

/*
 * The requester may change what it sent while we copy it; what comes back is then
 * a mixture, which harms nobody.  The length is the listener's own.
 */
static void answer(const struct torc_message *request, void *context)
{
	torc_topic_publish(replies, request->data, request->length);
}

static int __init torc_echo_init(void)
{
	struct torc_topic_config config = {
		.name = "echo/reply",
		.capacity = capacity,
		.flags = TORC_DRIVER_PUBLISHES,
		.memory = memory,
		.mode = mode,
	};
	int error;

	replies = torc_topic_create(&config);
	if (IS_ERR(replies))
		return PTR_ERR(replies);

	config.name = "echo/request";
	config.flags = many ? TORC_DRIVER_MANY : 0;
	requests = torc_topic_create(&config);
	if (IS_ERR(requests)) {
		error = PTR_ERR(requests);
		goto err_replies;
	}

	error = torc_topic_listen(requests, answer, NULL, &listener);
	if (error)
		goto err_requests;
	return 0;

err_requests:
	torc_topic_destroy(requests);
err_replies:
	torc_topic_destroy(replies);
	return error;
}

static void __exit torc_echo_exit(void)
{
	torc_listener_stop(listener);
	torc_topic_destroy(requests);
	torc_topic_destroy(replies);
}

module_init(torc_echo_init);
module_exit(torc_echo_exit);
MODULE_DESCRIPTION("torc sample: a driver that answers");
MODULE_LICENSE("Dual MIT/GPL");
