/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: how a publisher wakes who sleeps in an event loop, or waits for more
 * topics than the kernel's futexes take.  Here is who is rung; ringer.c rings.
 *
 * A bell is a datagram socket, whose address follows from a random number in the
 * subscriber's slot (bell_socket.c).
 *
 * A bell of one subscriber alone answers the first ring with an eventfd, by which
 * that publisher rings it from then on, and reaches it sooner.
 *
 * On the driver's topics it is the driver that rings, for processes too: one eventfd
 * serves all topics of a set, and the slots say whose bells were armed.
 *
 * What is lost (a death on the way, a bell that cannot be reached) is made up for
 * by the sleeper's timer; see set.c.
 */
#include "bell.h"

#include "bell_socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Between its making and its being heard a bell looks like a dead one's. */
#define BELL_YOUNG_S	2

/* A socket, for the topics of one bus or for those of none; or the driver's. */
struct torc_bell_socket {
	struct torc_forkable forkable;	/* fds: it, its eventfd; either may be -1 */
	struct torc_bus *bus;
	struct torc_bell_socket *next;
};

int torc_bell_init(struct torc_bell *bell, bool alone)
{
	bell->sockets = NULL;
	bell->alone = alone;
	do {
		if (getrandom(&bell->number, sizeof(bell->number), 0) !=
		    sizeof(bell->number))
			return torc_fail(-EIO, "no random numbers");
	} while (!bell->number);
	return 0;
}

static bool same_bus(const struct torc_bus *a, const struct torc_bus *b)
{
	struct stat sa, sb;

	if (a == b || !a || !b)
		return a == b;
	return !fstat(a->fd, &sa) && !fstat(b->fd, &sb) &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static void socket_close(const struct torc_bell *bell,
			 struct torc_bell_socket *s)
{
	char file[TORC_BELL_FILE];

	torc_bell_file(bell->number, file);
	if (s->bus && !s->forkable.unusable)
		unlinkat(s->bus->fd, file, 0);
	torc_forkable_remove(&s->forkable);
	torc_bus_close(s->bus);
	free(s);
}

static struct torc_bell_socket *socket_new(struct torc_bus *bus)
{
	struct torc_bell_socket *s = calloc(1, sizeof(*s));

	if (!s) {
		torc_fail(-ENOMEM, "out of memory");
		return NULL;
	}
	torc_forkable_add(&s->forkable);
	s->bus = bus ? torc_bus_ref(bus) : NULL;
	return s;
}

static void add_eventfd(struct torc_bell_socket *s, int epoll_fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int *fd = &s->forkable.fds[1];

	torc_fork_hold();
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, *fd, &event)) {
		close(*fd);
		*fd = -1;
	}
	torc_fork_allow();
}

static bool is_drivers(const struct torc_bell_socket *s)
{
	return s->forkable.fds[0] < 0;
}

int torc_bell_hang(struct torc_bell *bell, struct torc_bus *bus, int epoll_fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct torc_bell_socket *s;
	int fd, r;

	for (s = bell->sockets; s; s = s->next)
		if (!is_drivers(s) && same_bus(s->bus, bus))
			return 0;
	s = socket_new(bus);
	if (!s)
		return -ENOMEM;
	torc_fork_hold();
	fd = s->forkable.fds[0] = torc_bell_socket();
	torc_fork_allow();
	r = fd < 0 ? torc_fail(fd, "cannot get a socket: %s",
			       strerrordesc_np(-fd))
		   : torc_bell_bind(fd, bus, bell->number);
	if (!r && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		r = torc_fail(-errno, "epoll_ctl: %s", strerrordesc_np(errno));
	if (r) {
		socket_close(bell, s);
		return r;
	}
	/* Without an eventfd datagrams do. */
	if (bell->alone)
		add_eventfd(s, epoll_fd);
	if (s->forkable.fds[1] >= 0)
		torc_bell_want_credentials(s->forkable.fds[0]);
	s->next = bell->sockets;
	bell->sockets = s;
	return 0;
}

int torc_bell_wire(struct torc_bell *bell, const struct torc_topic *topic,
		   int subscription, int epoll_fd)
{
	struct torc_bell_socket *s = bell->sockets;

	while (s && !is_drivers(s))
		s = s->next;
	if (!s) {
		s = socket_new(NULL);
		if (!s)
			return -ENOMEM;
		add_eventfd(s, epoll_fd);
		s->next = bell->sockets;
		bell->sockets = s;
	}
	/* Where that is refused, the set's timer has to do. */
	topic->mapping->ring(subscription, s->forkable.fds[1]);
	return 0;
}

static bool hear_driver(const struct torc_bell_socket *s, uint32_t *ret_hint)
{
	uint64_t rings;

	*ret_hint = TORC_RING_UNNAMED;
	return read(s->forkable.fds[1], &rings, sizeof(rings)) == sizeof(rings);
}

/* Was it rung?  The first time by this publisher, tell it of the eventfd. */
static bool hear_alone(const struct torc_bell_socket *s)
{
	const int *fds = s->forkable.fds;
	struct sockaddr_un from;
	socklen_t length = sizeof(from);
	uint64_t rings;
	bool answer;

	if (read(fds[1], &rings, sizeof(rings)) == sizeof(rings))
		return true;
	answer = torc_bell_from_equal(fds[0]);
	if (recvfrom(fds[0], &(uint32_t){ 0 }, sizeof(uint32_t), MSG_DONTWAIT,
		     (struct sockaddr *)&from, &length) < 0)
		return false;
	if (answer && length > sizeof(from.sun_family))
		torc_bell_send(fds[0], fds[1], &from, length);
	return true;
}

static bool hear_one_of_many(const struct torc_bell_socket *s,
			     uint32_t *ret_hint)
{
	return recv(s->forkable.fds[0], ret_hint, sizeof(*ret_hint),
		    MSG_DONTWAIT) == sizeof(*ret_hint);
}

static bool hear(const struct torc_bell_socket *s, uint32_t *ret_hint)
{
	if (is_drivers(s))
		return hear_driver(s, ret_hint);
	return s->forkable.fds[1] >= 0 ? hear_alone(s)
				       : hear_one_of_many(s, ret_hint);
}

bool torc_bell_hear(struct torc_bell *bell, uint32_t *ret_hint)
{
	for (struct torc_bell_socket *s = bell->sockets; s; s = s->next)
		if (hear(s, ret_hint))
			return true;
	return false;
}

void torc_bell_fini(struct torc_bell *bell)
{
	struct torc_bell_socket *s, *next;

	for (s = bell->sockets; s; s = next) {
		next = s->next;
		socket_close(bell, s);
	}
	bell->sockets = NULL;
}

/* ---- Cleaning up after crashes ------------------------------------------ */

int torc_bell_clean(struct torc_bus *bus, const char *file)
{
	unsigned long long number;
	char same[TORC_BELL_FILE];
	struct stat st;
	time_t age_s;
	int fd, r;

	if (sscanf(file, ".%16llx.bell", &number) != 1)
		return 0;
	torc_bell_file(number, same);
	if (strcmp(file, same) ||
	    fstatat(bus->fd, file, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	/* One of the future was made before the clock was set back. */
	age_s = time(NULL) - st.st_mtime;
	if (age_s >= 0 && age_s < BELL_YOUNG_S)
		return 0;
	fd = torc_bell_socket();
	if (fd < 0)
		return 0;
	r = torc_bell_connect(fd, bus, number);
	close(fd);
	return r == -ECONNREFUSED && !unlinkat(bus->fd, file, 0);
}
