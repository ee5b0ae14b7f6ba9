/* SPDX-License-Identifier: MIT */
/*
 * Topics of file:PATH: what is left of them when the machine went down.
 *
 * A crash of the machine is an image of the file in which any page may be older
 * than any other, back to before the file was written; and whose parts beside it
 * are another boot's.  A copy of the file alone is such an image.
 */
#include "publisher.h"

#include "disks.h"

#include <stdlib.h>
#include <string.h>

TestSuite(disk_torn, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

#define PAGE 4096u

static const unsigned int both_kinds[] = { 0, TORC_MANY };

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
	topic = disk_open("image");
	MUST(torc_topic_get_info(topic, &info));
	content = disk_read_all(topic);
	content.dropped = info.dropped;
	cr_expect_eq(info.kept, content.count);
	cr_expect(content.count <= whole->count);
	cr_expect(!content.count || (content.first >= whole->first &&
				     content.next <= whole->next));
	if (content.count < whole->count)
		cr_expect_gt(info.dropped, 0);
	/* It goes on from there. */
	pub = pub_open(topic);
	disk_publish(pub, whole->next, whole->next + 3);
	cr_expect_eq(disk_read_all(topic).count, content.count + 3);
	torc_pub_close(pub);
	torc_topic_close(topic);
	disk_remove("image");
	return content;
}

Test(disk_torn, a_page_that_never_reached_the_disk_takes_only_its_messages)
{
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(disk_address("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		struct image whole, torn;
		struct content content, left;
		size_t data;

		disk_publish(pub, 0, 40);	/* the floor stays */
		content = disk_read_all(topic);
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
		disk_remove("t");
	}
}

/* Any mixture of the pages of two moments, laps apart or not. */
Test(disk_torn, of_pages_of_any_age_only_intact_messages_are_delivered)
{
	srand(5);
	for (int k = 0; k < 2; k++) {
		struct torc_topic *topic = topic_open(disk_address("t"),
						      both_kinds[k], 16384);
		struct torc_publisher *pub = pub_open(topic);
		uint64_t next = 0, kept = 0;

		for (int round = 0; round < 60; round++) {
			uint64_t more = (uint64_t)rand() % 300;
			struct image older, newer;
			struct torc_topic *image;
			struct content left;

			older = image_take("t");
			disk_publish(pub, next, next + more);
			next += more;
			newer = image_take("t");
			for (size_t page = PAGE; page < newer.size;
			     page += PAGE)
				if (rand() % 3 == 0)
					memcpy(newer.bytes + page,
					       older.bytes + page, PAGE);
			image_write(&newer, "image");
			image = disk_open("image");
			left = disk_read_all(image);
			cr_expect(left.next <= next);
			kept += left.count;
			torc_topic_close(image);
			disk_remove("image");
			free(older.bytes);
			free(newer.bytes);
		}
		cr_expect_gt(kept, 0);
		torc_pub_close(pub);
		torc_topic_close(topic);
		disk_remove("t");
	}
}

/* A torn last record: part of its payload is missing. */
Test(disk_torn, a_torn_last_message_is_dropped_and_told)
{
	struct torc_topic *topic = topic_open(disk_address("t"), 0, 16384);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_topic_info info;
	struct content content, left;
	struct image image;
	uint64_t header;

	disk_publish(pub, 0, 10);
	content = disk_read_all(topic);
	MUST(torc_topic_get_info(topic, &info));
	image = image_take("t");
	/* The last byte of the last payload. */
	header = TORC_HEADER_SIZE + disk_message_length(9);
	image.bytes[topic->constants.data_offset + info.tail -
		    torc_record_size(disk_message_length(9)) + header - 1] ^= 1;
	left = reopen_image(&image, &content);
	cr_expect_eq(left.count, 9);
	cr_expect_eq(left.next, 9);
	cr_expect_eq(left.dropped, torc_record_size(disk_message_length(9)));
	free(image.bytes);
	torc_pub_close(pub);
	torc_topic_close(topic);
	disk_remove("t");
}

Test(disk_torn, every_byte_may_be_wrong)
{
	struct torc_topic *topic = topic_open(disk_address("t"), TORC_MANY, 4096);
	struct torc_publisher *pub = pub_open(topic);
	struct content content;
	struct image image;

	disk_publish(pub, 0, 50);
	content = disk_read_all(topic);
	torc_pub_close(pub);
	image = image_take("t");
	srand(6);
	for (int round = 0; round < 300; round++) {
		size_t at = PAGE + (size_t)rand() % (image.size - PAGE);
		unsigned char was = image.bytes[at];
		struct torc_topic *other;

		image.bytes[at] = (unsigned char)rand();
		image_write(&image, "image");
		other = disk_open("image");
		cr_expect(disk_read_all(other).count <= content.count);
		torc_topic_close(other);
		disk_remove("image");
		image.bytes[at] = was;
	}
	free(image.bytes);
	torc_topic_close(topic);
	disk_remove("t");
}

static int take_no_notice(const struct torc_message *message, void *context)
{
	(void)message;
	(void)context;
	return 0;
}

/* Where the ring is said to have begun, when the floor is no help. */
Test(disk_torn, no_beginning_is_looked_for_for_ever)
{
	struct torc_topic *topic = topic_open(disk_address("t"), 0, 4096);
	struct torc_publisher *pub = pub_open(topic);
	static const uint64_t firsts[] = { 8, 1, 1 << 20, 1ull << 62,
					   1ull << 63, UINT64_MAX };
	struct torc_publishing_shm *shm;
	struct torc_constants_shm *c;
	struct torc_topic_options inspecting = { .flags = TORC_INSPECT };
	struct torc_dump dump;
	struct image image;

	disk_publish(pub, 0, 10);
	torc_pub_close(pub);
	image = image_take("t");
	c = (struct torc_constants_shm *)(void *)image.bytes;
	shm = (struct torc_publishing_shm *)(void *)(image.bytes +
						     c->publishing_offset);
	shm->marks[0].position = 1;
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		struct torc_topic *other;

		c->first_position = firsts[i];
		image_write(&image, "image");
		MUST(torc_topic_open(NULL, disk_address("image"), &inspecting,
				     &other));
		MUST(torc_topic_dump(other, take_no_notice, NULL, &dump));
		cr_expect_eq(dump.messages, 10);
		torc_topic_close(other);
		other = disk_open("image");
		cr_expect_eq(disk_read_all(other).count, 10);
		torc_topic_close(other);
		disk_remove("image");
	}
	free(image.bytes);
	torc_topic_close(topic);
	disk_remove("t");
}
