/* SPDX-License-Identifier: MIT */
/*
 * What is asked of mapped memory.
 */
#ifndef BUS_MEMORY_H
#define BUS_MEMORY_H

#include "mapping.h"

/* Bytes of a page of the pool of huge pages. */
uint64_t torc_huge_page(void);
/* Do to @view what topic->memory says. */
int torc_memory_apply(struct torc_topic *topic, enum torc_access access,
		      const struct torc_view *view);
/* What of it was got. */
unsigned int torc_memory_got(const struct torc_topic *topic);

#endif /* BUS_MEMORY_H */
