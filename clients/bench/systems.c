/* SPDX-License-Identifier: MIT */
/* The table of systems. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <string.h>

#include "bench.h"

const struct bench_system *const bench_systems[] = {
	&bench_ring, &bench_torc, &bench_torc_fd, &bench_torc_mp,
	&bench_dev,  &bench_echo, &bench_bare,	  &bench_ck,
	&bench_pipe, &bench_unix, &bench_mq,	  &bench_eventfd,
	NULL,
};

const struct bench_system *bench_system_find(const char *name, size_t length)
{
	for (int i = 0; bench_systems[i]; i++)
		if (strlen(bench_systems[i]->name) == length &&
		    !memcmp(bench_systems[i]->name, name, length))
			return bench_systems[i];
	return NULL;
}
