/* SPDX-License-Identifier: MIT */
/*
 * Goal: what a message costs through the mapping, and copied by write() and read()
 * of a topic that the driver publishes, from one process to another.
 * Method: two publishers, of which the one runs that is being measured, so that
 * both rings are mapped and warm; who has the mapping polls; many short rounds in
 * turns; medians.  Figures of an emulator are worth nothing but as ratios, so none
 * is asserted.
 */
#include "device.h"
#include "topics.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 21
#define ROUND_NS 200000000ull

struct way {
	pid_t publisher;
	size_t length;
	/* Mapped: */
	const char *address;
	struct torc_topic *topic;
	struct torc_subscriber *sub;
	/* Copied: */
	struct device device;
	int reader;
	char *buffer;
};

static void publish_mapped(const void *context)
{
	const struct way *way = context;
	char *payload = calloc(1, way->length);

	CHECK(payload);
	for (struct torc_publisher *pub =
		     pub_open(topic_open(way->address, 0), TORC_FULL_WAIT);;)
		MUST(torc_pub_publish(pub, payload, way->length));
}

static void publish_copied(const void *context)
{
	const struct way *way = context;
	char *payload = calloc(1, way->length);

	CHECK(payload);
	for (;;)
		CHECK(write(way->device.fd, payload, way->length) > 0);
}

static void stop(pid_t pid)
{
	int status;

	CHECK(!kill(pid, SIGSTOP));
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

/* A batch, as far as there is one. */
static uint64_t take_mapped(struct way *way)
{
	struct torc_message messages[64];
	int n = torc_sub_peek_batch(way->sub, messages, 64);

	if (n <= 0)
		return 0;
	MUST(torc_sub_release(way->sub));
	return (uint64_t)n;
}

static double rate_mapped(struct way *way)
{
	uint64_t count = 0, begin, now;

	/* What the last round left behind. */
	while (take_mapped(way))
		;
	CHECK(!kill(way->publisher, SIGCONT));
	begin = now = now_ns();
	while (now - begin < ROUND_NS) {
		for (int i = 0; i < 64; i++)
			count += take_mapped(way);
		now = now_ns();
	}
	stop(way->publisher);
	return (double)count * 1e9 / (double)(now - begin);
}

static double rate_copied(struct way *way)
{
	uint64_t count = 0, begin, now;

	CHECK(!kill(way->publisher, SIGCONT));
	begin = now = now_ns();
	while (now - begin < ROUND_NS) {
		/* The clock costs as much as a short message. */
		for (size_t bytes = 0; bytes < 512; bytes += way->length) {
			CHECK_EQ(read(way->reader, way->buffer, way->length),
				 way->length);
			count++;
		}
		now = now_ns();
	}
	stop(way->publisher);
	return (double)count * 1e9 / (double)(now - begin);
}

static struct way *new_mapped(size_t length, uint64_t capacity)
{
	struct way *way = calloc(1, sizeof(*way));

	way->length = length;
	way->address = first_kind();
	way->topic = topic_create(way->address, 0, capacity);
	way->sub = sub_open(way->topic, 0);
	way->publisher = child_start(publish_mapped, way);
	stop(way->publisher);
	return way;
}

static struct way *new_copied(size_t length, uint64_t capacity)
{
	struct torc_driver_create request =
		device_request(TORC_PAGES_SHMEM, TORC_DRIVER_PUBLISHES);
	struct way *way = calloc(1, sizeof(*way));

	way->length = length;
	way->buffer = malloc(length);
	request.capacity = capacity;
	device_make_as(&way->device, &request);
	way->reader = device_open(&way->device, O_RDONLY);
	CHECK(way->reader >= 0 && way->buffer);
	way->publisher = child_start(publish_copied, way);
	stop(way->publisher);
	return way;
}

static void end(struct way *way)
{
	kill(way->publisher, SIGKILL);
	CHECK_EQ(child_end(way->publisher), -SIGKILL);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(*values), compare);
}

static void measure(size_t length)
{
	uint64_t capacity = length < 65536 ? 1u << 20 : 16 * length;
	struct way *mapped = new_mapped(length, capacity);
	struct way *copied = new_copied(length, capacity);
	double m[ROUNDS], c[ROUNDS], ratio[ROUNDS];

	/* The first shows its pages to both sides. */
	for (int i = -1; i < ROUNDS; i++) {
		int at = i < 0 ? 0 : i;

		m[at] = rate_mapped(mapped);
		c[at] = rate_copied(copied);
		ratio[at] = m[at] / c[at];
	}
	sort(m);
	sort(c);
	sort(ratio);
	printf("# %zu bytes: %.0f mapped, %.0f copied, ratio %.2f [%.2f %.2f]\n",
	       length, m[ROUNDS / 2], c[ROUNDS / 2], ratio[ROUNDS / 2],
	       ratio[ROUNDS / 4], ratio[ROUNDS - 1 - ROUNDS / 4]);
	end(mapped);
	end(copied);
}

/* Each in a process of its own, whose topics go with it. */
TEST(of_8_bytes)
{
	measure(8);
}

TEST(of_4_kib)
{
	measure(4096);
}

TEST(of_1_mib)
{
	measure(1 << 20);
}
