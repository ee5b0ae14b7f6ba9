/* SPDX-License-Identifier: MIT */
/*
 * Doorbells, to be heard.
 */
#ifndef BUS_BELL_H
#define BUS_BELL_H

#include "mapping.h"

struct torc_bell {
	uint64_t number;
	bool alone;	/* of one subscriber: hints say nothing */
	struct torc_bell_socket *sockets;
};

int torc_bell_init(struct torc_bell *bell, bool alone);
void torc_bell_fini(struct torc_bell *bell);
/*
 * Let publishers of the topics on @bus, or of those on none, reach it: the
 * instance @epoll_fd becomes readable.
 */
int torc_bell_hang(struct torc_bell *bell, struct torc_bus *bus, int epoll_fd);
/* The same for a topic whose mapping rings, and a subscription to it. */
int torc_bell_wire(struct torc_bell *bell, const struct torc_topic *topic,
		   int subscription, int epoll_fd);
/* A ring that says only that some armed bell is not armed any more. */
#define TORC_RING_UNNAMED UINT32_MAX
/* What the next ring said; false if there is none. */
bool torc_bell_hear(struct torc_bell *bell, uint32_t *ret_hint);

/* Remove @file if it is a bell that nobody hears; 1 if so. */
int torc_bell_clean(struct torc_bus *bus, const char *file);

#endif /* BUS_BELL_H */
