/* SPDX-License-Identifier: MIT */
/*
 * torc-bench: what its parts share.
 *
 *	main.c      options
 *	lists.c     lists of sizes, counts and names
 *	rounds.c    rounds: every system once, between two measurements of the limit
 *	job.c       one measurement: processes, cores, start, end, failure
 *	loops.h     what publishers and subscribers do, the same for all systems
 *	clock.h     time
 *	pattern.h   what messages hold, and how that is checked
 *	wake.h      the same, asleep between messages
 *	system-*.c  the systems; systems.c is the table of them
 *	stats.c     medians, quartiles, percentiles
 *	report.c, json.c, plot.c  the results
 *
 * Start with struct bench_system and struct bench_job.
 */
#ifndef TORC_BENCH_H
#define TORC_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <torc/abi.h>

#define BENCH_PUBLISHERS_MAX	32
#define BENCH_SUBSCRIBERS_MAX	1000
#define BENCH_SIZE_MIN		8	/* bytes; the sequence number */
#define BENCH_SIZE_MAX		(16u << 20)
#define BENCH_BATCH_MAX		1024
#define BENCH_LIST_MAX		16
#define BENCH_SYSTEMS_MAX	16
#define BENCH_ROLES_MAX		(BENCH_PUBLISHERS_MAX + 1)
#define BENCH_LATENCIES_MAX	8192
#define BENCH_VARIANTS		8	/* of the limit of round trips */

/*
 * How long each part of a measurement takes, and when it is given up: what takes parts
 * of a second takes minutes where a busy machine emulates another.
 */
#define BENCH_WARM_NS		2000000
#define BENCH_RUN_NS		30000000
#define BENCH_RUN_MPSC_NS	60000000	/* several time slices */
#define BENCH_TIMEOUT_S		240
#define BENCH_GROUP		250	/* round trips timed together */
#define BENCH_GROUPS		80
#define BENCH_LIMIT_GROUPS	16	/* for each variant */
/* For so long at most, of the kernel's systems' sake. */
#define BENCH_TRIPS_NS		20000000
/* A sleep between two messages that are to wake, and how long it goes on. */
#define BENCH_ASLEEP_NS		150000
#define BENCH_WAKES_NS		60000000

enum bench_mode {
	BENCH_RTT,
	BENCH_THROUGHPUT,
	BENCH_FANOUT,
	BENCH_MPSC,
	BENCH_WAKE,
	BENCH_MODES
};

#define BENCH_BIT(mode) (1u << (mode))

/* Times are measured, not rates. */
static inline bool bench_times(enum bench_mode mode)
{
	return mode == BENCH_RTT || mode == BENCH_WAKE;
}

/* Time in units of the fastest clock that there is; see clock.c. */
struct bench_clock {
	double ns;		/* a unit in nanoseconds */
	bool tsc;
};

extern struct bench_clock bench_clock;

/*
 * What the processes of one measurement share.  Everything that several of them
 * touch while they run lies in lines of its own.
 */
struct bench_control {
	/* Each process sets its own when it is ready. */
	struct {
		uint32_t ready;
	} __attribute__((aligned(TORC_LINE))) roles[BENCH_ROLES_MAX];
	/* A publisher's messages when it is warm, and at its end; plus 1. */
	struct {
		uint64_t warm __attribute__((aligned(TORC_LINE)));
		uint64_t total;
	} published[BENCH_PUBLISHERS_MAX];
	/* Set by the subscriber when it has received all warm messages. */
	struct {
		uint64_t ticks;	/* when; 0: not yet */
	} __attribute__((aligned(TORC_LINE))) start;

	/* WAKE: when the message was sent, and how many have been received. */
	uint64_t sent __attribute__((aligned(TORC_LINE)));	/* ticks */
	uint64_t received __attribute__((aligned(TORC_LINE)));

	/* Results, by whoever measures. */
	uint64_t elapsed __attribute__((aligned(TORC_LINE)));	/* ticks */
	uint64_t count;			/* messages or round trips in it */
	uint32_t latencies_count;
	uint32_t latencies[BENCH_LATENCIES_MAX];	/* ticks */
	char error[256];		/* why a process gave up */
};

struct bench_system;

/* One measurement. */
struct bench_job {
	const struct bench_system *system;
	enum bench_mode mode;
	size_t size;			/* of a message, bytes */
	int publishers;
	int subscribers;		/* BENCH_FANOUT: idle ones */
	int batch;			/* messages published at once; 1: singly */
	int burst;			/* messages between looks at the clock */
	uint64_t capacity;		/* of rings, bytes */
	uint64_t run_ns;
	int cpus[2];			/* of publishers, of the subscriber */
	struct bench_control *control;
	const unsigned char *pattern;	/* pattern.h; read-only */
	void *state;			/* the system's */
};

/* What a process of a job does: publishers come first. */
enum bench_role {
	BENCH_PUBLISHER,	/* RTT: the one that measures */
	BENCH_SUBSCRIBER	/* RTT: the echo; FANOUT: all idle subscribers */
};

/*
 * A system that is measured.  set_up() and tear_down() run in the parent; the
 * others in a process of their own, pinned, and end it by bench_die() if
 * anything fails.
 */
struct bench_system {
	const char *name;
	const char *what;		/* for --help */
	unsigned int modes;		/* BENCH_BIT() of those it can do */
	/* Why it is not to be had here; NULL: it is.  May itself be NULL. */
	const char *(*missing)(void);
	/* Why it cannot do this job; NULL: it can. */
	const char *(*refuses)(const struct bench_job *job);
	/* 0, or -errno. */
	int (*set_up)(struct bench_job *job);
	void (*run)(struct bench_job *job, enum bench_role role, int index);
	void (*tear_down)(struct bench_job *job);
};

extern const struct bench_system *const bench_systems[];	/* NULL at its end */
extern const struct bench_system bench_limit;
extern const struct bench_system bench_bare;
extern const struct bench_system bench_ring;
extern const struct bench_system bench_torc;
extern const struct bench_system bench_torc_fd;
extern const struct bench_system bench_torc_mp;
extern const struct bench_system bench_dev;
extern const struct bench_system bench_echo;
extern const struct bench_system bench_ck;
extern const struct bench_system bench_pipe;
extern const struct bench_system bench_unix;
extern const struct bench_system bench_mq;
extern const struct bench_system bench_eventfd;

const struct bench_system *bench_system_find(const char *name, size_t length);

/* ---- clock.c ------------------------------------------------------------- */

void bench_clock_init(void);
uint64_t bench_clock_slow(void);

/* ---- job.c --------------------------------------------------------------- */

/* Set in the parent by SIGINT and SIGTERM. */
bool bench_stopped(void);
void bench_catch_signals(void);

int bench_job_init(struct bench_job *job);
void bench_job_deinit(struct bench_job *job);

/*
 * Run @job: 0 with the results in job->control, -EINTR when stopped, or -EIO
 * with the reason in job->control->error.
 */
int bench_job_run(struct bench_job *job);

/* In a process of a job: wait until all of its @count processes are ready. */
void bench_barrier(struct bench_job *job, int role, int count);

/* In a process of a job: give up, saying why. */
void bench_die(struct bench_job *job, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn, cold));

/* Shared memory for a job's processes, zero; NULL if there is none. */
void *bench_shared(size_t size);

/* ---- stats.c ------------------------------------------------------------- */

/* Latencies by logarithm, 64 steps to an octave. */
#define BENCH_BUCKETS (64 * 59)

struct bench_histogram {
	uint64_t buckets[BENCH_BUCKETS];
	uint64_t count;
	double max;
};

void bench_histogram_add(struct bench_histogram *h, double ns);
double bench_histogram_quantile(const struct bench_histogram *h, double q);

struct bench_summary {
	double median, q1, q3;
	int count;		/* 0: nothing was measured */
};

/* Sorts @values. */
struct bench_summary bench_summarize(double *values, int count);

/* The median; sorts @values.  @count is at least 1. */
uint64_t bench_median(uint64_t *values, int count);

/* ---- rounds.c ------------------------------------------------------------ */

struct bench_options {
	enum bench_mode mode;
	size_t sizes[BENCH_LIST_MAX];
	int sizes_count;
	const struct bench_system *systems[BENCH_SYSTEMS_MAX];
	int systems_count;
	int publishers[BENCH_LIST_MAX];
	int publishers_count;
	int subscribers[BENCH_LIST_MAX];
	int subscribers_count;
	int rounds;
	int batch;
	uint64_t capacity;
	int cpus[2];
	bool json;
	const char *plot;	/* file; NULL: none */
};

/* A system at one size with one number of publishers and subscribers. */
struct bench_cell {
	const struct bench_system *system;
	size_t size;
	int publishers;
	int subscribers;
	const char *refused;		/* why it was not measured; NULL */
	double *ns;			/* of each round: a message or round trip */
	struct bench_histogram *latencies;	/* of all rounds, where times are measured */
};

/* All cells of one size; each round measures each of them. */
struct bench_group {
	size_t size;
	struct bench_cell *cells;	/* the first is the limit */
	int cells_count;
	int rounds;			/* that were kept */
	int discarded;
};

/* Two limits further apart than this are not of one round. */
#define BENCH_DISCARD 1.5

int bench_group_init(struct bench_group *group,
		     const struct bench_options *options, size_t size);
void bench_group_deinit(struct bench_group *group);

/* 0, -EINTR when stopped (what was measured is there), -EIO when reported. */
int bench_group_measure(struct bench_group *group,
			const struct bench_options *options);

/* What a cell's rounds say; ratios are per round. */
struct bench_result {
	struct bench_summary ns;
	struct bench_summary limit;	/* RTT: times, others: rate, of the limit */
	struct bench_summary ck;	/* rate, to ck's; count 0 without ck */
	struct bench_summary first;	/* to the same system's first count:
					   MPSC rate, FANOUT cost */
	double p50, p99, p999, max;	/* ns */
};

int bench_cell_result(const struct bench_group *group,
		      const struct bench_options *options,
		      const struct bench_cell *cell,
		      struct bench_result *ret_result);

/* ---- report.c, json.c, plot.c -------------------------------------------- */

void bench_report_head(const struct bench_options *options);
int bench_report_group(const struct bench_options *options,
		       const struct bench_group *group);
int bench_json_group(const struct bench_options *options,
		     const struct bench_group *group);
/* 0, or an error that was reported.  Looks for gnuplot. */
int bench_plot_check(void);
int bench_plot(const struct bench_options *options,
	       const struct bench_group *groups, int count);

extern const char *const bench_mode_names[BENCH_MODES];

#endif /* TORC_BENCH_H */
