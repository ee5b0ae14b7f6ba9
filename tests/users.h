/* SPDX-License-Identifier: MIT */
/*
 * Tests with processes of two users on a bus that both may write.  The test
 * itself, started as root, plays the topic's owner; children play the other user.
 */
#ifndef TORC_TESTS_USERS_H
#define TORC_TESTS_USERS_H

#include "fixture.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define OWNER	12345u
#define OTHER	12346u

/* Skips the test unless root started it. */
void users_init(void);
void users_fini(void);

/* Effectively another user, and back. */
void act_as(uid_t uid);

/* What children and the test tell each other. */
extern int *stage;
void tell(int value);
void await(int value);

/* Groups that the owner, or the other user, is in besides; the owner's: until
 * users_fini(). */
#define FEED	12347u
#define READERS	12348u
void owner_joins(const gid_t *groups, size_t count);
extern gid_t other_groups[2];
extern size_t other_group_count;

/* Run @body as the other user. */
pid_t other_start(int (*body)(void *context), void *context);
void other_does(int (*body)(void *context), void *context);

/* On a ring of 4096 bytes. */
struct torc_topic *make_topic(const char *name, unsigned int flags, mode_t mode,
			      mode_t cursors_mode);
/* The path of another @part of the ring @id in @directory. */
void part_path_in(const char *directory, const unsigned char id[16],
		  const char *part, char path[PATH_MAX]);
/* The path of a topic's ring, or of another @part of it. */
void part_path(const char *name, const char *part, char path[PATH_MAX]);
/* It is there, the owner's, and of that mode. */
void expect_file(const char *name, const char *part, mode_t mode);
void expect_given(const char *name, const char *part, mode_t mode, uid_t owner,
		  gid_t group);

/* In the other user's process, where Criterion does not count. */
#define NEEDS(condition)						\
	do {								\
		if (!(condition)) {					\
			fprintf(stderr, "%s:%d: %s: %s, %s\n", __FILE__,	\
				__LINE__, #condition, torc_errmsg(),	\
				strerror(errno));			\
			return 1;					\
		}							\
	} while (0)

#define REFUSED(call, error)	NEEDS((call) < 0 && errno == (error))

#endif /* TORC_TESTS_USERS_H */
