/* SPDX-License-Identifier: MIT */
/*
 * torc CMD ...: runs torc-CMD ..., found beside this program, else in PATH.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char about[] =
	"Run a torc command: torc-COMMAND, found beside this program or in PATH.\n"
	"\n"
	"  pub     publish: standard input, a line a message\n"
	"  sub     subscribe: print messages\n"
	"  stat    show topics, and who takes part in them\n"
	"  rm      remove topics\n"
	"  bench   measure\n"
	"\n"
	"'torc COMMAND --help' says more.";

static const struct cli_option options[] = { { 0 } };

static int set(int key, const char *value, void *context)
{
	(void)key;
	(void)value;
	(void)context;
	return -1;
}

static const struct cli_program program = {
	"torc", "COMMAND [ARGUMENT...]", about, options, set, NULL,
};

/* "torc-CMD" in the directory of this very program; 0 if there is no room. */
static int beside(char *path, size_t size, const char *command)
{
	ssize_t length = readlink("/proc/self/exe", path, size - 1);
	size_t room;
	char *name;

	if (length <= 0)
		return 0;
	path[length] = 0;
	name = strrchr(path, '/');
	if (!name)
		return 0;
	name++;
	room = size - (size_t)(name - path);
	return (size_t)snprintf(name, room, "torc-%s", command) < room;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX], name[64];
	const char *command = argc > 1 ? argv[1] : "";

	cli_begin("torc");
	if (argc < 2)
		return cli_usage("which command?");
	if (command[0] == '-') {
		/* One option, of this program. */
		cli_parse(&program, 2, argv, NULL);
		return cli_usage("which command?");
	}
	if (!command[0] || strlen(command) > 32 ||
	    command[strspn(command, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return cli_usage("%s: not a command", command);

	snprintf(name, sizeof(name), "torc-%s", command);
	argv[1] = name;
	if (beside(path, sizeof(path), command)) {
		execv(path, argv + 1);
		if (errno != ENOENT) {
			cli_note("%s: %s", path, strerror(errno));
			return CLI_FAILED;
		}
	}
	execvp(name, argv + 1);
	if (errno == ENOENT)
		return cli_usage("%s: no such command (%s is neither beside "
				 "torc nor in PATH)", command, name);
	cli_note("%s: %s", name, strerror(errno));
	return CLI_FAILED;
}
