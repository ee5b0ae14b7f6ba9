/* SPDX-License-Identifier: MIT */
/*
 * torc-stat: what its parts share.  torc-stat.c has the options and looks at
 * topics, stat_print.c prints them.
 */
#ifndef TORC_STAT_H
#define TORC_STAT_H

#include "cli.h"

struct stat_topic {
	const char *name;
	struct torc_topic *topic;	/* NULL: could not be opened */
	struct torc_topic_info info;
	int64_t looked_ns;		/* when info was filled */
	double rate;			/* messages/s; negative: not measured */
	struct torc_participant *participants;
	int participants_count;
};

/* All topics, as a table; with who takes part in them, if @verbose. */
void stat_table(const struct stat_topic *topics, int count, int verbose);
/* One topic, as a line of JSON. */
void stat_json(const struct stat_topic *topic);

#endif /* TORC_STAT_H */
