/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Messages whose content tells who sent which; for the tests, in the kernel and in
 * processes.
 */
#ifndef TORC_TESTS_GUEST_STAMP_H
#define TORC_TESTS_GUEST_STAMP_H

#ifdef __KERNEL__
#include <linux/string.h>
#include <linux/types.h>
#else
#include <stdint.h>
#include <string.h>
#endif

#define STAMPED_MAX 608u

struct stamp {
	uint32_t sender, number;
};

static inline size_t stamped_length(uint32_t sender, uint32_t number)
{
	return sizeof(struct stamp) + (number * 37u + sender * 11u) %
			(STAMPED_MAX - sizeof(struct stamp));
}

static inline void stamp_fill(unsigned char *payload, uint32_t sender,
			      uint32_t number)
{
	const struct stamp stamp = { sender, number };
	size_t i, length = stamped_length(sender, number);

	memcpy(payload, &stamp, sizeof(stamp));
	for (i = sizeof(stamp); i < length; i++)
		payload[i] = (unsigned char)(number + sender * 7u + i);
}

#endif /* TORC_TESTS_GUEST_STAMP_H */
