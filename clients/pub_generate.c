/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: messages that are made up.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "pub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS		26
#define DIGITS		20	/* of a message's number */
#define GENERATE_BYTES	(256u << 10)

/*
 * Message k: its number, 20 digits; then the alphabet over and over, beginning
 * with letter k modulo 26.  A shorter one has the number's last digits.
 * @alphabet: long enough, beginning with "a".
 */
static void generate(char *data, size_t size, uint64_t k, const char *alphabet)
{
	char digits[DIGITS + 1];

	snprintf(digits, sizeof(digits), "%020" PRIu64, k);
	if (size <= DIGITS) {
		memcpy(data, digits + DIGITS - size, size);
		return;
	}
	memcpy(data, digits, DIGITS);
	memcpy(data + DIGITS, alphabet + k % LETTERS, size - DIGITS);
}

/* How many are due now; sleeps while none is. */
static uint64_t due(struct pub *pub, uint64_t max)
{
	double elapsed, target;
	uint64_t left;

	if (!pub->rate)
		return max;
	while (!cli_stopping()) {
		elapsed = (double)(cli_now() - pub->started_ns) / 1e9;
		target = elapsed * (double)pub->rate + 1;
		if (target > (double)pub->messages + 1e-9 &&
		    (uint64_t)target > pub->messages) {
			left = (uint64_t)target - pub->messages;
			return left < max ? left : max;
		}
		cli_sleep((int64_t)(((double)pub->messages /
				     (double)pub->rate - elapsed) * 1e9));
	}
	return 0;
}

static char *make_alphabet(size_t size)
{
	char *alphabet = malloc(size + LETTERS);

	if (!alphabet)
		cli_no_memory();
	for (size_t i = 0; i < size + LETTERS; i++)
		alphabet[i] = (char)('a' + i % LETTERS);
	return alphabet;
}

void pub_generate(struct pub *pub)
{
	const size_t size = pub->size;
	struct torc_span spans[PUB_SPANS_MAX];
	char *alphabet, *data;
	uint64_t max, n;

	if (pub->size > pub->message_max) {
		pub_too_long(pub, "a message of --size", pub->size);
		return;
	}
	max = size < GENERATE_BYTES / PUB_SPANS_MAX ? PUB_SPANS_MAX :
	      GENERATE_BYTES / size + 1;
	alphabet = make_alphabet(size);
	data = malloc(max * size + 1);
	if (!data)
		cli_no_memory();
	if (pub->count != UINT64_MAX)
		pub->input_total = pub->count;

	while (pub->messages < pub->count && !cli_stopping()) {
		n = pub->count - pub->messages;
		n = due(pub, n < max ? n : max);
		for (uint64_t i = 0; i < n; i++) {
			generate(data + i * size, size, pub->messages + i,
				 alphabet);
			spans[i] = (struct torc_span){ data + i * size, size };
		}
		if (pub_send(pub, spans, (int)n))
			break;
		pub->input_done = pub->messages;
	}
	free(data);
	free(alphabet);
}
