/* SPDX-License-Identifier: MIT */
/*
 * What tests of the library share: a bus of their own, and short ways to what
 * must succeed.
 */
#ifndef TORC_TESTS_FIXTURE_H
#define TORC_TESTS_FIXTURE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <torc/torc.h>

/* The sanitizers that this is built with: gcc defines a macro, clang a feature. */
#ifdef __has_feature
#define FIXTURE_FEATURE(name) __has_feature(name)
#else
#define FIXTURE_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || FIXTURE_FEATURE(address_sanitizer)
#define FIXTURE_ADDRESS_SANITIZER 1
#else
#define FIXTURE_ADDRESS_SANITIZER 0
#endif
#if defined(__SANITIZE_THREAD__) || FIXTURE_FEATURE(thread_sanitizer)
#define FIXTURE_THREAD_SANITIZER 1
#else
#define FIXTURE_THREAD_SANITIZER 0
#endif

/* What it holds during a store with release, the handler of SIGBUS would wait for. */
#define SKIP_STORES_TO_WHAT_IS_CUT_OFF()                                       \
	do {                                                                   \
		if (FIXTURE_THREAD_SANITIZER)                                  \
			cr_skip_test("this sanitizer's stores hold locks");    \
	} while (0)

/* Make an empty bus, the default for this process and its children. */
void fixture_init(void);
/* Remove it; fails if a file is left there. */
void fixture_fini(void);

extern char fixture_bus[64];
/* And an empty directory on a disk. */
extern char fixture_disk[64];
/* A System V key that is the test's own, that of this directory, and its address. */
key_t fixture_key(char address[96]);

/* Every mapping that can be made by name alone, for one publisher and many. */
struct fixture_kind {
	const char *address;
	unsigned int flags;
};

#define FIXTURE_KINDS 12
extern const struct fixture_kind fixture_kinds[FIXTURE_KINDS];

struct torc_topic *topic_open(const char *address, unsigned int flags,
			      uint64_t capacity);
/* A new one of a row of fixture_kinds. */
struct torc_topic *topic_of_kind(size_t kind, uint64_t capacity);
/* Close it, and remove it if it stays. */
void topic_end(struct torc_topic *topic);
struct torc_publisher *pub_open(struct torc_topic *topic);
struct torc_subscriber *sub_open(struct torc_topic *topic, unsigned int flags);

/* Run @body in a forked process; its exit status, or -signal. */
pid_t child_start(int (*body)(void *context), void *context);
int child_end(pid_t pid);
/* A body: receive messages of a byte from the topic, asleep between, to an 'e'. */
int receive_to_the_end(void *topic);

/* How many files the bus holds, hidden ones included. */
int fixture_files(void);

/* How many descriptors we have open. */
int fixture_fds(void);

/* How many eventfds we have open, and the last of them. */
int fixture_eventfds(int *ret_last);

/* From now on membarrier() is refused, to us and those that we fork. */
void refuse_membarrier(void);

void pause_ms(long ms);

/* Has @fd something to read, or comes it within so long? */
bool readable(int fd, int timeout_ms);
/* Receive a message of up to 64 bytes; 0 or an error. */
int sub_receive(struct torc_subscriber *sub);
/* There is nothing to receive, and then @fd, of @sub, is not readable. */
void expect_rest(struct torc_subscriber *sub, int fd);

#define MUST(call)                                                             \
	do {                                                                   \
		int must_result = (call);                                      \
		cr_assert(must_result >= 0, "%s: %d (%s)", #call, must_result, \
			  torc_errmsg());                                      \
	} while (0)

/* @call fails with @error, and says something that contains @words. */
#define FAILS(error, words, call)                                              \
	do {                                                                   \
		int fails_result = (call);                                     \
		cr_assert_eq(fails_result, (error), "%s: %d (%s)", #call,      \
			     fails_result, torc_errmsg());                     \
		cr_assert(strstr(torc_errmsg(), words), "%s: \"%s\"", #call,   \
			  torc_errmsg());                                      \
	} while (0)

#endif /* TORC_TESTS_FIXTURE_H */
