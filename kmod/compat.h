/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Where Linux 6.1 and later ones differ.
 */
#ifndef TORC_COMPAT_H
#define TORC_COMPAT_H

#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <linux/filelock.h>
#define torc_vm_flags_set(vma, flags)	vm_flags_set((vma), (flags))
#define torc_vm_flags_clear(vma, flags)	vm_flags_clear((vma), (flags))
#else
#define torc_vm_flags_set(vma, flags)	((vma)->vm_flags |= (flags))
#define torc_vm_flags_clear(vma, flags)	((vma)->vm_flags &= ~(flags))
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#define torc_lock_type(lock)	((lock)->c.flc_type)
#define torc_lock_flags(lock)	((lock)->c.flc_flags)
#else
#define torc_lock_type(lock)	((lock)->fl_type)
#define torc_lock_flags(lock)	((lock)->fl_flags)
#endif

/* What a device type's devnode() gets. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define torc_devnode_const	const
#else
#define torc_devnode_const
#endif

static inline void torc_eventfd_signal(struct eventfd_ctx *eventfd)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(eventfd);
#else
	eventfd_signal(eventfd, 1);
#endif
}

#endif /* TORC_COMPAT_H */
