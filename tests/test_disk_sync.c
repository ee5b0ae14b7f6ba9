/* SPDX-License-Identifier: MIT */
/*
 * Topics of file:PATH: when they are written out, and what a disk that is full says
 * to whom.
 */
#include "publisher.h"

#include "disks.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>

TestSuite(disk_sync, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

static struct torc_topic *open_synced(enum torc_sync sync, uint64_t interval_ns)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .capacity = 16384,
					      .sync = sync,
					      .sync_interval_ns = interval_ns };
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, disk_address("t"), &options, &topic));
	return topic;
}

/* A batch is published in one go, and then synced once if each message would be. */
static bool batch_is_synced_as_a_message(struct torc_publisher *pub,
					 enum torc_sync sync)
{
	const struct torc_span spans[3] = { { "a", 1 }, { "b", 1 }, { "c", 1 } };
	struct torc_topic_info before, after;
	int r;

	MUST(torc_topic_get_info(pub->topic, &before));
	r = torc_pub_publish_batch(pub, spans, 3);
	MUST(torc_topic_get_info(pub->topic, &after));
	return after.messages == before.messages + 3 &&
	       (sync == TORC_SYNC_COMMIT ? r == -ENOSPC
					 : r == 3 || sync == TORC_SYNC_INTERVAL);
}

/* The disk is full, or broken, at the first sync from now on. */
static int publish_to_full_disk(void *context)
{
	enum torc_sync sync = *(enum torc_sync *)context;
	struct torc_topic *topic = open_synced(sync, 1);
	struct torc_publisher *pub = pub_open(topic);
	const struct timespec longer_than_the_interval = { .tv_nsec = 2000000 };
	bool told = false;

	/* Any descriptor. */
	refuse(SYS_fdatasync, 0, UINT32_MAX, ENOSPC);
	for (int i = 0; i < 3 && !told; i++) {
		told = torc_pub_publish(pub, "x", 1) == -ENOSPC;
		nanosleep(&longer_than_the_interval, NULL);
	}
	if (told && !strstr(torc_errmsg(), "cannot be written to the disk"))
		return 2;
	if (torc_pub_sync(pub) != -ENOSPC)
		return 3;
	if (!batch_is_synced_as_a_message(pub, sync))
		return 4;
	torc_pub_close(pub);
	torc_topic_close(topic);
	return told;
}

Test(disk_sync, full_file_system_at_a_sync_is_told_as_the_policy_says)
{
	static const int told[] = { [TORC_SYNC_NONE] = 0,
				    [TORC_SYNC_ASYNC] = 0,
				    [TORC_SYNC_INTERVAL] = 1,
				    [TORC_SYNC_COMMIT] = 1 };

	for (enum torc_sync sync = TORC_SYNC_NONE; sync <= TORC_SYNC_COMMIT;
	     sync++) {
		cr_expect_eq(child_end(child_start(publish_to_full_disk,
						   &sync)), told[sync]);
		disk_remove("t");
	}
}

Test(disk_sync, policy_is_the_topics_and_stays)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .sync = (enum torc_sync)4 };
	struct torc_topic_info info;
	struct torc_topic *topic;
	struct torc_publisher *pub;

	FAILS(-EINVAL, "sync",
	      torc_topic_open(NULL, disk_address("t"), &options, &topic));
	options.sync = TORC_SYNC_COMMIT;
	FAILS(-EINVAL, "file:PATH",
	      torc_topic_open(NULL, "t", &options, &topic));
	options.sync_interval_ns = 66000000000;
	FAILS(-EINVAL, "65535 ms",
	      torc_topic_open(NULL, disk_address("t"), &options, &topic));
	torc_topic_close(open_synced(TORC_SYNC_INTERVAL, 5000000));
	topic = disk_open("t");
	MUST(torc_topic_get_info(topic, &info));
	cr_expect_eq(info.sync, TORC_SYNC_INTERVAL);
	cr_expect_eq(TORC_RING_SYNC_INTERVAL(topic->constants.flags), 5);
	pub = pub_open(topic);
	MUST(torc_pub_sync(pub));
	torc_pub_close(pub);
	torc_topic_close(topic);
	disk_remove("t");
	/* Nothing to do in memory. */
	topic = topic_open("anon:", 0, 4096);
	pub = pub_open(topic);
	MUST(torc_pub_sync(pub));
	torc_pub_close(pub);
	torc_topic_close(topic);
}
