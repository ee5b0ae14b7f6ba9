/* SPDX-License-Identifier: MIT */
/*
 * Names of topics: globs, and what matches them on a bus.  See cli.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "cli.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

int cli_is_glob(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

int cli_matches(const char *pattern, const char *name)
{
	static const char shm[] = "shm:";

	if (!strncmp(pattern, shm, sizeof(shm) - 1))
		pattern += sizeof(shm) - 1;
	/* A star takes levels too: '*' is every topic. */
	return cli_is_glob(pattern) && !fnmatch(pattern, name, 0);
}

struct listing {
	struct cli_names *names;
	char **patterns;
	int count;
};

static void add(struct cli_names *names, const char *name)
{
	size_t size = ((size_t)names->count + 1) * sizeof(*names->names);
	char **list = realloc(names->names, size), *copy = strdup(name);

	if (!list || !copy)
		cli_no_memory();
	list[names->count++] = copy;
	names->names = list;
}

static int add_if_matching(const char *name, void *context)
{
	struct listing *listing = context;
	int matches = !listing->count;

	for (int i = 0; i < listing->count; i++)
		matches |= cli_matches(listing->patterns[i], name);
	if (matches)
		add(listing->names, name);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order, each once: which for many is cheaper than looking each up. */
static void sort(struct cli_names *names)
{
	int kept = 0;

	if (!names->count)
		return;
	qsort(names->names, (size_t)names->count, sizeof(*names->names),
	      compare);
	for (int i = 1; i < names->count; i++)
		if (strcmp(names->names[i], names->names[kept]))
			names->names[++kept] = names->names[i];
		else
			free(names->names[i]);
	names->count = kept + 1;
}

int cli_names_list(struct cli_names *names, struct torc_bus *bus,
		   char **patterns, int count)
{
	struct listing listing = { names, patterns, count };
	int r, globs = !count;

	*names = (struct cli_names){ 0 };
	for (int i = 0; i < count; i++) {
		if (cli_is_glob(patterns[i]))
			globs = 1;
		else
			add(names, patterns[i]);
	}
	r = globs ? torc_bus_list(bus, add_if_matching, &listing) : 0;
	if (r) {
		cli_names_free(names);
		return r;
	}
	sort(names);
	return 0;
}

void cli_names_free(struct cli_names *names)
{
	for (int i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct cli_names){ 0 };
}
