// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * torc_exec: publishes the beginnings and ends of processes to the topic "exec",
 * a line of text each:
 *
 *	SECONDS.NANOSECONDS start|exec|exit PID PARENT COMMAND
 *
 * The time is CLOCK_MONOTONIC, the numbers are those of the first PID namespace,
 * and only root may read them.  A start is a fork, of which the command is still
 * the parent's; an exec is a new program.  Threads are not told of, but for the
 * first of a process.
 *
 * The tracepoints of processes are not exported by name; a module finds them by
 * looking through all.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/tracepoint.h>

#include "torc_kernel.h"

/* Two 64-bit numbers, two PIDs, a command, and what stands between. */
#define LINE_MAX (2 * 20 + 2 * 10 + TASK_COMM_LEN + 16)

static unsigned long capacity = 1 << 18;
module_param(capacity, ulong, 0444);
MODULE_PARM_DESC(capacity, "bytes of the ring (default 256 KiB)");

static struct torc_topic *topic;

/* Probes run with preemption off; publishing is allowed anywhere. */
static void tell(const char *event, struct task_struct *task)
{
	char line[LINE_MAX], command[TASK_COMM_LEN];
	u32 ns;
	u64 s = div_u64_rem(ktime_get_ns(), NSEC_PER_SEC, &ns);
	pid_t parent;
	int length;

	rcu_read_lock();
	parent = task_tgid_nr(rcu_dereference(task->real_parent));
	rcu_read_unlock();
	__get_task_comm(command, sizeof(command), task);
	length = scnprintf(line, sizeof(line), "%llu.%09u %s %d %d %s\n", s, ns,
			   event, task_tgid_nr(task), parent, command);
	/* If there is no room it is counted as dropped. */
	torc_topic_publish(topic, line, length);
}

static void on_fork(void *data, struct task_struct *parent,
		    struct task_struct *child)
{
	if (thread_group_leader(child))
		tell("start", child);
}

static void on_exec(void *data, struct task_struct *task, pid_t old_pid,
		    struct linux_binprm *program)
{
	tell("exec", task);
}

/* Comes once a thread. */
static void on_exit(void *data, struct task_struct *task)
{
	if (thread_group_leader(task))
		tell("exit", task);
}

static struct probe {
	const char *name;
	void *function;
	struct tracepoint *point;	/* registered with it */
} probes[] = {
	{ "sched_process_fork", on_fork },
	{ "sched_process_exec", on_exec },
	{ "sched_process_exit", on_exit },
};

static void attach_if_wanted(struct tracepoint *point, void *ret_error)
{
	int *error = ret_error;
	int i;

	for (i = 0; i < ARRAY_SIZE(probes) && !*error; i++) {
		if (strcmp(probes[i].name, point->name))
			continue;
		*error = tracepoint_probe_register(point, probes[i].function,
						   NULL);
		if (!*error)
			probes[i].point = point;
	}
}

static void detach(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (probes[i].point)
			tracepoint_probe_unregister(probes[i].point,
						    probes[i].function, NULL);
	/* A probe may still be running. */
	tracepoint_synchronize_unregister();
}

static int attach(void)
{
	int error = 0, i;

	for_each_kernel_tracepoint(attach_if_wanted, &error);
	for (i = 0; i < ARRAY_SIZE(probes) && !error; i++)
		if (!probes[i].point)
			error = -ENOENT;
	if (error)
		detach();
	return error;
}

static int __init torc_exec_init(void)
{
	const struct torc_topic_config config = {
		.name = "exec",
		.type = "text",
		.capacity = capacity,
		.flags = TORC_DRIVER_PUBLISHES,
		.mode = 0600,
	};
	int error;

	topic = torc_topic_create(&config);
	if (IS_ERR(topic))
		return PTR_ERR(topic);
	error = attach();
	if (error)
		torc_topic_destroy(topic);
	return error;
}

static void __exit torc_exec_exit(void)
{
	detach();
	torc_topic_destroy(topic);
}

module_init(torc_exec_init);
module_exit(torc_exec_exit);
MODULE_DESCRIPTION("torc sample: processes' beginnings and ends as a topic");
/* The tracepoints are for GPL modules only. */
MODULE_LICENSE("Dual MIT/GPL");
