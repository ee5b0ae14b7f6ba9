/* SPDX-License-Identifier: MIT */
/*
 * torc-stat: what its parts share.  torc-stat.c has the options and looks at
 * topics, stat_print.c prints them, stat_dump.c the messages in them, and
 * stat_screen.c draws what --watch shows.
 */
#ifndef TORC_STAT_H
#define TORC_STAT_H

#include "cli.h"
#include "json.h"

enum stat_format { STAT_TEXT, STAT_HEX, STAT_JSON };

struct stat_topic {
	const char *name;
	struct torc_topic *topic;	/* NULL: could not be opened */
	struct torc_topic_info info;
	int64_t looked_ns;		/* when info was filled */
	double rate;			/* messages/s; negative: not measured */
	int repaired;			/* slots cleared; negative: not asked for */
	struct torc_participant *participants;
	int participants_count;
};

/* All topics, as a table; with who takes part in them, if @verbose. */
void stat_table(struct text *text, const struct stat_topic *topics, int count,
		int verbose);
/* The lines of /proc/PID/maps by which each who takes part maps it; 0 or -errno. */
int stat_maps(struct text *text, const struct stat_topic *topic);
/* One topic, as a line of JSON. */
void stat_json(struct text *text, const struct stat_topic *topic);
/* Draw lines on the terminal that is standard output, over what it shows. */
void stat_screen(const struct text *lines);
/* All messages of a topic, or of the ring in a file; the program's status. */
int stat_dump(struct torc_bus *bus, const char *name, enum stat_format format);

#endif /* TORC_STAT_H */
