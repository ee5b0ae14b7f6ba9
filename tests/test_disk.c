/* SPDX-License-Identifier: MIT */
/*
 * Topics of file:PATH: they stay, are copied, are made larger, and belong to a boot
 * of the machine; and what a file system or a file cannot.
 */
#include "files.h"
#include "lock.h"
#include "publisher.h"

#include "disks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(disk, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

#define PAGE 4096u

static const unsigned int both_kinds[] = { 0, TORC_MANY };

/* ---- Whole images ------------------------------------------------------- */

Test(disk, what_was_published_is_there_after_exit)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(disk_address("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct content content;

		disk_publish(pub, 0, 20);
		torc_pub_close(pub);
		torc_topic_close(topic);
		topic = disk_open("t");
		content = disk_read_all(topic);
		cr_expect_eq(content.first, 0);
		cr_expect_eq(content.count, 20);
		torc_topic_close(topic);
		disk_remove("t");
	}
}

Test(disk, a_copy_is_another_topic_with_the_same_messages)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(disk_address("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic), *other;
		struct torc_topic_info info, before;
		struct content content, again;
		struct torc_topic *copy;
		struct image image;

		disk_publish(pub, 0, 500);
		disk_publish_batches(pub, 500, 1000);
		MUST(torc_topic_get_info(topic, &before));
		content = disk_read_all(topic);
		image = image_take("t");
		image_write(&image, "copy");
		free(image.bytes);
		copy = disk_open("copy");
		MUST(torc_topic_get_info(copy, &info));
		cr_expect(info.flags & TORC_REOPENED);
		cr_expect_eq(info.dropped, 0, "%lu",
			     (unsigned long)info.dropped);
		cr_expect_eq(info.kept, content.count);
		cr_expect_eq(info.messages, before.messages);
		again = disk_read_all(copy);
		cr_expect_eq(again.first, content.first);
		cr_expect_eq(again.count, content.count);
		/* They share nothing: both take their publisher. */
		other = pub_open(copy);
		disk_publish(other, 1000, 1500);
		disk_publish(pub, 1000, 1500);
		again = disk_read_all(copy);
		cr_expect(!again.gaps);
		cr_expect_eq(again.next, 1500);
		torc_pub_close(other);
		torc_topic_close(copy);
		/* And the original, open all the time, its own. */
		cr_expect_eq(disk_read_all(topic).next, 1500);
		torc_pub_close(pub);
		torc_topic_close(topic);
		disk_remove("copy");
		disk_remove("t");
	}
}

static int open_locks(const char *name)
{
	struct torc_constants_shm c;
	char locks[80] = ".";
	int fd = open(disk_path(name), O_RDONLY);

	cr_assert_eq(pread(fd, &c, sizeof(c), 0), sizeof(c));
	close(fd);
	for (int i = 0; i < 16; i++)
		sprintf(locks + 1 + 2 * i, "%02x", c.id[i]);
	strcat(locks, ".locks");
	fd = open(disk_path(locks), O_RDWR);
	cr_assert(fd >= 0);
	return fd;
}

/* Pretend that the machine was started since. */
static void begin_another_boot(const char *name)
{
	int fd = open_locks(name);

	cr_assert_eq(pwrite(fd, "another machine!", 16, 0), 16);
	close(fd);
}

static int die_in_the_midst(void *context)
{
	struct torc_topic *topic = disk_open("t");
	struct torc_publisher *pub = pub_open(topic);
	void *payload;

	sub_open(topic, 0);
	disk_publish(pub, 0, *(uint64_t *)context);
	MUST(torc_pub_reserve(pub, 100, &payload));
	memset(payload, 'x', 100);
	return raise(SIGKILL);
}

Test(disk, participants_of_an_earlier_boot_are_forgotten)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(disk_address("t"),
						      both_kinds[k], 16384);
		struct torc_participant list[4];
		uint64_t count = 30;
		struct content content;

		torc_topic_close(topic);
		cr_assert_eq(child_end(child_start(die_in_the_midst, &count)),
			     -SIGKILL);
		topic = disk_open("t");
		cr_expect_eq(torc_topic_participants(topic, list, 4), 2);
		torc_topic_close(topic);
		begin_another_boot("t");
		topic = disk_open("t");
		cr_expect_eq(torc_topic_participants(topic, list, 4), 0);
		content = disk_read_all(topic);
		cr_expect_eq(content.first, 0);
		cr_expect_eq(content.count, 30);
		torc_topic_close(topic);
		/* Once is enough, and the old parts are gone. */
		topic = disk_open("t");
		cr_expect(!topic->reopened);
		torc_topic_close(topic);
		disk_remove("t");
	}
}

Test(disk, cursors_and_locks_that_are_gone_are_made_anew)
{
	struct torc_topic *topic = topic_open(disk_address("t"), 0, 4096);
	struct torc_publisher *pub = pub_open(topic);

	disk_publish(pub, 0, 3);
	torc_pub_close(pub);
	torc_files_forget(topic, topic->constants.id);
	torc_topic_close(topic);
	topic = disk_open("t");
	cr_expect_eq(disk_read_all(topic).count, 3);
	torc_topic_close(topic);
	disk_remove("t");
}

/* ---- What a file system or a file cannot -------------------------------- */

static int create_unmappable(void *context)
{
	struct torc_topic_options options = { .flags = TORC_CREATE };
	struct torc_topic *topic;
	int r;

	(void)context;
	refuse(SYS_mmap, 3, MAP_SHARED, ENODEV);
	r = torc_topic_open(NULL, disk_address("t"), &options, &topic);
	return r == -ENODEV && strstr(torc_errmsg(), "cannot map files shared");
}

Test(disk, file_system_that_cannot_map_shared_is_refused)
{
	cr_expect_eq(child_end(child_start(create_unmappable, NULL)), 1);
}

Test(disk, full_disk_is_an_error_at_creation)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .capacity = 8 << 20 };
	struct torc_topic *topic;

	if (mount("tmpfs", fixture_disk, "tmpfs", 0, "size=1m,mode=700"))
		cr_skip_test("cannot mount a small file system");
	FAILS(-ENOSPC, fixture_disk,
	      torc_topic_open(NULL, disk_address("t"), &options, &topic));
	cr_expect_eq(umount(fixture_disk), 0);
}

Test(disk, read_only_file_system_can_be_read)
{
	struct torc_topic_options options = { .flags = TORC_CREATE };
	struct torc_sub_options lossy = { .flags = TORC_SUB_LOSSY |
						   TORC_SUB_OLDEST };
	struct torc_message message;
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	struct torc_topic *topic;
	char data[400];

	if (mount("tmpfs", fixture_disk, "tmpfs", 0, "size=1m,mode=700"))
		cr_skip_test("cannot mount a file system");
	topic = topic_open(disk_address("t"), 0, 4096);
	pub = pub_open(topic);
	disk_publish(pub, 0, 1);
	torc_pub_close(pub);
	torc_topic_close(topic);
	cr_assert_eq(mount(NULL, fixture_disk, NULL, MS_REMOUNT | MS_RDONLY,
			   NULL), 0);
	FAILS(-EROFS, "Read-only",
	      torc_topic_open(NULL, disk_address("u"), &options, &topic));
	topic = disk_open("t");
	FAILS(-EROFS, "read-only", torc_pub_open(topic, NULL, &pub));
	FAILS(-EACCES, "lossy", torc_sub_open(topic, NULL, &sub));
	MUST(torc_sub_open(topic, &lossy, &sub));
	MUST(torc_sub_receive(sub, data, sizeof(data), &message));
	torc_sub_close(sub);
	torc_topic_close(topic);
	cr_expect_eq(umount(fixture_disk), 0);
}

Test(disk, files_that_are_no_topics_are_refused_and_kept)
{
	struct torc_topic_options options = { .flags = TORC_CREATE };
	struct torc_topic *topic;
	struct torc_bus *bus;
	FILE *file = fopen(disk_path("t"), "w");

	cr_assert(file);
	fputs("dear diary", file);
	fclose(file);
	FAILS(-EPROTO, "not a ring",
	      torc_topic_open(NULL, disk_address("t"), &options, &topic));
	MUST(torc_bus_open(NULL, &bus));
	FAILS(-EPROTO, "not a ring", torc_bus_remove(bus, disk_address("t"), 0));
	torc_bus_close(bus);
	cr_expect_eq(unlink(disk_path("t")), 0);
	FAILS(-EINVAL, "path of a file",
	      torc_topic_open(NULL, "file:", &options, &topic));
	FAILS(-EINVAL, "path of a file",
	      torc_topic_open(NULL, "file:/tmp/", &options, &topic));
	FAILS(-EINVAL, "path of a file",
	      torc_topic_open(NULL, "file:.t", &options, &topic));
	FAILS(-ENOENT, "/no/such",
	      torc_topic_open(NULL, "file:/no/such/t", &options, &topic));
}

Test(disk, topic_in_memory_is_not_taken_for_one_on_a_disk)
{
	struct torc_topic *topic = topic_open("t", 0, 4096), *other;
	char address[96];

	snprintf(address, sizeof(address), "file:%s/t", fixture_bus);
	FAILS(-EPROTO, "not made as a file",
	      torc_topic_open(NULL, address, NULL, &other));
	torc_topic_close(topic);
}

static int open_as_nobody(void *context)
{
	struct torc_topic *topic;
	int r;

	(void)context;
	if (setgid(65534) || setuid(65534))
		return 77;
	r = torc_topic_open(NULL, disk_address("t"), NULL, &topic);
	return r == -EPERM && strstr(torc_errmsg(), "machine went down");
}

Test(disk, who_may_not_mend_a_topic_is_told_that_it_needs_it)
{
	struct torc_topic *topic = topic_open(disk_address("t"), 0, 4096);
	struct image image;
	int status;

	torc_topic_close(topic);
	image = image_take("t");
	disk_remove("t");
	image_write(&image, "t");
	free(image.bytes);
	if (geteuid())
		cr_skip_test("needs root to become another user");
	cr_assert_eq(chmod(fixture_disk, 0755), 0);
	cr_assert_eq(chmod(disk_path("t"), 0644), 0);
	status = child_end(child_start(open_as_nobody, NULL));
	cr_expect(status == 1 || status == 77, "%d", status);
	torc_topic_close(disk_open("t"));
	disk_remove("t");
}

/* ---- Making it larger --------------------------------------------------- */

Test(disk, one_that_another_keeps_from_being_reopened_is_told_to_be_busy)
{
	struct torc_topic *topic = topic_open(disk_address("a"), 0, 16384);
	struct image image = image_take("a");
	int fd;

	torc_topic_close(topic);
	image_write(&image, "copy");
	fd = open_locks("copy");
	cr_assert_eq(torc_lock_set(fd, F_WRLCK, TORC_LOCK_REPAIR, 1), 0);
	FAILS(-EBUSY, "copy: another process",
	      torc_topic_open(NULL, disk_address("copy"), NULL, &topic));
	close(fd);
	torc_topic_close(disk_open("copy"));
	free(image.bytes);
	disk_remove("a");
	disk_remove("copy");
}

/* Nobody's but the ring's own, be it a copy, or of an earlier boot. */
Test(disk, who_may_only_read_it_keeps_nobody_from_reopening_or_enlarging_it)
{
	static const char *const names[] = { "copy", "a" };
	struct torc_topic *topic = topic_open(disk_address("a"), 0, 16384);
	struct image image = image_take("a");

	torc_topic_close(topic);
	image_write(&image, "copy");
	begin_another_boot("a");
	for (int i = 0; i < 2; i++) {
		int fd = open(disk_path(names[i]), O_RDONLY);

		cr_assert_eq(torc_lock_set(fd, F_RDLCK, 0, 0), 0);
		topic = disk_open(names[i]);
		cr_expect(topic->reopened);
		torc_topic_close(topic);
		close(fd);
		fd = open(disk_path(names[i]), O_RDONLY);
		cr_assert_eq(torc_lock_set(fd, F_RDLCK, 0, 0), 0);
		MUST(torc_topic_resize(NULL, disk_address(names[i]), 32768));
		close(fd);
		disk_remove(names[i]);
	}
	/* Without any locks to begin with. */
	image_write(&image, "copy");
	topic = disk_open("copy");
	cr_expect(topic->reopened);
	torc_topic_close(topic);
	disk_remove("copy");
	free(image.bytes);
}

Test(disk, topic_is_made_larger_with_its_messages)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(disk_address("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_topic_info before, after;
		struct content content, again;

		disk_publish(pub, 0, 500);
		content = disk_read_all(topic);
		MUST(torc_topic_get_info(topic, &before));
		FAILS(-EBUSY, "take part",
		      torc_topic_resize(NULL, disk_address("t"), 65536));
		torc_pub_close(pub);
		torc_topic_close(topic);
		FAILS(-EINVAL, "smaller",
		      torc_topic_resize(NULL, disk_address("t"), 4096));
		MUST(torc_topic_resize(NULL, disk_address("t"), 60000));
		topic = disk_open("t");
		MUST(torc_topic_get_info(topic, &after));
		cr_expect_eq(after.capacity, 65536);
		cr_expect_eq(after.messages, before.messages);
		cr_expect_gt(after.message_max, before.message_max);
		again = disk_read_all(topic);
		cr_expect_eq(again.first, content.first);
		cr_expect_eq(again.count, content.count);
		pub = pub_open(topic);
		disk_publish(pub, 500, 600);
		/* Nothing had to go for the new ones. */
		again = disk_read_all(topic);
		cr_expect_eq(again.first, content.first);
		cr_expect_eq(again.next, 600);
		cr_expect(!again.gaps);
		torc_pub_close(pub);
		torc_topic_close(topic);
		disk_remove("t");
	}
}
