/* SPDX-License-Identifier: MIT */
#include "disks.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

const char *disk_path(const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, 128, "%s/%s", fixture_disk, name);
	return path;
}

const char *disk_address(const char *name)
{
	static char address[160];

	snprintf(address, sizeof(address), "file:%s", disk_path(name));
	return address;
}

struct torc_topic *disk_open(const char *name)
{
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, disk_address(name), NULL, &topic));
	return topic;
}

void disk_remove(const char *name)
{
	struct torc_bus *bus;

	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_remove(bus, disk_address(name), TORC_REMOVE_STALE));
	torc_bus_close(bus);
}

/* ---- Images ------------------------------------------------------------- */

struct image image_take(const char *name)
{
	struct image image;
	struct stat st;
	int fd = open(disk_path(name), O_RDONLY);

	cr_assert(fd >= 0 && !fstat(fd, &st));
	image.size = (size_t)st.st_size;
	image.bytes = malloc(image.size);
	cr_assert_eq(pread(fd, image.bytes, image.size, 0),
		     (ssize_t)image.size);
	close(fd);
	return image;
}

void image_write(const struct image *image, const char *name)
{
	int fd = open(disk_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, image->bytes, image->size),
		     (ssize_t)image->size);
	close(fd);
}

/* ---- Messages that tell whether they are intact ------------------------- */

size_t disk_message_length(uint64_t number)
{
	return 8 + number * 2654435761u % 300;
}

static void disk_message_fill(unsigned char data[400], uint64_t number)
{
	for (size_t k = 0; k < 400; k++)
		data[k] = (unsigned char)(number * 31 + k * 7);
	memcpy(data, &number, sizeof(number));
}

void disk_publish(struct torc_publisher *pub, uint64_t from, uint64_t to)
{
	unsigned char data[400];

	for (uint64_t i = from; i < to; i++) {
		disk_message_fill(data, i);
		MUST(torc_pub_publish(pub, data, disk_message_length(i)));
	}
}

void disk_publish_batches(struct torc_publisher *pub, uint64_t from,
			    uint64_t to)
{
	unsigned char data[7][400];
	struct torc_span spans[7];

	for (uint64_t i = from; i < to;) {
		int n = 0, done;

		for (; n < 7 && i + (uint64_t)n < to; n++) {
			disk_message_fill(data[n], i + (uint64_t)n);
			spans[n].data = data[n];
			spans[n].length = disk_message_length(i + (uint64_t)n);
		}
		done = torc_pub_publish_batch(pub, spans, n);
		cr_assert_eq(done, n);
		i += (uint64_t)done;
	}
}

struct content disk_read_all(struct torc_topic *topic)
{
	struct torc_subscriber *sub = sub_open(topic, TORC_SUB_OLDEST);
	struct content content = { .count = 0 };
	struct torc_message message;
	unsigned char data[400];
	uint64_t number;

	while (!torc_sub_receive(sub, data, sizeof(data), &message)) {
		memcpy(&number, data, sizeof(number));
		cr_assert_eq(message.length, disk_message_length(number));
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

/* ---- System calls that fail ---------------------------------------------- */

void refuse(int number, unsigned int arg, uint32_t bits, int error)
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
