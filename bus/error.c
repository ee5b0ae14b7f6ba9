/* SPDX-License-Identifier: MIT */
/*
 * Texts for errors: what one means, and what the last one of a thread was.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[512] = "no error";

int torc_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return error;
}

const char *torc_errmsg(void)
{
	return message;
}

const char *torc_version(void)
{
	return PACKAGE_VERSION;
}

int torc_check_reserved(const char *what, const void *reserved, size_t size)
{
	static const char zero[64];

	return memcmp(reserved, zero, size)
		       ? torc_fail(-EINVAL, "%s: reserved words of its options "
				   "are not zero: made for a later version",
				   what)
		       : 0;
}

const char *torc_strerror(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{ 0, "no error" },
		{ -EAGAIN, "nothing there now, or no room: try again or wait" },
		{ -EBUSY, "in use by another: wait until it has gone" },
		{ -EMSGSIZE, "message longer than the topic or the buffer "
			     "takes: use a larger capacity or buffer" },
		{ -ESTALE, "lapped or evicted: messages were overwritten "
			   "unread; open a new subscriber" },
		{ -EPROTO, "not a ring, or a damaged one: remove and "
			   "make it anew" },
		{ -EPROTOTYPE, "a ring of another ABI version, message type or "
			       "number of publishers: use what it was made with" },
		{ -EOWNERDEAD, "handle of a parent process, used after fork(): "
			       "open one in the child" },
		{ -ETIMEDOUT, "timeout ran out" },
		{ -EINTR, "interrupted by a signal: call again" },
		{ -EUSERS, "all subscriber slots are taken: make the topic "
			   "with more" },
		{ -ENOENT, "no such topic: a publisher creates it" },
		{ -EEXIST, "topic exists already: open it without "
			   "TORC_EXCLUSIVE, or remove it" },
		{ -EINVAL, "bad name, address, option or argument" },
		{ -ENOSPC, "no room for the ring: use a smaller capacity or "
			   "free memory" },
		{ -E2BIG, "more than a ring can have: use a smaller capacity "
			  "or fewer slots" },
		{ -ENOMEM, "out of memory" },
		{ -EACCES, "permission denied: ask the topic's owner for "
			   "another mode" },
		{ -EPERM, "not safe, or not yours to do: torc_errmsg() says "
			  "which" },
		{ -ENODEV, "no driver, or a file system that cannot map: load "
			   "the module torc, or use another" },
		{ -ENOTSUP, "not possible with this mapping" },
	};
	const char *text;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error)
			return texts[i].text;
	/* glibc's, which lives for ever and is safe in any thread */
	text = strerrordesc_np(-error);
	return text ? text : "unknown error";
}
