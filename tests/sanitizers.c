/* SPDX-License-Identifier: MIT */
/*
 * What Criterion needs to get on with the sanitizers.  Only linked with them,
 * and before any test.
 */
#include <stdlib.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED const char *__tsan_default_options(void);
EXPORTED const char *__lsan_default_suppressions(void);

/*
 * A test whose process exits with another status than 0 has not failed for that,
 * but one that breaks off has.  Tests fork, and Criterion has threads.
 */
const char *__tsan_default_options(void)
{
	return "halt_on_error=1:die_after_fork=0";
}

/* It does not free its copies of arguments. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libcriterion\n";
}

/*
 * Criterion's sandbox maps memory at 2^45 + rand_r() mod 2^22 * 2^24, which the
 * thread sanitizer nearly always has for itself.  So have the dice fall on where
 * programs live, at 0x55 * 2^40: below what the kernel takes for this one.
 * https://github.com/Snaipe/Criterion/issues/274
 */
EXPORTED int rand_r(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;	/* as in C's example of rand() */
	return 0x350000 | (int)(*seed >> 18);
}
