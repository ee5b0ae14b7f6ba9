/* SPDX-License-Identifier: MIT */
/*
 * Truncated files.
 */
#ifndef BUS_GUARD_H
#define BUS_GUARD_H

#include "internal.h"

/*
 * If what is mapped at @base is cut off, *@unusable becomes -EPROTO.  0 or -ENOMEM.
 */
int torc_guard_add(void *base, size_t size, bool writable, int *unusable);
void torc_guard_remove(void *base);

#endif /* BUS_GUARD_H */
