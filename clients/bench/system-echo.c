/* SPDX-License-Identifier: MIT */
/*
 * The way to a driver and back: torc_echo, a sample of the driver's, answers each
 * message.  The second of our processes only keeps its core free for it.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <torc/driver.h>
#include <torc/torc.h>
#include <unistd.h>

#include "play.h"

#define REQUESTS "echo/request"
#define REPLIES "echo/reply"

struct echo_port {
	struct torc_topic *topics[2];
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
};

static const char *echo_missing(void)
{
	if (!access(TORC_DRIVER_FOLDER REQUESTS, R_OK | W_OK) &&
	    !access(TORC_DRIVER_FOLDER REPLIES, R_OK))
		return NULL;
	return errno == ENOENT ?
		       "the driver torc_echo is not loaded (modprobe torc_echo)" :
		       "no permission to use " TORC_DRIVER_FOLDER REQUESTS;
}

/* The topics are the driver's. */
static int echo_set_up(struct bench_job *job)
{
	(void)job;
	return 0;
}

static void echo_tear_down(struct bench_job *job)
{
	(void)job;
}

static int echo_send(void *port, const void *data, size_t size)
{
	return torc_pub_publish(((struct echo_port *)port)->pub, data, size);
}

static int echo_peek(void *port, struct torc_message *ret, int max)
{
	return torc_sub_peek_batch(((struct echo_port *)port)->sub, ret, max);
}

static int echo_release(void *port)
{
	return torc_sub_release(((struct echo_port *)port)->sub);
}

static const struct bench_ops echo_ops = {
	.pauses = 1,
	.send = echo_send,
	.peek = echo_peek,
	.release = echo_release,
};

static int echo_open(struct echo_port *port)
{
	struct torc_pub_options polls = { .full = TORC_FULL_FAIL };
	int r = torc_topic_open(NULL, "dev:" REQUESTS, NULL, &port->topics[0]);

	if (!r)
		r = torc_topic_open(NULL, "dev:" REPLIES, NULL,
				    &port->topics[1]);
	if (!r)
		r = torc_sub_open(port->topics[1], NULL, &port->sub);
	if (!r)
		r = torc_pub_open(port->topics[0], &polls, &port->pub);
	return r;
}

static void echo_run(struct bench_job *job, enum bench_role role, int index)
{
	struct bench_expected none = { 0 };
	struct echo_port port = { 0 };

	if (role == BENCH_SUBSCRIBER) {
		bench_barrier(job, 1, 2);
		return;
	}
	if (echo_open(&port))
		bench_die(job, "%s", torc_errmsg());
	bench_play(job, &echo_ops, &port, role, index);
	/* The last is answered too: the next measurement must not find it. */
	bench_await(job, &echo_ops, &port, &none);
	if (echo_release(&port))
		bench_die(job, "releasing failed");
}

const struct bench_system bench_echo = {
	.name = "echo",
	.what = "through the driver torc_echo and back",
	.modes = BENCH_BIT(BENCH_RTT),
	.missing = echo_missing,
	.set_up = echo_set_up,
	.run = echo_run,
	.tear_down = echo_tear_down,
};
