/* SPDX-License-Identifier: MIT */
/* Lists on the command line. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"
#include "lists.h"

/* A number with a suffix, up to a comma or the end, which *@ret_end is then. */
static int parse_one(const char *text, uint64_t least, uint64_t most,
		     uint64_t *ret_value, const char **ret_end)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	uint64_t value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		int bits = 10 * (int)(suffix - suffixes + 1);

		if (value > UINT64_MAX >> bits)
			return -EINVAL;
		value <<= bits;
		end++;
	}
	if ((*end && *end != ',') || value < least || value > most)
		return -EINVAL;
	*ret_value = value;
	*ret_end = end;
	return 0;
}

int bench_parse_size(const char *text, uint64_t least, uint64_t most,
		     uint64_t *ret_size)
{
	const char *end;
	uint64_t value;

	if (parse_one(text, least, most, &value, &end) || *end)
		return -EINVAL;
	*ret_size = value;
	return 0;
}

int bench_parse_count(const char *text, int least, int most, int *ret_count)
{
	uint64_t value;

	if (bench_parse_size(text, (uint64_t)least, (uint64_t)most, &value))
		return -EINVAL;
	*ret_count = (int)value;
	return 0;
}

int bench_parse_counts(const char *text, int least, int most, int *ret_counts,
		       int *ret_count)
{
	int n = 0;

	for (;;) {
		uint64_t value;

		if (n == BENCH_LIST_MAX ||
		    parse_one(text, (uint64_t)least, (uint64_t)most, &value,
			      &text))
			return -EINVAL;
		ret_counts[n++] = (int)value;
		if (!*text)
			break;
		text++;
	}
	*ret_count = n;
	return 0;
}

int bench_parse_sizes(const char *text, size_t *ret_sizes, int *ret_count)
{
	int sizes[BENCH_LIST_MAX];

	if (bench_parse_counts(text, BENCH_SIZE_MIN, BENCH_SIZE_MAX, sizes,
			       ret_count))
		return -EINVAL;
	for (int i = 0; i < *ret_count; i++)
		ret_sizes[i] = (size_t)sizes[i];
	return 0;
}

int bench_parse_systems(const char *text, enum bench_mode mode,
			const struct bench_system **ret_systems, int *ret_count)
{
	int n = 0;

	for (;;) {
		size_t length = strcspn(text, ",");
		const struct bench_system *system =
			bench_system_find(text, length);
		/* The limit always takes part. */
		bool limit = length == 5 && !memcmp(text, "limit", 5);

		if (!system && !limit)
			return cli_usage("%.*s: no such system (--help lists "
					 "them)", (int)length, text);
		if (system && !(system->modes & BENCH_BIT(mode)))
			return cli_usage("%s cannot do %s", system->name,
					 bench_mode_names[mode]);
		for (int i = 0; i < n && system; i++)
			if (ret_systems[i] == system)
				system = NULL;	/* named twice */
		if (system && n < BENCH_SYSTEMS_MAX)
			ret_systems[n++] = system;
		if (!text[length])
			break;
		text += length + 1;
	}
	*ret_count = n;
	return 0;
}
