/* SPDX-License-Identifier: MIT */
/*
 * torc-stat: draws what --watch shows.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "stat.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROWS_DEFAULT 24

/* Lines that the terminal has room for, less the cursor's. */
static int rows_of_terminal(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_row < 2)
		return ROWS_DEFAULT - 1;
	return size.ws_row - 1;
}

void stat_screen(const struct text *lines)
{
	int rows = rows_of_terminal(), count = 0, shown;
	const char *line = lines->data, *all_end = line + lines->used;

	for (const char *p = line; p < all_end; p++)
		count += *p == '\n';
	shown = count <= rows ? count : rows - 1;
	/*
	 * As top does: each line over the old one, and none wrapped, so that
	 * nothing flickers or scrolls.
	 */
	fputs("\033[H\033[?7l", stdout);
	for (int i = 0; i < shown; i++) {
		const char *end = memchr(line, '\n', (size_t)(all_end - line));

		fwrite(line, 1, (size_t)(end - line), stdout);
		fputs("\033[K\n", stdout);
		line = end + 1;
	}
	if (shown < count)
		printf("... and %d more lines\033[K\n", count - shown);
	fputs("\033[J\033[?7h", stdout);
	fflush(stdout);
}
