/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: torc-pub's standard input, as lines or frames, in pieces of any
 * size.  What it publishes is compared with a reading that is as simple as can
 * be: all of it, or up to the message that is refused.
 */
#include "script.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pub.h"

#define INPUT_MAX	4096u

static struct {
	uint8_t bytes[2 * INPUT_MAX];	/* of messages, each after its length */
	size_t used;
} sent, expected;

static void record(void *recording, const void *data, size_t length)
{
	__typeof__(sent) *to = recording;
	uint16_t size = (uint16_t)length;

	MUST(length <= INPUT_MAX &&
	     to->used + sizeof(size) + length <= sizeof(to->bytes));
	memcpy(to->bytes + to->used, &size, sizeof(size));
	if (length)
		memcpy(to->bytes + to->used + sizeof(size), data, length);
	to->used += sizeof(size) + length;
}

/* Instead of torc-pub's. */
int pub_send(struct pub *pub, const struct torc_span *spans, int count)
{
	for (int i = 0; i < count; i++) {
		MUST(spans[i].length <= pub->message_max);
		record(&sent, spans[i].data, spans[i].length);
	}
	return 0;
}

/* False if the input has to be refused. */
static bool expect_lines(const uint8_t *p, const uint8_t *end, size_t max)
{
	while (p < end) {
		const uint8_t *newline = memchr(p, '\n', (size_t)(end - p));
		size_t length = (size_t)((newline ? newline : end) - p);

		if (length > max)
			return false;
		record(&expected, p, length);
		p += length + 1;
	}
	return true;
}

static bool expect_frames(const uint8_t *p, const uint8_t *end, size_t max)
{
	while (end - p >= 4) {
		uint32_t length;

		memcpy(&length, p, 4);
		p += 4;
		if (length > max || length > (size_t)(end - p))
			return false;
		record(&expected, p, length);
		p += length;
	}
	return p == end;
}

/* Standard input becomes a socket that gives @bytes in pieces. */
static void feed(const uint8_t *bytes, size_t size, size_t piece)
{
	int pair[2];

	MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	while (size) {
		size_t n = size < piece ? size : piece;

		MUST(send(pair[1], bytes, n, 0) == (ssize_t)n);
		bytes += n;
		size -= n;
	}
	close(pair[1]);
	MUST(dup2(pair[0], STDIN_FILENO) == STDIN_FILENO);
	close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct script script = { bytes, bytes + (size < 3 ? size : 3) };
	unsigned int kind = (unsigned int)take(&script, 1);
	size_t max = take(&script, 1) * (kind & 2 ? 16 : 1);
	size_t piece = take(&script, 1) * 8 + 32;
	struct pub pub = { .message_max = max, .name = "fuzzed" };
	bool whole;

	if (size > INPUT_MAX)
		return -1;
	bytes = script.next;
	size -= size < 3 ? size : 3;
	sent.used = expected.used = 0;
	whole = kind & 1 ? expect_frames(bytes, bytes + size, max)
			 : expect_lines(bytes, bytes + size, max);
	feed(bytes, size, piece);
	if (kind & 1)
		pub_frames(&pub);
	else
		pub_lines(&pub);
	MUST(pub.status == (whole ? 0 : CLI_FAILED));
	MUST(sent.used == expected.used &&
	     !memcmp(sent.bytes, expected.bytes, sent.used));
	return 0;
}
