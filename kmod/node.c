// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The files of a topic: its node, and subscriptions, which an ioctl of the node
 * makes.  A subscription owns a slot and may write its page; its release, which the
 * kernel calls however a process ends, is the sign of death.
 */
#include "compat.h"
#include "node.h"

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* ---- Opening and closing ------------------------------------------------- */

static struct torc_open *open_new(struct torc_topic *topic)
{
	struct torc_open *open = kzalloc(sizeof(*open), GFP_KERNEL_ACCOUNT);

	if (!open)
		return ERR_PTR(-ENOMEM);
	open->topic = topic;
	mutex_init(&open->reading);
	INIT_LIST_HEAD(&open->signals_link);
	if (!torc_topic_use(topic)) {
		kfree(open);
		return ERR_PTR(-ENXIO);
	}
	return open;
}

static int node_open(struct inode *inode, struct file *file)
{
	struct torc_topic *topic =
		container_of(inode->i_cdev, struct torc_topic, cdev);
	struct torc_open *open = open_new(topic);

	if (IS_ERR(open))
		return PTR_ERR(open);
	file->private_data = open;
	return stream_open(inode, file);
}

/*
 * There are no more than subscribers: a publisher signals all of them, be it in a
 * hard interrupt.
 */
static int set_eventfd(struct torc_open *open, struct eventfd_ctx *eventfd)
{
	struct torc_topic *topic = open->topic;
	struct eventfd_ctx *old;
	int r = 0;

	spin_lock_irq(&topic->signals_lock);
	if (eventfd && !open->eventfd &&
	    topic->signals_count >= topic->ring.subscribers) {
		old = eventfd;
		r = -EUSERS;
	} else {
		old = open->eventfd;
		open->eventfd = eventfd;
		topic->signals_count += !!eventfd - !!old;
		list_del_init(&open->signals_link);
		if (eventfd)
			list_add(&open->signals_link, &topic->signals);
	}
	spin_unlock_irq(&topic->signals_lock);
	if (old)
		eventfd_ctx_put(old);
	return r;
}

static void free_slot(struct torc_open *open)
{
	struct torc_topic *topic = open->topic;

	torc_store_relaxed(&torc_own_slot(open)->pid, 0);
	torc_store_release(&torc_own_slot(open)->state, TORC_SUBSCRIBER_FREE);
	/* It is nobody's, but on a page that every subscription may write. */
	torc_store_release(&torc_subscriber_slot(&topic->ring, 0)->state,
			   TORC_SUBSCRIBER_FREE);
	mutex_lock(&topic->slots_lock);
	clear_bit(open->slot, topic->slots);
	mutex_unlock(&topic->slots_lock);
	torc_topic_wake(topic, TORC_WORD_ROOM);
}

static int node_release(struct inode *inode, struct file *file)
{
	struct torc_open *open = file->private_data;

	set_eventfd(open, NULL);
	if (open->slot)
		free_slot(open);
	else
		torc_owners_forget(open->topic, file);
	torc_topic_put(open->topic);
	kfree(open);
	return 0;
}

/* ---- Mapping ------------------------------------------------------------- */

/* May this file map bytes from @first to @end writable? */
static bool may_write(const struct torc_open *open, const struct file *file,
		      u64 first, u64 end)
{
	const struct torc_topic *topic = open->topic;
	u64 ring_size = topic->constants.ring_size;
	u64 page;

	if (!open->slot)
		return file->f_mode & FMODE_WRITE &&
		       !(topic->flags & TORC_DRIVER_PUBLISHES) &&
		       first >= topic->constants.publishing_offset;
	if (first < ring_size || end - first != PAGE_SIZE)
		return false;
	page = (first - ring_size) >> PAGE_SHIFT;
	return page == 0 || page == open->slot;
}

static int node_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct torc_open *open = file->private_data;
	struct torc_memory *memory = &open->topic->memory;
	u64 ring_size = open->topic->constants.ring_size;
	unsigned long pages = vma_pages(vma);
	u64 first, end;

	if (vma->vm_pgoff >= memory->count ||
	    pages > memory->count - vma->vm_pgoff)
		return -EINVAL;
	first = (u64)vma->vm_pgoff << PAGE_SHIFT;
	end = first + ((u64)pages << PAGE_SHIFT);
	/* The core clears VM_SHARED of what was opened read-only. */
	if ((first < ring_size && end > ring_size) ||
	    !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (vma->vm_flags & VM_WRITE) {
		if (!may_write(open, file, first, end))
			return -EACCES;
	} else {
		torc_vm_flags_clear(vma, VM_MAYWRITE);
	}
	torc_vm_flags_clear(vma, VM_MAYEXEC);
	torc_vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	/* A child that kept it would keep the slot of its dead parent. */
	if (open->slot)
		torc_vm_flags_set(vma, VM_DONTCOPY);
	return torc_memory_map(memory, vma);
}

/* ---- Locks: who is alive ------------------------------------------------- */

/* Is a byte that a lock is asked for one that is the driver's to give? */
static bool driver_holds(struct torc_topic *topic, u64 first, u64 last,
			 bool probe)
{
	const struct torc_ring *ring = &topic->ring;

	if (last >= TORC_LOCK_PUBLISHER + topic->owners_count &&
	    first < TORC_LOCK_PUBLISHER + ring->publishers)
		return true;
	if (last < TORC_LOCK_SUBSCRIBER ||
	    first >= TORC_LOCK_SUBSCRIBER + ring->subscribers)
		return false;
	return !probe || first < TORC_LOCK_SUBSCRIBER ||
	       test_bit(first - TORC_LOCK_SUBSCRIBER, topic->slots);
}

/*
 * Processes that publish hold locks on the bytes of their slots, as on any topic.
 * What the driver itself holds, or gave to a subscription, it answers for.
 */
static int node_lock(struct file *file, int command, struct file_lock *lock)
{
	struct torc_open *open = file->private_data;
	struct torc_topic *topic = open->topic;
	bool probe = command == F_GETLK;
	/* Of the lock itself posix_lock_file() makes what it is merged with. */
	const u64 first = lock->fl_start, last = lock->fl_end;
	int r = 0;

	mutex_lock(&topic->writing);
	if (torc_lock_type(lock) != F_UNLCK &&
	    driver_holds(topic, first, last, probe)) {
		if (probe)
			torc_lock_type(lock) = F_WRLCK;
		else
			r = -EAGAIN;
	} else if (probe) {
		posix_test_lock(file, lock);
	} else {
		r = posix_lock_file(file, lock, NULL);
		if (!r)
			torc_owners_note(topic, file, lock, first, last);
	}
	mutex_unlock(&topic->writing);
	return r;
}

/* ---- ioctl() ------------------------------------------------------------- */

static const struct file_operations subscription_fops;

static int take_slot(struct torc_open *open)
{
	struct torc_topic *topic = open->topic;
	u32 subscribers = topic->ring.subscribers;
	u32 slot;

	mutex_lock(&topic->slots_lock);
	slot = find_next_zero_bit(topic->slots, subscribers, TORC_SLOT_FIRST);
	if (slot < subscribers)
		set_bit(slot, topic->slots);
	mutex_unlock(&topic->slots_lock);
	if (slot >= subscribers)
		return -EUSERS;
	open->slot = slot;
	/* Nothing of the last owner's, who could write all of the page. */
	memset((u8 *)topic->ring.cursors + slot * PAGE_SIZE, 0, PAGE_SIZE);
	return 0;
}

static int node_subscribe(struct torc_open *node, void __user *argument)
{
	struct torc_driver_subscribe subscribe;
	struct torc_open *open;
	struct file *file;
	int fd, r;

	if (copy_from_user(&subscribe, argument, sizeof(subscribe)))
		return -EFAULT;
	if (node->slot || memchr_inv(subscribe.reserved, 0,
				     sizeof(subscribe.reserved)))
		return -EINVAL;
	open = open_new(node->topic);
	if (IS_ERR(open))
		return PTR_ERR(open);
	r = take_slot(open);
	if (r)
		goto err_open;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		r = fd;
		goto err_slot;
	}
	file = anon_inode_getfile("[torc]", &subscription_fops, open,
				  O_RDWR | O_CLOEXEC);
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto err_fd;
	}
	subscribe.slot = open->slot;
	subscribe.fd = fd;
	if (copy_to_user(argument, &subscribe, sizeof(subscribe))) {
		put_unused_fd(fd);
		fput(file);
		return -EFAULT;
	}
	fd_install(fd, file);
	return 0;

err_fd:
	put_unused_fd(fd);
err_slot:
	free_slot(open);
err_open:
	torc_topic_put(open->topic);
	kfree(open);
	return r;
}

/* Within it, the kernel reads plainly what its timer's interrupt writes. */
static __no_kcsan int node_wait(struct torc_topic *topic,
				const void __user *argument)
{
	struct torc_driver_wait wait;
	u32 *word;
	int r;

	if (copy_from_user(&wait, argument, sizeof(wait)))
		return -EFAULT;
	if (wait.word > TORC_WORD_ROOM ||
	    memchr_inv(wait.reserved, 0, sizeof(wait.reserved)))
		return -EINVAL;
	word = torc_topic_word(topic, wait.word);
	if (READ_ONCE(*word) != wait.value)
		return -EAGAIN;
	r = wait_event_interruptible_hrtimeout(
		topic->sleepers[wait.word].queue,
		READ_ONCE(*word) != wait.value,
		ns_to_ktime(min_t(u64, wait.timeout_ns, NSEC_PER_SEC)));
	return r == -ETIME ? -ETIMEDOUT : r == -ERESTARTSYS ? -EINTR : r;
}

static int node_eventfd(struct torc_open *open, int fd)
{
	struct eventfd_ctx *eventfd = NULL;

	if (fd != -1) {
		eventfd = eventfd_ctx_fdget(fd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}
	return set_eventfd(open, eventfd);
}

static long node_ioctl(struct file *file, unsigned int command,
		       unsigned long argument)
{
	struct torc_open *open = file->private_data;
	void __user *pointer = (void __user *)argument;

	switch (command) {
	case TORC_IOC_SUBSCRIBE:
		if (!(file->f_mode & FMODE_READ))
			return -EACCES;
		return node_subscribe(open, pointer);
	case TORC_IOC_WAIT:
		return node_wait(open->topic, pointer);
	case TORC_IOC_WAKE:
		if (argument > TORC_WORD_ROOM)
			return -EINVAL;
		torc_topic_wake(open->topic, argument);
		return 0;
	case TORC_IOC_EVENTFD:
		return node_eventfd(open, (int)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations subscription_fops = {
	.owner = THIS_MODULE,
	.release = node_release,
	.mmap = node_mmap,
	.poll = torc_node_poll,
	.fasync = torc_node_fasync,
	.unlocked_ioctl = node_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

const struct file_operations torc_node_fops = {
	.owner = THIS_MODULE,
	.open = node_open,
	.release = node_release,
	.mmap = node_mmap,
	.read = torc_node_read,
	.write = torc_node_write,
	.poll = torc_node_poll,
	.fasync = torc_node_fasync,
	.lock = node_lock,
	.unlocked_ioctl = node_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
