/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MessagePack values in memory (github.com/msgpack/msgpack, spec.md): read where they lie, one after the other, and
 * appended in their shortest form. Nothing is built of them in between: the codec goes from bytes to records and back.
 */
#ifndef DNVME_LIB_WIRE_VALUE_H
#define DNVME_LIB_WIRE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

enum value_type {
	VALUE_NIL,
	VALUE_FLAG,
	VALUE_UNSIGNED, /* any integer that is not negative, in whatever form */
	VALUE_NEGATIVE,
	VALUE_FLOAT,
	VALUE_TEXT,
	VALUE_BINARY,
	VALUE_EXTENSION,
	VALUE_ARRAY,
	VALUE_MAP,
};

struct value {
	enum value_type type;
	uint64_t number;   /* unsigned; flag: 0 or 1; text, binary: bytes; array: elements; map: pairs */
	const char *bytes; /* text, binary: borrowed, not terminated */
};

/* What is not read yet. */
struct value_reader {
	const uint8_t *at, *end;
};

static inline struct value_reader value_reader_of(struct bytes bytes)
{
	/* Nothing may have no address, to which C lets not even nothing be added. */
	return (struct value_reader){ bytes.data, bytes.size == 0 ? bytes.data : bytes.data + bytes.size };
}

/* The next value; of an array or a map its head only, and its elements follow. -1: it is cut short, or no MessagePack;
 * the reader is then used up. */
static inline int value_read(struct value_reader *reader, struct value *ret_value);

/* Pass over a value with all that is in it, or over what is in one whose head was read. -1 as above. */
int value_skip(struct value_reader *reader);
int value_skip_rest(struct value_reader *reader, const struct value *head);

/* What is there is one value and nothing else, as large and as deep as a frame may be: INVALID_ARGUMENT, TOO_LARGE. */
int value_check(struct bytes bytes, struct error *error);

int value_read_other(struct value_reader *reader, uint8_t first, struct value *ret_value);

/* Here, so that the compiler puts it where it is used: nearly all values are short ones. */
static inline int value_read(struct value_reader *reader, struct value *ret_value)
{
	uint8_t first;

	if (reader->at == reader->end)
		return -1;
	first = *reader->at++;
	if (first >= 0xc0)
		return value_read_other(reader, first, ret_value);
	*ret_value = (struct value){ .type = VALUE_UNSIGNED, .number = first };
	if (first <= 0x7f)
		return 0;
	if (first <= 0x9f) {
		ret_value->type = first <= 0x8f ? VALUE_MAP : VALUE_ARRAY;
		ret_value->number = first & 0x0f;
		return 0;
	}
	ret_value->type = VALUE_TEXT;
	ret_value->number = first & 0x1f;
	if (ret_value->number > (uint64_t)(reader->end - reader->at))
		return reader->at = reader->end, -1;
	ret_value->bytes = (const char *)reader->at;
	reader->at += ret_value->number;
	return 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

#define VALUE_HEAD_MAX 9u

/* Write a head, or a whole number, and return how many bytes it has, at most VALUE_HEAD_MAX. */
size_t value_number(uint8_t *at, uint64_t number);
size_t value_text_head(uint8_t *at, size_t bytes);
size_t value_binary_head(uint8_t *at, size_t bytes);
size_t value_array_head(uint8_t *at, size_t elements);
size_t value_map_head(uint8_t *at, size_t pairs);

#define VALUE_NIL_BYTE 0xc0u
#define VALUE_FALSE_BYTE 0xc2u
#define VALUE_TRUE_BYTE 0xc3u

#endif
