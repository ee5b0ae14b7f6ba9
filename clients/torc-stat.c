/* SPDX-License-Identifier: MIT */
/*
 * torc-stat: shows topics and who takes part in them.  Options and looking; see
 * stat.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "stat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_NS 200000000ll

enum {
	KEY_BUS = CLI_KEY,
	KEY_DUMP,
	KEY_HEX,
	KEY_INTERVAL,
	KEY_JSON,
	KEY_MAPS,
	KEY_REPAIR,
	KEY_RESIZE,
	KEY_WATCH,
};

struct stat_run {
	const char *directory;
	int json, verbose, dump, hex, maps, repair, resize, watch;
	int64_t interval_ns;

	struct torc_bus *bus;
	struct cli_names names;
	struct stat_topic *topics;
	char **patterns;
	int patterns_count;
	struct text text;	/* to be printed */
	int screen;		/* a terminal, drawn over and over */
	int status;
};

static const struct cli_option options[] = {
	{ KEY_BUS, "bus", "DIR", "the bus (default: $TORC_DIR, see torc(7))" },
	{ 'v', "verbose", NULL,
	  "also who takes part; so too if topics are named" },
	{ KEY_JSON, "json", NULL, "print a JSON object for each topic" },
	{ KEY_MAPS, "maps", NULL,
	  "print the lines of /proc/PID/maps of who takes part" },
	{ KEY_DUMP, "dump", NULL,
	  "print the messages of TOPIC or FILE (/..., ./...)" },
	{ KEY_HEX, "hex", NULL, "with --dump, print them in hexadecimal" },
	{ KEY_RESIZE, "resize", NULL,
	  "TOPIC SIZE: make it, of file:PATH, hold so much" },
	{ KEY_WATCH, "watch", NULL, "print again and again, until a signal" },
	{ KEY_REPAIR, "repair", NULL, "first clear away who died" },
	{ KEY_INTERVAL, "interval", "TIME",
	  "measure rates for so long (200ms; --watch: 1s)" },
	{ 0 }
};

static int set(int key, const char *value, void *context)
{
	struct stat_run *run = context;

	switch (key) {
	case KEY_BUS:
		run->directory = value;
		return 0;
	case KEY_INTERVAL:
		return cli_duration("interval", value, &run->interval_ns);
	case KEY_DUMP:
		run->dump = 1;
		return 0;
	case KEY_HEX:
		run->hex = 1;
		return 0;
	case KEY_JSON:
		run->json = 1;
		return 0;
	case KEY_MAPS:
		run->maps = 1;
		return 0;
	case KEY_RESIZE:
		run->resize = 1;
		return 0;
	case KEY_WATCH:
		run->watch = 1;
		return 0;
	case KEY_REPAIR:
		run->repair = 1;
		return 0;
	case 'v':
		run->verbose = 1;
		return 0;
	}
	return -1;
}

static const struct cli_program program = {
	"torc-stat", "[OPTION...] [TOPIC...]",
	"Show all topics of a bus, or those that are named or match a pattern.",
	options, set, NULL,
};

static int is_named(const struct stat_run *run, const char *name)
{
	for (int i = 0; i < run->patterns_count; i++) {
		if (!strcmp(run->patterns[i], name))
			return 1;
	}
	return 0;
}

/* The library's last call failed. */
static void complain(struct stat_run *run, int error)
{
	run->status = CLI_FAILED;
	/* Standard error would be drawn over. */
	if (run->screen)
		text_print(&run->text, "%s\n", torc_errmsg());
	else
		run->status = cli_failed(error);
}

/* It failed: say so, unless the topic has only gone meanwhile. */
static void drop(struct stat_run *run, struct stat_topic *topic, int error)
{
	if (error != -ENOENT || is_named(run, topic->name))
		complain(run, error);
	topic->topic = torc_topic_close(topic->topic);
}

static int repair(struct stat_topic *topic)
{
	topic->repaired = torc_topic_repair(topic->topic);
	if (topic->repaired > 0)
		cli_note("%s: cleared away %d who had died", topic->name,
			 topic->repaired);
	return topic->repaired < 0 ? topic->repaired : 0;
}

static int look(struct stat_topic *topic)
{
	topic->looked_ns = cli_now();
	return torc_topic_get_info(topic->topic, &topic->info);
}

/* For the second time. */
static int look_again(struct stat_topic *topic)
{
	uint64_t before = topic->info.messages;
	int64_t since = topic->looked_ns;
	int r = look(topic);

	if (!r)
		topic->rate = (double)(topic->info.messages - before) * 1e9 /
			      (double)(topic->looked_ns - since + 1);
	return r;
}

static int list_participants(struct stat_topic *topic)
{
	int max = 0, n;

	for (;;) {
		n = torc_topic_participants(topic->topic, topic->participants,
					    max);
		if (n < 0)
			return n;
		if (n <= max)
			break;
		free(topic->participants);
		max = n + 8;
		topic->participants = calloc((size_t)max,
					     sizeof(*topic->participants));
		if (!topic->participants)
			cli_no_memory();
	}
	topic->participants_count = n;
	return 0;
}

static int look_at_all(struct stat_run *run)
{
	const int count = run->names.count;
	int r;

	run->topics = calloc((size_t)count, sizeof(*run->topics));
	if (!run->topics)
		cli_no_memory();
	for (int i = 0; i < count; i++) {
		struct stat_topic *topic = &run->topics[i];

		topic->name = run->names.names[i];
		topic->rate = topic->repaired = -1;
		r = torc_topic_open(run->bus, topic->name, NULL, &topic->topic);
		if (!r) {
			cli_tell_reopened(topic->topic);
			r = run->repair ? repair(topic) : 0;
		}
		if (!r)
			r = look(topic);
		if (r)
			drop(run, topic, r);
	}
	if (run->interval_ns > 0)
		cli_sleep(run->interval_ns);
	if (cli_stopping())
		return -1;
	for (int i = 0; i < count; i++) {
		struct stat_topic *topic = &run->topics[i];

		if (!topic->topic)
			continue;
		r = run->interval_ns > 0 ? look_again(topic) : 0;
		if (!r)
			r = list_participants(topic);
		if (r)
			drop(run, topic, r);
	}
	return 0;
}

static void print_all(struct stat_run *run)
{
	int r = 0;

	if (!run->json && !run->maps) {
		stat_table(&run->text, run->topics, run->names.count,
			   run->verbose || run->patterns_count);
		return;
	}
	for (int i = 0; i < run->names.count; i++) {
		if (!run->topics[i].topic)
			continue;
		if (run->maps)
			r = stat_maps(&run->text, &run->topics[i]);
		else
			stat_json(&run->text, &run->topics[i]);
		if (r)
			complain(run, r);
	}
}

static void close_all(struct stat_run *run)
{
	for (int i = 0; run->topics && i < run->names.count; i++) {
		torc_topic_close(run->topics[i].topic);
		free(run->topics[i].participants);
	}
	free(run->topics);
	run->topics = NULL;
	cli_names_free(&run->names);
}

static void say_none(struct stat_run *run)
{
	const char *which = run->patterns_count ? " that match" : "";
	const char *path = torc_bus_path(run->bus);

	if (run->screen)
		text_print(&run->text, "no topics%s on bus %s\n", which, path);
	else
		cli_note("no topics%s on bus %s", which, path);
}

/* One look at all that is there now; how many topics that was. */
static int show(struct stat_run *run)
{
	int count, r = cli_names_list(&run->names, run->bus, run->patterns,
				      run->patterns_count);

	if (r) {
		run->status = cli_failed(r);
		return 0;
	}
	run->text.used = 0;
	count = run->names.count;
	if (!count)
		say_none(run);
	else if (!look_at_all(run))
		print_all(run);
	close_all(run);
	/* None if a signal came first: what was drawn last stays. */
	if (!run->text.used)
		return count;
	if (run->screen)
		stat_screen(&run->text);
	else
		fwrite(run->text.data, 1, run->text.used, stdout);
	return count;
}

static void watch(struct stat_run *run)
{
	run->screen = !run->json && isatty(STDOUT_FILENO);
	while (!cli_stopping() && !ferror(stdout)) {
		/* Measuring takes the interval. */
		if (!show(run) || run->interval_ns <= 0)
			cli_sleep(CLI_SECOND);
		fflush(stdout);
	}
}

static int check_options(const struct stat_run *run)
{
	if (run->dump + run->maps + run->resize + run->watch > 1)
		return cli_usage("--dump, --maps, --resize and --watch exclude "
				 "each other");
	if (run->hex && (!run->dump || run->json))
		return cli_usage("--hex is for --dump, without --json");
	if (run->resize && run->patterns_count != 2)
		return cli_usage("--resize: of which topic, to which size?");
	if (run->dump && !run->patterns_count)
		return cli_usage("--dump: which topic, or file?");
	return 0;
}

static void resize(struct stat_run *run)
{
	uint64_t size;
	int r;

	if (cli_size("resize", run->patterns[1], &size)) {
		run->status = CLI_USAGE;
		return;
	}
	r = torc_topic_resize(run->bus, run->patterns[0], size);
	if (r)
		run->status = cli_failed(r);
}

static void dump_all(struct stat_run *run)
{
	enum stat_format format = run->json ? STAT_JSON :
				  run->hex ? STAT_HEX : STAT_TEXT;

	for (int i = 0; i < run->patterns_count; i++)
		run->status |= stat_dump(run->bus, run->patterns[i], format);
}

int main(int argc, char **argv)
{
	struct stat_run run = { .interval_ns = -1 };
	int operand, r;

	cli_begin(program.name);
	operand = cli_parse(&program, argc, argv, &run);
	run.patterns = argv + operand;
	run.patterns_count = argc - operand;
	r = check_options(&run);
	if (r)
		return r;
	if (run.interval_ns < 0)
		run.interval_ns = run.watch ? CLI_SECOND : INTERVAL_NS;
	r = torc_bus_open(run.directory, &run.bus);
	if (r)
		return cli_failed(r);
	cli_loop();
	if (run.dump)
		dump_all(&run);
	else if (run.resize)
		resize(&run);
	else if (run.watch)
		watch(&run);
	else
		show(&run);
	free(run.text.data);
	torc_bus_close(run.bus);
	r = cli_close_stdout();
	return run.status ? run.status : r;
}
