// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * torc_tick: publishes to the topic "tick", or to one that a process made, from a
 * timer's hard interrupt, rate times a second.
 *
 * A message is two 64-bit words, the number of the tick from 0 on and
 * CLOCK_MONOTONIC in nanoseconds, and zeros up to the size that is asked for.
 * Ticks for which there is no room are dropped, and their numbers are missing.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/module.h>

#include "torc_kernel.h"

#define RATE_MAX 100000u

static unsigned int rate = 1000;
module_param(rate, uint, 0444);
MODULE_PARM_DESC(rate, "ticks per second, 1 to 100000 (default 1000)");

static unsigned int size = 16;
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "bytes of a message, 16 to 4096 (default 16)");

static unsigned long capacity = 1 << 20;
module_param(capacity, ulong, 0444);
MODULE_PARM_DESC(capacity, "bytes of the ring (default 1 MiB)");

static char *into;
module_param(into, charp, 0444);
MODULE_PARM_DESC(into, "publish to this topic instead of making one");

struct tick {
	u64 number;
	u64 time_ns;
};

static struct torc_topic *topic;
static struct hrtimer timer;
static ktime_t period;
static u64 ticks;

static enum hrtimer_restart tick(struct hrtimer *t)
{
	struct torc_reservation reservation;
	struct tick *message;

	if (!torc_topic_reserve(topic, size, &reservation)) {
		memset(reservation.payload, 0, size);
		message = reservation.payload;
		message->number = ticks;
		message->time_ns = ktime_get_ns();
		torc_topic_commit(topic, &reservation, size);
	}
	ticks++;
	/* What is late is not made up for. */
	hrtimer_forward_now(t, period);
	return HRTIMER_RESTART;
}

static struct torc_topic *topic_open(void)
{
	const struct torc_topic_config config = {
		.name = "tick",
		.type = "torc_tick",
		.capacity = capacity,
		.flags = TORC_DRIVER_PUBLISHES,
		.mode = 0644,
	};

	return into ? torc_topic_get(into) : torc_topic_create(&config);
}

static void topic_close(void)
{
	if (into)
		torc_topic_put(topic);
	else
		torc_topic_destroy(topic);
}

static int __init torc_tick_init(void)
{
	if (!rate || rate > RATE_MAX || size < sizeof(struct tick) ||
	    size > 4096)
		return -EINVAL;
	topic = topic_open();
	if (IS_ERR(topic))
		return PTR_ERR(topic);
	period = ns_to_ktime(NSEC_PER_SEC / rate);
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	timer.function = tick;
	hrtimer_start(&timer, period, HRTIMER_MODE_REL_HARD);
	return 0;
}

static void __exit torc_tick_exit(void)
{
	hrtimer_cancel(&timer);
	topic_close();
}

module_init(torc_tick_init);
module_exit(torc_tick_exit);
MODULE_DESCRIPTION("torc sample: a timer's ticks as a topic");
MODULE_LICENSE("Dual MIT/GPL");
