/* SPDX-License-Identifier: MIT */
/*
 * Truncated files.
 */
#ifndef BUS_GUARD_H
#define BUS_GUARD_H

#include "internal.h"

/* The cursors were cut off, which the ring may survive. */
#define TORC_CURSORS_CUT (-ENODATA)

/*
 * If what is mapped at @base is cut off, *@unusable becomes @error: -EPROTO, or if it
 * was 0, TORC_CURSORS_CUT.  0 or -ENOMEM.
 */
int torc_guard_add(void *base, size_t size, bool writable, int error,
		   int *unusable);
void torc_guard_remove(void *base);

#endif /* BUS_GUARD_H */
