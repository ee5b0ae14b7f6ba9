/* SPDX-License-Identifier: MIT */
/*
 * torc-sub: formats messages, and writes them to standard output.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "sub.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void sub_time(char time[SUB_TIME_MAX])
{
	struct timespec now;
	struct tm utc;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	used = strftime(time, SUB_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(time + used, SUB_TIME_MAX - used, ".%09ldZ", now.tv_nsec);
}

void sub_print(struct sub *sub, const struct sub_topic *topic,
	       const struct torc_message *message, const char *time)
{
	struct text *out = &sub->out;
	size_t length = message->length;
	unsigned char frame[4];
	char *line;

	switch (sub->format) {
	case SUB_LINES:
		line = text_reserve(out, length + 1);
		if (length)
			memcpy(line, message->data, length);
		line[length] = '\n';
		out->used += length + 1;
		break;
	case SUB_FRAMED:
		for (int i = 0; i < 4; i++)
			frame[i] = (unsigned char)(length >> (8 * i));
		text_add(out, frame, sizeof(frame));
		text_add(out, message->data, length);
		break;
	case SUB_HEX:
		text_hex(out, message->data, length);
		text_add(out, "\n", 1);
		break;
	case SUB_JSON:
		json_message(out, torc_topic_name(topic->topic), message, time);
		break;
	}
}

static int write_failed(struct sub *sub, int error)
{
	cli_note("standard output: %s", strerror(error));
	sub->write_error = 1;
	sub->status = CLI_FAILED;
	return -1;
}

int sub_flush(struct sub *sub)
{
	struct pollfd output = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t done = 0;
	ssize_t n;

	if (sub->write_error)
		return -1;
	while (done < sub->out.used) {
		n = write(STDOUT_FILENO, sub->out.data + done,
			  sub->out.used - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&output, 1, (int)(CLI_TICK / 1000000));
		} else if (errno != EINTR) {
			return write_failed(sub, errno);
		}
		if (done < sub->out.used && cli_stopping()) {
			cli_note("stopped while standard output took nothing: "
				 "%zu bytes not written", sub->out.used - done);
			sub->write_error = 1;
			return -1;
		}
	}
	sub->out.used = 0;
	return 0;
}

int sub_check_reader(struct sub *sub)
{
	struct pollfd output = { .fd = STDOUT_FILENO };

	if (poll(&output, 1, 0) > 0 && output.revents & POLLERR)
		return write_failed(sub, EPIPE);
	return 0;
}
