/* SPDX-License-Identifier: MIT */
/*
 * The driver's topics by way of libtorc.
 */
#ifndef TORC_TESTS_GUEST_TOPICS_H
#define TORC_TESTS_GUEST_TOPICS_H

#include "harness.h"

#include <torc/torc.h>

#include "contexts/stamp.h"

/*
 * Addresses for a topic of this process, one for each way to hold the memory;
 * NULL after the last.
 */
const char *first_kind(void);
const char *next_kind(void);

#define for_each_kind(address)                                                \
	for (const char *address = first_kind(); address;                     \
	     address = next_kind())

struct torc_topic *topic_create(const char *address, unsigned int flags,
				uint64_t capacity);
struct torc_topic *topic_open(const char *address, unsigned int flags);
/* Close it and see it gone. */
void topic_destroy(struct torc_topic *topic, const char *address);
struct torc_publisher *pub_open(struct torc_topic *topic, enum torc_full full);
struct torc_subscriber *sub_open(struct torc_topic *topic, unsigned int flags);
/* Until so many of @role are alive. */
void wait_for_participants(struct torc_topic *topic, enum torc_role role,
			   uint32_t count);

void publish_stamped(struct torc_publisher *pub, uint32_t sender,
		     uint32_t number);
/* The next message, what is in it being checked; false if there is none. */
bool receive_stamped_if_any(struct torc_subscriber *sub, struct stamp *ret);
/* The same, waited for. */
struct stamp receive_stamped(struct torc_subscriber *sub);

#define MUST(call)                                                            \
	do {                                                                  \
		int must_r = (call);                                          \
                                                                              \
		if (must_r < 0)                                               \
			harness_fail(__FILE__, __LINE__, "%s: %d (%s)",       \
				     #call, must_r, torc_errmsg());           \
	} while (0)

#endif /* TORC_TESTS_GUEST_TOPICS_H */
