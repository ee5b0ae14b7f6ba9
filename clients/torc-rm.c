/* SPDX-License-Identifier: MIT */
/*
 * torc-rm: removes topics.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	KEY_BUS = CLI_KEY,
	KEY_STALE,
};

struct rm {
	const char *directory;
	int stale, verbose;
	struct torc_bus *bus;
	int status;
};

static const struct cli_option options[] = {
	{ KEY_BUS, "bus", "DIR", "the bus (default: $TORC_DIR, see torc(7))" },
	{ KEY_STALE, "stale", NULL,
	  "only if nobody takes part; without TOPIC, all" },
	{ 'v', "verbose", NULL, "print what is removed" },
	{ 0 }
};

static int set(int key, const char *value, void *context)
{
	struct rm *rm = context;

	switch (key) {
	case KEY_BUS:
		rm->directory = value;
		return 0;
	case KEY_STALE:
		rm->stale = 1;
		return 0;
	case 'v':
		rm->verbose = 1;
		return 0;
	}
	return -1;
}

static const struct cli_program program = {
	"torc-rm", "[OPTION...] TOPIC...\n       torc-rm --stale [OPTION...]",
	"Remove topics.  Who takes part in one goes on undisturbed, but nobody\n"
	"can join any more.  A pattern ('md/*') is every topic that matches.",
	options, set, NULL,
};

/* @named: it was asked for by its name, not by a pattern. */
static void remove_topic(struct rm *rm, const char *name, int named)
{
	int r, status;

	r = torc_bus_remove(rm->bus, name, rm->stale ? TORC_REMOVE_STALE : 0);
	if (!r) {
		if (rm->verbose)
			printf("%s\n", name);
		return;
	}
	/* It went by itself, or is not stale. */
	if (!named && (r == -ENOENT || (rm->stale && r == -EBUSY)))
		return;
	status = cli_failed(r);
	if (!rm->status)
		rm->status = status;
}

static void remove_topics(struct rm *rm, char **patterns, int count)
{
	struct cli_names names;
	int r, matched;

	r = cli_names_list(&names, rm->bus, patterns, count);
	if (r) {
		rm->status = cli_failed(r);
		return;
	}
	for (int i = 0; i < count; i++) {
		matched = rm->stale || !cli_is_glob(patterns[i]);
		for (int j = 0; j < names.count && !matched; j++)
			matched = cli_matches(patterns[i], names.names[j]);
		if (matched)
			continue;
		cli_note("%s: no topic on bus %s matches", patterns[i],
			 torc_bus_path(rm->bus));
		rm->status = CLI_FAILED;
	}
	for (int i = 0; i < names.count; i++) {
		int named = 0;

		for (int j = 0; j < count; j++)
			named |= !strcmp(patterns[j], names.names[i]);
		remove_topic(rm, names.names[i], named);
	}
	cli_names_free(&names);
}

int main(int argc, char **argv)
{
	struct rm rm = { 0 };
	int operand, r;

	cli_begin(program.name);
	operand = cli_parse(&program, argc, argv, &rm);
	if (operand == argc && !rm.stale)
		return cli_usage("which topic?");
	r = torc_bus_open(rm.directory, &rm.bus);
	if (r)
		return cli_failed(r);
	remove_topics(&rm, argv + operand, argc - operand);
	if (operand == argc) {
		r = torc_bus_clean(rm.bus);
		if (r < 0)
			rm.status = cli_failed(r);
		else if (r && rm.verbose)
			cli_note("%d left-over files", r);
	}
	torc_bus_close(rm.bus);
	r = cli_close_stdout();
	return rm.status ? rm.status : r;
}
