/* SPDX-License-Identifier: MIT */
/*
 * Victims: processes that are executed one instruction at a time, and killed
 * between two of them.
 */
#ifndef TORC_TESTS_CRASH_STEP_H
#define TORC_TESTS_CRASH_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct victim {
	pid_t pid;
	volatile int *done;	/* shared with it */
	bool ended;		/* has exited, and was waited for */
};

/* Run @body in a process of its own as far as its victim_begin(). */
void victim_start(struct victim *v, void (*body)(void *context), void *context);

/* Called by @body where stepping begins and ends. */
void victim_begin(void);
void victim_end(void);

/* Execute one instruction; false if it has come to its end. */
bool victim_step(struct victim *v);

/* Go on to the end of the next system call; false as victim_step(). */
bool victim_finish_syscall(struct victim *v);

/* Address of the instruction that is next. */
uint64_t victim_place(const struct victim *v);

/* Go on until the one at @place is next, again if it is; false as victim_step(). */
bool victim_run_to(struct victim *v, uint64_t place);

/* Number of the system call that is next, or -1; its first arguments. */
long victim_system_call(const struct victim *v, uint64_t arguments[3]);

void victim_kill(struct victim *v);

/* Kill two at once, by their process group. */
void victim_kill_both(struct victim *a, struct victim *b);

/* Zero, and shared with the processes forked from now on. */
void *shared_memory(size_t size);

/* Say what is wrong and exit. */
void give_up(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

#endif /* TORC_TESTS_CRASH_STEP_H */
