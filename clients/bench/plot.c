/* SPDX-License-Identifier: MIT */
/* The results as a picture, drawn by gnuplot. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli.h"
#include "bench.h"

int bench_plot_check(void)
{
	const char *path = getenv("PATH");
	char file[4096];

	for (; path && *path; path += strspn(path, ":")) {
		int length = (int)strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/gnuplot", length, path);
		if (!access(file, X_OK))
			return 0;
		path += length;
	}
	cli_note("--plot needs gnuplot, which is not in PATH (Debian: apt "
		 "install gnuplot-nox)");
	return -ENOENT;
}

static const char *const y_labels[BENCH_MODES] = {
	"round trip, ns", "messages/s", "publish, ns", "messages/s", "wake-up, ns",
};

/* A string of gnuplot's in single quotes. */
static void quote(FILE *to, const char *text)
{
	fputc('\'', to);
	for (; *text; text++) {
		if (*text == '\'')
			fputc('\'', to);
		fputc(*text, to);
	}
	fputc('\'', to);
}

static double y_value(enum bench_mode mode, double ns)
{
	return bench_times(mode) || mode == BENCH_FANOUT ? ns : 1e9 / ns;
}

/* One row a size, one column a cell of the group. */
static int put_data(FILE *to, const struct bench_options *options,
		    const struct bench_group *groups, int count)
{
	fprintf(to, "$data << EOD\n");
	for (int g = 0; g < count; g++) {
		const struct bench_group *group = &groups[g];

		fprintf(to, "%zu", group->size);
		for (int i = 0; i < group->cells_count; i++) {
			const struct bench_cell *cell = &group->cells[i];
			struct bench_result result;
			int r;

			if (cell->refused || !group->rounds) {
				fprintf(to, " NaN");
				continue;
			}
			r = bench_cell_result(group, options, cell, &result);
			if (r)
				return r;
			fprintf(to, " %g",
				y_value(options->mode, result.ns.median));
		}
		fprintf(to, "\n");
	}
	fprintf(to, "EOD\n");
	return 0;
}

static void put_title(FILE *to, enum bench_mode mode,
		      const struct bench_cell *cell)
{
	char title[64];

	if (mode == BENCH_MPSC && cell->system != &bench_limit)
		snprintf(title, sizeof(title), "%s, %d publishing",
			 cell->system->name, cell->publishers);
	else if (mode == BENCH_FANOUT && cell->system != &bench_limit)
		snprintf(title, sizeof(title), "%s, %d subscribed",
			 cell->system->name, cell->subscribers);
	else
		snprintf(title, sizeof(title), "%s", cell->system->name);
	quote(to, title);
}

int bench_plot(const struct bench_options *options,
	       const struct bench_group *groups, int count)
{
	FILE *to = popen("gnuplot", "we");
	int status, r;

	if (!to) {
		cli_note("gnuplot: %s", strerror(errno));
		return -EIO;
	}
	fprintf(to, "set terminal svg size 900,600 dynamic background 'white'\n"
		    "set output ");
	quote(to, options->plot);
	fprintf(to, "\nset title 'torc-bench %s'\nset ylabel '%s'\n",
		bench_mode_names[options->mode], y_labels[options->mode]);
	fprintf(to, "set style data histograms\nset style fill solid 0.8\n"
		    "set boxwidth 0.9\nset logscale y\nset grid ytics\n"
		    "set key outside\nset xlabel 'message, bytes'\n");
	r = put_data(to, options, groups, count);
	fprintf(to, "plot");
	for (int i = 0; i < groups[0].cells_count; i++) {
		fprintf(to, "%s $data using %d:xticlabels(1) title ",
			i ? "," : "", i + 2);
		put_title(to, options->mode, &groups[0].cells[i]);
	}
	fprintf(to, "\n");
	status = pclose(to);
	if (r)
		return r;
	if (status) {
		cli_note("gnuplot could not make %s", options->plot);
		return -EIO;
	}
	return 0;
}
