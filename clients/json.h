/* SPDX-License-Identifier: MIT */
/*
 * Text that grows, and bytes in it as JSON, hexadecimal or base64.
 */
#ifndef TORC_JSON_H
#define TORC_JSON_H

#include <stddef.h>
#include <string.h>

#include <torc/message.h>

struct text {
	char *data;
	size_t used, size;	/* bytes */
};

/* Make room for so many more bytes, out of line. */
void text_grow(struct text *text, size_t more);

static inline char *text_reserve(struct text *text, size_t more)
{
	if (text->size - text->used < more)
		text_grow(text, more);
	return text->data + text->used;
}

static inline void text_add(struct text *text, const void *data, size_t length)
{
	if (length)
		memcpy(text_reserve(text, length), data, length);
	text->used += length;
}

__attribute__((format(printf, 2, 3))) void text_print(struct text *text,
						      const char *format, ...);

/* With quotes; bytes that are no UTF-8 become U+FFFD. */
void json_string(struct text *text, const void *data, size_t length);
/* `"KEY":"text"`, or `"KEY_base64":"..."` if it is no UTF-8. */
void json_payload(struct text *text, const char *key, const void *data,
		  size_t length);

/* As a line; @time, when it was received, may be NULL. */
void json_message(struct text *text, const char *topic,
		  const struct torc_message *message, const char *time);

void text_hex(struct text *text, const void *data, size_t length);

#endif /* TORC_JSON_H */
