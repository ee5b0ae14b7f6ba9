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
 * A bell of one subscriber alone answers the first ring with an eventfd, by which
 * that publisher rings it from then on, and reaches it sooner.  Who has an eventfd
 * can fill it and have the next writer block; so both see to it that the other is
 * one who could kill them as well: a process of the same user and PID namespace
 * (and network namespace, where the address to answer at is the publisher's).
 *
 * On the driver's topics it is the driver that rings, for processes too: one eventfd
 * serves all topics of a set, and the slots say whose bells were armed.
 *
 * What is lost (a death on the way, a bell that cannot be reached) is made up for
 * by the sleeper's timer; see set.c.
 */
#include "bell.h"
#include "mapping.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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

/* An answer is there when the bell has been armed again, or never comes. */
#define ANSWER_RINGS	3

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

/* ---- From an eventfd's owner to who rings it ---------------------------- */

union control {
	struct cmsghdr header;
	char credentials[CMSG_SPACE(sizeof(struct ucred))];
	char all[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
};

/*
 * Is the next datagram from one who could kill us?  A descriptor that comes with it
 * must not become ours before: even closing a strange one can block.
 */
static bool next_is_of_equal(int fd)
{
	union control control;
	struct msghdr datagram = { .msg_control = &control,
				   .msg_controllen =
					   sizeof(control.credentials) };
	struct cmsghdr *header;
	struct ucred sender;

	if (recvmsg(fd, &datagram, MSG_PEEK | MSG_DONTWAIT) < 0)
		return false;
	header = CMSG_FIRSTHDR(&datagram);
	if (!header || header->cmsg_type != SCM_CREDENTIALS)
		return false;
	memcpy(&sender, CMSG_DATA(header), sizeof(sender));
	return sender.uid == getuid() && torc_process_beside(sender.pid);
}

static void send_descriptor(int socket, int fd, struct sockaddr_un *to,
			    socklen_t to_length)
{
	union control control = { .all = { 0 } };
	struct msghdr datagram = { .msg_name = to, .msg_namelen = to_length,
				   .msg_control = &control,
				   .msg_controllen = CMSG_SPACE(sizeof(fd)) };

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	sendmsg(socket, &datagram, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The descriptor in the next datagram, which is of an equal; -1 if none is. */
static int receive_descriptor(int socket)
{
	union control control;
	struct msghdr datagram = { .msg_control = &control,
				   .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(socket, &datagram, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&datagram); header;
	     header = CMSG_NXTHDR(&datagram, header))
		if (header->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static bool is_eventfd(int fd)
{
	static const char is[] = "anon_inode:[eventfd]";
	char path[32], target[sizeof(is)];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target)) == sizeof(is) - 1 &&
	       !memcmp(target, is, sizeof(is) - 1);
}

static void want_credentials(int socket)
{
	const int yes = 1;

	/* This also gives a socket that calls an address to be answered at. */
	setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
}

/* ---- Being rung --------------------------------------------------------- */

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

static struct torc_bell_socket *socket_new(struct torc_bus *bus)
{
	struct torc_bell_socket *s = calloc(1, sizeof(*s));

	if (!s) {
		torc_fail(-ENOMEM, "out of memory");
		return NULL;
	}
	s->forkable.fds[0] = s->forkable.fds[1] = -1;
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
	fd = s->forkable.fds[0] = new_socket();
	torc_fork_allow();
	r = fd < 0 ? torc_fail(fd, "cannot get a socket: %s",
			       strerrordesc_np(-fd))
		   : listen_at(bell, fd, bus);
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
		want_credentials(s->forkable.fds[0]);
	s->next = bell->sockets;
	bell->sockets = s;
	return 0;
}

int torc_bell_wire(struct torc_bell *bell, const struct torc_seat *seat,
		   int epoll_fd)
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
	seat->topic->mapping->ring(seat->subscription, s->forkable.fds[1]);
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
	answer = next_is_of_equal(fds[0]);
	if (recvfrom(fds[0], &(uint32_t){ 0 }, sizeof(uint32_t), MSG_DONTWAIT,
		     (struct sockaddr *)&from, &length) < 0)
		return false;
	if (answer && length > sizeof(from.sun_family))
		send_descriptor(fds[0], fds[1], &from, length);
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

/* ---- Ringing ------------------------------------------------------------ */

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
	fd = new_socket();
	if (fd < 0)
		return fd;
	want_credentials(fd);
	r = connect_to(fd, bus, number);
	if (r) {
		close(fd);
		return r;
	}
	*line = (struct line){ .number = number, .fd = fd };
	return 0;
}

/* Has the bell told us of its eventfd? */
static void look_for_answer(struct line *line)
{
	int fd;

	if (!next_is_of_equal(line->fd))
		return;
	fd = receive_descriptor(line->fd);
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

		if (!torc_load_relaxed(&slot->bell_armed) ||
		    !torc_cas(&slot->bell_armed, 1u, 0u))
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
