/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: its options.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "pub.h"

#include <string.h>

#include <torc/abi.h>

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
	if (count && count <= TORC_SUBSCRIBERS_MAX) {
		pub->topic_options.subscribers = (uint32_t)count;
		return 0;
	}
	cli_note("--subscribers=%s: not from 1 to %u", value,
		 TORC_SUBSCRIBERS_MAX);
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

int pub_take_options(struct pub *pub, int argc, char **argv)
{
	int operand, r;

	cli_begin(program.name);
	operand = cli_parse(&program, argc, argv, pub);
	r = check_options(pub);
	if (r)
		return r;
	if (argc - operand != 1)
		return cli_usage(operand == argc ? "which topic?"
						 : "one topic at a time");
	pub->name = argv[operand];
	return 0;
}
