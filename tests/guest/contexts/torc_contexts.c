// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * For tests: publishes to a topic for many, on each processor from a task, a soft
 * and a hard interrupt at once, count stamped messages each.  Interrupts come in the
 * midst of claims of the contexts below; how often is told.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/smp.h>

#include "stamp.h"
#include "torc_kernel.h"

static char *into;
module_param(into, charp, 0444);
MODULE_PARM_DESC(into, "the topic");

static uint count = 1000;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "messages of each context of each processor");

static uint contexts = 7;
module_param(contexts, uint, 0444);
MODULE_PARM_DESC(contexts, "which: 1 tasks, 2 soft and 4 hard interrupts");

static uint soft_us = 700, hard_us = 500;
module_param(soft_us, uint, 0444);
MODULE_PARM_DESC(soft_us, "microseconds between soft interrupts");
module_param(hard_us, uint, 0444);
MODULE_PARM_DESC(hard_us, "microseconds between hard interrupts");

static int unfinished;
module_param(unfinished, int, 0444);
MODULE_PARM_DESC(unfinished, "told: contexts that have not sent all");

static int nested;
module_param(nested, int, 0444);
MODULE_PARM_DESC(nested, "told: claims made in the midst of another");

static int error;
module_param(error, int, 0444);
MODULE_PARM_DESC(error, "told: of publishing, other than having no room");

enum context { TASK, SOFT, HARD, CONTEXTS };

struct publisher {
	u32 sender, number;
	bool claims, gives_up;
	struct hrtimer timer;
	struct task_struct *thread;
};

static DEFINE_PER_CPU(struct publisher [CONTEXTS], publishers);
static DEFINE_RAW_SPINLOCK(told);
static struct torc_topic *topic;

static void tell(int *what, int change)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&told, flags);
	WRITE_ONCE(*what, *what + change);
	raw_spin_unlock_irqrestore(&told, flags);
}

static bool finished(const struct publisher *p)
{
	return p->number == count;
}

/* Publish the next message of this context; some at the second try only. */
static void publish_next(enum context context)
{
	struct publisher *all = this_cpu_ptr(publishers);
	struct publisher *p = &all[context];
	size_t length = stamped_length(p->sender, p->number);
	struct torc_reservation reservation;
	enum context lower;
	int r;

	if (finished(p))
		return;
	/* More than is needed, which has to be given back. */
	r = torc_topic_reserve(topic, length + p->number % 3 * 50,
			       &reservation);
	if (r) {
		if (r != -EAGAIN && r != -EBUSY)
			WRITE_ONCE(error, r);
		return;
	}
	for (lower = TASK; lower < context; lower++)
		if (READ_ONCE(all[lower].claims))
			tell(&nested, 1);
	WRITE_ONCE(p->claims, true);
	stamp_fill(reservation.payload, p->sender, p->number);
	if (context != HARD)
		udelay(20);
	WRITE_ONCE(p->claims, false);
	p->gives_up = p->number % 16 == 7 && !p->gives_up;
	if (p->gives_up) {
		torc_topic_abort(topic, &reservation);
		return;
	}
	torc_topic_commit(topic, &reservation, length);
	p->number++;
	if (finished(p))
		tell(&unfinished, -1);
}

static int task(void *unused)
{
	while (!kthread_should_stop()) {
		preempt_disable();
		publish_next(TASK);
		preempt_enable();
		usleep_range(50, 200);
	}
	return 0;
}

static ktime_t period(enum context context)
{
	uint us = context == HARD ? hard_us : soft_us;

	return ns_to_ktime((u64)us * NSEC_PER_USEC);
}

static enum hrtimer_restart interrupt(struct hrtimer *timer)
{
	enum context context = in_hardirq() ? HARD : SOFT;
	struct publisher *p = this_cpu_ptr(&publishers[context]);

	WARN_ON_ONCE(timer != &p->timer);
	publish_next(context);
	hrtimer_forward_now(timer, period(context));
	return finished(p) ? HRTIMER_NORESTART : HRTIMER_RESTART;
}

static void start_timers(void *unused)
{
	struct publisher *all = this_cpu_ptr(publishers);

	hrtimer_start(&all[SOFT].timer, period(SOFT),
		      HRTIMER_MODE_REL_PINNED_SOFT);
	hrtimer_start(&all[HARD].timer, period(HARD),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static void prepare(unsigned int cpu)
{
	struct publisher *all = per_cpu(publishers, cpu);
	enum context context;

	for (context = TASK; context < CONTEXTS; context++) {
		all[context].sender = cpu * CONTEXTS + context;
		if (contexts & BIT(context))
			unfinished++;
		else
			all[context].number = count;
	}
	hrtimer_init(&all[SOFT].timer, CLOCK_MONOTONIC,
		     HRTIMER_MODE_REL_PINNED_SOFT);
	hrtimer_init(&all[HARD].timer, CLOCK_MONOTONIC,
		     HRTIMER_MODE_REL_PINNED_HARD);
	all[SOFT].timer.function = all[HARD].timer.function = interrupt;
}

static void stop(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct publisher *all = per_cpu(publishers, cpu);

		if (all[TASK].thread)
			kthread_stop(all[TASK].thread);
		hrtimer_cancel(&all[SOFT].timer);
		hrtimer_cancel(&all[HARD].timer);
	}
	torc_topic_put(topic);
}

static int start_task(unsigned int cpu)
{
	struct task_struct *thread =
		kthread_create_on_cpu(task, NULL, cpu, "torc-contexts/%u");

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	per_cpu(publishers, cpu)[TASK].thread = thread;
	wake_up_process(thread);
	return 0;
}

static int __init torc_contexts_init(void)
{
	unsigned int cpu;
	int r;

	topic = torc_topic_get(into ?: "");
	if (IS_ERR(topic))
		return PTR_ERR(topic);
	for_each_online_cpu(cpu)
		prepare(cpu);
	for_each_online_cpu(cpu) {
		r = start_task(cpu);
		if (r) {
			stop();
			return r;
		}
	}
	on_each_cpu(start_timers, NULL, true);
	return 0;
}

static void __exit torc_contexts_exit(void)
{
	stop();
}

module_init(torc_contexts_init);
module_exit(torc_contexts_exit);
MODULE_DESCRIPTION("torc test: publishers in all contexts");
MODULE_LICENSE("Dual MIT/GPL");
