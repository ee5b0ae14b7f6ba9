/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: publishes standard input, and more.  Options and sending; see pub.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "pub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define JOIN_POLL_NS	10000000ll
#define PROGRESS_S	.5

enum {
	KEY_BUS = CLI_KEY,
	KEY_CAPACITY,
	KEY_COUNT,
	KEY_CURSORS_GROUP,
	KEY_CURSORS_MODE,
	KEY_FRAMED,
	KEY_FULL,
	KEY_FULL_TIMEOUT,
	KEY_GROUP,
	KEY_MANY,
	KEY_MEMORY,
	KEY_MODE,
	KEY_NUMA,
	KEY_OWNER,
	KEY_PERSISTENT,
	KEY_RATE,
	KEY_SIZE,
	KEY_STATS,
	KEY_SUBSCRIBERS,
	KEY_SYNC,
	KEY_TYPE,
	KEY_WAIT_FOR,
};

static const struct cli_option options[] = {
	{ KEY_BUS, "bus", "DIR", "the bus (default: $TORC_DIR, see torc(7))" },
	{ 'm', "message", "TEXT", "publish this message" },
	{ 'f', "file", "FILE", "publish the whole file as one message" },
	{ KEY_FRAMED, "framed", NULL,
	  "input has a length (u32, LE) before each message" },
	{ KEY_SIZE, "size", "SIZE", "make up messages of this size" },
	{ KEY_COUNT, "count", "N", "with --size: so many" },
	{ KEY_RATE, "rate", "N", "with --size: so many per second" },
	{ KEY_WAIT_FOR, "wait-for", "N", "begin when N subscribers are there" },
	{ KEY_FULL, "full", "WHAT",
	  "without room: wait (default), fail, drop or evict" },
	{ KEY_FULL_TIMEOUT, "full-timeout", "TIME",
	  "how long to wait for room, or until eviction" },
	{ KEY_STATS, "stats", NULL, "at the end, print counts and rates" },
	{ KEY_CAPACITY, "capacity", "SIZE", "of a new topic; default 1M" },
	{ KEY_MANY, "many", NULL, "a new topic takes many publishers" },
	{ KEY_PERSISTENT, "persistent", NULL,
	  "a new topic stays when nobody is left" },
	{ KEY_MODE, "mode", "MODE", "of a new topic; default 0600" },
	{ KEY_CURSORS_MODE, "cursors-mode", "MODE",
	  "who may read a new topic losslessly" },
	{ KEY_OWNER, "owner", "USER", "whose a new topic is to be" },
	{ KEY_GROUP, "group", "GROUP", "and its group" },
	{ KEY_CURSORS_GROUP, "cursors-group", "GROUP",
	  "that of --cursors-mode, if another" },
	{ KEY_SUBSCRIBERS, "subscribers", "N",
	  "of a new topic, at most; default 64" },
	CLI_MEMORY_OPTIONS(KEY_MEMORY, KEY_NUMA),
	{ KEY_SYNC, "sync", "WHEN",
	  "of a new file:PATH: none, async, TIME or commit" },
	{ KEY_TYPE, "type", "TEXT", "what the messages are; must match" },
	{ 0 }
};

/* ---- Options ------------------------------------------------------------ */

static int set_full(struct pub *pub, const char *value)
{
	static const char *const names[] = {
		[TORC_FULL_WAIT] = "wait",
		[TORC_FULL_FAIL] = "fail",
		[TORC_FULL_DROP] = "drop",
		[TORC_FULL_EVICT] = "evict",
		NULL,
	};
	int full = cli_choice(names, value);

	if (full < 0) {
		cli_note("--full=%s: not wait, fail, drop or evict", value);
		return -1;
	}
	pub->pub_options.full = (enum torc_full)full;
	return 0;
}

static int set_capacity(struct pub *pub, const char *value)
{
	if (cli_size("capacity", value, &pub->topic_options.capacity))
		return -1;
	if (pub->topic_options.capacity)
		return 0;
	cli_note("--capacity=%s: a topic needs some", value);
	return -1;
}

static int set_subscribers(struct pub *pub, const char *value)
{
	uint64_t count;

	if (cli_count("subscribers", value, &count))
		return -1;
	if (count && count <= UINT32_MAX) {
		pub->topic_options.subscribers = (uint32_t)count;
		return 0;
	}
	cli_note("--subscribers=%s: out of range", value);
	return -1;
}

static int set_sync(struct pub *pub, const char *value)
{
	static const char *const names[] = {
		[TORC_SYNC_NONE] = "none",
		[TORC_SYNC_ASYNC] = "async",
		[TORC_SYNC_INTERVAL] = "interval",
		[TORC_SYNC_COMMIT] = "commit",
		NULL,
	};
	struct torc_topic_options *topic = &pub->topic_options;
	int sync = cli_choice(names, value);
	int64_t interval_ns;

	if (sync >= 0) {
		topic->sync = (enum torc_sync)sync;
		return 0;
	}
	if (!strspn(value, "0123456789.")) {
		cli_note("--sync=%s: not none, async, interval, commit or a "
			 "duration, such as 50ms", value);
		return -1;
	}
	if (cli_duration("sync", value, &interval_ns))
		return -1;
	topic->sync = TORC_SYNC_INTERVAL;
	topic->sync_interval_ns = (uint64_t)interval_ns;
	return 0;
}

static int set_permissions(int key, const char *value,
			   struct torc_topic_options *topic)
{
	switch (key) {
	case KEY_MODE:
		return cli_mode("mode", value, &topic->mode);
	case KEY_CURSORS_MODE:
		return cli_mode("cursors-mode", value, &topic->cursors_mode);
	case KEY_OWNER:
		topic->flags |= TORC_OWNER;
		return cli_user("owner", value, &topic->owner);
	case KEY_GROUP:
		topic->flags |= TORC_GROUP;
		return cli_group("group", value, &topic->group);
	case KEY_CURSORS_GROUP:
		topic->flags |= TORC_CURSORS_GROUP;
		return cli_group("cursors-group", value, &topic->cursors_group);
	}
	return -1;
}

static int set_topic(int key, const char *value, struct pub *pub)
{
	struct torc_topic_options *topic = &pub->topic_options;

	switch (key) {
	case KEY_CAPACITY:
		return set_capacity(pub, value);
	case KEY_MANY:
		topic->flags |= TORC_MANY;
		return 0;
	case KEY_PERSISTENT:
		topic->flags |= TORC_PERSISTENT;
		return 0;
	case KEY_SUBSCRIBERS:
		return set_subscribers(pub, value);
	case KEY_MEMORY:
		return cli_memory(value, topic);
	case KEY_NUMA:
		return cli_numa(value, topic);
	case KEY_SYNC:
		return set_sync(pub, value);
	case KEY_TYPE:
		topic->type = value;
		return 0;
	}
	return set_permissions(key, value, topic);
}

static int set(int key, const char *value, void *context)
{
	struct pub *pub = context;

	switch (key) {
	case KEY_BUS:
		pub->directory = value;
		return 0;
	case 'm':
		pub->text = value;
		return 0;
	case 'f':
		pub->file = value;
		return 0;
	case KEY_FRAMED:
		pub->framed = 1;
		return 0;
	case KEY_SIZE:
		pub->generate = 1;
		return cli_size("size", value, &pub->size);
	case KEY_COUNT:
		return cli_count("count", value, &pub->count);
	case KEY_RATE:
		return cli_count("rate", value, &pub->rate);
	case KEY_WAIT_FOR:
		return cli_count("wait-for", value, &pub->wait_for);
	case KEY_FULL:
		return set_full(pub, value);
	case KEY_FULL_TIMEOUT:
		return cli_duration("full-timeout", value,
				    &pub->full_timeout_ns);
	case KEY_STATS:
		pub->stats = 1;
		return 0;
	}
	return set_topic(key, value, pub);
}

static const struct cli_program program = {
	"torc-pub", "[OPTION...] TOPIC",
	"Publish standard input on a topic, each line a message, as it arrives.",
	options, set, NULL,
};

static int check_options(const struct pub *pub)
{
	if (!!pub->text + !!pub->file + pub->framed + pub->generate > 1)
		return cli_usage("--message, --file, --framed and --size "
				 "exclude each other");
	if (!pub->generate && (pub->count != UINT64_MAX || pub->rate))
		return cli_usage("--count and --rate are for messages that "
				 "are made up, with --size");
	if (pub->full_timeout_ns >= 0 &&
	    pub->pub_options.full != TORC_FULL_WAIT &&
	    pub->pub_options.full != TORC_FULL_EVICT)
		return cli_usage("--full-timeout is for --full=wait and "
				 "--full=evict");
	return 0;
}

/* ---- Sending ------------------------------------------------------------ */

/* Say who holds us up. */
static void full_failed(struct pub *pub, const char *why)
{
	struct torc_participant participants[256];
	const struct torc_participant *slowest = NULL;
	int n = torc_topic_participants(pub->topic, participants, 256);

	pub->status = CLI_FAILED;
	for (int i = 0; i < n && i < 256; i++) {
		const struct torc_participant *p = &participants[i];

		if (p->role == TORC_SUBSCRIBER && p->lossless == 1 &&
		    (!slowest || (int64_t)(p->cursor - slowest->cursor) < 0))
			slowest = p;
	}
	if (!slowest)
		cli_note("%s: no room: %s", pub->name, why);
	else
		cli_note("%s: no room: %s, and the subscriber with pid %d has "
			 "not read on (--full says what to do then)",
			 pub->name, why, (int)slowest->pid);
}

/* There was no room: 0 to try again, -1 to end. */
static int stuck(struct pub *pub, int error, int64_t *since)
{
	int64_t now = cli_now();

	switch (error) {
	case -EINTR:
		if (cli_stopping())
			return -1;
		pub->retries++;
		return 0;
	case -ETIMEDOUT:
		/* Ours is a tick, that a signal may be noticed. */
		if (!*since)
			*since = now - CLI_TICK;
		if (cli_stopping())
			return -1;
		if (pub->full_timeout_ns < 0 ||
		    now - *since < pub->full_timeout_ns) {
			pub->retries++;
			return 0;
		}
		full_failed(pub, "--full-timeout ran out");
		return -1;
	case -EAGAIN:
		full_failed(pub, "--full=fail");
		return -1;
	}
	pub->status = cli_failed(error);
	return -1;
}

/* Was what was just handed over dropped?  A drop is of one message. */
static int was_dropped(struct pub *pub)
{
	struct torc_pub_stats stats;
	int more;

	if (pub->pub_options.full != TORC_FULL_DROP)
		return 0;
	torc_pub_get_stats(pub->publisher, &stats);
	more = stats.dropped != pub->dropped;
	pub->dropped = stats.dropped;
	return more;
}

int pub_send(struct pub *pub, const struct torc_span *spans, int count)
{
	int64_t since = 0;
	int n;

	while (count > 0) {
		n = torc_pub_publish_batch(pub->publisher, spans, count);
		if (n <= 0) {
			if (stuck(pub, n, &since))
				return -1;
			continue;
		}
		if (!was_dropped(pub))
			for (int i = 0; i < n; i++)
				pub->bytes += spans[i].length;
		pub->messages += (uint64_t)n;
		spans += n;
		count -= n;
		since = 0;
	}
	return 0;
}

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
static void compare_capacity(const struct pub *pub, uint64_t is)
{
	uint64_t asked = pub->topic_options.capacity;

	if (!asked || asked == is)
		return;
	if (is > asked && is / 2 < asked)
		cli_note("%s: capacity %" PRIu64 " rounded up to %" PRIu64
			 ", a power of two", pub->name, asked, is);
	else
		cli_note("%s: its capacity is %" PRIu64 ", not %" PRIu64
			 " as asked for", pub->name, is, asked);
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
	pub->topic_options.flags = info.flags;
	compare_capacity(pub, info.capacity);
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
	int operand, r;

	cli_begin(program.name);
	operand = cli_parse(&program, argc, argv, &pub);
	r = check_options(&pub);
	if (r)
		return r;
	if (argc - operand != 1)
		return cli_usage(operand == argc ? "which topic?"
						 : "one topic at a time");
	pub.name = argv[operand];
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
