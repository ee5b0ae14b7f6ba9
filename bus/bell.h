/* SPDX-License-Identifier: MIT */
/*
 * Doorbells.
 */
#ifndef BUS_BELL_H
#define BUS_BELL_H

#include "seat.h"

struct torc_ringer;

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
/* The same for a topic whose mapping rings. */
int torc_bell_wire(struct torc_bell *bell, const struct torc_seat *seat,
		   int epoll_fd);
/* A ring that says only that some armed bell is not armed any more. */
#define TORC_RING_UNNAMED UINT32_MAX
/* What the next ring said; false if there is none. */
bool torc_bell_hear(struct torc_bell *bell, uint32_t *ret_hint);

/*
 * Ring the armed bells of the subscribers of @of, the ring of @topic.  @ringer
 * keeps what that needs, and is NULL at first.
 */
void torc_bells_ring(struct torc_ringer **ringer,
		     const struct torc_topic *topic,
		     const struct torc_ring *of);
struct torc_ringer *torc_ringer_free(struct torc_ringer *ringer);

/* Remove @file if it is a bell that nobody hears; 1 if so. */
int torc_bell_clean(struct torc_bus *bus, const char *file);

#endif /* BUS_BELL_H */
