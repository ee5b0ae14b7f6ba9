/* SPDX-License-Identifier: MIT */
/*
 * Addresses: the table of mappings.  A new one is a file mapping_*.c with one
 * struct torc_mapping, and a line here.
 */
#include "address.h"

#include <string.h>

int torc_mapping_of(const char *address, const struct torc_mapping **ret,
		    const char **ret_rest)
{
	static const struct torc_mapping *const mappings[] = {
		&torc_mapping_shm, &torc_mapping_posix, &torc_mapping_file,
		&torc_mapping_sysv, &torc_mapping_memfd, &torc_mapping_fd,
		&torc_mapping_anon, &torc_mapping_dev,
	};

	for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
		size_t length = strlen(mappings[i]->prefix);

		if (!strncmp(address, mappings[i]->prefix, length)) {
			*ret = mappings[i];
			*ret_rest = address + length;
			return 0;
		}
	}
	if (strchr(address, ':'))
		return torc_fail(-EINVAL, "%s: no such kind of address; there "
				 "are NAME, shm:NAME, posix:NAME, file:PATH, "
				 "sysv:KEY, memfd:, fd:N, anon: and "
				 "dev:NAME", address);
	*ret = &torc_mapping_shm;
	*ret_rest = address;
	return 0;
}
