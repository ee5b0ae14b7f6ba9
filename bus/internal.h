/* SPDX-License-Identifier: MIT */
/*
 * What every file of libtorc begins with.  Else each has a header of its name;
 * start reading at topic.c.
 */
#ifndef BUS_INTERNAL_H
#define BUS_INTERNAL_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <stdbool.h>
#include <stdint.h>

#define TORC_API __attribute__((visibility("default")))

#include <torc/ring.h>
#include <torc/torc.h>

/* Note what went wrong for torc_errmsg(); returns @error. */
int torc_fail(int error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* -EINVAL unless the @size bytes reserved in the options of @what are zero. */
int torc_check_reserved(const char *what, const void *reserved, size_t size);

#endif /* BUS_INTERNAL_H */
