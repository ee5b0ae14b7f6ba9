/* SPDX-License-Identifier: MIT */
/*
 * torc-stat --dump: prints all intact messages of a topic, or of a ring in a file.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "json.h"
#include "stat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dump {
	enum stat_format format;
	const char *name;
	struct text text;
};

static int print_message(const struct torc_message *message, void *context)
{
	struct dump *dump = context;
	struct text *text = &dump->text;

	text->used = 0;
	if (dump->format == STAT_JSON) {
		json_message(text, dump->name, message, NULL);
	} else {
		text_print(text, "%" PRIu64 " %" PRIu64 " ", message->sequence,
			   message->position);
		if (dump->format == STAT_HEX)
			text_hex(text, message->data, message->length);
		else
			text_add(text, message->data, message->length);
		text_add(text, "\n", 1);
	}
	/* cli_close_stdout() tells of what could not be written. */
	fwrite(text->data, 1, text->used, stdout);
	return cli_stopping() ? -EINTR : 0;
}

static void print_summary(const char *name, const struct torc_dump *dump)
{
	cli_note("%s: %" PRIu64 " messages, positions %" PRIu64 " to %" PRIu64,
		 name, dump->messages, dump->begin, dump->end);
	if (dump->claims)
		cli_note("%s: %" PRIu64 " claims of dead publishers, which "
			 "published nothing there, passed over", name,
			 dump->claims);
	if (dump->undetermined)
		cli_note("%s: what becomes of %" PRIu64 " bytes behind is not "
			 "determined: somebody who may live has claimed them",
			 name, dump->undetermined);
	if (dump->dropped)
		cli_note("%s: %" PRIu64 " bytes are no messages any more, since "
			 "the machine went down", name, dump->dropped);
}

static int open_to_look(struct torc_bus *bus, const char *name,
			struct torc_topic **ret_topic)
{
	const struct torc_topic_options options = { .flags = TORC_INSPECT };
	char *address;
	int r;

	/* No name of a topic begins so. */
	if (*name != '/' && *name != '.')
		return torc_topic_open(bus, name, &options, ret_topic);
	address = malloc(strlen(name) + sizeof("file:"));
	if (!address)
		cli_no_memory();
	strcpy(stpcpy(address, "file:"), name);
	r = torc_topic_open(bus, address, &options, ret_topic);
	free(address);
	return r;
}

int stat_dump(struct torc_bus *bus, const char *name, enum stat_format format)
{
	struct dump dump = { .format = format, .name = name };
	struct torc_topic *topic;
	struct torc_dump found;
	int r;

	r = open_to_look(bus, name, &topic);
	if (r)
		return cli_failed(r);
	r = torc_topic_dump(topic, print_message, &dump, &found);
	if (!r)
		print_summary(name, &found);
	torc_topic_close(topic);
	free(dump.text.data);
	return r && r != -EINTR ? cli_failed(r) : 0;
}
