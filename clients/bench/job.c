/* SPDX-License-Identifier: MIT */
/*
 * One measurement: fork its processes, pin them, wait until all are done, and
 * see that none is left, however it went.  Knows nothing of what they do.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <torc/atomic.h>

#include "bench.h"
#include "pattern.h"

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

bool bench_stopped(void)
{
	return stopped;
}

void bench_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	/* No SA_RESTART: waiting for the processes of a job must end. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

void *bench_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int bench_job_init(struct bench_job *job)
{
	size_t size = bench_pattern_size(job->size);
	uint64_t state = 0x9e3779b97f4a7c15u;
	unsigned char *pattern;

	job->control = bench_shared(sizeof(*job->control));
	pattern = aligned_alloc(64, (size + 63) & ~(size_t)63);
	job->pattern = pattern;
	if (!job->control || !pattern) {
		bench_job_deinit(job);
		return -ENOMEM;
	}
	/* xorshift64 */
	for (size_t i = 0; i < size; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		pattern[i] = (unsigned char)(state >> 32);
	}
	return 0;
}

void bench_job_deinit(struct bench_job *job)
{
	if (job->control)
		munmap(job->control, sizeof(*job->control));
	free((void *)(uintptr_t)job->pattern);
	job->control = NULL;
	job->pattern = NULL;
}

void bench_die(struct bench_job *job, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(job->control->error, sizeof(job->control->error), format,
		  arguments);
	va_end(arguments);
	_exit(1);
}

void bench_barrier(struct bench_job *job, int role, int count)
{
	struct bench_control *control = job->control;
	unsigned int tries = 0;

	torc_store_release(&control->roles[role].ready, 1);
	for (int i = 0; i < count; i++)
		while (!torc_load_acquire(&control->roles[i].ready))
			if (++tries % 1000)
				torc_pause();
			else
				sched_yield();
}

/* In a child. */
static void __attribute__((noreturn)) child(struct bench_job *job, int index,
					    pid_t parent)
{
	bool publishes = index < job->publishers;
	struct sigaction action = { .sa_handler = SIG_DFL };
	cpu_set_t cpus;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	alarm(BENCH_TIMEOUT_S);
	/* Others' work on the two cores disturbs less; root only, so try. */
	setpriority(PRIO_PROCESS, 0, -20);
	CPU_ZERO(&cpus);
	CPU_SET((size_t)job->cpus[!publishes], &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		bench_die(job, "cannot run on core %d: %s",
			  job->cpus[!publishes], strerror(errno));
	job->system->run(job, publishes ? BENCH_PUBLISHER : BENCH_SUBSCRIBER,
			 publishes ? index : 0);
	_exit(0);
}

/* Why the child that ended with @status failed; NULL if it did not. */
static const char *failure(struct bench_job *job, int status)
{
	char *error = job->control->error;

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return NULL;
	if (error[0])
		return error;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(error, sizeof(job->control->error),
			 "not done after %d s: a process hangs, or the machine "
			 "is busy", BENCH_TIMEOUT_S);
	else if (WIFSIGNALED(status))
		snprintf(error, sizeof(job->control->error),
			 "a process was killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(error, sizeof(job->control->error),
			 "a process failed");
	return error;
}

/* Wait for all @pids; when one fails or we are stopped, end the others. */
static int reap(struct bench_job *job, pid_t *pids, int count, int r)
{
	int left = 0;

	for (int i = 0; i < count; i++)
		left += pids[i] > 0;
	while (left) {
		int status;
		pid_t pid = r ? 0 : waitpid(-1, &status, 0);

		if (!r && stopped)
			r = -EINTR;
		if (pid > 0) {
			for (int i = 0; i < count; i++)
				if (pids[i] == pid)
					pids[i] = 0;
			left--;
			if (!r && failure(job, status))
				r = -EIO;
		}
		if (!r)
			continue;
		for (int i = 0; i < count; i++)
			if (pids[i] > 0) {
				kill(pids[i], SIGKILL);
				while (waitpid(pids[i], &status, 0) < 0 &&
				       errno == EINTR)
					;
			}
		return r;
	}
	return r;
}

int bench_job_run(struct bench_job *job)
{
	pid_t pids[BENCH_ROLES_MAX] = { 0 }, self = getpid();
	int count = job->publishers + 1, r;

	memset(job->control, 0, sizeof(*job->control));
	job->burst = job->size >= 4096 ? 1 : 64;
	r = job->system->set_up(job);
	if (r) {
		snprintf(job->control->error, sizeof(job->control->error),
			 "setting up: %s", strerror(-r));
		return -EIO;
	}
	for (int i = 0; i < count && !r; i++) {
		pids[i] = fork();
		if (!pids[i])
			child(job, i, self);
		if (pids[i] < 0) {
			snprintf(job->control->error,
				 sizeof(job->control->error), "fork: %s",
				 strerror(errno));
			r = -EIO;
		}
	}
	r = reap(job, pids, count, r);
	job->system->tear_down(job);
	return r;
}
