/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * A message, as it is handed to the ring and as it comes out of it.
 */
#ifndef TORC_MESSAGE_H
#define TORC_MESSAGE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

/* A message to be published. */
struct torc_span {
	const void *data;
	size_t length;		/* bytes */
};

/* A message in the ring, or a copy of it. */
struct torc_message {
	const void *data;	/* 8-byte aligned if in the ring */
	size_t length;		/* bytes */
	uint64_t position;	/* of its record */
	uint64_t sequence;	/* messages before it since the ring was made */
	uint32_t publisher;	/* slot */
	uint32_t reserved;
};

#endif /* TORC_MESSAGE_H */
