/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the files of torc.ko share.
 *
 *	main.c		the module, its control node
 *	topic.c		topics: making, finding, removing
 *	constants.c	what a topic is to be: its name, its ring's constants
 *	memory.c	what holds the bytes, and how it gets into processes
 *	user.c		bytes that a process holds
 *	limits.c	how much processes may have
 *	node.c		the files of a topic: opening, mapping, locks, ioctl()
 *	io.c		read(), write(), poll() of them
 *	publish.c	publishing and waking
 *	mend.c		what processes that die leave
 *	listen.c	a thread that receives
 *
 * Locks:
 *
 *	torc_topics_lock	the list of topics; of each, users and gone
 *	accounts_lock		what users have (limits.c)
 *	topic->writing		write() of a process, locks of publishers, owners,
 *				repairer, mending
 *	topic->slots_lock	who takes and gives back slots of subscribers; bits
 *				are looked at without it
 *	topic->publishing	the driver's publisher, where it is the only one; raw,
 *				interrupts off, held from reserve to commit
 *	topic->signals_lock	files with an eventfd; interrupts off
 *	open->reading		the node's consumer
 *
 * The last reference of a topic may go under torc_topics_lock, which is outside of
 * accounts_lock and topic->writing; and who mends wakes, under topic->writing, which
 * is outside of topic->signals_lock.  No others are held at once.
 *
 * Nothing that a process can write is trusted: the constants, the producer of a
 * topic that the driver publishes and the cursors of what it reads are its own, and
 * ring.h bounds whatever it reads from shared memory.
 */
#ifndef TORC_INTERNAL_H
#define TORC_INTERNAL_H

#include <linux/atomic.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/version.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#define TORC_ATOMIC_HEADER "kernel_atomic.h"
#include <torc/ring.h>

#include "torc_kernel.h"

/* ---- memory.c ----------------------------------------------------------- */

struct torc_memory {
	enum torc_driver_memory kind;
	enum torc_driver_cache cache;
	unsigned long count;	/* pages */
	struct page **pages;	/* of CONTIG: NULL */
	struct file *file;	/* SHMEM: whose pages they are */
	struct mm_struct *mm;	/* USER: whose pages they are, */
	unsigned long pinned;	/* and how many we hold */
	void *base;		/* where the kernel has them, one after the other */
};

int torc_memory_alloc(struct torc_memory *memory, u64 size,
		      enum torc_driver_memory kind,
		      enum torc_driver_cache cache, u64 address);
void torc_memory_free(struct torc_memory *memory);
/* Map what @vma asks for, which was checked; @memory lives as long as its file. */
int torc_memory_map(struct torc_memory *memory, struct vm_area_struct *vma);

/* ---- user.c ------------------------------------------------------------- */

/*
 * Pin @memory->count pages of the calling process from @address on.  What was
 * pinned is to be unpinned after a failure, too.
 */
int torc_user_pin(struct torc_memory *memory, u64 address);
void torc_user_unpin(struct torc_memory *memory);

/* ---- limits.c ----------------------------------------------------------- */

/*
 * Count a topic of @size bytes as the user's, by order of the current process.  0;
 * -E2BIG: too much for a topic; -EDQUOT: too much, or too many, for the user;
 * -ENOMEM.
 */
int torc_charge(kuid_t uid, u64 size);
void torc_uncharge(kuid_t uid, u64 size);

/* ---- topic.c ------------------------------------------------------------ */

/* Slot 0 shares its page with the wait words; 1 is the listener's. */
#define TORC_SLOT_LISTENER	1u
#define TORC_SLOT_FIRST		2u

/* What waits on a wait word. */
struct torc_sleepers {
	wait_queue_head_t queue;
	atomic64_t wakes;
};

/* One of the driver's own publishers of a topic that has many. */
struct torc_own_publisher {
	atomic_t taken;
	struct torc_mp mp;
} ____cacheline_aligned;

/* Who has the lock of a publisher slot that is for processes. */
struct torc_owner {
	struct file *file;	/* NULL: nobody */
	struct mm_struct *mm;	/* of who had it last, and did not give it back */
	u64 stuck_at;		/* what could not be mended in this round, */
	bool stuck;		/* if anything */
};

struct torc_topic {
	struct device dev;		/* the last reference frees */
	struct cdev cdev;
	struct list_head link;		/* by torc_topics_lock, as users, gone */
	unsigned int users;		/* open files, drivers */
	bool gone;			/* has no node any more */
	char name[TORC_DRIVER_NAME_MAX];
	u32 flags;			/* TORC_DRIVER_* */
	umode_t mode;
	kuid_t uid;
	kgid_t gid;

	u64 charged;			/* bytes, to uid */
	struct torc_memory memory;
	struct torc_constants_shm constants;
	struct torc_ring ring;

	/* By the driver, from any context: alone, or in the last slots of many. */
	raw_spinlock_t publishing;
	struct torc_sp sp;
	struct torc_own_publisher *own;
	u32 own_count;
	atomic64_t published, dropped;

	/* By processes: locks, write() and mending exclude each other. */
	struct mutex writing;
	struct torc_owner *owners;	/* by slot */
	u32 owners_count;
	struct file *repairer;		/* a process is at it */
	struct delayed_work mending;

	struct mutex slots_lock;	/* slots of subscribers that are taken */
	DECLARE_BITMAP(slots, TORC_SUBSCRIBERS_MAX);

	struct torc_sleepers sleepers[2];	/* by enum torc_driver_word */
	struct irq_work waker;
	spinlock_t signals_lock;	/* files with an eventfd */
	struct list_head signals;
	u32 signals_count;
	struct fasync_struct *fasync;
	struct torc_listener *listener;
	struct dentry *debug;
};

extern struct mutex torc_topics_lock;
extern struct dentry *torc_debug;
extern unsigned int torc_max_topics;

int torc_topics_init(unsigned int major);
void torc_topics_exit(void);

/* The process that makes a topic. */
struct torc_maker {
	kuid_t uid;		/* to whom the node belongs */
	kgid_t gid;
	u64 address;		/* TORC_PAGES_USER: its memory, */
	u64 size;		/* so many bytes */
};

/* ---- constants.c -------------------------------------------------------- */

/* As libtorc's names. */
bool torc_name_is_good(const char *name);
/* Is it the same name, or is one of them a folder of the other's? */
bool torc_name_in_the_way(const char *a, const char *b);

/* For the memory that is wanted; 0, -EINVAL, -E2BIG, -ENOSPC. */
int torc_topic_constants(const struct torc_topic_config *config,
			 const struct torc_maker *maker,
			 struct torc_constants_shm *ret);

/* In bytes: the ring, the cursors. */
static inline u64 torc_topic_size(const struct torc_constants_shm *constants)
{
	return constants->ring_size + constants->cursors_size;
}

/* As torc_topic_create(), with one user.  @maker: NULL if it is a driver. */
struct torc_topic *torc_topic_new(const struct torc_topic_config *config,
				  const struct torc_maker *maker);
/* One user more of a topic; false if it is gone. */
bool torc_topic_use(struct torc_topic *topic);
/* -ENOENT, -EPERM */
int torc_topic_remove(const char *name);

/* ---- node.c ------------------------------------------------------------- */

extern const struct file_operations torc_node_fops;

/* ---- publish.c ---------------------------------------------------------- */

/* Publish for a process, which waits for room unless @nonblock. */
int torc_topic_write(struct torc_topic *topic, const void *data, size_t length,
		     bool nonblock);
/* How many publishers of its own the driver has in a topic for many. */
u32 torc_own_publishers(void);
u32 *torc_topic_word(struct torc_topic *topic, enum torc_driver_word word);
/* After a commit: wake who waits for messages, if anybody does. */
void torc_topic_notify(struct torc_topic *topic);
void torc_topic_wake_soon(struct irq_work *waker);
/* Wake who sleeps on a word, whatever it holds. */
void torc_topic_wake(struct torc_topic *topic, enum torc_driver_word word);
/* After a sleeper armed a word: processes that publish have passed a barrier. */
void torc_topic_barrier(struct torc_topic *topic);

/* ---- mend.c ------------------------------------------------------------- */

/*
 * Under topic->writing: @file's lock on the bytes from @first to @last was set or
 * removed, as @lock says.
 */
void torc_owners_note(struct torc_topic *topic, struct file *file,
		      const struct file_lock *lock, u64 first, u64 last);
/* @file is being closed for good. */
void torc_owners_forget(struct torc_topic *topic, struct file *file);
void torc_topic_mend_later(struct work_struct *mending);
void torc_owners_free(struct torc_topic *topic);

#endif /* TORC_INTERNAL_H */
