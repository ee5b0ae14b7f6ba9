/* SPDX-License-Identifier: MIT */
/*
 * One side of a topic between processes of different widths; arch/run starts
 * one of each.
 *
 *	exchange pub|sub TOPIC COUNT
 */
#include <torc/torc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 900u

static unsigned char body[LONGEST];

/* Message @number, of many lengths. */
static size_t message(uint32_t number)
{
	size_t length = number * 2654435761u % (LONGEST - 4) + 4;

	memset(body, (int)(number % 251), sizeof(body));
	memcpy(body, &number, sizeof(number));
	return length;
}

static int fail(const char *what, uint32_t number)
{
	fprintf(stderr, "exchange, %zu bits: %s, message %u: %s\n",
		8 * sizeof(void *), what, number, torc_errmsg());
	return 1;
}

static int publish(struct torc_topic *topic, uint32_t count)
{
	struct torc_publisher *pub;

	if (torc_pub_open(topic, NULL, &pub))
		return fail("open", 0);
	for (uint32_t i = 0; i < count; i++) {
		size_t length = message(i);

		if (torc_pub_publish(pub, body, length))
			return fail("publish", i);
	}
	torc_pub_close(pub);
	return 0;
}

static int receive(struct torc_topic *topic, uint32_t count)
{
	struct torc_subscriber *sub;
	unsigned char data[LONGEST];
	struct torc_message m;

	if (torc_sub_open(topic, NULL, &sub))
		return fail("open", 0);
	puts("ready");
	fflush(stdout);
	for (uint32_t i = 0; i < count; i++) {
		size_t length = message(i);

		if (torc_sub_wait(sub, 20000000000) ||
		    torc_sub_receive(sub, data, sizeof(data), &m))
			return fail("receive", i);
		if (m.sequence != i || m.length != length ||
		    memcmp(data, body, length))
			return fail("another was sent", i);
	}
	torc_sub_close(sub);
	return 0;
}

int main(int argc, char **argv)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .capacity = 65536 };
	struct torc_topic *topic;
	uint32_t count;
	int r;

	if (argc != 4)
		return 2;
	count = (uint32_t)strtoul(argv[3], NULL, 10);
	if (torc_topic_open(NULL, argv[2], &options, &topic))
		return fail("topic", 0);
	r = strcmp(argv[1], "pub") ? receive(topic, count)
				   : publish(topic, count);
	torc_topic_close(topic);
	return r;
}
