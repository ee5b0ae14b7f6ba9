// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages of a process, held for as long as a topic lives in them: longer than their
 * mapping, and than the process.
 */
#include "internal.h"

#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

/* At a time, so that a process that is killed meanwhile ends soon. */
#define PIN_AT_A_TIME	1024ul

int torc_user_pin(struct torc_memory *memory, u64 address)
{
	unsigned long left;
	int r;

	r = account_locked_vm(current->mm, memory->count, true);
	if (r)
		return r;
	/* At the end there may be neither the process nor its address space. */
	memory->mm = current->mm;
	mmgrab(memory->mm);
	while ((left = memory->count - memory->pinned) != 0) {
		if (fatal_signal_pending(current))
			return -EINTR;
		r = pin_user_pages_fast(
			address + ((u64)memory->pinned << PAGE_SHIFT),
			min(left, PIN_AT_A_TIME), FOLL_WRITE | FOLL_LONGTERM,
			memory->pages + memory->pinned);
		if (r <= 0)
			return r ?: -EFAULT;
		memory->pinned += r;
		cond_resched();
	}
	return 0;
}

void torc_user_unpin(struct torc_memory *memory)
{
	if (!memory->mm)
		return;
	unpin_user_pages_dirty_lock(memory->pages, memory->pinned, true);
	account_locked_vm(memory->mm, memory->count, false);
	mmdrop(memory->mm);
}
