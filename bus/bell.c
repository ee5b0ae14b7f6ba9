/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: how a publisher wakes who sleeps in an event loop, or waits for more
 * topics than the kernel's futexes take.
 *
 * A bell is a datagram socket.  Its address follows from a random number in the
 * subscriber's slot, and from where the topic is: a file in the bus's directory,
 * which is reached from other network namespaces too; without a bus an abstract
 * name, which is not.  So who can write the cursors can have publishers ring
 * other bells of torc, and nothing else.  A publisher never waits for a bell: not
 * for its reader (a full queue is one that will be read), and not in looking for
 * the file, of which it follows no symbolic link.
 *
 * What is lost (a death on the way, a bell that cannot be reached) is made up for
 * by the sleeper's timer; see set.c.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Who may enter the bus's directory may ring. */
#define BELL_MODE	0622
/* Between its making and its being heard a bell looks like a dead one's. */
#define BELL_YOUNG_S	2

#define FILE_SIZE	24

static void bell_file(uint64_t number, char file[FILE_SIZE])
{
	snprintf(file, FILE_SIZE, ".%016llx.bell", (unsigned long long)number);
}

/* The address of a path below the descriptor @fd, or of @fd itself. */
static socklen_t path_address(struct sockaddr_un *ret, int fd, const char *file)
{
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d%s%s",
		 fd, file ? "/" : "", file ? file : "");
	return sizeof(*ret);
}

static socklen_t abstract_address(struct sockaddr_un *ret, uint64_t number)
{
	int n;

	ret->sun_family = AF_UNIX;
	ret->sun_path[0] = '\0';
	n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1,
		     "torc-%016llx", (unsigned long long)number);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)n);
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* ---- Being rung --------------------------------------------------------- */

/* A socket, for the topics of one bus or for those of none. */
struct torc_bell_socket {
	struct torc_forkable forkable;	/* fds[0] */
	struct torc_bus *bus;
	struct torc_bell_socket *next;
};

int torc_bell_init(struct torc_bell *bell)
{
	bell->sockets = NULL;
	do {
		if (getrandom(&bell->number, sizeof(bell->number), 0) !=
		    sizeof(bell->number))
			return torc_fail(-EIO, "no random numbers");
	} while (!bell->number);
	return 0;
}

static int listen_at(const struct torc_bell *bell, int fd, struct torc_bus *bus)
{
	struct sockaddr_un address;
	char file[FILE_SIZE];
	socklen_t length;

	bell_file(bell->number, file);
	length = bus ? path_address(&address, bus->fd, file)
		     : abstract_address(&address, bell->number);
	if (bind(fd, (struct sockaddr *)&address, length) ||
	    (bus && fchmodat(bus->fd, file, BELL_MODE, 0)))
		return torc_fail(-errno, "%s: cannot make a doorbell: %s",
				 bus ? bus->path : "abstract socket",
				 strerrordesc_np(errno));
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
	char file[FILE_SIZE];

	bell_file(bell->number, file);
	if (s->bus && !s->forkable.unusable)
		unlinkat(s->bus->fd, file, 0);
	torc_forkable_remove(&s->forkable);
	torc_bus_close(s->bus);
	free(s);
}

int torc_bell_hang(struct torc_bell *bell, struct torc_bus *bus, int epoll_fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct torc_bell_socket *s;
	int fd, r;

	for (s = bell->sockets; s; s = s->next)
		if (same_bus(s->bus, bus))
			return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return torc_fail(-ENOMEM, "out of memory");
	s->forkable.fds[0] = s->forkable.fds[1] = -1;
	torc_forkable_add(&s->forkable);
	torc_fork_hold();
	fd = s->forkable.fds[0] = new_socket();
	torc_fork_allow();
	s->bus = bus ? torc_bus_ref(bus) : NULL;
	r = fd < 0 ? torc_fail(fd, "cannot get a socket: %s",
			       strerrordesc_np(-fd))
		   : listen_at(bell, fd, bus);
	if (!r && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		r = torc_fail(-errno, "epoll_ctl: %s", strerrordesc_np(errno));
	if (r) {
		socket_close(bell, s);
		return r;
	}
	s->next = bell->sockets;
	bell->sockets = s;
	return 0;
}

bool torc_bell_hear(struct torc_bell *bell, uint32_t *ret_hint)
{
	for (struct torc_bell_socket *s = bell->sockets; s; s = s->next)
		if (recv(s->forkable.fds[0], ret_hint, sizeof(*ret_hint),
			 MSG_DONTWAIT) == sizeof(*ret_hint))
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

/* ---- Ringing ------------------------------------------------------------ */

/* Sockets connected to bells, by the subscribers' slots. */
struct torc_ringer {
	uint32_t count;
	struct {
		uint64_t number;	/* 0: none */
		int fd;
	} lines[];
};

static int connect_to(int fd, struct torc_bus *bus, uint64_t number)
{
	struct sockaddr_un address;
	char file[FILE_SIZE];
	struct stat st;
	int node, r = 0;

	if (!bus)
		return connect(fd, (struct sockaddr *)&address,
			       abstract_address(&address, number)) ? -errno : 0;
	/* The directory may be shared, and connect() would follow a link. */
	bell_file(number, file);
	node = openat(bus->fd, file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (node < 0)
		return -errno;
	if (fstat(node, &st) || !S_ISSOCK(st.st_mode))
		r = -ENOTSOCK;
	else if (connect(fd, (struct sockaddr *)&address,
			 path_address(&address, node, NULL)))
		r = -errno;
	close(node);
	return r;
}

static void hang_up(struct torc_ringer *ringer, uint32_t slot)
{
	if (ringer->lines[slot].number)
		close(ringer->lines[slot].fd);
	ringer->lines[slot].number = 0;
}

static int line_to(struct torc_ringer *ringer, uint32_t slot,
		   struct torc_bus *bus, uint64_t number)
{
	int r, fd;

	if (ringer->lines[slot].number == number)
		return ringer->lines[slot].fd;
	hang_up(ringer, slot);
	fd = new_socket();
	if (fd < 0)
		return fd;
	r = connect_to(fd, bus, number);
	if (r) {
		close(fd);
		return r;
	}
	ringer->lines[slot].number = number;
	ringer->lines[slot].fd = fd;
	return fd;
}

static void ring(struct torc_ringer *ringer, const struct torc_topic *topic,
		 struct torc_subscriber_slot_shm *slot, uint32_t index)
{
	uint64_t number = torc_load_relaxed(&slot->bell);
	uint32_t hint = torc_load_relaxed(&slot->bell_hint);
	int fd;

	if (!number)
		return;
	fd = line_to(ringer, index, topic->place.bus, number);
	if (fd >= 0 && send(fd, &hint, sizeof(hint),
			    MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno == ECONNREFUSED)
		hang_up(ringer, index);
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

		if (!torc_load_relaxed(&slot->bell_armed) ||
		    !torc_cas(&slot->bell_armed, 1u, 0u))
			continue;
		if (!*ringer)
			*ringer = ringer_new(of->subscribers);
		if (*ringer)
			ring(*ringer, topic, slot, i);
	}
}

struct torc_ringer *torc_ringer_free(struct torc_ringer *ringer)
{
	if (!ringer)
		return NULL;
	for (uint32_t i = 0; i < ringer->count; i++)
		hang_up(ringer, i);
	free(ringer);
	return NULL;
}

/* ---- Cleaning up after crashes ------------------------------------------ */

int torc_bell_clean(struct torc_bus *bus, const char *file)
{
	unsigned long long number;
	char same[FILE_SIZE];
	struct stat st;
	int fd, r;

	if (sscanf(file, ".%16llx.bell", &number) != 1)
		return 0;
	bell_file(number, same);
	if (strcmp(file, same) ||
	    fstatat(bus->fd, file, &st, AT_SYMLINK_NOFOLLOW) ||
	    time(NULL) - st.st_mtime < BELL_YOUNG_S)
		return 0;
	fd = new_socket();
	if (fd < 0)
		return 0;
	r = connect_to(fd, bus, number);
	close(fd);
	return r == -ECONNREFUSED && !unlinkat(bus->fd, file, 0);
}
