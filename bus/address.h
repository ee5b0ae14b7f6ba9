/* SPDX-License-Identifier: MIT */
/*
 * Addresses of topics, and the mappings that they name.
 */
#ifndef BUS_ADDRESS_H
#define BUS_ADDRESS_H

#include "mapping.h"

extern const struct torc_mapping torc_mapping_shm, torc_mapping_posix,
	torc_mapping_file, torc_mapping_sysv, torc_mapping_memfd,
	torc_mapping_fd, torc_mapping_anon, torc_mapping_dev;

/* The mapping that @address names, and the rest of the address; -EINVAL. */
int torc_mapping_of(const char *address, const struct torc_mapping **ret,
		    const char **ret_rest);

#endif /* BUS_ADDRESS_H */
