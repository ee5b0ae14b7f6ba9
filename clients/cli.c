/* SPDX-License-Identifier: MIT */
/*
 * What the command line programs share.  See cli.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_MAX 40
#define KEY_HELP (CLI_KEY + 1000)
#define KEY_VERSION (CLI_KEY + 1001)

static const char *cli_name = "torc";
static int progress_drawn;

/* ---- Words -------------------------------------------------------------- */

static __attribute__((format(printf, 1, 0))) void say(const char *format,
						   va_list arguments)
{
	char text[2048];

	vsnprintf(text, sizeof(text), format, arguments);
	/* Types of topics, say, are others'; they are not to command terminals. */
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	cli_progress("%s", "");
	fprintf(stderr, "%s: %s\n", cli_name, text);
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

int cli_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	fprintf(stderr, "Try '%s --help'.\n", cli_name);
	return CLI_USAGE;
}

int cli_failed(int error)
{
	cli_note("%s", torc_errmsg());
	/* Names, addresses and options came from the command line. */
	return error == -EINVAL ? CLI_USAGE : CLI_FAILED;
}

void cli_no_memory(void)
{
	cli_note("out of memory");
	exit(CLI_FAILED);
}

void cli_progress(const char *format, ...)
{
	char line[120];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (!line[0] && !progress_drawn)
		return;
	progress_drawn = line[0] != 0;
	fprintf(stderr, "\r\033[K%s", line);
	fflush(stderr);
}

const char *cli_human(char text[CLI_HUMAN_MAX], double value, double base)
{
	static const char units[] = " KMGTPE";
	const char *unit = units;

	while (value >= base * 0.9995 && unit[1]) {
		value /= base;
		unit++;
	}
	if (unit == units)
		snprintf(text, CLI_HUMAN_MAX, value < 9.95 ? "%.2g" : "%.0f",
			 value);
	else if (value < 99.95 && value - (double)(long)value > 0.05)
		snprintf(text, CLI_HUMAN_MAX, "%.1f%c", value, *unit);
	else
		snprintf(text, CLI_HUMAN_MAX, "%.0f%c", value, *unit);
	return text;
}

int cli_close_stdout(void)
{
	int failed = ferror(stdout);

	/* What fflush() reports is lost once stdio has forgotten it. */
	if (fflush(stdout) || failed || fclose(stdout)) {
		cli_note("standard output: %s", strerror(errno));
		return CLI_FAILED;
	}
	return 0;
}

/* ---- Begin -------------------------------------------------------------- */

void cli_begin(const char *name)
{
	cli_name = name;
	/*
	 * A closed standard descriptor would be given to the next file opened,
	 * and messages be written into a ring.  Opened the wrong way round, it
	 * still fails, as a closed one should.
	 */
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(CLI_FAILED);
	}
	signal(SIGPIPE, SIG_IGN);
	torc_sigbus_guard();
}

/* ---- Options ------------------------------------------------------------ */

static void print_option(const struct cli_option *option)
{
	char left[64];
	int used = 0;

	if (option->key < CLI_KEY)
		used = snprintf(left, sizeof(left), "-%c, ", option->key);
	else
		used = snprintf(left, sizeof(left), "    ");
	snprintf(left + used, sizeof(left) - (size_t)used, "--%s%s%s",
		 option->name, option->argument ? "=" : "",
		 option->argument ? option->argument : "");
	printf("  %-25s %s\n", left, option->help);
}

__attribute__((noreturn)) static void help(const struct cli_program *program)
{
	printf("Usage: %s %s\n%s\n\n", program->name, program->synopsis,
	       program->about);
	for (const struct cli_option *o = program->options; o->name; o++)
		print_option(o);
	print_option(&(struct cli_option){ 'h', "help", NULL, "this text" });
	print_option(&(struct cli_option){ 'V', "version", NULL,
					   "the version" });
	if (program->more)
		program->more();
	printf("\nSee %s(1) and torc(7).\n", program->name);
	exit(cli_close_stdout());
}

__attribute__((noreturn)) static void version(const struct cli_program *program)
{
	printf("%s (torc) %s\n", program->name, torc_version());
	exit(cli_close_stdout());
}

int cli_parse(const struct cli_program *program, int argc, char **argv,
	      void *context)
{
	struct option longs[OPTIONS_MAX + 3] = { 0 };
	char shorts[2 * OPTIONS_MAX + 4] = "hV";
	size_t used = 2;
	int n = 0, key;

	for (const struct cli_option *o = program->options; o->name; o++, n++) {
		if (n == OPTIONS_MAX)
			abort();
		longs[n] = (struct option){
			o->name,
			o->argument ? required_argument : no_argument, NULL,
			o->key
		};
		if (o->key >= CLI_KEY)
			continue;
		shorts[used++] = (char)o->key;
		if (o->argument)
			shorts[used++] = ':';
	}
	longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[n++] = (struct option){ "version", no_argument, NULL, 'V' };

	if (argc > 0)	/* getopt names the program by it */
		argv[0] = (char *)(uintptr_t)program->name;
	while ((key = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (key == 'h')
			help(program);
		if (key == 'V')
			version(program);
		if (key == '?' || program->set(key, optarg, context)) {
			fprintf(stderr, "Try '%s --help'.\n", program->name);
			exit(CLI_USAGE);
		}
	}
	return optind;
}

int cli_count(const char *option, const char *text, uint64_t *ret_count)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno) {
		cli_note("--%s=%s: not a whole number", option, text);
		return -1;
	}
	*ret_count = value;
	return 0;
}

int cli_size(const char *option, const char *text, uint64_t *ret_size)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long value;
	unsigned int shift = 0;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end && (unit = strchr(units, *end & ~0x20))) {
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
		if (!strcmp(end, "iB"))
			end += 2;
	}
	if (text[0] < '0' || text[0] > '9' || *end) {
		cli_note("--%s=%s: not a size (a whole number of bytes, or "
			 "with K, M, G or T)", option, text);
		return -1;
	}
	if (errno || value << shift >> shift != value) {
		cli_note("--%s=%s: too large", option, text);
		return -1;
	}
	*ret_size = value << shift;
	return 0;
}

int cli_duration(const char *option, const char *text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {
		{ "", 1e9 },   { "s", 1e9 },  { "ms", 1e6 },
		{ "us", 1e3 }, { "ns", 1.0 },
	};
	size_t digits = strspn(text, "0123456789.");
	char *end;
	double value = strtod(text, &end);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!digits || end != text + digits ||
		    strcmp(end, units[i].name) != 0)
			continue;
		value *= units[i].ns;
		if (value > 9e18)	/* 285 years */
			value = 9e18;
		*ret_ns = (int64_t)value;
		return 0;
	}
	cli_note("--%s=%s: not a duration (a number with s, ms, us or ns; "
		 "without, seconds)", option, text);
	return -1;
}

int cli_mode(const char *option, const char *text, mode_t *ret_mode)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end || value > 0777 || !value) {
		cli_note("--%s=%s: not a file mode (octal, 0001 to 0777)",
			 option, text);
		return -1;
	}
	*ret_mode = (mode_t)value;
	return 0;
}

/* @id of @name, -1 if there is none; or a number. */
static int set_id(const char *option, const char *what, const char *name,
		  int64_t id, uint32_t *ret_id)
{
	char *end = NULL;

	if (id < 0 && *name >= '0' && *name <= '9')
		id = strtoll(name, &end, 10);
	/* The last means none to the system. */
	if (id < 0 || id >= UINT32_MAX || (end && *end)) {
		cli_note("--%s=%s: no such %s", option, name, what);
		return -1;
	}
	*ret_id = (uint32_t)id;
	return 0;
}

int cli_user(const char *option, const char *text, uid_t *ret_user)
{
	const struct passwd *user = getpwnam(text);

	return set_id(option, "user", text, user ? (int64_t)user->pw_uid : -1,
		      ret_user);
}

int cli_group(const char *option, const char *text, gid_t *ret_group)
{
	const struct group *group = getgrnam(text);

	return set_id(option, "group", text,
		      group ? (int64_t)group->gr_gid : -1, ret_group);
}

int cli_choice(const char *const *names, const char *text)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], text))
			return i;
	return -1;
}

/* ---- The loop ----------------------------------------------------------- */

static struct ev_loop *cli_ev;
static int cli_stop;
static ev_timer cli_timer;

static void on_stop(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)watcher;
	(void)events;
	cli_stop = 1;
	ev_break(loop, EVBREAK_ALL);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
}

/* libev restarts system calls: a blocked write() would outlive the signal. */
static void interrupt_calls(int number)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action))
		return;
	action.sa_flags &= ~SA_RESTART;
	sigaction(number, &action, NULL);
}

struct ev_loop *cli_loop(void)
{
	static ev_signal watchers[2];
	static const int numbers[2] = { SIGINT, SIGTERM };

	if (cli_ev)
		return cli_ev;
	cli_ev = ev_default_loop(0);
	if (!cli_ev) {
		cli_note("no event loop: %s", strerror(errno));
		exit(CLI_FAILED);
	}
	for (int i = 0; i < 2; i++) {
		ev_signal_init(&watchers[i], on_stop, numbers[i]);
		ev_signal_start(cli_ev, &watchers[i]);
		interrupt_calls(numbers[i]);
	}
	ev_init(&cli_timer, on_timer);
	return cli_ev;
}

int cli_stopping(void)
{
	ev_run(cli_loop(), EVRUN_NOWAIT);
	return cli_stop;
}

void cli_sleep(int64_t timeout_ns)
{
	struct ev_loop *loop = cli_loop();

	ev_now_update(loop);
	ev_timer_set(&cli_timer, (double)timeout_ns / 1e9, 0.);
	ev_timer_start(loop, &cli_timer);
	ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &cli_timer);
}

/* ---- The rest ----------------------------------------------------------- */

void cli_tell_reopened(struct torc_topic *topic)
{
	const char *name = torc_topic_name(topic);
	struct torc_topic_info info;

	/* Asking takes a while. */
	if (strncmp(name, "file:", 5) != 0 ||
	    torc_topic_get_info(topic, &info) || !(info.flags & TORC_REOPENED))
		return;
	cli_note("%s: the machine went down since it was used, or it is a "
		 "copy: kept %" PRIu64 " messages, dropped %" PRIu64 " bytes",
		 name, info.kept, info.dropped);
}

int64_t cli_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * CLI_SECOND + now.tv_nsec;
}
