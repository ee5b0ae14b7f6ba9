/* SPDX-License-Identifier: MIT */
/*
 * Processes: who we are, who is alive, and fork().
 */
#ifndef BUS_PROCESS_H
#define BUS_PROCESS_H

#include "internal.h"

#include <sys/types.h>

struct torc_process {
	uint32_t pid;
	uint64_t start_time;	/* clock ticks since boot; 0: not known */
	uint64_t pid_namespace;	/* inode; 0: not known */
};

void torc_process_self(struct torc_process *ret);

/* 1; 0 if it has ended; -1 if its PID cannot be judged here. */
int torc_process_alive(const struct torc_process *process);

/* Is @pid, which we see, in our PID and network namespaces, and so sees us? */
bool torc_process_beside(pid_t pid);

/* 1 by a signal or a debugger; 0; -1 if it cannot be told. */
int torc_process_stopped(const struct torc_process *process);

/*
 * What a handle must lose in a forked child: descriptors that hold locks, which
 * would outlive their owner there.
 */
struct torc_forkable {
	struct torc_forkable *next, **link;	/* NULL: of the parent */
	int fds[2];	/* closed in the child, and -1 then */
	union {
		struct {
			/* Why the handle is of no use any more: -EOWNERDEAD, we
			 * are the child; -EPROTO, its ring was cut off; or
			 * TORC_CURSORS_CUT.  Or 0. */
			int unusable;
			/* What else its owner has to look at (publisher.h). */
			unsigned int unusual;
		};
		uint64_t special;	/* either, by one look */
	};
};

/* There are no descriptors yet. */
void torc_forkable_add(struct torc_forkable *forkable);
/* Closes the descriptors too. */
void torc_forkable_remove(struct torc_forkable *forkable);

/*
 * No fork() happens between these, nor does another thread get here: for opening
 * a descriptor and noting it in fds, lest a child inherit one unnoticed.
 */
void torc_fork_hold(void);
void torc_fork_allow(void);

#endif /* BUS_PROCESS_H */
