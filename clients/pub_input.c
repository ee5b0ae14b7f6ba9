/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: where messages come from.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "pub.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK		(64u << 10)	/* bytes read at once; a pipe has no more */
#define FRAME_HEADER	4		/* u32, little-endian */

int pub_too_long(struct pub *pub, const char *what, uint64_t length)
{
	uint64_t share = pub->topic_options.flags & TORC_MANY ? 8 : 4;
	uint64_t capacity = 1;
	char size[64] = "", human[CLI_HUMAN_MAX];

	pub->status = CLI_FAILED;
	if (length && length < UINT64_MAX / 64) {
		while (capacity < share * (length + 16))
			capacity *= 2;
		snprintf(size, sizeof(size), ", --capacity=%s or more",
			 cli_human(human, (double)capacity, 1024));
		cli_note("%s: %s has %" PRIu64 " bytes, and the topic takes "
			 "at most %zu (make it with a larger capacity%s)",
			 pub->name, what, length, pub->message_max, size);
		return -1;
	}
	cli_note("%s: %s is longer than the %zu bytes that the topic takes "
		 "(make it with a larger --capacity, over %" PRIu64 " times the "
		 "longest message)", pub->name, what, pub->message_max, share);
	return -1;
}

/* ---- Reading ------------------------------------------------------------ */

struct input {
	int fd;
	const char *name;
	char *data;
	size_t used, size;
	ev_io watcher;
	int readable;
};

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct input *input = watcher->data;

	(void)loop;
	(void)events;
	input->readable = 1;
}

static void input_open(struct input *input, struct pub *pub, int fd,
		       const char *name)
{
	struct stat st;
	off_t offset;

	*input = (struct input){ .fd = fd, .name = name };
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		offset = lseek(fd, 0, SEEK_CUR);
		if (offset >= 0 && offset < st.st_size)
			pub->input_total = (uint64_t)(st.st_size - offset);
	}
	ev_io_init(&input->watcher, on_readable, fd, EV_READ);
	input->watcher.data = input;
	ev_io_start(cli_loop(), &input->watcher);
}

static void input_close(struct input *input)
{
	ev_io_stop(cli_loop(), &input->watcher);
	free(input->data);
}

static void input_grow(struct input *input, size_t more)
{
	size_t size = input->size ? input->size : BLOCK;
	char *data;

	while (size - input->used < more) {
		if (size > SIZE_MAX / 2)
			cli_no_memory();
		size *= 2;
	}
	if (size == input->size)
		return;
	data = realloc(input->data, size);
	if (!data)
		cli_no_memory();
	input->data = data;
	input->size = size;
}

/* Append what there is, waiting for some.  1, 0 at the end, -1 to end. */
static int input_read(struct input *input, struct pub *pub)
{
	ssize_t n;

	/* Whole blocks, but for what is left of the last message. */
	if (input->size - input->used < BLOCK / 2)
		input_grow(input, BLOCK);
	for (;;) {
		input->readable = 0;
		if (cli_stopping())
			return -1;
		if (!input->readable)
			ev_run(cli_loop(), EVRUN_ONCE);
		if (!input->readable)
			continue;
		n = read(input->fd, input->data + input->used,
			 input->size - input->used);
		if (n >= 0)
			break;
		if (errno != EINTR && errno != EAGAIN) {
			cli_note("%s: %s", input->name, strerror(errno));
			pub->status = CLI_FAILED;
			return -1;
		}
	}
	input->used += (size_t)n;
	pub->input_done += (uint64_t)n;
	return n > 0;
}

/* Forget the first @length bytes. */
static void input_consume(struct input *input, size_t length)
{
	if (!length)
		return;
	input->used -= length;
	if (input->used)
		memmove(input->data, input->data + length, input->used);
}

/* ---- Messages that are found, to be sent at once ------------------------ */

struct batch {
	struct torc_span spans[PUB_SPANS_MAX];
	int count;
};

/* As pub_send(). */
static int batch_send(struct pub *pub, struct batch *batch)
{
	int count = batch->count;

	batch->count = 0;
	return pub_send(pub, batch->spans, count);
}

static int batch_add(struct pub *pub, struct batch *batch, const char *data,
		     size_t length)
{
	batch->spans[batch->count++] = (struct torc_span){ data, length };
	return batch->count == PUB_SPANS_MAX ? batch_send(pub, batch) : 0;
}

/* ---- Lines -------------------------------------------------------------- */

static int line_too_long(struct pub *pub, uint64_t line, size_t length)
{
	char what[64];

	snprintf(what, sizeof(what), "line %" PRIu64, line);
	return pub_too_long(pub, what, length);
}

/*
 * Publish the lines in the input; its first @scanned bytes have no newline.
 * *@line counts them.  Returns how many bytes they were, or -1.
 */
static ssize_t send_lines(struct pub *pub, struct input *input, size_t scanned,
			  uint64_t *line)
{
	const char *start = input->data, *from = start + scanned;
	const char *const end = start + input->used;
	struct batch batch;
	const char *newline;

	batch.count = 0;
	while (from < end && (newline = memchr(from, '\n',
					       (size_t)(end - from)))) {
		size_t length = (size_t)(newline - start);

		++*line;
		if (length > pub->message_max) {
			if (!batch_send(pub, &batch))
				line_too_long(pub, *line, length);
			return -1;
		}
		if (batch_add(pub, &batch, start, length))
			return -1;
		start = from = newline + 1;
	}
	return batch_send(pub, &batch) ? -1 : start - input->data;
}

void pub_lines(struct pub *pub)
{
	struct input input;
	size_t scanned = 0;
	uint64_t line = 0;
	ssize_t done;
	int r;

	input_open(&input, pub, STDIN_FILENO, "standard input");
	while ((r = input_read(&input, pub)) > 0) {
		done = send_lines(pub, &input, scanned, &line);
		if (done < 0)
			goto out;
		input_consume(&input, (size_t)done);
		scanned = input.used;
		/* No need to see all of it. */
		if (scanned > pub->message_max) {
			line_too_long(pub, line + 1, 0);
			goto out;
		}
	}
	/* The last line, without a newline. */
	if (!r && input.used)
		pub_send(pub, &(struct torc_span){ input.data, input.used }, 1);
out:
	input_close(&input);
}

/* ---- Frames ------------------------------------------------------------- */

static size_t frame_length(const char *data)
{
	const unsigned char *in = (const unsigned char *)data;

	return (size_t)in[0] | (size_t)in[1] << 8 | (size_t)in[2] << 16 |
	       (size_t)in[3] << 24;
}

/*
 * Publish the whole messages in the input; *@number counts them.  Returns how
 * many bytes they were, or -1.
 */
static ssize_t send_frames(struct pub *pub, struct input *input,
			   uint64_t *number)
{
	struct batch batch;
	size_t done = 0, length;
	char what[64];

	batch.count = 0;
	while (input->used - done >= FRAME_HEADER) {
		length = frame_length(input->data + done);
		if (length > pub->message_max) {
			if (batch_send(pub, &batch))
				return -1;
			snprintf(what, sizeof(what), "message %" PRIu64,
				 *number + 1);
			return pub_too_long(pub, what, length);
		}
		if (input->used - done < FRAME_HEADER + length)
			break;
		++*number;
		if (batch_add(pub, &batch, input->data + done + FRAME_HEADER,
			      length))
			return -1;
		done += FRAME_HEADER + length;
	}
	return batch_send(pub, &batch) ? -1 : (ssize_t)done;
}

void pub_frames(struct pub *pub)
{
	struct input input;
	uint64_t number = 0;
	ssize_t done;
	int r;

	input_open(&input, pub, STDIN_FILENO, "standard input");
	while ((r = input_read(&input, pub)) > 0) {
		done = send_frames(pub, &input, &number);
		if (done < 0)
			goto out;
		input_consume(&input, (size_t)done);
	}
	if (!r && input.used) {
		if (input.used < FRAME_HEADER)
			cli_note("standard input ends in the middle of the "
				 "length of message %" PRIu64 ": %zu of 4 bytes",
				 number + 1, input.used);
		else
			cli_note("standard input ends in the middle of message "
				 "%" PRIu64 ": %zu of %zu bytes", number + 1,
				 input.used - FRAME_HEADER,
				 frame_length(input.data));
		pub->status = CLI_FAILED;
	}
out:
	input_close(&input);
}

/* ---- A text, a file ----------------------------------------------------- */

void pub_text(struct pub *pub)
{
	const struct torc_span span = { pub->text, strlen(pub->text) };

	if (span.length > pub->message_max)
		pub_too_long(pub, "the message", span.length);
	else
		pub_send(pub, &span, 1);
}

void pub_file(struct pub *pub)
{
	const int is_stdin = !strcmp(pub->file, "-");
	struct input input;
	int fd, r = 1;

	fd = is_stdin ? STDIN_FILENO : open(pub->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		cli_note("%s: %s", pub->file, strerror(errno));
		pub->status = CLI_FAILED;
		return;
	}
	input_open(&input, pub, fd, is_stdin ? "standard input" : pub->file);
	if (pub->input_total > pub->message_max)
		r = pub_too_long(pub, input.name, pub->input_total);
	while (r > 0 && input.used <= pub->message_max)
		r = input_read(&input, pub);
	if (r > 0)
		pub_too_long(pub, input.name, 0);
	if (!r)
		pub_send(pub, &(struct torc_span){ input.data, input.used }, 1);
	input_close(&input);
	if (!is_stdin)
		close(fd);
}
