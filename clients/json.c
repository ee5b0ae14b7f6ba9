/* SPDX-License-Identifier: MIT */
/*
 * Bytes as JSON (RFC 8259), hexadecimal and base64 (RFC 4648).  See json.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "json.h"
#include "cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of what is printed at once; more take another turn. */
#define LINE_USUAL 256

static const char hex_digits[] = "0123456789abcdef";

void text_grow(struct text *text, size_t more)
{
	size_t size = text->size ? text->size : 4096;
	char *data;

	while (size - text->used < more) {
		if (size > SIZE_MAX / 2)
			cli_no_memory();
		size *= 2;
	}
	data = realloc(text->data, size);
	if (!data)
		cli_no_memory();
	text->data = data;
	text->size = size;
}

void text_print(struct text *text, const char *format, ...)
{
	size_t room = LINE_USUAL;
	va_list arguments;
	int length;

	for (;;) {
		char *to = text_reserve(text, room);

		va_start(arguments, format);
		length = vsnprintf(to, room, format, arguments);
		va_end(arguments);
		if (length < 0)
			return;
		if ((size_t)length < room)
			break;
		room = (size_t)length + 1;
	}
	text->used += (size_t)length;
}

/*
 * How many bytes the UTF-8 character at @data has; 0 if it is none: cut short,
 * too long a form, a surrogate, or beyond U+10FFFF (RFC 3629, section 4).
 */
static size_t utf8_length(const unsigned char *data, size_t left)
{
	unsigned char first = data[0], low = 0x80, high = 0xbf;
	size_t length;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (length > left)
		return 0;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (data[1] < low || data[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if ((data[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

static int utf8_valid(const unsigned char *data, size_t length)
{
	size_t step;

	for (size_t i = 0; i < length; i += step) {
		step = utf8_length(data + i, length - i);
		if (!step)
			return 0;
	}
	return 1;
}

/* One byte below 0x80, at most 6 bytes. */
static size_t json_escape(char *out, unsigned char c)
{
	static const char shorts[] = "\bb\tt\nn\ff\rr\"\"\\\\";

	if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
		out[0] = (char)c;
		return 1;
	}
	for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
		if (shorts[i] == (char)c) {
			out[0] = '\\';
			out[1] = shorts[i + 1];
			return 2;
		}
	}
	memcpy(out, "\\u00", 4);
	out[4] = hex_digits[c >> 4];
	out[5] = hex_digits[c & 15];
	return 6;
}

void json_string(struct text *text, const void *data, size_t length)
{
	const unsigned char *in = data;
	char *start, *out;
	size_t step;

	if (length > (SIZE_MAX - 2) / 6)
		cli_no_memory();
	start = out = text_reserve(text, length * 6 + 2);
	*out++ = '"';
	for (size_t i = 0; i < length; i += step) {
		step = utf8_length(in + i, length - i);
		if (step == 1) {
			out += json_escape(out, in[i]);
		} else if (step) {
			memcpy(out, in + i, step);
			out += step;
		} else {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3;
			step = 1;
		}
	}
	*out++ = '"';
	text->used += (size_t)(out - start);
}

static void base64(struct text *text, const unsigned char *in, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char *start, *out;

	start = out = text_reserve(text, length / 3 * 4 + 4);
	for (size_t i = 0; i < length; i += 3) {
		unsigned int bits = (unsigned int)in[i] << 16;

		if (i + 1 < length)
			bits |= (unsigned int)in[i + 1] << 8;
		if (i + 2 < length)
			bits |= in[i + 2];
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = i + 1 < length ? digits[bits >> 6 & 63] : '=';
		*out++ = i + 2 < length ? digits[bits & 63] : '=';
	}
	text->used += (size_t)(out - start);
}

void json_payload(struct text *text, const char *key, const void *data,
		  size_t length)
{
	if (utf8_valid(data, length)) {
		text_print(text, "\"%s\":", key);
		json_string(text, data, length);
	} else {
		text_print(text, "\"%s_base64\":\"", key);
		base64(text, data, length);
		text_add(text, "\"", 1);
	}
}

void json_message(struct text *text, const char *topic,
		  const struct torc_message *message, const char *time)
{
	text_print(text, "{\"topic\":");
	json_string(text, topic, strlen(topic));
	text_print(text, ",\"sequence\":%" PRIu64 ",\"position\":%" PRIu64,
		   message->sequence, message->position);
	if (time)
		text_print(text, ",\"time\":\"%s\"", time);
	text_print(text, ",\"publisher\":%" PRIu32 ",", message->publisher);
	json_payload(text, "payload", message->data, message->length);
	text_add(text, "}\n", 2);
}

void text_hex(struct text *text, const void *data, size_t length)
{
	const unsigned char *in = data;
	char *out;

	if (length > SIZE_MAX / 2)
		cli_no_memory();
	out = text_reserve(text, length * 2);
	for (size_t i = 0; i < length; i++) {
		*out++ = hex_digits[in[i] >> 4];
		*out++ = hex_digits[in[i] & 15];
	}
	text->used += length * 2;
}
