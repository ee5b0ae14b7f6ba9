/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the library over a topic whose bytes are anything.  The input is
 * a topic made by the library with some of its bytes changed, and calls, with
 * more changes between them.
 */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <torc/torc.h>

#define CAPACITY	4096u
#define CALLS_MAX	64
#define OPENS_MAX	4	/* each may wait a second for a slot */

static unsigned char *image[2];	/* of a topic for one, for many publishers */
static size_t image_size;

static unsigned char *make_image(unsigned int flags)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | flags, .capacity = CAPACITY,
		.subscribers = 4, .publishers = flags & TORC_MANY ? 4 : 0,
		.type = "fuzzed",
	};
	struct torc_topic *topic;
	struct torc_publisher *pub;
	unsigned char *copy;
	off_t size;

	MUST(!torc_topic_open(NULL, "memfd:", &options, &topic));
	MUST(!torc_pub_open(topic, NULL, &pub));
	for (size_t i = 0; i < 60; i++)
		MUST(!torc_pub_publish(pub, "0123456789abcdef", i % 17));
	size = lseek(torc_topic_fd(topic), 0, SEEK_END);
	MUST(size > 0 && (!image_size || image_size == (size_t)size));
	copy = malloc((size_t)size);
	MUST(copy && pread(torc_topic_fd(topic), copy, (size_t)size, 0) == size);
	image_size = (size_t)size;
	torc_pub_close(pub);
	torc_topic_close(topic);
	return copy;
}

/* Change a byte, mostly of the words rather than of the records. */
static void poke(struct script *s, unsigned char *map)
{
	size_t at = take(s, 2) % image_size;

	map[at] = (unsigned char)take(s, 1);
}

static void must_be_error(int r)
{
	MUST(r <= 0 && r > -4096);
	MUST(torc_strerror(r) && torc_errmsg());
}

static void receive(struct torc_subscriber *sub)
{
	char buffer[CAPACITY];
	struct torc_message message;
	int r = torc_sub_receive(sub, buffer, sizeof(buffer), &message);

	must_be_error(r);
	if (!r)
		MUST(message.length <= sizeof(buffer));
	r = torc_sub_wait(sub, 0);
	must_be_error(r);
	r = torc_sub_ended(sub);
	MUST(r == 1 || r <= 0);
}

static void look(struct torc_topic *topic)
{
	struct torc_participant who[4];
	struct torc_topic_info info;

	must_be_error(torc_topic_get_info(topic, &info));
	MUST(torc_topic_participants(topic, who, 4) < 200000);
}

static void play(struct script *s, struct torc_topic *topic, unsigned char *map)
{
	struct torc_pub_options fails = { .full = TORC_FULL_FAIL };
	struct torc_sub_options options = { .flags = TORC_SUB_OLDEST };
	struct torc_subscriber *sub = NULL;
	struct torc_publisher *pub = NULL;
	static const char data[CAPACITY];
	int opens = 0;

	for (int i = 0; i < CALLS_MAX && s->next < s->end; i++) {
		unsigned int what = (unsigned int)take(s, 1);

		switch (what % 8) {
		case 0:
		case 1:
			poke(s, map);
			break;
		case 2:
			look(topic);
			break;
		case 3:
			options.flags = what >> 4 & 3;
			if (!sub && opens++ < OPENS_MAX)
				must_be_error(torc_sub_open(topic, &options,
							    &sub));
			break;
		case 4:
			sub = torc_sub_close(sub);
			break;
		case 5:
			if (sub)
				receive(sub);
			break;
		case 6:
			fails.full = what & 16 ? TORC_FULL_FAIL : TORC_FULL_DROP;
			if (pub && what & 32)
				pub = torc_pub_close(pub);
			else if (!pub && opens++ < OPENS_MAX)
				must_be_error(torc_pub_open(topic, &fails,
							    &pub));
			break;
		case 7:
			if (pub)
				must_be_error(torc_pub_publish(
					pub, data, take(s, 2) % CAPACITY));
			break;
		}
	}
	torc_sub_close(sub);
	torc_pub_close(pub);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct script script = { bytes, bytes + size };
	unsigned int kind = (unsigned int)take(&script, 1), changes;
	struct torc_topic *topic;
	unsigned char *map;
	char address[32];
	int fd, r;

	if (!image[0]) {
		image[0] = make_image(0);
		image[1] = make_image(TORC_MANY);
	}
	fd = memfd_create("fuzzed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	MUST(fd >= 0);
	MUST(write(fd, image[kind & 1], image_size) == (ssize_t)image_size);
	map = mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(map != MAP_FAILED);
	for (changes = (unsigned int)take(&script, 1) % 16; changes--;)
		poke(&script, map);
	if (kind & 2)
		MUST(!ftruncate(fd, (off_t)(take(&script, 3) % (2 * image_size))));
	MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	snprintf(address, sizeof(address), "fd:%d", fd);
	r = torc_topic_open(NULL, address, NULL, &topic);
	must_be_error(r);
	if (!r && !(kind & 2))
		play(&script, topic, map);
	if (!r)
		torc_topic_close(topic);
	munmap(map, image_size);
	close(fd);
	return 0;
}
