/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * How processes talk to the driver, torc.ko.
 *
 *	/dev/torc/control	makes and removes topics
 *	/dev/torc/NAME		a topic; "/" in a name makes folders
 *
 * mmap() of a topic's node: the ring object at offset 0, the cursors object at
 * constants.ring_size, both as abi.h has them, a page for each subscriber's slot.
 * Mappings are MAP_SHARED and never executable; what was mapped read-only stays so.
 *
 *	what			may be mapped writable by
 *	constants		nobody
 *	publishers, records	who opened the node for writing, if processes publish
 *	cursors			the same; and of a subscription (below) the page of
 *				the wait words and that of its slot
 *
 * read() copies the next message out, write() publishes one, poll() tells of
 * messages; see torc(4).
 */
#ifndef TORC_DRIVER_H
#define TORC_DRIVER_H

#ifdef __KERNEL__
#include <linux/ioctl.h>
#include <linux/types.h>
#else
#include <stdint.h>
#include <sys/ioctl.h>
#endif

#include <torc/abi.h>

#define TORC_DRIVER_FOLDER	"/dev/torc/"
#define TORC_DRIVER_CONTROL	"/dev/torc/control"
#define TORC_DRIVER_NAME_MAX	128u	/* bytes, the final NUL included */

/* What holds the bytes of a topic. */
enum torc_driver_memory {
	TORC_PAGES_SHMEM,	/* pages of the kernel's tmpfs: the default */
	TORC_PAGES_CONTIG,	/* one contiguous buffer, mapped at once */
	TORC_PAGES_FAULT,	/* single pages, mapped as they are touched */
	TORC_PAGES_USER,	/* of the caller, who is the only one to have it */
};

/* How processors cache a contiguous buffer. */
enum torc_driver_cache {
	TORC_CACHE_WB,		/* write-back */
	TORC_CACHE_WC,		/* write-combining */
	TORC_CACHE_UC,		/* not at all */
};

#define TORC_DRIVER_PERSISTENT	1u	/* stays when nobody has it open */
#define TORC_DRIVER_PUBLISHES	2u	/* the driver does, write() too; processes
					   map nothing of the ring writable */
#define TORC_DRIVER_MANY	4u	/* many publishers, drivers among them */

struct torc_driver_create {
	char name[TORC_DRIVER_NAME_MAX];
	char type[TORC_TYPE_MAX];
	torc_u64 capacity;	/* bytes; rounded up to a power of two */
	uint32_t flags;		/* TORC_DRIVER_* */
	uint32_t memory;	/* enum torc_driver_memory */
	uint32_t cache;		/* enum torc_driver_cache */
	uint32_t mode;		/* of the node; it belongs to the caller */
	uint32_t publishers;	/* slots; 0: the default */
	uint32_t subscribers;	/* slots; 0: the default */
	torc_u64 address;	/* USER: where it begins, and */
	torc_u64 size;		/* its bytes; whole pages */
	torc_u64 reserved[6];	/* zero */
};

struct torc_driver_name {
	char name[TORC_DRIVER_NAME_MAX];
};

/*
 * TORC_PAGES_USER: the driver publishes into memory of the process that makes the
 * topic (TORC_DRIVER_PUBLISHES, not PERSISTENT): private or shared anonymous memory
 * or tmpfs, writable, which counts against RLIMIT_MEMLOCK.  All that was there is
 * overwritten.  With capacity 0 the ring is the largest that fits.  The ring object
 * is at the address, the cursors object constants.ring_size further; the node
 * cannot be mapped.  The memory stays pinned until nobody has the topic open.  After
 * munmap(), MADV_DONTNEED or fork() in the child, what is seen at the address is no
 * longer what the driver writes.
 */

/* A subscription: a descriptor to map and to wait with; its close() ends it. */
struct torc_driver_subscribe {
	uint32_t slot;		/* told: of the subscriber, never 0 */
	int32_t fd;		/* told */
	torc_u64 reserved[2];	/* zero */
};

enum torc_driver_word { TORC_WORD_DATA, TORC_WORD_ROOM };

/* As a futex does: sleep while the word holds the value. */
struct torc_driver_wait {
	uint32_t word;		/* enum torc_driver_word */
	uint32_t value;
	torc_u64 timeout_ns;
	torc_u64 reserved[2];	/* zero */
};

/*
 * On control.  -EEXIST, -EINVAL, -ENOMEM, -ENOSPC (too many topics, or a ring of
 * this capacity does not fit into the memory of the caller), -E2BIG (more memory
 * than a topic of the caller may take), -EDQUOT (than all of its user's may, or more
 * topics), -EFAULT (memory that cannot be pinned).  What was made stays at least until
 * this description of control is closed, which makes no more than one.
 */
#define TORC_IOC_CREATE		_IOW('T', 0xc0, struct torc_driver_create)
/* -ENOENT, -EPERM (neither its owner nor CAP_SYS_ADMIN).  Whoever has it open goes on. */
#define TORC_IOC_REMOVE		_IOW('T', 0xc1, struct torc_driver_name)

/* On a topic's node.  -EUSERS: no slot is free. */
#define TORC_IOC_SUBSCRIBE	_IOWR('T', 0xc2, struct torc_driver_subscribe)
/* On a node or a subscription.  0; -EAGAIN: another value; -ETIMEDOUT, -EINTR. */
#define TORC_IOC_WAIT		_IOW('T', 0xc3, struct torc_driver_wait)
/* Wake who sleeps on a word; the argument is an enum torc_driver_word. */
#define TORC_IOC_WAKE		_IO('T', 0xc4)
/*
 * Signal an eventfd at each wake of the data word; the argument, -1: no more.  A
 * subscription's bell_armed is cleared before.
 */
#define TORC_IOC_EVENTFD	_IO('T', 0xc5)

TORC_STATIC_ASSERT(sizeof(struct torc_driver_create) == 352);
TORC_STATIC_ASSERT(sizeof(struct torc_driver_subscribe) == 24);
TORC_STATIC_ASSERT(sizeof(struct torc_driver_wait) == 32);

#endif /* TORC_DRIVER_H */
