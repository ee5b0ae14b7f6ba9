/* SPDX-License-Identifier: MIT */
/*
 * The sockets of doorbells.
 */
#ifndef BUS_BELL_SOCKET_H
#define BUS_BELL_SOCKET_H

#include "bus.h"

#include <sys/socket.h>
#include <sys/un.h>

/* The name of a bell's file on a bus. */
#define TORC_BELL_FILE 24
void torc_bell_file(uint64_t number, char file[TORC_BELL_FILE]);

/* A socket for datagrams, which does not block; or -errno. */
int torc_bell_socket(void);
/* Let @fd be reached as the bell of that number on @bus, or on none; -errno, told. */
int torc_bell_bind(int fd, struct torc_bus *bus, uint64_t number);
/* Let what @fd sends go there; -ECONNREFUSED if nobody hears it, or -errno. */
int torc_bell_connect(int fd, struct torc_bus *bus, uint64_t number);

/* From now on what arrives at @fd says of whom it is. */
void torc_bell_want_credentials(int fd);
/*
 * Is the next datagram from one who could kill us?  A descriptor that comes with it
 * must not become ours before: even closing a strange one can block.
 */
bool torc_bell_from_equal(int fd);

void torc_bell_send(int socket, int fd, struct sockaddr_un *to,
		    socklen_t to_length);
/* The descriptor in the next datagram, which is of an equal; -1 if none is. */
int torc_bell_receive(int socket);

#endif /* BUS_BELL_SOCKET_H */
