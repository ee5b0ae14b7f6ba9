/* SPDX-License-Identifier: MIT */
/*
 * The sockets of doorbells: their addresses, and handing an eventfd from one to
 * the other.
 *
 * A bell's address follows from its number, and from where the topic is: a file in
 * the bus's directory, which is reached from other network namespaces too; without
 * a bus an abstract name, which is not.  So who can write the cursors can have
 * publishers ring other bells of torc, and nothing else.  In looking for the file
 * a publisher follows no symbolic link.
 *
 * Who has an eventfd can fill it and have the next writer block; so both see to it
 * that the other is one who could kill them as well: a process of the same user and
 * PID namespace (and network namespace, where the address to answer at is the
 * publisher's).
 */
#include "bell_socket.h"

#include "process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who may enter the bus's directory may ring. */
#define BELL_MODE	0622

void torc_bell_file(uint64_t number, char file[TORC_BELL_FILE])
{
	snprintf(file, TORC_BELL_FILE, ".%016llx.bell",
		 (unsigned long long)number);
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

int torc_bell_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int torc_bell_bind(int fd, struct torc_bus *bus, uint64_t number)
{
	struct sockaddr_un address;
	char file[TORC_BELL_FILE];
	socklen_t length;

	torc_bell_file(number, file);
	length = bus ? path_address(&address, bus->fd, file)
		     : abstract_address(&address, number);
	if (bind(fd, (struct sockaddr *)&address, length) ||
	    (bus && fchmodat(bus->fd, file, BELL_MODE, 0)))
		return torc_fail(-errno, "%s: cannot make a doorbell: %s",
				 bus ? bus->path : "abstract socket",
				 strerrordesc_np(errno));
	return 0;
}

int torc_bell_connect(int fd, struct torc_bus *bus, uint64_t number)
{
	struct sockaddr_un address;
	char file[TORC_BELL_FILE];
	struct stat st;
	int node, r = 0;

	if (!bus)
		return connect(fd, (struct sockaddr *)&address,
			       abstract_address(&address, number)) ? -errno : 0;
	/* The directory may be shared, and connect() would follow a link. */
	torc_bell_file(number, file);
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

void torc_bell_want_credentials(int socket)
{
	const int yes = 1;

	/* This also gives a socket that calls an address to be answered at. */
	setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
}

/* ---- From an eventfd's owner to who rings it ---------------------------- */

union control {
	struct cmsghdr header;
	char credentials[CMSG_SPACE(sizeof(struct ucred))];
	char all[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
};

bool torc_bell_from_equal(int fd)
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

void torc_bell_send(int socket, int fd, struct sockaddr_un *to,
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

int torc_bell_receive(int socket)
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
