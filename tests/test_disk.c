/* SPDX-License-Identifier: MIT */
/*
 * Topics of file:PATH: what is left of them when the machine went down.
 *
 * A crash of the machine is an image of the file in which any page may be older
 * than any other, back to before the file was written; and whose parts beside it
 * are another boot's.  A copy of the file alone is such an image.
 */
#include "files.h"
#include "lock.h"
#include "publisher.h"

#include "fixture.h"

#include <fcntl.h>
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

TestSuite(disk, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

#define PAGE 4096u

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, 128, "%s/%s", fixture_disk, name);
	return path;
}

static const char *address_of(const char *name)
{
	static char address[160];

	snprintf(address, sizeof(address), "file:%s", path_of(name));
	return address;
}

static struct torc_topic *open_it(const char *name)
{
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, address_of(name), NULL, &topic));
	return topic;
}

static void remove_it(const char *name)
{
	struct torc_bus *bus;

	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_remove(bus, address_of(name), TORC_REMOVE_STALE));
	torc_bus_close(bus);
}

/* ---- Images ------------------------------------------------------------- */

struct image {
	unsigned char *bytes;
	size_t size;
};

static struct image image_take(const char *name)
{
	struct image image;
	struct stat st;
	int fd = open(path_of(name), O_RDONLY);

	cr_assert(fd >= 0 && !fstat(fd, &st));
	image.size = (size_t)st.st_size;
	image.bytes = malloc(image.size);
	cr_assert_eq(pread(fd, image.bytes, image.size, 0),
		     (ssize_t)image.size);
	close(fd);
	return image;
}

static void image_write(const struct image *image, const char *name)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, image->bytes, image->size),
		     (ssize_t)image->size);
	close(fd);
}

/* ---- Messages that tell whether they are intact ------------------------- */

static size_t length_of(uint64_t number)
{
	return 8 + number * 2654435761u % 300;
}

static void fill(unsigned char data[400], uint64_t number)
{
	for (size_t k = 0; k < 400; k++)
		data[k] = (unsigned char)(number * 31 + k * 7);
	memcpy(data, &number, sizeof(number));
}

static void publish(struct torc_publisher *pub, uint64_t from, uint64_t to)
{
	unsigned char data[400];

	for (uint64_t i = from; i < to; i++) {
		fill(data, i);
		MUST(torc_pub_publish(pub, data, length_of(i)));
	}
}

/* As publish(), in batches of 7, which are published whole. */
static void publish_batches(struct torc_publisher *pub, uint64_t from,
			    uint64_t to)
{
	unsigned char data[7][400];
	struct torc_span spans[7];

	for (uint64_t i = from; i < to;) {
		int n = 0, done;

		for (; n < 7 && i + (uint64_t)n < to; n++) {
			fill(data[n], i + (uint64_t)n);
			spans[n].data = data[n];
			spans[n].length = length_of(i + (uint64_t)n);
		}
		done = torc_pub_publish_batch(pub, spans, n);
		cr_assert_eq(done, n);
		i += (uint64_t)done;
	}
}

struct content {
	uint64_t first, next, count;
	uint64_t dropped;	/* bytes, at reopening */
	bool gaps;
};

/* All that is there: each intact and itself, in order. */
static struct content read_all(struct torc_topic *topic)
{
	struct torc_subscriber *sub = sub_open(topic, TORC_SUB_OLDEST);
	struct content content = { .count = 0 };
	struct torc_message message;
	unsigned char data[400];
	uint64_t number;

	while (!torc_sub_receive(sub, data, sizeof(data), &message)) {
		memcpy(&number, data, sizeof(number));
		cr_assert_eq(message.length, length_of(number));
		for (size_t k = sizeof(number); k < message.length; k++)
			cr_assert_eq(data[k],
				     (unsigned char)(number * 31 + k * 7));
		if (!content.count++)
			content.first = number;
		else if (number != content.next)
			content.gaps = true;
		cr_assert(content.count == 1 || number >= content.next);
		content.next = number + 1;
	}
	torc_sub_close(sub);
	return content;
}

static const unsigned int both_kinds[] = { 0, TORC_MANY };

/* ---- Whole images ------------------------------------------------------- */

Test(disk, what_was_published_is_there_after_exit)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(address_of("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct content content;

		publish(pub, 0, 20);
		torc_pub_close(pub);
		torc_topic_close(topic);
		topic = open_it("t");
		content = read_all(topic);
		cr_expect_eq(content.first, 0);
		cr_expect_eq(content.count, 20);
		torc_topic_close(topic);
		remove_it("t");
	}
}

Test(disk, a_copy_is_another_topic_with_the_same_messages)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(address_of("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic), *other;
		struct torc_topic_info info, before;
		struct content content, again;
		struct torc_topic *copy;
		struct image image;

		publish(pub, 0, 500);
		publish_batches(pub, 500, 1000);
		MUST(torc_topic_get_info(topic, &before));
		content = read_all(topic);
		image = image_take("t");
		image_write(&image, "copy");
		free(image.bytes);
		copy = open_it("copy");
		MUST(torc_topic_get_info(copy, &info));
		cr_expect(info.flags & TORC_REOPENED);
		cr_expect_eq(info.dropped, 0, "%lu",
			     (unsigned long)info.dropped);
		cr_expect_eq(info.kept, content.count);
		cr_expect_eq(info.messages, before.messages);
		again = read_all(copy);
		cr_expect_eq(again.first, content.first);
		cr_expect_eq(again.count, content.count);
		/* They share nothing: both take their publisher. */
		other = pub_open(copy);
		publish(other, 1000, 1500);
		publish(pub, 1000, 1500);
		again = read_all(copy);
		cr_expect(!again.gaps);
		cr_expect_eq(again.next, 1500);
		torc_pub_close(other);
		torc_topic_close(copy);
		/* And the original, open all the time, its own. */
		cr_expect_eq(read_all(topic).next, 1500);
		torc_pub_close(pub);
		torc_topic_close(topic);
		remove_it("copy");
		remove_it("t");
	}
}

/* Pretend that the machine was started since. */
static void begin_another_boot(const char *name)
{
	struct torc_constants_shm c;
	char locks[80] = ".";
	int fd = open(path_of(name), O_RDONLY);

	cr_assert_eq(pread(fd, &c, sizeof(c), 0), sizeof(c));
	close(fd);
	for (int i = 0; i < 16; i++)
		sprintf(locks + 1 + 2 * i, "%02x", c.id[i]);
	strcat(locks, ".locks");
	fd = open(path_of(locks), O_RDWR);
	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, "another machine!", 16, 0), 16);
	close(fd);
}

static int die_in_the_midst(void *context)
{
	struct torc_topic *topic = open_it("t");
	struct torc_publisher *pub = pub_open(topic);
	void *payload;

	sub_open(topic, 0);
	publish(pub, 0, *(uint64_t *)context);
	MUST(torc_pub_reserve(pub, 100, &payload));
	memset(payload, 'x', 100);
	return raise(SIGKILL);
}

Test(disk, participants_of_an_earlier_boot_are_forgotten)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(address_of("t"),
						      both_kinds[k], 16384);
		struct torc_participant list[4];
		uint64_t count = 30;
		struct content content;

		torc_topic_close(topic);
		cr_assert_eq(child_end(child_start(die_in_the_midst, &count)),
			     -SIGKILL);
		topic = open_it("t");
		cr_expect_eq(torc_topic_participants(topic, list, 4), 2);
		torc_topic_close(topic);
		begin_another_boot("t");
		topic = open_it("t");
		cr_expect_eq(torc_topic_participants(topic, list, 4), 0);
		content = read_all(topic);
		cr_expect_eq(content.first, 0);
		cr_expect_eq(content.count, 30);
		torc_topic_close(topic);
		/* Once is enough, and the old parts are gone. */
		topic = open_it("t");
		cr_expect(!topic->reopened);
		torc_topic_close(topic);
		remove_it("t");
	}
}

Test(disk, cursors_and_locks_that_are_gone_are_made_anew)
{
	struct torc_topic *topic = topic_open(address_of("t"), 0, 4096);
	struct torc_publisher *pub = pub_open(topic);

	publish(pub, 0, 3);
	torc_pub_close(pub);
	torc_files_forget(topic, topic->constants.id);
	torc_topic_close(topic);
	topic = open_it("t");
	cr_expect_eq(read_all(topic).count, 3);
	torc_topic_close(topic);
	remove_it("t");
}

/* ---- Torn images -------------------------------------------------------- */

/*
 * Open @image, and see that all is as it was but for what the damage may have
 * taken; what is left.
 */
static struct content reopen_image(const struct image *image,
				   const struct content *whole)
{
	struct torc_topic_info info;
	struct torc_topic *topic;
	struct content content;
	struct torc_publisher *pub;

	image_write(image, "image");
	topic = open_it("image");
	MUST(torc_topic_get_info(topic, &info));
	content = read_all(topic);
	content.dropped = info.dropped;
	cr_expect_eq(info.kept, content.count);
	cr_expect(content.count <= whole->count);
	cr_expect(!content.count || (content.first >= whole->first &&
				     content.next <= whole->next));
	if (content.count < whole->count)
		cr_expect_gt(info.dropped, 0);
	/* It goes on from there. */
	pub = pub_open(topic);
	publish(pub, whole->next, whole->next + 3);
	cr_expect_eq(read_all(topic).count, content.count + 3);
	torc_pub_close(pub);
	torc_topic_close(topic);
	remove_it("image");
	return content;
}

Test(disk, a_page_that_never_reached_the_disk_takes_only_its_messages)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(address_of("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct image whole, torn;
		struct content content, left;
		size_t data;

		publish(pub, 0, 40);	/* the floor stays */
		content = read_all(topic);
		whole = image_take("t");
		torn = whole;
		torn.bytes = malloc(torn.size);
		data = topic->constants.data_offset;
		for (size_t page = PAGE; page < whole.size; page += PAGE) {
			memcpy(torn.bytes, whole.bytes, whole.size);
			memset(torn.bytes + page, 0, PAGE);
			left = reopen_image(&torn, &content);
			/* At most 255 records of 16 bytes are in a page. */
			if (page >= data && page < data + 16384)
				cr_expect(left.count + 260 >= content.count);
			else if (page < data)
				cr_expect_eq(left.count, content.count);
		}
		free(torn.bytes);
		free(whole.bytes);
		torc_pub_close(pub);
		torc_topic_close(topic);
		remove_it("t");
	}
}

/* Any mixture of the pages of two moments, laps apart or not. */
Test(disk, of_pages_of_any_age_only_intact_messages_are_delivered)
{
	srand(5);
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(address_of("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		uint64_t next = 0, kept = 0;

		for (int round = 0; round < 60; round++) {
			uint64_t more = (uint64_t)rand() % 300;
			struct image older, newer;
			struct torc_topic *image;
			struct content left;

			older = image_take("t");
			publish(pub, next, next + more);
			next += more;
			newer = image_take("t");
			for (size_t page = PAGE; page < newer.size;
			     page += PAGE)
				if (rand() % 3 == 0)
					memcpy(newer.bytes + page,
					       older.bytes + page, PAGE);
			image_write(&newer, "image");
			image = open_it("image");
			left = read_all(image);
			cr_expect(left.next <= next);
			kept += left.count;
			torc_topic_close(image);
			remove_it("image");
			free(older.bytes);
			free(newer.bytes);
		}
		cr_expect_gt(kept, 0);
		torc_pub_close(pub);
		torc_topic_close(topic);
		remove_it("t");
	}
}

/* A torn last record: part of its payload is missing. */
Test(disk, a_torn_last_message_is_dropped_and_told)
{
	struct torc_topic *topic = topic_open(address_of("t"), 0, 16384);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_topic_info info;
	struct content content, left;
	struct image image;
	uint64_t header;

	publish(pub, 0, 10);
	content = read_all(topic);
	MUST(torc_topic_get_info(topic, &info));
	image = image_take("t");
	/* The last byte of the last payload. */
	header = TORC_HEADER_SIZE + length_of(9);
	image.bytes[topic->constants.data_offset + info.tail -
		    torc_record_size(length_of(9)) + header - 1] ^= 1;
	left = reopen_image(&image, &content);
	cr_expect_eq(left.count, 9);
	cr_expect_eq(left.next, 9);
	cr_expect_eq(left.dropped, torc_record_size(length_of(9)));
	free(image.bytes);
	torc_pub_close(pub);
	torc_topic_close(topic);
	remove_it("t");
}

Test(disk, every_byte_may_be_wrong)
{
	struct torc_topic *topic = topic_open(address_of("t"), TORC_MANY, 4096);
	struct torc_publisher *pub = pub_open(topic);
	struct content content;
	struct image image;

	publish(pub, 0, 50);
	content = read_all(topic);
	torc_pub_close(pub);
	image = image_take("t");
	srand(6);
	for (int round = 0; round < 300; round++) {
		size_t at = PAGE + (size_t)rand() % (image.size - PAGE);
		unsigned char was = image.bytes[at];
		struct torc_topic *other;

		image.bytes[at] = (unsigned char)rand();
		image_write(&image, "image");
		other = open_it("image");
		cr_expect(read_all(other).count <= content.count);
		torc_topic_close(other);
		remove_it("image");
		image.bytes[at] = was;
	}
	free(image.bytes);
	torc_topic_close(topic);
	remove_it("t");
}

/* ---- Syncing ------------------------------------------------------------ */

/* From now on let system call @number, if argument @arg has @bits, fail. */
static void refuse(int number, unsigned int arg, uint32_t bits, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 (uint32_t)offsetof(struct seccomp_data, args[arg])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static struct torc_topic *open_synced(enum torc_sync sync, uint64_t interval_ns)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .capacity = 16384,
					      .sync = sync,
					      .sync_interval_ns = interval_ns };
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, address_of("t"), &options, &topic));
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

Test(disk, full_file_system_at_a_sync_is_told_as_the_policy_says)
{
	static const int told[] = { [TORC_SYNC_NONE] = 0,
				    [TORC_SYNC_ASYNC] = 0,
				    [TORC_SYNC_INTERVAL] = 1,
				    [TORC_SYNC_COMMIT] = 1 };

	for (enum torc_sync sync = TORC_SYNC_NONE; sync <= TORC_SYNC_COMMIT;
	     sync++) {
		cr_expect_eq(child_end(child_start(publish_to_full_disk,
						   &sync)), told[sync]);
		remove_it("t");
	}
}

Test(disk, policy_is_the_topics_and_stays)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .sync = (enum torc_sync)4 };
	struct torc_topic_info info;
	struct torc_topic *topic;
	struct torc_publisher *pub;

	FAILS(-EINVAL, "sync",
	      torc_topic_open(NULL, address_of("t"), &options, &topic));
	options.sync = TORC_SYNC_COMMIT;
	FAILS(-EINVAL, "file:PATH",
	      torc_topic_open(NULL, "t", &options, &topic));
	options.sync_interval_ns = 66000000000;
	FAILS(-EINVAL, "65535 ms",
	      torc_topic_open(NULL, address_of("t"), &options, &topic));
	torc_topic_close(open_synced(TORC_SYNC_INTERVAL, 5000000));
	topic = open_it("t");
	MUST(torc_topic_get_info(topic, &info));
	cr_expect_eq(info.sync, TORC_SYNC_INTERVAL);
	cr_expect_eq(TORC_RING_SYNC_INTERVAL(topic->constants.flags), 5);
	pub = pub_open(topic);
	MUST(torc_pub_sync(pub));
	torc_pub_close(pub);
	torc_topic_close(topic);
	remove_it("t");
	/* Nothing to do in memory. */
	topic = topic_open("anon:", 0, 4096);
	pub = pub_open(topic);
	MUST(torc_pub_sync(pub));
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* ---- What a file system or a file cannot -------------------------------- */

static int create_unmappable(void *context)
{
	struct torc_topic_options options = { .flags = TORC_CREATE };
	struct torc_topic *topic;
	int r;

	(void)context;
	refuse(SYS_mmap, 3, MAP_SHARED, ENODEV);
	r = torc_topic_open(NULL, address_of("t"), &options, &topic);
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
	      torc_topic_open(NULL, address_of("t"), &options, &topic));
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
	topic = topic_open(address_of("t"), 0, 4096);
	pub = pub_open(topic);
	publish(pub, 0, 1);
	torc_pub_close(pub);
	torc_topic_close(topic);
	cr_assert_eq(mount(NULL, fixture_disk, NULL, MS_REMOUNT | MS_RDONLY,
			   NULL), 0);
	FAILS(-EROFS, "Read-only",
	      torc_topic_open(NULL, address_of("u"), &options, &topic));
	topic = open_it("t");
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
	FILE *file = fopen(path_of("t"), "w");

	cr_assert(file);
	fputs("dear diary", file);
	fclose(file);
	FAILS(-EPROTO, "not a ring",
	      torc_topic_open(NULL, address_of("t"), &options, &topic));
	MUST(torc_bus_open(NULL, &bus));
	FAILS(-EPROTO, "not a ring", torc_bus_remove(bus, address_of("t"), 0));
	torc_bus_close(bus);
	cr_expect_eq(unlink(path_of("t")), 0);
	FAILS(-EINVAL, "name of a file",
	      torc_topic_open(NULL, "file:", &options, &topic));
	FAILS(-EINVAL, "name of a file",
	      torc_topic_open(NULL, "file:/tmp/", &options, &topic));
	FAILS(-EINVAL, "name of a file",
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
	r = torc_topic_open(NULL, address_of("t"), NULL, &topic);
	return r == -EACCES && strstr(torc_errmsg(), "machine went down");
}

Test(disk, who_may_not_mend_a_topic_is_told_that_it_needs_it)
{
	struct torc_topic *topic = topic_open(address_of("t"), 0, 4096);
	struct image image;
	int status;

	torc_topic_close(topic);
	image = image_take("t");
	remove_it("t");
	image_write(&image, "t");
	free(image.bytes);
	if (geteuid())
		cr_skip_test("needs root to become another user");
	cr_assert_eq(chmod(fixture_disk, 0755), 0);
	cr_assert_eq(chmod(path_of("t"), 0644), 0);
	status = child_end(child_start(open_as_nobody, NULL));
	cr_expect(status == 1 || status == 77, "%d", status);
	torc_topic_close(open_it("t"));
	remove_it("t");
}

/* ---- Making it larger --------------------------------------------------- */

Test(disk, one_that_another_keeps_from_being_reopened_is_told_to_be_busy)
{
	struct torc_topic *topic = topic_open(address_of("a"), 0, 16384);
	struct image image = image_take("a");
	int fd;

	torc_topic_close(topic);
	image_write(&image, "copy");
	fd = open(path_of("copy"), O_RDWR);
	cr_assert_eq(torc_lock_set(fd, F_WRLCK, TORC_LOCK_LIFETIME, 1), 0);
	FAILS(-EBUSY, "copy: another process",
	      torc_topic_open(NULL, address_of("copy"), NULL, &topic));
	close(fd);
	torc_topic_close(open_it("copy"));
	free(image.bytes);
	remove_it("a");
	remove_it("copy");
}

Test(disk, topic_is_made_larger_with_its_messages)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(address_of("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct torc_topic_info before, after;
		struct content content, again;

		publish(pub, 0, 500);
		content = read_all(topic);
		MUST(torc_topic_get_info(topic, &before));
		FAILS(-EBUSY, "take part",
		      torc_topic_resize(NULL, address_of("t"), 65536));
		torc_pub_close(pub);
		torc_topic_close(topic);
		FAILS(-EINVAL, "smaller",
		      torc_topic_resize(NULL, address_of("t"), 4096));
		MUST(torc_topic_resize(NULL, address_of("t"), 60000));
		topic = open_it("t");
		MUST(torc_topic_get_info(topic, &after));
		cr_expect_eq(after.capacity, 65536);
		cr_expect_eq(after.messages, before.messages);
		cr_expect_gt(after.message_max, before.message_max);
		again = read_all(topic);
		cr_expect_eq(again.first, content.first);
		cr_expect_eq(again.count, content.count);
		pub = pub_open(topic);
		publish(pub, 500, 600);
		/* Nothing had to go for the new ones. */
		again = read_all(topic);
		cr_expect_eq(again.first, content.first);
		cr_expect_eq(again.next, 600);
		cr_expect(!again.gaps);
		torc_pub_close(pub);
		torc_topic_close(topic);
		remove_it("t");
	}
}
