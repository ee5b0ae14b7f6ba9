/* SPDX-License-Identifier: MIT */
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the victim: where it says that it is done. */
static volatile int *own_done;

void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	_exit(1);
}

void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		give_up("out of memory");
	return memory;
}

void victim_begin(void)
{
	__asm__ volatile("int3");
}

void victim_end(void)
{
	*own_done = 1;
	_exit(0);
}

void victim_start(struct victim *v, void (*body)(void *context), void *context)
{
	int status;

	v->ended = false;
	v->done = shared_memory(sizeof(*v->done));
	fflush(NULL);
	v->pid = fork();
	if (v->pid < 0)
		give_up("fork: %s", strerror(errno));
	if (!v->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		own_done = v->done;
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			give_up("ptrace is not allowed: %s", strerror(errno));
		body(context);
		give_up("the victim has not come to its end");
	}
	if (waitpid(v->pid, &status, 0) != v->pid || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGTRAP)
		give_up("the victim has not come to its beginning");
}

/* Let it go on as @request says, until it stops again. */
static void resume(struct victim *v, enum __ptrace_request request)
{
	int status;

	/* Again, if somebody stops everybody; what was asked for is to come. */
	do {
		if (ptrace(request, v->pid, NULL, NULL) ||
		    waitpid(v->pid, &status, 0) != v->pid)
			give_up("cannot step: %s", strerror(errno));
	} while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	v->ended = *v->done && WIFEXITED(status);
	if (!v->ended && (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP))
		give_up("the victim ended by itself, status %#x", status);
}

bool victim_step(struct victim *v)
{
	resume(v, PTRACE_SINGLESTEP);
	return !*v->done;
}

bool victim_finish_syscall(struct victim *v)
{
	/* It stops where the call begins and where it ends. */
	resume(v, PTRACE_SYSCALL);
	if (!*v->done)
		resume(v, PTRACE_SYSCALL);
	return !*v->done;
}

uint64_t victim_place(const struct victim *v)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, v->pid, NULL, &regs))
		give_up("cannot read registers: %s", strerror(errno));
	return regs.rip;
}

static bool set_debug_register(struct victim *v, size_t i, uint64_t value)
{
	size_t offset = offsetof(struct user, u_debugreg) + i * sizeof(long);

	return !ptrace(PTRACE_POKEUSER, v->pid, offset, value);
}

bool victim_run_to(struct victim *v, uint64_t place)
{
	/* Where it is does not count, and would trap at once. */
	do {
		if (!victim_step(v))
			return false;
		if (victim_place(v) == place)
			return true;
		/* Not every virtual machine has breakpoints. */
	} while (!set_debug_register(v, 0, place) ||
		 !set_debug_register(v, 7, 1));
	resume(v, PTRACE_CONT);
	if (*v->done)
		return false;
	set_debug_register(v, 7, 0);
	return true;
}

long victim_system_call(const struct victim *v, uint64_t arguments[3])
{
	struct user_regs_struct regs;
	long code;

	if (ptrace(PTRACE_GETREGS, v->pid, NULL, &regs))
		give_up("cannot read registers: %s", strerror(errno));
	errno = 0;
	code = ptrace(PTRACE_PEEKTEXT, v->pid, regs.rip, NULL);
	arguments[0] = regs.rdi;
	arguments[1] = regs.rsi;
	arguments[2] = regs.rdx;
	return !errno && (code & 0xffff) == 0x050f ? (long)regs.rax : -1;
}

static void reap(struct victim *v)
{
	int status;

	while (!v->ended && waitpid(v->pid, &status, 0) == v->pid &&
	       WIFSTOPPED(status))
		;
	munmap((void *)v->done, sizeof(*v->done));
	v->pid = 0;
}

void victim_kill(struct victim *v)
{
	if (!v->ended)
		kill(v->pid, SIGKILL);
	reap(v);
}

void victim_kill_both(struct victim *a, struct victim *b)
{
	/* One that has ended has no group. */
	if (a->ended || b->ended || setpgid(b->pid, a->pid)) {
		victim_kill(a);
		victim_kill(b);
		return;
	}
	kill(-a->pid, SIGKILL);
	reap(a);
	reap(b);
}
