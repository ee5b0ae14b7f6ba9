/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: what its parts share.  Messages come from standard input or a file
 * (pub_input.c), or are made up (pub_generate.c), and go to pub_send.c.
 */
#ifndef TORC_PUB_H
#define TORC_PUB_H

#include "cli.h"

#define PUB_SPANS_MAX	1024	/* messages that are sent at once */

struct pub {
	/* options */
	const char *directory;
	const char *text;		/* -m */
	const char *file;		/* -f */
	uint64_t size;			/* of generated messages */
	uint64_t count;			/* UINT64_MAX: no end */
	uint64_t rate;			/* messages/s; 0: as fast as it goes */
	uint64_t wait_for;		/* subscribers */
	int64_t full_timeout_ns;	/* -1: none given */
	int framed, generate, stats;
	struct torc_topic_options topic_options;
	struct torc_pub_options pub_options;

	const char *name;		/* of the topic */
	struct torc_bus *bus;
	struct torc_topic *topic;
	struct torc_publisher *publisher;
	size_t message_max;

	/* counts */
	uint64_t messages;		/* handed over */
	uint64_t dropped;		/* of them, with --full=drop */
	uint64_t bytes;			/* of the others */
	uint64_t retries;		/* calls made again for want of room */
	uint64_t input_total;		/* bytes, or messages; 0: not known */
	uint64_t input_done;
	int64_t started_ns;
	int status;
};

/* Fill in what the command line says; 0, or the exit status. */
int pub_take_options(struct pub *pub, int argc, char **argv);

/*
 * Publish all of them.  0, or -1 to end the program: a signal came, or it
 * failed (pub->status).
 */
int pub_send(struct pub *pub, const struct torc_span *spans, int count);

/* Say that a message is too long; @what: "line 3".  Returns -1. */
int pub_too_long(struct pub *pub, const char *what, uint64_t length);

/* Publish what each is about, to its end. */
void pub_lines(struct pub *pub);
void pub_frames(struct pub *pub);
void pub_text(struct pub *pub);
void pub_file(struct pub *pub);
void pub_generate(struct pub *pub);

#endif /* TORC_PUB_H */
