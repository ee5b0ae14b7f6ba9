/* SPDX-License-Identifier: MIT */
/*
 * What the system refuses.  A child uses a topic from its making to its end under
 * ptrace, and its parent lets the n-th system call fail, for every n: the library
 * returns an error that torc_errmsg() explains, goes on or undoes what it began, and
 * keeps no descriptor, no mapping, no memory and no file.  The same for each
 * allocation, for limits of the process, and for signals that come all the time.
 */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(faults, .init = fixture_init, .fini = fixture_fini, .timeout = 200);

/* ---- A topic's life ----------------------------------------------------- */

struct life {
	const char *address;
	unsigned int flags;
};

static int ignore_message(const struct torc_message *message, void *context)
{
	(void)message;
	(void)context;
	return 0;
}

static int use(struct torc_topic *topic, struct torc_publisher *pub,
	       struct torc_subscriber *sub)
{
	struct torc_participant participants[4];
	struct torc_topic_info info;
	struct torc_message message;
	struct torc_dump dump;
	char data[8];
	int r;

	r = torc_pub_publish(pub, "message", 8);
	if (!r)
		r = torc_sub_wait(sub, 0);
	if (!r)
		r = torc_sub_receive(sub, data, sizeof(data), &message);
	if (!r)
		r = torc_sub_fd(sub);
	if (r >= 0)
		r = torc_topic_participants(topic, participants, 4);
	if (r >= 0)
		r = torc_topic_get_info(topic, &info);
	if (r >= 0)
		r = torc_topic_dump(topic, ignore_message, NULL, &dump);
	return r;
}

static int join(struct torc_topic *topic)
{
	struct torc_subscriber *sub = NULL;
	struct torc_publisher *pub = NULL;
	int r;

	r = torc_sub_open(topic, NULL, &sub);
	if (!r)
		r = torc_pub_open(topic, NULL, &pub);
	if (!r)
		r = use(topic, pub, sub);
	torc_sub_close(sub);
	torc_pub_close(pub);
	return r;
}

static int ignore_topic(const char *name, void *context)
{
	(void)name;
	(void)context;
	return 0;
}

static int live(const struct life *life)
{
	struct torc_topic_options options = {
		.flags = life->flags | TORC_CREATE,
		.capacity = 4096,
	};
	struct torc_topic *topic = NULL, *again = NULL;
	struct torc_bus *bus = NULL;
	int r;

	r = torc_bus_open(NULL, &bus);
	if (!r)
		r = torc_topic_open(bus, life->address, &options, &topic);
	if (!r && !strchr(life->address, ':'))
		r = torc_topic_open(bus, life->address, NULL, &again);
	if (!r)
		r = join(again ? again : topic);
	if (!r)
		r = torc_bus_list(bus, ignore_topic, NULL);
	torc_topic_close(again);
	torc_topic_close(topic);
	torc_bus_close(bus);
	return r;
}

#if !defined(__x86_64__)
#define UNFIT "knows x86-64 only"
#elif FIXTURE_ADDRESS_SANITIZER || FIXTURE_THREAD_SANITIZER
#define UNFIT "a sanitizer's system calls are not torc's"
#endif

/* ---- What is held ------------------------------------------------------- */

#ifndef UNFIT
/*
 * glibc's own, behind those here, which take their place in all of the process, also
 * within glibc: strdup() allocates by this malloc().
 */
#pragma GCC visibility push(default)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static int allocations_left = -1;	/* until one fails; negative: none does */

static bool allocation_fails(void)
{
	if (allocations_left < 0 || allocations_left-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

static int allocated;	/* blocks, less those freed */

static void *count_block(void *block)
{
	allocated += block != NULL;
	return block;
}

void *malloc(size_t size)
{
	return allocation_fails() ? NULL : count_block(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL
				  : count_block(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
	void *grown;

	if (allocation_fails())
		return NULL;
	grown = __libc_realloc(block, size);
	return block ? grown : count_block(grown);
}

void free(void *block)
{
	allocated -= block != NULL;
	__libc_free(block);
}
#pragma GCC visibility pop

static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (maps && fgets(line, sizeof(line), maps))
		n++;
	fclose(maps);
	return n;
}

/*
 * Locks go with descriptors and mappings.  After a first life, which is when the C
 * library takes for good what it needs, all of this is as it was.
 */
struct held {
	int descriptors, mappings, blocks;
};

static struct held held_now(void)
{
	struct held held = { count_descriptors(), count_mappings(), 0 };

	held.blocks = allocated;
	return held;
}

static bool same_held(const struct held *a, const struct held *b)
{
	return a->descriptors == b->descriptors && a->mappings == b->mappings &&
	       a->blocks == b->blocks;
}
#endif

/* ---- The n-th system call ------------------------------------------------ */

#ifndef UNFIT
/* What live_with_faults() returned, seen by its parent too. */
static int *result;

/* No system call has this number: it says where faults begin and end. */
#define SYS_MARK 100000

/* What the child ends with. */
enum outcome {
	FINE,
	WRONG_ERROR,
	SAYS_NOTHING,		/* torc_errmsg() tells of something else */
	KEEPS_SOMETHING,
};

/* Have torc_errmsg() tell of something else; no system call. */
static void garble_errmsg(void)
{
	struct torc_topic *topic;

	torc_topic_open(NULL, "//stale", NULL, &topic);
}

/* Errors that are to be expected leave torc_errmsg() as it is. */
static bool is_explained(int error)
{
	return error >= 0 || error == -EAGAIN || error == -ETIMEDOUT ||
	       error == -EINTR || !strstr(torc_errmsg(), "//stale");
}

static int live_with_faults(void *context)
{
	struct held before, after;
	int r;

	live(context);
	garble_errmsg();
	before = held_now();
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	syscall(SYS_MARK);
	*result = r = live(context);
	syscall(SYS_MARK);
	after = held_now();
	if (!same_held(&before, &after))
		return KEEPS_SOMETHING;
	if (!is_explained(r))
		return SAYS_NOTHING;
	return r > 0 || r < -4095 ? WRONG_ERROR : FINE;
}

/* Those that do not fail, or after whose failure nothing can be undone: 0. */
static int error_of(const struct user_regs_struct *regs)
{
	switch ((long long)regs->orig_rax) {
	case SYS_close:
	case SYS_munmap:
	case SYS_shmctl:
	case SYS_shmdt:
	case SYS_unlinkat:
	case SYS_getpid:
	case SYS_gettid:
	case SYS_geteuid:
	case SYS_futex:
	case SYS_sched_yield:
		return 0;
	case SYS_open:
	case SYS_openat:
	case SYS_memfd_create:
	case SYS_socket:
	case SYS_epoll_create1:
	case SYS_eventfd2:
		return EMFILE;
	case SYS_mmap:
	case SYS_brk:
		return ENOMEM;
	case SYS_fcntl:
		return regs->rsi == F_OFD_SETLK || regs->rsi == F_OFD_GETLK
			       ? ENOLCK : 0;
	case SYS_fallocate:
		return ENOSPC;
	default:
		return EIO;
	}
}

struct fault {
	int at;			/* 0: none */
	int seen;		/* that could have failed */
	long long call;		/* that did */
	int error;		/* with that */
	pid_t pid;		/* whose */
};

/*
 * Survived, or told as what it was.  EIO stands for what cannot happen; what the
 * call was to find out is taken for the worst then.
 */
static bool is_told(const struct fault *fault, int r)
{
	return !r || (fault->error && (r == -fault->error ||
				       fault->error == EIO));
}

/* Up to the next entry of a system call, or exit from one; false at the end. */
static bool next_stop(pid_t pid, int *status, struct user_regs_struct *regs)
{
	int number = 0;

	do {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, number) ||
		    waitpid(pid, status, 0) != pid || !WIFSTOPPED(*status))
			return false;
		number = WSTOPSIG(*status) == SIGTRAP ? 0 : WSTOPSIG(*status);
	} while (number);
	return !ptrace(PTRACE_GETREGS, pid, NULL, regs);
}

/*
 * So many stops at system calls are no life any more.  Nothing of torc sleeps for
 * longer than 10 ms without one; an alarm would also go off where all of this, or
 * the tracer alone, is kept waiting.
 */
#define STOPS_MAX 20000

/* The child's exit status, or -signal. */
static int inject(pid_t pid, struct fault *fault)
{
	struct user_regs_struct regs;
	bool inside = false;
	int status, error;

	for (int stops = 0; next_stop(pid, &status, &regs); stops++) {
		if (stops == STOPS_MAX)
			kill(pid, SIGKILL);
		if (regs.orig_rax == SYS_MARK)
			inside = !inside;
		error = inside ? error_of(&regs) : 0;
		if (regs.orig_rax == SYS_MARK || !error ||
		    ++fault->seen != fault->at) {
			if (!next_stop(pid, &status, &regs))
				break;
			continue;
		}
		fault->call = (long long)regs.orig_rax;
		fault->error = error;
		regs.orig_rax = (unsigned long long)-1;
		ptrace(PTRACE_SETREGS, pid, NULL, &regs);
		if (!next_stop(pid, &status, &regs))
			break;
		regs.rax = (unsigned long long)-error;
		ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int live_with_fault(struct life *life, struct fault *fault)
{
	pid_t pid = child_start(live_with_faults, life);
	int status;

	fault->pid = pid;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL))
		cr_skip_test("ptrace is not allowed here");
	return inject(pid, fault);
}

/* What could not be removed is for others to remove. */
static void clean(const char *address)
{
	struct torc_bus *bus;
	int r;

	MUST(torc_bus_open(NULL, &bus));
	/* Without a name there is nothing to remove. */
	r = torc_bus_remove(bus, address, TORC_REMOVE_STALE);
	cr_expect(!r || r == -ENOENT || r == -EINVAL, "%d: %s", r,
		  torc_errmsg());
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
}

/*
 * System V segments that a process made, and that are there still; not those of
 * one before @since that had its PID.
 */
static int count_segments(pid_t maker, time_t since)
{
	struct shm_info info;
	struct shmid_ds ds;
	int n = 0, last = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);

	for (int i = 0; i <= last; i++)
		n += shmctl(i, SHM_STAT, &ds) >= 0 && ds.shm_cpid == maker &&
		     ds.shm_ctime >= since;
	return n;
}
#endif

Test(faults, any_system_call_may_fail)
{
#ifdef UNFIT
	cr_skip_test(UNFIT);
#else
	char disk[160], key[96];
	struct life lives[] = {
		{ "t", 0 }, { "t", TORC_MANY }, { "t", TORC_PERSISTENT },
		{ "memfd:", 0 }, { "anon:", TORC_MANY },
		{ disk, 0 }, { key, 0 },
	};

	const time_t begun = time(NULL);

	snprintf(disk, sizeof(disk), "file:%s/t", fixture_disk);
	fixture_key(key);
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(result, MAP_FAILED);
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct fault fault;
		int outcome, calls = 0;

		/* At 0 none fails, and they are counted. */
		for (int at = 0; at <= calls; at++) {
			fault = (struct fault){ .at = at };
			outcome = live_with_fault(&lives[i], &fault);
			cr_expect(is_told(&fault, *result),
				  "%s, %#x: system call %lld, %d-th: %d",
				  lives[i].address, lives[i].flags, fault.call,
				  at, *result);
			cr_expect_eq(outcome, FINE,
				     "%s, %#x: system call %lld, %d-th: %d",
				     lives[i].address, lives[i].flags,
				     fault.call, at, outcome);
			clean(lives[i].address);
			cr_expect_eq(fixture_files(), 0, "%lld, %d-th",
				     fault.call, at);
			cr_expect_eq(count_segments(fault.pid, begun), 0, "%lld, %d-th",
				     fault.call, at);
			if (!at)
				calls = fault.seen;
		}
		cr_expect_gt(calls, 20);
	}
#endif
}

/* ---- The n-th allocation ------------------------------------------------ */

#ifndef UNFIT
struct starved {
	struct life life;
	int at;			/* the allocation that fails, from 0 */
};

/* What a child ends with. */
enum { STARVED, SURVIVED, WAS_NOT_STARVED, TOLD_SOMETHING_ELSE, LEFT_SOMETHING };

static int live_starved(void *context)
{
	const struct starved *starved = context;
	struct held before, after;
	bool failed;
	int r;

	/* What is allocated once for all. */
	live(&starved->life);
	garble_errmsg();
	before = held_now();
	allocations_left = starved->at;
	r = live(&starved->life);
	failed = allocations_left < 0;
	allocations_left = -1;
	after = held_now();
	if (!same_held(&before, &after))
		return LEFT_SOMETHING;
	if (!failed)
		return WAS_NOT_STARVED;
	if (!r)
		return SURVIVED;
	return r == -ENOMEM && is_explained(r) ? STARVED : TOLD_SOMETHING_ELSE;
}
#endif

Test(faults, any_allocation_may_fail)
{
#ifdef UNFIT
	cr_skip_test(UNFIT);
#else
	char disk[160], key[96];
	struct starved lives[] = {
		{ .life = { "t", 0 } }, { .life = { "t", TORC_MANY } },
		{ .life = { "memfd:", 0 } }, { .life = { "anon:", TORC_MANY } },
		{ .life = { disk, 0 } }, { .life = { key, 0 } },
	};

	snprintf(disk, sizeof(disk), "file:%s/t", fixture_disk);
	fixture_key(key);
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		int outcome = STARVED, starved = 0;

		for (; outcome != WAS_NOT_STARVED; lives[i].at++) {
			outcome = child_end(child_start(live_starved,
							&lives[i]));
			cr_assert(outcome >= 0 && outcome <= WAS_NOT_STARVED,
				  "%s, %#x: allocation %d: %d",
				  lives[i].life.address, lives[i].life.flags,
				  lives[i].at, outcome);
			starved += outcome == STARVED;
			clean(lives[i].life.address);
			cr_assert_eq(fixture_files(), 0);
		}
		cr_expect_gt(starved, 5, "%s: %d", lives[i].life.address, starved);
	}
#endif
}

/* ---- Limits ------------------------------------------------------------- */

/* A life under @limit: 0, or how it was not as it has to be. */
struct limited {
	struct life life;
	unsigned int resource;
	rlim_t limit;
	int error;		/* that it may end with */
};

static int live_within(void *context)
{
	const struct limited *limited = context;
	struct rlimit limit = { limited->limit, RLIM_INFINITY };
	int r;

	if (getrlimit(limited->resource, &limit))
		return 99;
	limit.rlim_cur = limited->limit;
	if (setrlimit(limited->resource, &limit))
		return 99;
	garble_errmsg();
	r = live(&limited->life);
	if (!r)
		return 0;
	return r == limited->error && is_explained(r) ? 1 : 2;
}

/* Under ever higher limits, until it succeeds: how often it failed. */
static int raise_until_it_lives(struct limited *limited, rlim_t step)
{
	for (int failed = 0; failed < 10000; failed++) {
		int outcome = child_end(child_start(live_within, limited));

		if (!outcome)
			return failed;
		cr_assert_eq(outcome, 1, "%s, limit %d of %llu: %d",
			     limited->life.address, limited->resource,
			     (unsigned long long)limited->limit, outcome);
		clean(limited->life.address);
		cr_assert_eq(fixture_files(), 0);
		limited->limit += step;
	}
	return -1;
}

static rlim_t address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	cr_assert(file && fscanf(file, "%lu", &pages) == 1);
	fclose(file);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

Test(faults, what_a_limit_forbids_is_told_as_such)
{
#ifdef UNFIT
	cr_skip_test(UNFIT);
#else
	char key[96];
	const char *const addresses[] = { "t", "memfd:", "anon:", key };

	fixture_key(key);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const bool file = i != 2;
		struct limited descriptors = {
			.life = { addresses[i], TORC_MANY },
			.resource = RLIMIT_NOFILE, .error = -EMFILE,
		}, memory = {
			.life = { addresses[i], TORC_MANY },
			.resource = RLIMIT_AS, .error = -ENOMEM,
			.limit = address_space(),
		}, size = {
			.life = { addresses[i], TORC_MANY },
			.resource = RLIMIT_FSIZE, .error = -EFBIG,
		};

		cr_expect_gt(raise_until_it_lives(&descriptors, 1), 3);
		cr_expect_gt(raise_until_it_lives(&memory, 4096), 1);
		cr_expect_geq(raise_until_it_lives(&size, 4096), file);
	}
#endif
}

/* ---- Signals ------------------------------------------------------------ */

static void on_alarm(int number)
{
	(void)number;
}

/* Every 100 us, and calls are not restarted. */
static void storm(bool blow)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = { .it_interval.tv_usec = blow ? 100 : 0,
				   .it_value.tv_usec = blow ? 100 : 0 };

	cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

Test(faults, signals_all_the_time_disturb_nothing_but_waits)
{
	static struct life lives[] = { { "t", 0 }, { "t", TORC_MANY },
				       { "memfd:", 0 } };
	struct torc_subscriber *sub;
	struct torc_topic *topic;
	int r, interrupted = 0;

	storm(true);
	for (int i = 0; i < 100; i++)
		for (size_t k = 0; k < sizeof(lives) / sizeof(lives[0]); k++) {
			r = live(&lives[k]);
			cr_assert_eq(r, 0, "%d: %s", r, torc_errmsg());
		}
	/* Getting so much memory takes longer than from signal to signal. */
	topic = topic_open("t", 0, 64 << 20);
	sub = sub_open(topic, 0);
	for (int i = 0; i < 20; i++) {
		r = torc_sub_wait(sub, 1000000);
		cr_assert(r == -EINTR || r == -ETIMEDOUT, "%d", r);
		interrupted += r == -EINTR;
	}
	cr_expect_gt(interrupted, 0);
	storm(false);
	torc_sub_close(sub);
	torc_topic_close(topic);
}
