/* SPDX-License-Identifier: MIT */
/*
 * torc-stat: prints topics, as a table or as JSON.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "json.h"
#include "stat.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PROGRAM_MAX 32

/* The name of the participant's program; "?" if it cannot be told. */
static void program_of(const struct torc_participant *p,
		       char program[PROGRAM_MAX])
{
	char path[48];
	FILE *file;

	strcpy(program, "?");
	if (p->alive == 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)p->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(program, PROGRAM_MAX, file))
		program[strcspn(program, "\n")] = 0;
	else
		strcpy(program, "?");
	fclose(file);
	/* Whoever may take part chose it; it is not to command our terminal. */
	for (char *c = program; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

/* Bytes that it has yet to read, of those that are there. */
static uint64_t lag_of(const struct stat_topic *topic,
		       const struct torc_participant *p)
{
	uint64_t lag = topic->info.tail - p->cursor;
	uint64_t most = topic->info.tail - topic->info.oldest;

	if ((int64_t)lag <= 0 || (int64_t)most <= 0)
		return 0;
	return lag < most ? lag : most;
}

static const char *state_of(const struct torc_participant *p)
{
	if (p->alive == 0)
		return "dead";
	if (p->role == TORC_PUBLISHER)
		return "publisher";
	return p->lossless > 0 ? "lossless" : p->lossless < 0 ? "evicted"
							      : "lossy";
}

/* ---- Table -------------------------------------------------------------- */

static void print_participant(struct text *text, const struct stat_topic *topic,
			      const struct torc_participant *p)
{
	char program[PROGRAM_MAX], lag[CLI_HUMAN_MAX];

	program_of(p, program);
	text_print(text, "  %s slot %-3u pid %-7d %-15s %-9s",
		   p->role == TORC_PUBLISHER ? "pub" : "sub", p->slot,
		   (int)p->pid, program, state_of(p));
	if (p->role == TORC_PUBLISHER)
		text_print(text, " blocked %" PRIu64 "  dropped %" PRIu64,
			   p->blocked, p->dropped);
	else
		text_print(text, " lag %s, %" PRIu64 " messages  lost %" PRIu64,
			   cli_human(lag, (double)lag_of(topic, p), 1024),
			   p->behind, p->lost);
	text_print(text, "%s\n", p->alive && p->stopped > 0 ? "  stopped" : "");
}

static void print_row(struct text *text, const struct stat_topic *topic,
		      int width)
{
	const struct torc_topic_info *info = &topic->info;
	char capacity[CLI_HUMAN_MAX], messages[CLI_HUMAN_MAX];
	char rate[CLI_HUMAN_MAX] = "-", lag_text[CLI_HUMAN_MAX];
	char lost_text[CLI_HUMAN_MAX], blocked_text[CLI_HUMAN_MAX];
	uint64_t lag = 0, lost = 0, blocked = 0;

	for (int i = 0; i < topic->participants_count; i++) {
		const struct torc_participant *p = &topic->participants[i];

		if (p->role == TORC_PUBLISHER) {
			blocked += p->blocked;
			continue;
		}
		lost += p->lost;
		if (p->alive && p->lossless >= 0 && lag_of(topic, p) > lag)
			lag = lag_of(topic, p);
	}
	if (topic->rate >= 0)
		cli_human(rate, topic->rate, 1000);
	text_print(text, "%-*s %-7s %8s %-4s %8s %6s %4u %4u %6s %6s %7s\n",
		   width, topic->name, info->mapping,
		   cli_human(capacity, (double)info->capacity, 1024),
		   info->flags & TORC_MANY ?
			   (info->flags & TORC_PERSISTENT ? "MP/P" : "MP") :
			   (info->flags & TORC_PERSISTENT ? "SP/P" : "SP"),
		   cli_human(messages, (double)info->messages, 1000), rate,
		   info->publishers, info->subscribers,
		   cli_human(lag_text, (double)lag, 1024),
		   cli_human(lost_text, (double)lost, 1000),
		   cli_human(blocked_text, (double)blocked, 1000));
}

void stat_table(struct text *text, const struct stat_topic *topics, int count,
		int verbose)
{
	int width = 4, shown = 0;

	for (int i = 0; i < count; i++) {
		if (!topics[i].topic)
			continue;
		shown++;
		if ((int)strlen(topics[i].name) > width)
			width = (int)strlen(topics[i].name);
	}
	if (!shown)
		return;
	text_print(text, "%-*s %-7s %8s %-4s %8s %6s %4s %4s %6s %6s %7s\n",
		   width, "NAME", "MAPPING", "CAPACITY", "KIND", "MESSAGES",
		   "RATE", "PUBS", "SUBS", "LAG", "LOST", "BLOCKED");
	for (int i = 0; i < count; i++) {
		if (!topics[i].topic)
			continue;
		print_row(text, &topics[i], width);
		for (int j = 0; verbose && j < topics[i].participants_count;
		     j++)
			print_participant(text, &topics[i],
					  &topics[i].participants[j]);
	}
}

/* ---- /proc/PID/maps ----------------------------------------------------- */

static bool maps_one_of(const char *line, const struct torc_mapped *mapped,
			int count)
{
	unsigned int major, minor;
	uint64_t inode;

	if (sscanf(line, "%*s %*s %*x %x:%x %" SCNu64, &major, &minor,
		   &inode) != 3)
		return false;
	for (int i = 0; i < count; i++)
		if (mapped[i].major == major && mapped[i].minor == minor &&
		    mapped[i].inode == inode)
			return true;
	return false;
}

static void print_maps(struct text *text, const struct torc_participant *p,
		       const struct torc_mapped *mapped, int count)
{
	char path[48], line[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)p->pid);
	file = fopen(path, "re");
	text_print(text, "  %s slot %-3u pid %d%s\n",
		   p->role == TORC_PUBLISHER ? "pub" : "sub", p->slot,
		   (int)p->pid, file ? "" : ": its maps cannot be read");
	while (file && fgets(line, sizeof(line), file))
		if (maps_one_of(line, mapped, count))
			text_print(text, "    %s", line);
	if (file)
		fclose(file);
}

int stat_maps(struct text *text, const struct stat_topic *topic)
{
	struct torc_mapped mapped[2];
	int count = torc_topic_mapped(topic->topic, mapped);

	if (count < 0)
		return count;
	text_print(text, "%s\n", topic->name);
	for (int i = 0; i < topic->participants_count; i++)
		if (topic->participants[i].alive)
			print_maps(text, &topic->participants[i], mapped, count);
	return 0;
}

/* ---- JSON --------------------------------------------------------------- */

/* -1: it cannot be told. */
static const char *truth(int value)
{
	return value > 0 ? "true" : value < 0 ? "null" : "false";
}

static void json_participant(struct text *text, const struct stat_topic *topic,
			     const struct torc_participant *p)
{
	char program[PROGRAM_MAX];

	program_of(p, program);
	text_print(text, "{\"slot\":%u,\"pid\":%d,\"program\":", p->slot,
		   (int)p->pid);
	if (strcmp(program, "?") != 0)
		json_string(text, program, strlen(program));
	else
		text_print(text, "null");
	text_print(text, ",\"alive\":%s,\"stopped\":%s", truth(p->alive),
		   truth(p->alive ? p->stopped : 0));
	if (p->role == TORC_PUBLISHER)
		text_print(text,
			   ",\"blocked\":%" PRIu64 ",\"dropped\":%" PRIu64 "}",
			   p->blocked, p->dropped);
	else
		text_print(text,
			   ",\"state\":\"%s\",\"position\":%" PRIu64
			   ",\"lag\":%" PRIu64 ",\"behind\":%" PRIu64
			   ",\"lost\":%" PRIu64 "}",
			   state_of(p), p->cursor, lag_of(topic, p), p->behind,
			   p->lost);
}

static void json_role(struct text *text, const struct stat_topic *topic,
		      enum torc_role role)
{
	const char *comma = "";

	text_print(text, ",\"%s\":[", role == TORC_PUBLISHER ? "publishers"
							     : "subscribers");
	for (int i = 0; i < topic->participants_count; i++) {
		if (topic->participants[i].role != role)
			continue;
		text_print(text, "%s", comma);
		json_participant(text, topic, &topic->participants[i]);
		comma = ",";
	}
	text_print(text, "]");
}

static void json_created(struct text *text, uint64_t created_ns)
{
	time_t seconds = (time_t)(created_ns / 1000000000u);
	char date[32];
	struct tm utc;

	if (!gmtime_r(&seconds, &utc) ||
	    !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc))
		text_print(text, ",\"created\":null");
	else
		text_print(text, ",\"created\":\"%s.%09" PRIu64 "Z\"", date,
			   created_ns % 1000000000u);
}

void stat_json(struct text *text, const struct stat_topic *topic)
{
	const struct torc_topic_info *info = &topic->info;

	text_print(text, "{\"topic\":");
	json_string(text, topic->name, strlen(topic->name));
	text_print(text, ",\"mapping\":\"%s\",\"type\":", info->mapping);
	json_string(text, info->type, strlen(info->type));
	text_print(text,
		   ",\"capacity\":%" PRIu64 ",\"message_max\":%" PRIu64
		   ",\"many\":%s,\"persistent\":%s", info->capacity,
		   info->message_max,
		   info->flags & TORC_MANY ? "true" : "false",
		   info->flags & TORC_PERSISTENT ? "true" : "false");
	json_created(text, info->created_ns);
	text_print(text,
		   ",\"messages\":%" PRIu64 ",\"oldest\":%" PRIu64
		   ",\"oldest_sequence\":%" PRIu64 ",\"tail\":%" PRIu64,
		   info->messages, info->oldest, info->oldest_sequence,
		   info->tail);
	if (topic->repaired >= 0)
		text_print(text, ",\"repaired\":%d", topic->repaired);
	if (topic->rate >= 0)
		text_print(text, ",\"rate\":%.1f", topic->rate);
	else
		text_print(text, ",\"rate\":null");
	text_print(text,
		   ",\"publisher_slots\":%u,\"subscriber_slots\":%u"
		   ",\"joined\":%" PRIu64, info->publisher_slots,
		   info->subscriber_slots, info->joined);
	json_role(text, topic, TORC_PUBLISHER);
	json_role(text, topic, TORC_SUBSCRIBER);
	text_print(text, "}\n");
}
