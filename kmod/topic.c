// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Topics: their making, their nodes, their end.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "compat.h"

/* Held for the list of topics, and for each topic's users and end. */
DEFINE_MUTEX(torc_topics_lock);
static LIST_HEAD(topics);
static DEFINE_IDA(minors);
static dev_t first_device;

static struct class torc_class = { .name = "torc" };

/*
 * devtmpfs asks how the node shall be (and, when it goes, for nothing but its
 * name, which is the device's).
 */
static char *node_attributes(torc_devnode_const struct device *dev,
			     umode_t *mode, kuid_t *uid, kgid_t *gid)
{
	const struct torc_topic *topic =
		container_of(dev, struct torc_topic, dev);

	if (mode)
		*mode = topic->mode;
	if (uid)
		*uid = topic->uid;
	if (gid)
		*gid = topic->gid;
	return NULL;
}

static const struct device_type topic_type = {
	.name = "torc_topic",
	.devnode = node_attributes,
};

/* ---- What it consists of ------------------------------------------------- */

/* Who publishes: the driver alone, a process alone, or many of both. */
static int topic_publishers(struct torc_topic *topic)
{
	const struct torc_ring *ring = &topic->ring;
	u32 i;
	int r = 0;

	if (topic->flags & TORC_DRIVER_PUBLISHES)
		return torc_sp_init(&topic->sp, ring);
	if (ring->kind == TORC_KIND_MP)
		topic->own_count = torc_own_publishers();
	topic->owners_count = ring->publishers - topic->own_count;
	topic->owners = kvcalloc(topic->owners_count, sizeof(*topic->owners),
				 GFP_KERNEL_ACCOUNT);
	if (!topic->owners)
		return -ENOMEM;
	if (!topic->own_count)
		return 0;
	topic->own = kvcalloc(topic->own_count, sizeof(*topic->own),
			      GFP_KERNEL_ACCOUNT);
	if (!topic->own)
		return -ENOMEM;
	for (i = 0; i < topic->own_count && !r; i++)
		r = torc_mp_init(&topic->own[i].mp, ring,
				 topic->owners_count + i);
	return r;
}

/* Its memory counts as the maker's, until topic_free(). */
static int topic_charge(struct torc_topic *topic,
			const struct torc_maker *maker)
{
	u64 size = torc_topic_size(&topic->constants);
	int r = torc_charge(maker->uid, size);

	if (!r)
		topic->charged = size;
	return r;
}

/* Memory, and a ring in it. */
static int topic_memory(struct torc_topic *topic,
			const struct torc_topic_config *config, u64 address)
{
	struct torc_constants_shm *c = &topic->constants;
	u64 size = torc_topic_size(c);
	void *base;
	int r;

	if (size > (u64)totalram_pages() << PAGE_SHIFT)
		return -ENOMEM;
	r = torc_memory_alloc(&topic->memory, size, config->memory,
			      config->cache, address);
	if (r)
		return r;
	base = topic->memory.base;
	if (config->memory == TORC_PAGES_USER)
		memset(base, 0, size);
	torc_ring_format(c, base, base + c->ring_size);
	torc_ring_view(&topic->ring, c, base, base + c->ring_size);
	return 0;
}

/* All but its node.  What was made before a failure is topic_free()'s. */
static int topic_make(struct torc_topic *topic,
		      const struct torc_topic_config *config,
		      const struct torc_maker *maker)
{
	int r = maker ? topic_charge(topic, maker) : 0;

	if (!r)
		r = topic_memory(topic, config, maker ? maker->address : 0);
	if (!r)
		r = topic_publishers(topic);
	return r;
}

/* ---- Its life ------------------------------------------------------------ */

static void topic_free(struct device *dev)
{
	struct torc_topic *topic = container_of(dev, struct torc_topic, dev);

	irq_work_sync(&topic->waker);
	cancel_delayed_work_sync(&topic->mending);
	torc_owners_free(topic);
	kvfree(topic->own);
	torc_memory_free(&topic->memory);
	if (topic->charged)
		torc_uncharge(topic->uid, topic->charged);
	if (dev->devt)
		ida_free(&minors, MINOR(dev->devt) - MINOR(first_device));
	kvfree(topic);
}

static struct torc_topic *topic_find(const char *name)
{
	struct torc_topic *topic;

	lockdep_assert_held(&torc_topics_lock);
	list_for_each_entry(topic, &topics, link)
		if (!strcmp(topic->name, name))
			return topic;
	return NULL;
}

static int counters_show(struct seq_file *seq, void *unused)
{
	struct torc_topic *topic = seq->private;

	seq_printf(seq, "published %lld\ndropped %lld\nwakes %lld\nusers %u\n",
		   atomic64_read(&topic->published),
		   atomic64_read(&topic->dropped),
		   atomic64_read(&topic->sleepers[TORC_WORD_DATA].wakes),
		   READ_ONCE(topic->users));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static void topic_debug(struct torc_topic *topic)
{
	char file[TORC_DRIVER_NAME_MAX];

	strscpy(file, topic->name, sizeof(file));
	strreplace(file, '/', ':');
	topic->debug = debugfs_create_file(file, 0444, torc_debug, topic,
					   &counters_fops);
}

/* Its node vanishes; who has it open goes on. */
static void topic_unlink(struct torc_topic *topic)
{
	lockdep_assert_held(&torc_topics_lock);
	if (topic->gone)
		return;
	topic->gone = true;
	list_del(&topic->link);
	debugfs_remove(topic->debug);
	cdev_device_del(&topic->cdev, &topic->dev);
	put_device(&topic->dev);
}

static void topic_init(struct torc_topic *topic,
		       const struct torc_topic_config *config,
		       const struct torc_maker *maker)
{
	int i;

	device_initialize(&topic->dev);
	topic->dev.class = &torc_class;
	topic->dev.type = &topic_type;
	topic->dev.release = topic_free;
	cdev_init(&topic->cdev, &torc_node_fops);
	topic->cdev.owner = THIS_MODULE;
	strscpy(topic->name, config->name, sizeof(topic->name));
	topic->flags = config->flags;
	topic->mode = config->mode ?: 0600;
	topic->uid = maker ? maker->uid : GLOBAL_ROOT_UID;
	topic->gid = maker ? maker->gid : GLOBAL_ROOT_GID;
	topic->users = 1;
	raw_spin_lock_init(&topic->publishing);
	mutex_init(&topic->writing);
	INIT_DELAYED_WORK(&topic->mending, torc_topic_mend_later);
	init_irq_work(&topic->waker, torc_topic_wake_soon);
	mutex_init(&topic->slots_lock);
	/* Slot 0 is held by nobody, whatever stands there. */
	set_bit(TORC_SLOT_LISTENER, topic->slots);
	for (i = 0; i < ARRAY_SIZE(topic->sleepers); i++)
		init_waitqueue_head(&topic->sleepers[i].queue);
	spin_lock_init(&topic->signals_lock);
	INIT_LIST_HEAD(&topic->signals);
}

/* Give it a number and a node. */
static int topic_link(struct torc_topic *topic)
{
	struct torc_topic *other;
	int minor, r;

	lockdep_assert_held(&torc_topics_lock);
	list_for_each_entry(other, &topics, link)
		if (torc_name_in_the_way(topic->name, other->name))
			return -EEXIST;
	minor = ida_alloc_max(&minors, torc_max_topics - 1, GFP_KERNEL);
	if (minor < 0)
		return minor;
	topic->dev.devt = first_device + minor;
	/* The core makes "!" of each "/", and devtmpfs the opposite. */
	r = dev_set_name(&topic->dev, "torc/%s", topic->name);
	if (r)
		return r;
	r = cdev_device_add(&topic->cdev, &topic->dev);
	if (r)
		return r;
	list_add_tail(&topic->link, &topics);
	topic_debug(topic);
	return 0;
}

struct torc_topic *torc_topic_new(const struct torc_topic_config *config,
				  const struct torc_maker *maker)
{
	struct torc_constants_shm constants;
	struct torc_topic *topic;
	int r;

	if (!torc_name_is_good(config->name) || config->mode & ~0777 ||
	    (config->cache != TORC_CACHE_WB &&
	     config->memory != TORC_PAGES_CONTIG) ||
	    config->cache > TORC_CACHE_UC)
		return ERR_PTR(-EINVAL);
	r = torc_topic_constants(config, maker, &constants);
	if (r)
		return ERR_PTR(r);
	topic = kvzalloc(sizeof(*topic), GFP_KERNEL_ACCOUNT);
	if (!topic)
		return ERR_PTR(-ENOMEM);
	topic->constants = constants;
	topic_init(topic, config, maker);
	r = topic_make(topic, config, maker);
	if (!r) {
		mutex_lock(&torc_topics_lock);
		r = topic_link(topic);
		/* The list's reference; the caller has the first. */
		if (!r)
			get_device(&topic->dev);
		mutex_unlock(&torc_topics_lock);
	}
	if (r) {
		put_device(&topic->dev);
		return ERR_PTR(r);
	}
	return topic;
}

static bool topic_use(struct torc_topic *topic)
{
	lockdep_assert_held(&torc_topics_lock);
	if (topic->gone && !topic->users)
		return false;
	topic->users++;
	get_device(&topic->dev);
	return true;
}

bool torc_topic_use(struct torc_topic *topic)
{
	bool used;

	mutex_lock(&torc_topics_lock);
	used = topic_use(topic);
	mutex_unlock(&torc_topics_lock);
	return used;
}

int torc_topic_remove(const char *name)
{
	struct torc_topic *topic;
	int r = 0;

	mutex_lock(&torc_topics_lock);
	topic = topic_find(name);
	if (!topic)
		r = -ENOENT;
	else if (!uid_eq(topic->uid, current_fsuid()) &&
		 !capable(CAP_SYS_ADMIN))
		r = -EPERM;
	else
		topic_unlink(topic);
	mutex_unlock(&torc_topics_lock);
	return r;
}

/* ---- For drivers --------------------------------------------------------- */

struct torc_topic *torc_topic_create(const struct torc_topic_config *config)
{
	if (!config->name)
		return ERR_PTR(-EINVAL);
	return torc_topic_new(config, NULL);
}
EXPORT_SYMBOL_GPL(torc_topic_create);

struct torc_topic *torc_topic_get(const char *name)
{
	struct torc_topic *topic;

	mutex_lock(&torc_topics_lock);
	topic = topic_find(name);
	if (!topic || !topic_use(topic))
		topic = ERR_PTR(-ENOENT);
	mutex_unlock(&torc_topics_lock);
	return topic;
}
EXPORT_SYMBOL_GPL(torc_topic_get);

/* A topic that is not persistent goes with its last user. */
void torc_topic_put(struct torc_topic *topic)
{
	mutex_lock(&torc_topics_lock);
	if (!--topic->users && !(topic->flags & TORC_DRIVER_PERSISTENT))
		topic_unlink(topic);
	mutex_unlock(&torc_topics_lock);
	put_device(&topic->dev);
}
EXPORT_SYMBOL_GPL(torc_topic_put);

void torc_topic_destroy(struct torc_topic *topic)
{
	if (!topic)
		return;
	mutex_lock(&torc_topics_lock);
	topic_unlink(topic);
	mutex_unlock(&torc_topics_lock);
	torc_topic_put(topic);
}
EXPORT_SYMBOL_GPL(torc_topic_destroy);

/* ---- The module's -------------------------------------------------------- */

int torc_topics_init(unsigned int major)
{
	int r = class_register(&torc_class);

	if (r)
		return r;
	first_device = MKDEV(major, 0);
	if (major)
		r = register_chrdev_region(first_device, torc_max_topics,
					   "torc");
	else
		r = alloc_chrdev_region(&first_device, 0, torc_max_topics,
					"torc");
	if (r)
		class_unregister(&torc_class);
	return r;
}

/* Nothing is open any more, else we would not be unloaded. */
void torc_topics_exit(void)
{
	struct torc_topic *topic, *next;

	mutex_lock(&torc_topics_lock);
	list_for_each_entry_safe(topic, next, &topics, link)
		topic_unlink(topic);
	mutex_unlock(&torc_topics_lock);
	unregister_chrdev_region(first_device, torc_max_topics);
	class_unregister(&torc_class);
	ida_destroy(&minors);
}
