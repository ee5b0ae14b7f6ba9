/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77

static struct harness_test *first, **last = &first;

void harness_register(struct harness_test *test)
{
	*last = test;
	last = &test->next;
}

void harness_fail(const char *file, int line, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	printf("# %s:%d: %s\n", file, line, text);
	fflush(stdout);
	_exit(1);
}

void harness_skip(const char *reason)
{
	printf("# skipped: %s\n", reason);
	fflush(stdout);
	_exit(SKIPPED);
}

pid_t child_start(void (*body)(const void *context), const void *context)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		return pid;
	body(context);
	fflush(stdout);
	_exit(0);
}

int child_end(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void shell(const char *format, ...)
{
	char command[256];
	va_list arguments;

	va_start(arguments, format);
	CHECK(vsnprintf(command, sizeof(command), format, arguments) <
	      (int)sizeof(command));
	va_end(arguments);
	CHECK_EQ(system(command), 0);
}

void child_stops(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
}

unsigned int harness_seconds(unsigned int seconds, unsigned int seconds_long)
{
	return getenv("TORC_LONG") ? seconds_long : seconds;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* In a group of its own, with all that it starts. */
static void run(const void *context)
{
	const struct harness_test *test = context;

	CHECK(!setpgid(0, 0));
	test->run();
}

/* What a test that failed left running or loaded is not in the next one's way. */
static void clear_away(pid_t group)
{
	kill(-group, SIGKILL);
	/* Where it is not to be had, the tests are not run by guest/each. */
	if (system("fresh"))
		printf("# the driver was not loaded anew\n");
}

/* Arguments choose tests. */
static bool chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(name, argv[i]))
			return true;
	return argc == 1;
}

int main(int argc, char **argv)
{
	int number = 0, failed = 0;

	for (struct harness_test *test = first; test; test = test->next) {
		pid_t pid;
		int status;
		bool fails;

		if (!chosen(test->name, argc, argv))
			continue;
		pid = child_start(run, test);
		status = child_end(pid);
		fails = status && status != SKIPPED;
		failed += fails;
		if (status < 0)
			printf("# ended by signal %d\n", -status);
		printf("%sok %d - %s%s\n", fails ? "not " : "", ++number,
		       test->name, status == SKIPPED ? " # SKIP" : "");
		fflush(stdout);
		if (fails)
			clear_away(pid);
	}
	printf("1..%d\n", number);
	return failed != 0;
}
