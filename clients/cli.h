/* SPDX-License-Identifier: MIT */
/*
 * What the command line programs share: their options, their words on standard
 * error, their exit statuses, and a libev loop that knows when to stop.
 */
#ifndef TORC_CLI_H
#define TORC_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>
#include <torc/torc.h>

/* Exit statuses, besides 0.  124 as timeout(1). */
#define CLI_FAILED	1
#define CLI_USAGE	2
#define CLI_TIMEOUT	124

#define CLI_SECOND	1000000000ll	/* ns */
#define CLI_TICK	100000000ll	/* ns; the longest sleep that a signal
					   may have to wait for */

/* Keys of options without a letter begin here. */
#define CLI_KEY		256

struct cli_option {
	int key;		/* its letter, or CLI_KEY and above */
	const char *name;
	const char *argument;	/* what it takes; NULL: nothing */
	const char *help;
};

struct cli_program {
	const char *name;
	const char *synopsis;	/* after the name */
	const char *about;
	const struct cli_option *options;	/* to one without a name */
	/* Returns 0, or -1 after saying what is wrong. */
	int (*set)(int key, const char *value, void *context);
	void (*more)(void);	/* print what else --help says; may be NULL */
};

/*
 * Name the program, open descriptors 0 to 2 if they are not, ignore SIGPIPE,
 * survive that topics are truncated.
 */
void cli_begin(const char *name);

/*
 * Handle all options, --help and --version too; ends the program on wrong ones.
 * Returns the index of the first operand.
 */
int cli_parse(const struct cli_program *program, int argc, char **argv,
	      void *context);

/* "torc-sub: TEXT" on standard error. */
__attribute__((format(printf, 1, 2))) void cli_note(const char *format, ...);
/* The same, and how to learn more; returns CLI_USAGE. */
__attribute__((format(printf, 1, 2))) int cli_usage(const char *format, ...);
/* What the library says about its failed call; returns the exit status. */
int cli_failed(int error);
__attribute__((noreturn)) void cli_no_memory(void);
/*
 * --memory=LIST and --numa=NODE, of programs that map topics: rows of the table of
 * options, and what they do to options of topics.
 */
#define CLI_MEMORY_OPTIONS(memory, numa)					\
	{ (memory), "memory", "LIST", "of the topic: huge, locked, prefault" },	\
	{ (numa), "numa", "NODE", "bind the topic's memory to that node" }
int cli_memory(const char *value, struct torc_topic_options *options);
int cli_numa(const char *value, struct torc_topic_options *options);
/* Say so if huge pages are among the @asked, and were not got. */
void cli_tell_memory(struct torc_topic *topic, unsigned int asked);

/* Say so if opening @topic meant making it anew after a crash of the machine. */
void cli_tell_reopened(struct torc_topic *topic);

/* Values of options: 0, or -1 after saying what is wrong. */
int cli_count(const char *option, const char *text, uint64_t *ret_count);
int cli_size(const char *option, const char *text, uint64_t *ret_size);
int cli_duration(const char *option, const char *text, int64_t *ret_ns);
int cli_mode(const char *option, const char *text, mode_t *ret_mode);
/* A name or a number. */
int cli_user(const char *option, const char *text, uid_t *ret_user);
int cli_group(const char *option, const char *text, gid_t *ret_group);
/* The index of @text in @names, which NULL ends; -1 if it is none of them. */
int cli_choice(const char *const *names, const char *text);

/* The default loop; SIGINT and SIGTERM make cli_stopping() true. */
struct ev_loop *cli_loop(void);
/* Let the loop do what is due, without waiting. */
int cli_stopping(void);
/* Sleep until a watcher fires, at most so long. */
void cli_sleep(int64_t timeout_ns);

int cli_is_glob(const char *name);
/* Is @pattern a glob that a topic's name on the bus matches? */
int cli_matches(const char *pattern, const char *name);

/* Names, sorted. */
struct cli_names {
	char **names;
	int count;
};

/*
 * The topics on @bus that match the @count globs among @patterns, and those
 * patterns that are none; all topics if @count is 0.  Returns 0 or an error.
 */
int cli_names_list(struct cli_names *names, struct torc_bus *bus,
		   char **patterns, int count);
void cli_names_free(struct cli_names *names);

int64_t cli_now(void);		/* ns, monotonic */

#define CLI_HUMAN_MAX	16
/* "17", "1.5K", "64M"; powers of @base (1000 or 1024). */
const char *cli_human(char text[CLI_HUMAN_MAX], double value, double base);

/* One line on a terminal's standard error, drawn over and over; "" removes it. */
__attribute__((format(printf, 1, 2))) void cli_progress(const char *format, ...);

/* Flush and close stdio's standard output.  0, or CLI_FAILED after saying why. */
int cli_close_stdout(void);

#endif /* TORC_CLI_H */
