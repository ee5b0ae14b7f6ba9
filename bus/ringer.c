/* SPDX-License-Identifier: MIT */
/*
 * Ringing doorbells (bell.c).  A publisher never waits for one: not for its
 * reader, as a full queue is one that will be read, and not in looking for it.
 */
#include "ringer.h"

#include "bell_arm.h"
#include "bell_socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An answer is there when the bell has been armed again, or never comes. */
#define ANSWER_RINGS	3

/* To a bell. */
struct line {
	uint64_t number;	/* the bell's; 0: none */
	int fd;			/* a socket connected to it, or its eventfd */
	bool direct;		/* the latter */
	unsigned int rings;	/* while we may be told of that */
};

/* By the subscribers' slots. */
struct torc_ringer {
	uint32_t count;
	struct line lines[];
};

static void hang_up(struct line *line)
{
	if (line->number)
		close(line->fd);
	line->number = 0;
}

static int call(struct line *line, struct torc_bus *bus, uint64_t number)
{
	int r, fd;

	if (line->number == number)
		return 0;
	hang_up(line);
	fd = torc_bell_socket();
	if (fd < 0)
		return fd;
	torc_bell_want_credentials(fd);
	r = torc_bell_connect(fd, bus, number);
	if (r) {
		close(fd);
		return r;
	}
	*line = (struct line){ .number = number, .fd = fd };
	return 0;
}

static bool is_eventfd(int fd)
{
	static const char is[] = "anon_inode:[eventfd]";
	char path[32], target[sizeof(is)];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target)) == sizeof(is) - 1 &&
	       !memcmp(target, is, sizeof(is) - 1);
}

/* Has the bell told us of its eventfd? */
static void look_for_answer(struct line *line)
{
	int fd;

	if (!torc_bell_from_equal(line->fd))
		return;
	fd = torc_bell_receive(line->fd);
	if (fd >= 0 && is_eventfd(fd)) {
		close(line->fd);
		line->fd = fd;
		line->direct = true;
	} else if (fd >= 0) {
		close(fd);
	}
}

static void ring(struct line *line, struct torc_bus *bus,
		 struct torc_subscriber_slot_shm *slot)
{
	uint64_t number = torc_load_relaxed(&slot->bell);
	uint32_t hint = torc_load_relaxed(&slot->bell_hint);

	if (!number || call(line, bus, number))
		return;
	if (!line->direct && line->rings && line->rings < ANSWER_RINGS)
		look_for_answer(line);
	line->rings++;
	if (line->direct)
		/* If it is full it is readable. */
		eventfd_write(line->fd, 1);
	else if (send(line->fd, &hint, sizeof(hint),
		      MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
		hang_up(line);
}

static struct torc_ringer *ringer_new(uint32_t count)
{
	struct torc_ringer *ringer;

	ringer = calloc(1, sizeof(*ringer) + count * sizeof(ringer->lines[0]));
	if (ringer)
		ringer->count = count;
	return ringer;
}

void torc_bells_ring(struct torc_ringer **ringer,
		     const struct torc_topic *topic,
		     const struct torc_ring *of)
{
	uint32_t bells = torc_load_relaxed(&of->cursors->bells);

	if (bells > of->subscribers)
		bells = of->subscribers;
	for (uint32_t i = 0; i < bells; i++) {
		struct torc_subscriber_slot_shm *slot =
			torc_subscriber_slot(of, i);

		if (!torc_bell_disarm(slot))
			continue;
		if (!*ringer)
			*ringer = ringer_new(of->subscribers);
		if (*ringer)
			ring(&(*ringer)->lines[i], topic->place.bus, slot);
	}
}

struct torc_ringer *torc_ringer_free(struct torc_ringer *ringer)
{
	if (!ringer)
		return NULL;
	for (uint32_t i = 0; i < ringer->count; i++)
		hang_up(&ringer->lines[i]);
	free(ringer);
	return NULL;
}
