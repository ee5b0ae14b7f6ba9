/* SPDX-License-Identifier: MIT */
/* The fuzzer's bytes, taken one after the other; zero when they are used up. */
#ifndef TORC_TESTS_SCRIPT_H
#define TORC_TESTS_SCRIPT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct script {
	const uint8_t *next, *end;
};

static inline uint64_t take(struct script *script, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && script->next < script->end; i++)
		value |= (uint64_t)*script->next++ << 8 * i;
	return value;
}

/* What must hold whatever the memory says. */
#define MUST(condition)                                                \
	do {                                                           \
		if (!(condition)) {                                    \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				__LINE__, #condition);                 \
			abort();                                       \
		}                                                      \
	} while (0)

#endif /* TORC_TESTS_SCRIPT_H */
