/* SPDX-License-Identifier: MIT */
/*
 * Topics, opened and mapped.
 */
#ifndef BUS_TOPIC_H
#define BUS_TOPIC_H

#include "mapping.h"

struct torc_topic *torc_topic_ref(struct torc_topic *topic);
struct torc_topic *torc_topic_unref(struct torc_topic *topic);

/* Remove the topic at @place by its mapping; -errno, as that's remove() does. */
int torc_topic_remove(const struct torc_mapping *mapping,
		      const struct torc_place *place, const char *rest,
		      unsigned int flags);

/* @unusable: of the handle whose the view is. */
int torc_topic_map(struct torc_topic *topic, enum torc_access access,
		   int *unusable, struct torc_view *ret_view);
/* The same without taking part. */
int torc_topic_attach(struct torc_topic *topic, enum torc_access access,
		      int *unusable, struct torc_view *ret_view);
/*
 * Map the cursors of @view, a publisher's, anew, which were cut off.  Those whose
 * slots were there are evicted.
 */
int torc_topic_restore_cursors(struct torc_topic *topic,
			       struct torc_view *view);
void torc_topic_unmap(struct torc_topic *topic, struct torc_view *view);

#endif /* BUS_TOPIC_H */
