/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: publishes standard input, and more.  See pub.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "pub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <torc/abi.h>

#define JOIN_POLL_NS	10000000ll
#define PROGRESS_S	.5

/* ---- Counts ------------------------------------------------------------- */

static void print_stats(const struct pub *pub)
{
	double seconds = (double)(cli_now() - pub->started_ns) / 1e9;
	uint64_t published = pub->messages - pub->dropped;
	char rate[CLI_HUMAN_MAX], bytes[CLI_HUMAN_MAX];
	struct torc_pub_stats stats;

	torc_pub_get_stats(pub->publisher, &stats);
	cli_note("%" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64
		 " blocked, %" PRIu64 " dropped, %" PRIu64
		 " evicted in %.3f s: %s messages/s, %sB/s",
		 published, pub->bytes, stats.blocked - pub->retries,
		 pub->dropped, stats.evicted, seconds,
		 cli_human(rate, (double)published / seconds, 1000),
		 cli_human(bytes, (double)pub->bytes / seconds, 1024));
}

static ev_timer progress_timer;

static void on_progress(struct ev_loop *loop, ev_timer *watcher, int events)
{
	static uint64_t last_messages, last_bytes;
	const struct pub *pub = watcher->data;
	char rate[CLI_HUMAN_MAX], bytes[CLI_HUMAN_MAX], left[48] = "";
	double seconds = (double)(cli_now() - pub->started_ns) / 1e9;
	double part;

	(void)loop;
	(void)events;
	if (pub->input_total && pub->input_done) {
		part = (double)pub->input_done / (double)pub->input_total;
		snprintf(left, sizeof(left), ", %.0f%%, %.0f s left",
			 part * 100,
			 part < 1 ? seconds / part - seconds : 0.);
	}
	cli_progress("%" PRIu64 " messages, %s/s, %sB/s%s", pub->messages,
		     cli_human(rate, (double)(pub->messages - last_messages) /
					     PROGRESS_S, 1000),
		     cli_human(bytes, (double)(pub->bytes - last_bytes) /
					      PROGRESS_S, 1024), left);
	last_messages = pub->messages;
	last_bytes = pub->bytes;
}

static void start_progress(struct pub *pub)
{
	if (!isatty(STDERR_FILENO) || pub->text || pub->file ||
	    (!pub->generate && isatty(STDIN_FILENO)))
		return;
	ev_timer_init(&progress_timer, on_progress, PROGRESS_S, PROGRESS_S);
	progress_timer.data = pub;
	ev_timer_start(cli_loop(), &progress_timer);
}

/* ---- Syncing ------------------------------------------------------------ */

/* Who publishes looks at the clock; while there is nothing to publish, this does. */
static ev_timer sync_timer;

static void on_sync(struct ev_loop *loop, ev_timer *watcher, int events)
{
	static uint64_t synced;
	struct pub *pub = watcher->data;
	int r;

	(void)loop;
	(void)events;
	if (pub->messages == synced)
		return;
	synced = pub->messages;
	r = torc_pub_sync(pub->publisher);
	if (r)
		pub->status = cli_failed(r);
}

static void start_syncing(struct pub *pub, const struct torc_topic_info *info)
{
	double seconds = (double)info->sync_interval_ns / 1e9;

	if (info->sync != TORC_SYNC_INTERVAL)
		return;
	ev_timer_init(&sync_timer, on_sync, seconds, seconds);
	sync_timer.data = pub;
	ev_timer_start(cli_loop(), &sync_timer);
}

/* ---- Opening ------------------------------------------------------------ */

/* A topic that is there may be another than was asked for; say so. */
static void compare(const struct pub *pub, const struct torc_topic_info *is)
{
	const struct torc_topic_options *asked = &pub->topic_options;

	if (asked->capacity && asked->capacity < is->capacity &&
	    (is->capacity / 2 < asked->capacity ||
	     is->capacity == TORC_CAPACITY_MIN))
		cli_note("%s: capacity %" PRIu64 " rounded up to %" PRIu64
			 ", a power of two", pub->name, asked->capacity,
			 is->capacity);
	else if (asked->capacity && asked->capacity != is->capacity)
		cli_note("%s: its capacity is %" PRIu64 ", not %" PRIu64
			 " as asked for", pub->name, is->capacity,
			 asked->capacity);
	if (asked->subscribers && asked->subscribers != is->subscriber_slots)
		cli_note("%s: takes %u subscribers, not %u as asked for",
			 pub->name, is->subscriber_slots, asked->subscribers);
	if (asked->flags & ~is->flags & TORC_PERSISTENT)
		cli_note("%s: is there, and not persistent", pub->name);
}

static int open_topic(struct pub *pub)
{
	const struct torc_topic_options as_it_is = {
		.type = pub->topic_options.type,
		.memory = pub->topic_options.memory,
		.numa_node = pub->topic_options.numa_node,
	};
	int r = -ENOENT;

	/* --many asks for a topic that is for many; without, any will do. */
	if (!(pub->topic_options.flags & TORC_MANY))
		r = torc_topic_open(pub->bus, pub->name, &as_it_is,
				    &pub->topic);
	if (r != -ENOENT)
		return r;
	pub->topic_options.flags |= TORC_CREATE;
	return torc_topic_open(pub->bus, pub->name, &pub->topic_options,
			       &pub->topic);
}

static int open_all(struct pub *pub)
{
	struct torc_topic_info info;
	int r;

	/* Waits end every tick for signals; see stuck(). */
	pub->pub_options.timeout_ns = pub->full_timeout_ns;
	if (pub->pub_options.full == TORC_FULL_WAIT &&
	    (pub->full_timeout_ns < 0 || pub->full_timeout_ns > CLI_TICK))
		pub->pub_options.timeout_ns = CLI_TICK;
	else if (pub->full_timeout_ns < 0)
		pub->pub_options.timeout_ns = 0;
	else if (pub->full_timeout_ns == 0 &&
		 pub->pub_options.full == TORC_FULL_WAIT)
		pub->pub_options.full = TORC_FULL_FAIL;

	r = torc_bus_open(pub->directory, &pub->bus);
	if (r)
		return r;
	r = open_topic(pub);
	if (r)
		return r;
	r = torc_pub_open(pub->topic, &pub->pub_options, &pub->publisher);
	if (r)
		return r;
	r = torc_topic_get_info(pub->topic, &info);
	if (r)
		return r;
	pub->message_max = torc_pub_message_max(pub->publisher);
	compare(pub, &info);
	pub->topic_options.flags = info.flags;
	cli_tell_reopened(pub->topic);
	cli_tell_memory(pub->topic, pub->topic_options.memory);
	start_syncing(pub, &info);
	return 0;
}

/* 0 when as many subscribers as asked for are there, -1 to end. */
static int wait_for_subscribers(struct pub *pub)
{
	struct torc_topic_info info;
	int r;

	while (pub->wait_for) {
		r = torc_topic_get_info(pub->topic, &info);
		if (r) {
			pub->status = cli_failed(r);
			return -1;
		}
		if (info.subscribers >= pub->wait_for)
			break;
		if (pub->wait_for > info.subscriber_slots) {
			cli_note("%s: takes %u subscribers, --wait-for=%" PRIu64
				 " will not come (--subscribers)", pub->name,
				 info.subscriber_slots, pub->wait_for);
			pub->status = CLI_FAILED;
			return -1;
		}
		cli_sleep(JOIN_POLL_NS);
		if (cli_stopping())
			return -1;
	}
	return 0;
}

static void publish(struct pub *pub)
{
	if (wait_for_subscribers(pub))
		return;
	pub->started_ns = cli_now();
	if (pub->text) {
		pub_text(pub);
	} else if (pub->file) {
		pub_file(pub);
	} else if (pub->framed) {
		pub_frames(pub);
	} else if (pub->generate) {
		pub_generate(pub);
	} else {
		pub_lines(pub);
	}
}

int main(int argc, char **argv)
{
	struct pub pub = { .count = UINT64_MAX, .full_timeout_ns = -1 };
	int r = pub_take_options(&pub, argc, argv);

	if (r)
		return r;
	cli_loop();
	r = open_all(&pub);
	if (r) {
		pub.status = cli_failed(r);
	} else {
		start_progress(&pub);
		pub.started_ns = cli_now();
		publish(&pub);
		cli_progress("%s", "");
		if (pub.stats || cli_stopping())
			print_stats(&pub);
	}
	torc_pub_close(pub.publisher);
	torc_topic_close(pub.topic);
	torc_bus_close(pub.bus);
	return pub.status;
}
