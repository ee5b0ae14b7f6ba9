/* SPDX-License-Identifier: MIT */
/*
 * For tests of the driver, which run in a guest as they do on a machine: TAP, each
 * test in a process of its own.  Whoever runs the program ends it when it takes too
 * long (guest/each).  Criterion would bring a dozen libraries into a guest of a few
 * megabytes.
 */
#ifndef TORC_TESTS_GUEST_HARNESS_H
#define TORC_TESTS_GUEST_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct harness_test {
	const char *name;
	void (*run)(void);
	struct harness_test *next;
};

void harness_register(struct harness_test *test);

/* A test; its name is a sentence about behaviour. */
#define TEST(name)                                                            \
	static void name(void);                                               \
	__attribute__((constructor)) static void register_##name(void)       \
	{                                                                     \
		static struct harness_test test = { #name, name, NULL };      \
                                                                              \
		harness_register(&test);                                      \
	}                                                                     \
	static void name(void)

/* End this test, or this child of it, as failed. */
_Noreturn void harness_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* End this test as impossible here. */
_Noreturn void harness_skip(const char *reason);

#define CHECK(condition)                                                      \
	do {                                                                  \
		if (!(condition))                                             \
			harness_fail(__FILE__, __LINE__, "%s (errno %d)",     \
				     #condition, errno);                      \
	} while (0)

#define CHECK_EQ(a, b)                                                        \
	do {                                                                  \
		long long check_a = (long long)(a), check_b = (long long)(b); \
                                                                              \
		if (check_a != check_b)                                       \
			harness_fail(__FILE__, __LINE__,                      \
				     "%s is %lld, %s is %lld", #a, check_a,   \
				     #b, check_b);                            \
	} while (0)

/* A system call that must fail: -1 (or MAP_FAILED) and @error in errno. */
#define CHECK_FAILS(error, call)                                              \
	do {                                                                  \
		long long check_r = (long long)(call);                        \
                                                                              \
		if (check_r != -1 || errno != (error))                        \
			harness_fail(__FILE__, __LINE__,                      \
				     "%s: %lld, errno %d, not %d", #call,     \
				     check_r, errno, (error));                \
	} while (0)

/* A child that runs @body and exits with 0, unless a check fails in it. */
pid_t child_start(void (*body)(const void *context), const void *context);
/* Its exit status, or -signal. */
int child_end(pid_t pid);

/* Run a command, which must succeed. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Wait until it is stopped by a signal. */
void child_stops(pid_t pid);

/* Seconds for a test that goes on as long as it may: long in check-long. */
unsigned int harness_seconds(unsigned int seconds, unsigned int seconds_long);
uint64_t now_ns(void);

#endif /* TORC_TESTS_GUEST_HARNESS_H */
