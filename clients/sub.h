/* SPDX-License-Identifier: MIT */
/*
 * torc-sub: what its parts share.  torc-sub.c has the options and the loop,
 * sub_topics.c finds topics, joins and leaves them, sub_take.c takes messages out
 * of them, sub_output.c formats and writes them.
 */
#ifndef TORC_SUB_H
#define TORC_SUB_H

#include <ck_hs.h>

#include "cli.h"
#include "json.h"

#define SUB_BATCH_MAX 256	/* messages peeked at once */

enum sub_format { SUB_LINES, SUB_FRAMED, SUB_HEX, SUB_JSON };

/* A topic that was named, or that matched. */
struct sub_topic {
	char *name;
	int globbed;
	int late;		/* it was not there at first */
	int done;		/* ended, or cannot be joined */
	int batch;		/* messages to be peeked at once */
	struct torc_topic *topic;
	struct torc_subscriber *sub;	/* NULL: not joined */
};

struct sub {
	/* options */
	const char *directory;
	enum sub_format format;
	uint64_t count;		/* messages; UINT64_MAX: no end */
	int64_t timeout_ns;	/* -1: none */
	unsigned int flags;	/* TORC_SUB_* */
	struct torc_topic_options topic_options;
	int eof, wait, stats;

	/* topics */
	struct torc_bus *bus;
	char **patterns;
	int patterns_count;
	int started;		/* those there at first have been joined */
	struct sub_topic **topics;
	int topics_count;
	ck_hs_t names;		/* the topics by name */
	int joined;		/* topics with a subscriber */
	struct torc_set *set;	/* of those */
	int changed;		/* the bus has, since they were last joined */
	int watched;		/* that changed is known */
	char *buffer;		/* lossy: a copy of a message */
	size_t buffer_size;

	/* output */
	struct text out;
	int write_error;

	/* counts */
	uint64_t messages, bytes, lost;
	int64_t first_ns, last_ns;	/* 0: none came yet */
	int status;
};

/*
 * Join topics that are named and those that match and are there.  0, or -1 if
 * that failed in a way that ends the program (sub->status says how).
 */
int sub_join(struct sub *sub);
/* How many named topics are still waited for. */
int sub_missing(const struct sub *sub);
/* Have what happens on the bus noticed, if the system can. */
void sub_watch(struct sub *sub);

/* A round of one topic: 1 if there is more, 0 if not, -1 to end. */
int sub_take(struct sub *sub, struct sub_topic *topic);
/*
 * Take a good part of what is there.  1 if there is more, 0 if not, -1 to end
 * the program.
 */
int sub_drain(struct sub *sub);
/* With --eof, leave the topics that have ended; true if all have. */
int sub_all_ended(struct sub *sub);
/* Messages lost so far. */
uint64_t sub_lost(const struct sub *sub);
void sub_leave(struct sub *sub);

/* Format a message into the buffer. */
void sub_print(struct sub *sub, const struct sub_topic *topic,
	       const struct torc_message *message, const char *time);
#define SUB_TIME_MAX 40
/* Now, as --json says it. */
void sub_time(char time[SUB_TIME_MAX]);
/* Write the buffer out.  0, or -1 to end the program. */
int sub_flush(struct sub *sub);
/* 0, or -1 to end the program if nobody is left to read what is written. */
int sub_check_reader(struct sub *sub);

#endif /* TORC_SUB_H */
