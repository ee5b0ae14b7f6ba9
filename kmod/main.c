// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * torc.ko: rings that processes and drivers share.  The module, and its control
 * node, by which processes make topics; start reading at internal.h.
 */
#include "internal.h"

#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static unsigned int major;
module_param(major, uint, 0444);
MODULE_PARM_DESC(major, "device number of topics; 0: any that is free");

unsigned int torc_max_topics = 256;
module_param_named(max_topics, torc_max_topics, uint, 0444);
MODULE_PARM_DESC(max_topics, "how many topics there may be");

static char *topics[16];
static unsigned int topics_count;
module_param_array(topics, charp, &topics_count, 0444);
MODULE_PARM_DESC(topics, "names of topics to make, for many publishers");

static struct torc_topic *own_topics[16];
struct dentry *torc_debug;

/* ---- The control node ---------------------------------------------------- */

/* A description of it keeps the topic that it made. */
static int control_release(struct inode *inode, struct file *file)
{
	if (file->private_data)
		torc_topic_put(file->private_data);
	return 0;
}

static int control_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static int check_create(const struct torc_driver_create *create)
{
	if (strnlen(create->name, sizeof(create->name)) ==
		    sizeof(create->name) ||
	    strnlen(create->type, sizeof(create->type)) ==
		    sizeof(create->type) ||
	    create->flags & ~(TORC_DRIVER_PERSISTENT | TORC_DRIVER_PUBLISHES |
			      TORC_DRIVER_MANY) ||
	    create->memory > TORC_PAGES_USER || create->mode & ~0777u ||
	    (create->memory != TORC_PAGES_USER &&
	     (create->address || create->size)) ||
	    memchr_inv(create->reserved, 0, sizeof(create->reserved)))
		return -EINVAL;
	if (create->publishers > TORC_PUBLISHERS_MAX - torc_own_publishers() ||
	    create->subscribers > TORC_SUBSCRIBERS_MAX - TORC_SLOT_FIRST)
		return -E2BIG;
	return 0;
}

static int control_create(struct file *file, const void __user *argument)
{
	struct torc_driver_create *create;
	struct torc_topic_config config;
	struct torc_maker maker;
	struct torc_topic *topic;
	int r;

	if (READ_ONCE(file->private_data))
		return -EBUSY;
	create = memdup_user(argument, sizeof(*create));
	if (IS_ERR(create))
		return PTR_ERR(create);
	r = check_create(create);
	if (r)
		goto out;
	config = (struct torc_topic_config){
		.name = create->name,
		.type = create->type,
		.capacity = create->capacity,
		.flags = create->flags,
		.memory = create->memory,
		.cache = create->cache,
		.mode = create->mode,
		.publishers = create->publishers,
		.subscribers = create->subscribers,
	};
	maker = (struct torc_maker){
		.uid = current_fsuid(),
		.gid = current_fsgid(),
		.address = create->address,
		.size = create->size,
	};
	topic = torc_topic_new(&config, &maker);
	if (IS_ERR(topic)) {
		r = PTR_ERR(topic);
		goto out;
	}
	/* Another thread was quicker: also what is persistent goes. */
	if (cmpxchg(&file->private_data, NULL, topic)) {
		torc_topic_destroy(topic);
		r = -EBUSY;
	}
out:
	kfree(create);
	return r;
}

static int control_remove(const void __user *argument)
{
	struct torc_driver_name name;

	if (copy_from_user(&name, argument, sizeof(name)))
		return -EFAULT;
	if (strnlen(name.name, sizeof(name.name)) == sizeof(name.name))
		return -EINVAL;
	return torc_topic_remove(name.name);
}

static long control_ioctl(struct file *file, unsigned int command,
			  unsigned long argument)
{
	switch (command) {
	case TORC_IOC_CREATE:
		return control_create(file, (void __user *)argument);
	case TORC_IOC_REMOVE:
		return control_remove((void __user *)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice control = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "torc-control",
	.nodename = "torc/control",
	.mode = 0600,
	.fops = &control_fops,
};

/* ---- The module ---------------------------------------------------------- */

static void destroy_own_topics(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(own_topics); i++)
		torc_topic_destroy(own_topics[i]);
}

static int make_own_topics(void)
{
	struct torc_topic *topic;
	unsigned int i;

	for (i = 0; i < topics_count; i++) {
		topic = torc_topic_create(&(struct torc_topic_config){
			.name = topics[i],
			.flags = TORC_DRIVER_MANY | TORC_DRIVER_PERSISTENT,
		});
		if (IS_ERR(topic)) {
			pr_err("torc: cannot make topic %s: %ld\n", topics[i],
			       PTR_ERR(topic));
			destroy_own_topics();
			return PTR_ERR(topic);
		}
		own_topics[i] = topic;
	}
	return 0;
}

static int __init torc_init(void)
{
	int r;

	if (!torc_max_topics || torc_max_topics > MINORMASK + 1)
		return -EINVAL;
	torc_debug = debugfs_create_dir("torc", NULL);
	r = torc_topics_init(major);
	if (r)
		goto err_debug;
	r = make_own_topics();
	if (r)
		goto err_topics;
	r = misc_register(&control);
	if (r)
		goto err_own;
	return 0;

err_own:
	destroy_own_topics();
err_topics:
	torc_topics_exit();
err_debug:
	debugfs_remove(torc_debug);
	return r;
}

static void __exit torc_exit(void)
{
	misc_deregister(&control);
	destroy_own_topics();
	torc_topics_exit();
	debugfs_remove(torc_debug);
}

module_init(torc_init);
module_exit(torc_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Rings that processes and drivers share");
