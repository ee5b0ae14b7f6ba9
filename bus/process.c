/* SPDX-License-Identifier: MIT */
/*
 * Processes: naming ourselves so that others can tell us from a later process
 * with our PID, judging whether one lives, and what fork() must not hand down.
 */
#include "process.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

/* What the link at @path names; 0 if it cannot be told. */
static uint64_t namespace_at(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

/*
 * 0 if /proc does not show the processes of our namespace: after unshare(1), say,
 * it may still be the parent's.  Then our PID is another process's there, and
 * nobody's can be judged.
 */
static uint64_t own_pid_namespace(void)
{
	char self[16], pid[16];
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);

	if (n < 0)
		return 0;
	self[n] = '\0';
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	return strcmp(self, pid) ? 0 : namespace_at("/proc/self/ns/pid");
}

/* Fields of /proc/PID/stat behind the third, the state; proc(5). */
#define FIELD_THREADS	17
#define FIELD_START	19

/* Not by sscanf(), which has 50 KiB of the C library resident for it. */
static uint64_t field(const char *state, int number)
{
	while (state && number--)
		state = strchr(state + 1, ' ');
	return state ? strtoull(state, NULL, 10) : 0;
}

/* What the file at @path begins with; how many bytes, or negative. */
static ssize_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	if (n >= 0)
		text[n] = '\0';
	return n;
}

/*
 * When a process was started, as our time namespace has it; 0 if that cannot be
 * read or it ended.  *@ret_state is what it does then: R, S, T ...
 */
static uint64_t start_time_of(uint32_t pid, char *ret_state)
{
	char path[32], text[512], *p;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (read_text(path, text, sizeof(text)) <= 0)
		return 0;
	/* The command may hold anything, also ") ". */
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || !p[2] || p[2] == 'X')
		return 0;
	p += 2;
	*ret_state = *p;
	/* A main thread that ended leaves a zombie while others run. */
	return *p == 'Z' && field(p, FIELD_THREADS) <= 1 ?
		       0 : field(p, FIELD_START);
}

/*
 * What our time namespace adds to the time since boot, in clock ticks; false if it
 * cannot be told.
 */
static bool boot_offset(uint64_t *ret)
{
	const unsigned long hz = (unsigned long)sysconf(_SC_CLK_TCK);
	const unsigned long tick_ns = 1000000000 / hz;
	char text[128], *p;
	unsigned long ns;

	*ret = 0;
	/* A kernel without time namespaces. */
	if (read_text("/proc/self/timens_offsets", text, sizeof(text)) < 0)
		return errno == ENOENT;
	/* What we read is said of our children to come. */
	if (namespace_at("/proc/self/ns/time") !=
	    namespace_at("/proc/self/ns/time_for_children"))
		return false;
	p = strstr(text, "boottime");
	if (!p)
		return false;
	*ret = (uint64_t)strtoll(p + strlen("boottime"), &p, 10) * hz;
	ns = strtoul(p, NULL, 10);
	*ret += ns / tick_ns;
	return ns % tick_ns == 0;
}

void torc_process_self(struct torc_process *ret)
{
	uint64_t offset;
	char state;

	ret->pid = (uint32_t)getpid();
	ret->start_time = start_time_of(ret->pid, &state);
	if (ret->start_time && boot_offset(&offset))
		ret->start_time -= offset;
	else
		ret->start_time = 0;
	ret->pid_namespace = own_pid_namespace();
}

int torc_process_alive(const struct torc_process *process)
{
	uint64_t offset;
	char state;

	if (!process->start_time || !process->pid_namespace ||
	    process->pid_namespace != own_pid_namespace() ||
	    !boot_offset(&offset))
		return -1;
	return start_time_of(process->pid, &state) ==
	       process->start_time + offset;
}

bool torc_process_beside(pid_t pid)
{
	uint64_t pids = own_pid_namespace();
	uint64_t network = namespace_at("/proc/self/ns/net");
	char path[2][32];

	snprintf(path[0], sizeof(path[0]), "/proc/%d/ns/pid", (int)pid);
	snprintf(path[1], sizeof(path[1]), "/proc/%d/ns/net", (int)pid);
	return pids && pids == namespace_at(path[0]) && network &&
	       network == namespace_at(path[1]);
}

int torc_process_stopped(const struct torc_process *process)
{
	char state;

	if (torc_process_alive(process) != 1 ||
	    !start_time_of(process->pid, &state))
		return -1;
	return state == 'T' || state == 't';
}

/* ---- fork() ------------------------------------------------------------- */

static pthread_mutex_t forkables_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct torc_forkable *forkables;

void torc_fork_hold(void)
{
	pthread_mutex_lock(&forkables_mutex);
}

void torc_fork_allow(void)
{
	pthread_mutex_unlock(&forkables_mutex);
}

static void close_all(struct torc_forkable *forkable)
{
	for (int i = 0; i < 2; i++) {
		if (forkable->fds[i] >= 0)
			close(forkable->fds[i]);
		forkable->fds[i] = -1;
	}
}

/*
 * Off the list, too: what another thread of the parent had on its stack is here
 * only until that memory is used again.
 */
static void after_fork_in_child(void)
{
	struct torc_forkable *f;

	while ((f = forkables)) {
		forkables = f->next;
		f->link = NULL;
		close_all(f);
		f->unusable = -EOWNERDEAD;
	}
	pthread_mutex_unlock(&forkables_mutex);
}

static void register_once(void)
{
	pthread_atfork(torc_fork_hold, torc_fork_allow, after_fork_in_child);
}

void torc_forkable_add(struct torc_forkable *forkable)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_once);
	pthread_mutex_lock(&forkables_mutex);
	forkable->fds[0] = forkable->fds[1] = -1;
	forkable->unusable = 0;
	forkable->next = forkables;
	forkable->link = &forkables;
	if (forkables)
		forkables->link = &forkable->next;
	forkables = forkable;
	pthread_mutex_unlock(&forkables_mutex);
}

void torc_forkable_remove(struct torc_forkable *forkable)
{
	pthread_mutex_lock(&forkables_mutex);
	if (forkable->link) {
		*forkable->link = forkable->next;
		if (forkable->next)
			forkable->next->link = forkable->link;
	}
	close_all(forkable);
	pthread_mutex_unlock(&forkables_mutex);
}
