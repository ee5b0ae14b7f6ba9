// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How much memory the topics may take that processes make, one of them and all of a
 * user's, and how many of them a user may have.  Memory counts in whole, cursors and
 * what rounding adds included.  Both count for as long as they are held, which is
 * until the last file and mapping of the topic are gone.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/module.h>
#include <linux/slab.h>

static ulong max_bytes = 32 << 20;
module_param(max_bytes, ulong, 0644);
MODULE_PARM_DESC(max_bytes,
		 "most memory of a topic whose maker has no CAP_SYS_RESOURCE");

static ulong max_user_bytes = 64 << 20;
module_param(max_user_bytes, ulong, 0644);
MODULE_PARM_DESC(max_user_bytes, "most memory of all topics of such a user");

static uint max_user_topics = 64;
module_param(max_user_topics, uint, 0644);
MODULE_PARM_DESC(max_user_topics, "most topics of such a user");

/* Of a user who has topics. */
struct account {
	struct list_head link;
	kuid_t uid;
	u64 bytes;
	unsigned int topics;
};

static DEFINE_MUTEX(accounts_lock);
static LIST_HEAD(accounts);

static struct account *account_find(kuid_t uid)
{
	struct account *account;

	lockdep_assert_held(&accounts_lock);
	list_for_each_entry(account, &accounts, link)
		if (uid_eq(account->uid, uid))
			return account;
	return NULL;
}

/* The user's, which is new and empty if there was none; NULL: no memory. */
static struct account *account_get(kuid_t uid)
{
	struct account *account = account_find(uid);

	if (account)
		return account;
	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	account->uid = uid;
	list_add(&account->link, &accounts);
	return account;
}

static void account_put(struct account *account)
{
	if (account->topics)
		return;
	list_del(&account->link);
	kfree(account);
}

/* Would a topic of @size bytes more be too much? */
static bool exceeds(const struct account *account, u64 size)
{
	return account->bytes + size > READ_ONCE(max_user_bytes) ||
	       account->topics >= READ_ONCE(max_user_topics);
}

int torc_charge(kuid_t uid, u64 size)
{
	struct account *account;
	int r = 0;

	/* Asked last, and only if need be: it leaves a trace. */
	if (size > READ_ONCE(max_bytes) && !capable(CAP_SYS_RESOURCE))
		return -E2BIG;
	mutex_lock(&accounts_lock);
	account = account_get(uid);
	if (!account) {
		r = -ENOMEM;
		goto out;
	}
	if (exceeds(account, size) && !capable(CAP_SYS_RESOURCE)) {
		r = -EDQUOT;
	} else {
		account->bytes += size;
		account->topics++;
	}
	account_put(account);
out:
	mutex_unlock(&accounts_lock);
	return r;
}

void torc_uncharge(kuid_t uid, u64 size)
{
	struct account *account;

	mutex_lock(&accounts_lock);
	account = account_find(uid);
	if (!WARN_ON(!account || account->bytes < size)) {
		account->bytes -= size;
		account->topics--;
		account_put(account);
	}
	mutex_unlock(&accounts_lock);
}
