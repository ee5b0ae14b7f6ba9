/* SPDX-License-Identifier: MIT */
/*
 * What programs can ask of the memory of the topics that they map.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "cli.h"

#include <string.h>

/* The kind of memory that is called so; 0 if there is none. */
static unsigned int kind_of(const char *word, size_t length)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} kinds[] = {
		{ "huge", TORC_MEMORY_HUGE },
		{ "locked", TORC_MEMORY_LOCKED },
		{ "prefault", TORC_MEMORY_PREFAULT },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == length &&
		    !strncmp(kinds[i].name, word, length))
			return kinds[i].flag;
	return 0;
}

int cli_memory(const char *value, struct torc_topic_options *options)
{
	unsigned int kind;
	size_t length;

	for (const char *word = value;; word += length + 1) {
		length = strcspn(word, ",");
		kind = kind_of(word, length);
		if (!kind) {
			cli_note("--memory=%s: not huge, locked or prefault, "
				 "separated by commas", value);
			return -1;
		}
		options->memory |= kind;
		if (!word[length])
			return 0;
	}
}

int cli_numa(const char *value, struct torc_topic_options *options)
{
	uint64_t node;

	if (cli_count("numa", value, &node))
		return -1;
	if (node > UINT32_MAX) {
		cli_note("--numa=%s: out of range", value);
		return -1;
	}
	options->memory |= TORC_MEMORY_NUMA;
	options->numa_node = (uint32_t)node;
	return 0;
}

void cli_tell_memory(struct torc_topic *topic, unsigned int asked)
{
	struct torc_topic_info info;

	if (!(asked & TORC_MEMORY_HUGE) || torc_topic_get_info(topic, &info) ||
	    info.memory & TORC_MEMORY_HUGE)
		return;
	cli_note("%s: no huge pages: the pool (vm.nr_hugepages) has not enough, "
		 "or is not for this kind of topic, and "
		 "transparent_hugepage/shmem_enabled forbids it; with pages of "
		 "the usual size", torc_topic_name(topic));
}
