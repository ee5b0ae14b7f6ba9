/* SPDX-License-Identifier: MIT */
/*
 * Memory that lies: a load of a word that is shared (hostile_atomic.h) finds what is
 * not there.
 */
#ifndef TORC_TESTS_LIAR_H
#define TORC_TESTS_LIAR_H

#include <stddef.h>
#include <stdint.h>

#define CAPACITY	4096u	/* of the rings that it lies about */

/* The ways to: what is found, and when again. */
#define LIES	24u

/* From now on the load @at, the first being 1, lies in the way @which; 0: none does. */
void lies_begin(uint64_t at, unsigned int which);
/* Only the truth again; how many loads there were. */
uint64_t lies_end(void);

/* What is mapped, and shared. */
struct region {
	unsigned char *base;
	size_t size;
};

/* Where @at is; or NULL. */
struct region *region_of(const volatile void *at);

#endif /* TORC_TESTS_LIAR_H */
