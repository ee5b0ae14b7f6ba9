/* SPDX-License-Identifier: MIT */
/*
 * As much of Criterion as the tests of the ring alone use, for architectures
 * that have no Criterion here.  Each test runs in a child.
 */
#ifndef TORC_TESTS_ARCH_CRITERION_H
#define TORC_TESTS_ARCH_CRITERION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct suite_options {
	void (*init)(void);
	void (*fini)(void);
	double timeout;
};

struct test {
	const char *suite, *name;
	void (*body)(void);
	struct test *next;
};

struct suite {
	const char *name;
	struct suite_options options;
	struct suite *next;
};

static struct test *all_tests;
static struct suite *all_suites;

#define TestSuite(suite_, ...)                                              \
	static struct suite suite_##_suite = { .name = #suite_,             \
					       .options = { __VA_ARGS__ } }; \
	static __attribute__((constructor)) void suite_##_suite_add(void)   \
	{                                                                   \
		suite_##_suite.next = all_suites;                           \
		all_suites = &suite_##_suite;                               \
	}                                                                   \
	struct suite_is_declared

#define Test(suite_, name_, ...)                                            \
	static void suite_##_##name_##_body(void);                          \
	static struct test suite_##_##name_##_test = {                      \
		#suite_, #name_, suite_##_##name_##_body, NULL              \
	};                                                                  \
	static __attribute__((constructor)) void                            \
		suite_##_##name_##_add(void)                                \
	{                                                                   \
		suite_##_##name_##_test.next = all_tests;                   \
		all_tests = &suite_##_##name_##_test;                       \
	}                                                                   \
	static void suite_##_##name_##_body(void)

#define TEST_FAIL(...)                                                      \
	(fprintf(stderr, "# %s:%d: ", __FILE__, __LINE__),                  \
	 fprintf(stderr, "" __VA_ARGS__), fputc('\n', stderr), exit(1))
#define TEST_IF(condition, ...) \
	((condition) ? (void)0 : (void)TEST_FAIL(#condition))

#define cr_assert_fail(...) TEST_FAIL(__VA_ARGS__)
#define cr_assert(c, ...) TEST_IF(c)
#define cr_assert_eq(a, b, ...) TEST_IF((a) == (b))
#define cr_assert_neq(a, b, ...) TEST_IF((a) != (b))
#define cr_assert_leq(a, b, ...) TEST_IF((a) <= (b))
#define cr_assert_lt(a, b, ...) TEST_IF((a) < (b))
#define cr_assert_gt(a, b, ...) TEST_IF((a) > (b))
#define cr_expect cr_assert
#define cr_expect_eq cr_assert_eq
#define cr_expect_geq(a, b, ...) TEST_IF((a) >= (b))
#define cr_expect_gt cr_assert_gt
#define cr_expect_lt cr_assert_lt

static bool test_run(const struct test *test)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		for (struct suite *s = all_suites; s; s = s->next)
			if (!strcmp(s->name, test->suite) && s->options.init)
				s->options.init();
		test->body();
		exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

int main(void)
{
	unsigned int passed = 0, failed = 0;

	for (struct test *test = all_tests; test; test = test->next) {
		bool ok = test_run(test);

		printf("%sok - %s: %s\n", ok ? "" : "not ", test->suite,
		       test->name);
		passed += ok;
		failed += !ok;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}

#endif /* TORC_TESTS_ARCH_CRITERION_H */
