/* SPDX-License-Identifier: MIT */
/*
 * Threads with stacks of their own.  One that has handed over is no more than a
 * copy of its stack, and can be put back to where it was.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_SIZE 65536u

jmp_buf scheduler;
struct thread *current;

static unsigned char stacks[MODEL_THREADS][STACK_SIZE]
	__attribute__((aligned(4096)));

static unsigned char *stack_end(const struct thread *t)
{
	return stacks[thread_index(t)] + STACK_SIZE;
}

__attribute__((noinline)) void fiber_hand_over(void)
{
	/* Below the frame is only what is on its way to the scheduler. */
	current->stack = (unsigned char *)__builtin_frame_address(0) - 256;
	if (!_setjmp(current->context))
		_longjmp(scheduler, 1);
}

void fiber_start(struct thread *t)
{
	static ucontext_t context;

	memset(stacks[thread_index(t)], 0, STACK_SIZE);
	getcontext(&context);
	context.uc_stack.ss_sp = stacks[thread_index(t)];
	context.uc_stack.ss_size = STACK_SIZE;
	context.uc_link = NULL;
	makecontext(&context, thread_main, 0);
	current = t;
	if (!_setjmp(scheduler))
		setcontext(&context);
	current = NULL;
}

void fiber_resume(struct thread *t)
{
	current = t;
	if (!_setjmp(scheduler))
		_longjmp(t->context, 1);
	current = NULL;
}

size_t fiber_save(const struct thread *t, unsigned char **stack)
{
	size_t size = (size_t)(stack_end(t) - t->stack);

	*stack = realloc(*stack, size);
	if (!*stack)
		abort();
	memcpy(*stack, t->stack, size);
	return size;
}

void fiber_restore(const struct thread *t, const unsigned char *stack,
		   size_t size)
{
	memcpy(stack_end(t) - size, stack, size);
}
