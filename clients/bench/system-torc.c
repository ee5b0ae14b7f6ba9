/* SPDX-License-Identifier: MIT */
/*
 * torc through its library, on topics without a name, so that nothing can be
 * left behind.  torc: one publisher; torc-mp: topics that take many; torc-fd: the
 * subscriber sleeps in poll(); dev: topics of the driver, which go with us.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <poll.h>
#include <torc/driver.h>
#include <torc/torc.h>
#include <unistd.h>

#include "play.h"

/* PAUSEs between two polls of round trips; as in system-ring.c. */
#define LIB_PAUSES 1

struct lib_state {
	struct torc_topic *topics[2];	/* RTT: there and back */
};

struct lib_port {
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
	struct torc_subscriber **idle;	/* FANOUT */
};

static void lib_tear_down(struct bench_job *job)
{
	struct lib_state *state = job->state;

	for (int i = 0; i < 2; i++)
		torc_topic_close(state->topics[i]);
	free(state);
	job->state = NULL;
}

static int lib_create(const struct bench_job *job, int index,
		      const struct torc_topic_options *options,
		      struct torc_topic **ret)
{
	char address[64] = "anon:";

	if (job->system == &bench_dev)
		snprintf(address, sizeof(address), "dev:torc-bench-%d/%d",
			 (int)getpid(), index);
	return torc_topic_open(NULL, address, options, ret);
}

static int lib_set_up(struct bench_job *job)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE,
		.capacity = job->capacity,
	};
	struct lib_state *state = calloc(1, sizeof(*state));
	int r = 0;

	if (!state)
		return -ENOMEM;
	job->state = state;
	if (job->system == &bench_torc_mp || job->mode == BENCH_MPSC)
		options.flags |= TORC_MANY;
	/* More than the default of any kind of topic. */
	if (job->subscribers > 16)
		options.subscribers = (uint32_t)job->subscribers;
	for (int i = 0; !r && i < (job->mode == BENCH_RTT ? 2 : 1); i++)
		r = lib_create(job, i, &options, &state->topics[i]);
	if (r)
		lib_tear_down(job);
	return r;
}

static int lib_send(void *port, const void *data, size_t size)
{
	return torc_pub_publish(((struct lib_port *)port)->pub, data, size);
}

static int lib_batch(void *port, const struct torc_span *spans, int count)
{
	return torc_pub_publish_batch(((struct lib_port *)port)->pub, spans,
				      count);
}

static int lib_peek(void *port, struct torc_message *ret, int max)
{
	struct torc_subscriber *sub = ((struct lib_port *)port)->sub;
	int r;

	if (max > 1)
		return torc_sub_peek_batch(sub, ret, max);
	r = torc_sub_peek(sub, ret);
	return r ? r : 1;
}

static int lib_release(void *port)
{
	return torc_sub_release(((struct lib_port *)port)->sub);
}

static int lib_receive(void *port, int index, void *buffer, size_t size)
{
	struct torc_message message;

	return torc_sub_receive(((struct lib_port *)port)->idle[index], buffer,
				size, &message);
}

static uint64_t lib_lost(void *port, int index)
{
	return torc_sub_lost(((struct lib_port *)port)->idle[index]);
}

static int lib_sleep(void *port)
{
	return torc_sub_wait(((struct lib_port *)port)->sub, -1);
}

static int lib_poll(void *port)
{
	struct pollfd fd = {
		.fd = torc_sub_fd(((struct lib_port *)port)->sub),
		.events = POLLIN,
	};

	return poll(&fd, 1, -1) == 1 ? 0 : -errno;
}

#define LIB_OPS(sleeps)                                                        \
	{                                                                      \
		.pauses = LIB_PAUSES, .rest = BENCH_REST, .send = lib_send,    \
		.send_batch = lib_batch, .peek = lib_peek,                     \
		.release = lib_release, .sleep = (sleeps),                     \
		.receive = lib_receive, .lost = lib_lost,                      \
	}

static const struct bench_ops lib_ops = LIB_OPS(lib_sleep);
static const struct bench_ops lib_fd_ops = LIB_OPS(lib_poll);

/* Become what @role is; a subscriber joins before any publisher begins. */
static int lib_open(struct bench_job *job, struct lib_port *port,
		    enum bench_role role)
{
	/* As all systems here, a publisher without room polls. */
	struct torc_pub_options polls = { .full = TORC_FULL_FAIL };
	struct torc_sub_options lossy = { .flags = TORC_SUB_LOSSY };
	struct torc_sub_options sleeps = { .wait = TORC_WAIT_SLEEP };
	const struct lib_state *state = job->state;
	bool rtt = job->mode == BENCH_RTT, publishes = role == BENCH_PUBLISHER;
	int r = 0;

	if (publishes || rtt)
		r = torc_pub_open(state->topics[rtt && !publishes], &polls,
				  &port->pub);
	if (!r && job->mode == BENCH_FANOUT && !publishes) {
		port->idle = calloc((size_t)job->subscribers,
				    sizeof(struct torc_subscriber *));
		if (!port->idle)
			return -ENOMEM;
		for (int i = 0; !r && i < job->subscribers; i++)
			r = torc_sub_open(state->topics[0], &lossy,
					  &port->idle[i]);
		return r;
	}
	if (!r && (!publishes || rtt))
		r = torc_sub_open(state->topics[rtt && publishes], &sleeps,
				  &port->sub);
	if (!r && port->sub && job->system == &bench_torc_fd &&
	    torc_sub_fd(port->sub) < 0)
		r = -EIO;
	return r;
}

static void lib_run(struct bench_job *job, enum bench_role role, int index)
{
	struct lib_port port = { 0 };

	if (lib_open(job, &port, role))
		bench_die(job, "%s", torc_errmsg());
	if (job->system == &bench_torc_fd)
		bench_play(job, &lib_fd_ops, &port, role, index);
	else
		bench_play(job, &lib_ops, &port, role, index);
}

const struct bench_system bench_torc = {
	.name = "torc",
	.what = "libtorc, topics with one publisher",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_FANOUT) | BENCH_BIT(BENCH_WAKE),
	.set_up = lib_set_up,
	.run = lib_run,
	.tear_down = lib_tear_down,
};

const struct bench_system bench_torc_fd = {
	.name = "torc-fd",
	.what = "libtorc, torc_sub_fd() and poll()",
	.modes = BENCH_BIT(BENCH_WAKE),
	.set_up = lib_set_up,
	.run = lib_run,
	.tear_down = lib_tear_down,
};

const struct bench_system bench_torc_mp = {
	.name = "torc-mp",
	.what = "libtorc, topics with many publishers",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_FANOUT) | BENCH_BIT(BENCH_MPSC),
	.set_up = lib_set_up,
	.run = lib_run,
	.tear_down = lib_tear_down,
};

static const char *dev_missing(void)
{
	if (!access(TORC_DRIVER_CONTROL, R_OK | W_OK))
		return NULL;
	return errno == ENOENT ?
		       "the driver is not loaded (modprobe torc)" :
		       "only who may open " TORC_DRIVER_CONTROL " makes topics";
}

const struct bench_system bench_dev = {
	.name = "dev",
	.what = "libtorc, topics of the driver (mpsc: with many publishers)",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_FANOUT) | BENCH_BIT(BENCH_MPSC) |
		 BENCH_BIT(BENCH_WAKE),
	.missing = dev_missing,
	.set_up = lib_set_up,
	.run = lib_run,
	.tear_down = lib_tear_down,
};
