/* SPDX-License-Identifier: MIT */
/*
 * torc-sub: prints what is published.  Options and the loop; see sub.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "sub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WAIT_NS		20000000ll	/* looks for a topic waited for */
#define ENDED_NS	20000000ll	/* looks whether publishers are left */
#define RESCAN_NS	100000000ll	/* looks for topics that match, unwatched */
#define PROGRESS_NS	500000000ll

enum {
	KEY_BUS = CLI_KEY,
	KEY_EOF,
	KEY_FRAMED,
	KEY_FROM,
	KEY_HEX,
	KEY_JSON,
	KEY_LOSSY,
	KEY_MEMORY,
	KEY_NUMA,
	KEY_STATS,
	KEY_TIMEOUT,
	KEY_WAIT,
};

static const struct cli_option options[] = {
	{ KEY_BUS, "bus", "DIR", "the bus (default: $TORC_DIR, see torc(7))" },
	{ 'n', "count", "N", "end after N messages" },
	{ KEY_EOF, "eof", NULL, "end when all is read and no publisher is left" },
	{ KEY_TIMEOUT, "timeout", "TIME",
	  "end with status 124 when nothing came for so long" },
	{ KEY_FROM, "from", "WHERE",
	  "latest (default), or oldest message still there" },
	{ KEY_LOSSY, "lossy", NULL, "hold no publisher back; may lose messages" },
	{ KEY_WAIT, "wait", NULL, "wait for topics that are not there yet" },
	{ KEY_FRAMED, "framed", NULL,
	  "print the length (u32, LE), then the message" },
	{ KEY_HEX, "hex", NULL, "print messages in hexadecimal" },
	{ KEY_JSON, "json", NULL, "print messages as JSON objects" },
	CLI_MEMORY_OPTIONS(KEY_MEMORY, KEY_NUMA),
	{ KEY_STATS, "stats", NULL, "at the end, print counts and rates" },
	{ 0 }
};

static int set_format(struct sub *sub, enum sub_format format)
{
	if (sub->format != SUB_LINES && sub->format != format) {
		cli_note("--framed, --hex and --json exclude each other");
		return -1;
	}
	sub->format = format;
	return 0;
}

static int set(int key, const char *value, void *context)
{
	struct sub *sub = context;

	switch (key) {
	case KEY_BUS:
		sub->directory = value;
		return 0;
	case 'n':
		return cli_count("count", value, &sub->count);
	case KEY_EOF:
		sub->eof = 1;
		return 0;
	case KEY_TIMEOUT:
		return cli_duration("timeout", value, &sub->timeout_ns);
	case KEY_FROM:
		sub->flags &= ~TORC_SUB_OLDEST;
		if (!strcmp(value, "oldest"))
			sub->flags |= TORC_SUB_OLDEST;
		else if (strcmp(value, "latest") != 0) {
			cli_note("--from=%s: not latest or oldest", value);
			return -1;
		}
		return 0;
	case KEY_LOSSY:
		sub->flags |= TORC_SUB_LOSSY;
		return 0;
	case KEY_MEMORY:
		return cli_memory(value, &sub->topic_options);
	case KEY_NUMA:
		return cli_numa(value, &sub->topic_options);
	case KEY_WAIT:
		sub->wait = 1;
		return 0;
	case KEY_FRAMED:
		return set_format(sub, SUB_FRAMED);
	case KEY_HEX:
		return set_format(sub, SUB_HEX);
	case KEY_JSON:
		return set_format(sub, SUB_JSON);
	case KEY_STATS:
		sub->stats = 1;
		return 0;
	}
	return -1;
}

static const struct cli_program program = {
	"torc-sub", "[OPTION...] TOPIC...",
	"Print each message that is published on a topic, and a newline.  A\n"
	"pattern ('md/*') takes every topic that matches, also later ones.",
	options, set, NULL,
};

/* ---- Counts ------------------------------------------------------------- */

static void print_stats(const struct sub *sub)
{
	double seconds = (double)(sub->last_ns - sub->first_ns) / 1e9;
	char rate[CLI_HUMAN_MAX], bytes[CLI_HUMAN_MAX];

	if (!sub->first_ns || seconds <= 0) {
		cli_note("%" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64
			 " lost", sub->messages, sub->bytes, sub_lost(sub));
		return;
	}
	cli_note("%" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64
		 " lost in %.3f s: %s messages/s, %sB/s", sub->messages,
		 sub->bytes, sub_lost(sub), seconds,
		 cli_human(rate, (double)sub->messages / seconds, 1000),
		 cli_human(bytes, (double)sub->bytes / seconds, 1024));
}

static ev_timer progress_timer;

static void on_progress(struct ev_loop *loop, ev_timer *watcher, int events)
{
	static uint64_t last_messages, last_bytes;
	const struct sub *sub = watcher->data;
	char rate[CLI_HUMAN_MAX], bytes[CLI_HUMAN_MAX];
	double seconds = (double)PROGRESS_NS / 1e9;

	(void)loop;
	(void)events;
	cli_progress("%" PRIu64 " messages, %s/s, %sB/s, %" PRIu64 " lost",
		     sub->messages,
		     cli_human(rate, (double)(sub->messages - last_messages) /
					     seconds, 1000),
		     cli_human(bytes, (double)(sub->bytes - last_bytes) /
					      seconds, 1024),
		     sub_lost(sub));
	last_messages = sub->messages;
	last_bytes = sub->bytes;
}

static void start_progress(struct sub *sub)
{
	/* Lines of messages on the same terminal are progress enough. */
	if (!isatty(STDERR_FILENO) || isatty(STDOUT_FILENO))
		return;
	ev_timer_init(&progress_timer, on_progress, (double)PROGRESS_NS / 1e9,
		      (double)PROGRESS_NS / 1e9);
	progress_timer.data = sub;
	ev_timer_start(cli_loop(), &progress_timer);
}

/* ---- The loop ----------------------------------------------------------- */

static int has_glob(const struct sub *sub)
{
	for (int i = 0; i < sub->patterns_count; i++) {
		if (cli_is_glob(sub->patterns[i]))
			return 1;
	}
	return 0;
}

/* Nothing is there: 0 when there may be, or -1 to end the program. */
static int idle(struct sub *sub, int64_t rescan_ns)
{
	int64_t sleep = rescan_ns < CLI_TICK ? rescan_ns : CLI_TICK;
	int64_t quiet;
	void *topic;
	int r;

	if (sub->eof && sleep > ENDED_NS)
		sleep = ENDED_NS;
	if (sub->timeout_ns >= 0) {
		quiet = cli_now() - sub->last_ns;
		if (quiet >= sub->timeout_ns) {
			sub->status = CLI_TIMEOUT;
			return -1;
		}
		if (sleep > sub->timeout_ns - quiet)
			sleep = sub->timeout_ns - quiet;
	}
	if (!sub->joined) {
		cli_sleep(sleep);
		return sub->eof && sub_all_ended(sub) ? -1 : 0;
	}
	r = torc_set_wait(sub->set, sleep, &topic);
	if (r == -ETIMEDOUT) {
		if (sub_check_reader(sub))
			return -1;
		/* Looking costs a system call a publisher: only when quiet. */
		return sub->eof && sub_all_ended(sub) ? -1 : 0;
	}
	if (r < 0 && r != -EINTR) {
		sub->status = cli_failed(r);
		return -1;
	}
	return 0;
}

static void run(struct sub *sub)
{
	const int globs = has_glob(sub);
	const int64_t unwatched = globs && !sub->watched ? RESCAN_NS
							 : INT64_MAX;
	int64_t every = unwatched, rescan = 0;
	int more;

	sub->changed = 1;
	sub->last_ns = cli_now();	/* --timeout counts from here */
	while (!cli_stopping()) {
		if (sub->changed ||
		    (every != INT64_MAX && cli_now() >= rescan)) {
			sub->changed = 0;
			if (sub_join(sub))
				return;
			every = sub_missing(sub) ? WAIT_NS : unwatched;
			rescan = every == INT64_MAX ? 0 : cli_now() + every;
		}
		more = sub_drain(sub);
		if (more < 0)
			return;
		if (sub->messages == sub->count)
			return;
		if (more)
			continue;
		if (sub_flush(sub))
			return;
		if (idle(sub, every))
			return;
	}
	sub->stats = 1;		/* its last counts */
}

/* A topic takes three descriptors. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct sub sub = { .count = UINT64_MAX, .timeout_ns = -1 };
	int operand, r;

	cli_begin(program.name);
	operand = cli_parse(&program, argc, argv, &sub);
	if (operand == argc)
		return cli_usage("which topic?");
	sub.patterns = argv + operand;
	sub.patterns_count = argc - operand;
	r = torc_bus_open(sub.directory, &sub.bus);
	if (r)
		return cli_failed(r);
	r = torc_set_open(TORC_WAIT_ADAPTIVE, &sub.set);
	if (r)
		return cli_failed(r);
	raise_limit();
	cli_loop();
	sub_watch(&sub);
	start_progress(&sub);

	if (sub.count)
		run(&sub);
	sub_flush(&sub);
	cli_progress("%s", "");
	if (sub.stats)
		print_stats(&sub);
	sub_leave(&sub);
	if (!sub.write_error && close(STDOUT_FILENO)) {
		cli_note("standard output: %s", strerror(errno));
		sub.status = CLI_FAILED;
	}
	return sub.status;
}
