/* SPDX-License-Identifier: MIT */
/*
 * Making topics on a disk anew.
 */
#ifndef BUS_RENEW_H
#define BUS_RENEW_H

#include "mapping.h"

#include <sys/stat.h>

/*
 * Put the intact messages of @topic, whose file is @st, into a new ring of its
 * name, owner, group and mode, of @capacity bytes, no less than before.
 */
int torc_renew(struct torc_topic *topic, const struct stat *st,
	       uint64_t capacity);

#endif /* BUS_RENEW_H */
