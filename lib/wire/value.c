/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/value.h"

#include "lib/base/limits.h"

/* --- reading ------------------------------------------------------------------------------------------------------ */

static uint64_t big_endian(const uint8_t *at, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes; i++)
		number = number << 8 | at[i];
	return number;
}

static int used_up(struct value_reader *reader)
{
	reader->at = reader->end;
	return -1;
}

/* The bytes of a value whose length is known. */
static int take_bytes(struct value_reader *reader, enum value_type type, uint64_t size, struct value *ret_value)
{
	if (size > (uint64_t)(reader->end - reader->at))
		return used_up(reader);
	*ret_value = (struct value){ .type = type, .number = size, .bytes = (const char *)reader->at };
	reader->at += size;
	return 0;
}

/* A number in so many bytes follows. */
static int take_number(struct value_reader *reader, size_t bytes, uint64_t *ret_number)
{
	if (bytes > (size_t)(reader->end - reader->at))
		return used_up(reader);
	*ret_number = big_endian(reader->at, bytes);
	reader->at += bytes;
	return 0;
}

static int take_signed(struct value_reader *reader, size_t bytes, struct value *ret_value)
{
	uint64_t number;

	if (take_number(reader, bytes, &number) != 0)
		return -1;
	*ret_value =
		(struct value){ .type = number >> (8 * bytes - 1) ? VALUE_NEGATIVE : VALUE_UNSIGNED, .number = number };
	return 0;
}

/* Bytes, elements or pairs, whose number comes first; `extra` bytes are not counted in it. */
static int take_counted(struct value_reader *reader, enum value_type type, size_t bytes, unsigned extra,
			struct value *ret_value)
{
	uint64_t count;

	if (take_number(reader, bytes, &count) != 0)
		return -1;
	if (type != VALUE_ARRAY && type != VALUE_MAP)
		return take_bytes(reader, type, count + extra, ret_value);
	*ret_value = (struct value){ .type = type, .number = count };
	return 0;
}

int value_read_other(struct value_reader *reader, uint8_t first, struct value *ret_value)
{
	if (first >= 0xe0) {
		*ret_value = (struct value){ .type = VALUE_NEGATIVE };
		return 0;
	}
	switch (first) {
	case 0xc0:
		*ret_value = (struct value){ .type = VALUE_NIL };
		return 0;
	case 0xc2:
	case 0xc3:
		*ret_value = (struct value){ .type = VALUE_FLAG, .number = first & 1 };
		return 0;
	case 0xc4:
	case 0xc5:
	case 0xc6:
		return take_counted(reader, VALUE_BINARY, (size_t)1 << (first - 0xc4), 0, ret_value);
	case 0xc7:
	case 0xc8:
	case 0xc9:
		return take_counted(reader, VALUE_EXTENSION, (size_t)1 << (first - 0xc7), 1, ret_value);
	case 0xca:
	case 0xcb:
		return take_bytes(reader, VALUE_FLOAT, (size_t)4 << (first - 0xca), ret_value);
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		*ret_value = (struct value){ .type = VALUE_UNSIGNED };
		return take_number(reader, (size_t)1 << (first - 0xcc), &ret_value->number);
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return take_signed(reader, (size_t)1 << (first - 0xd0), ret_value);
	case 0xd4:
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		return take_bytes(reader, VALUE_EXTENSION, 1 + ((size_t)1 << (first - 0xd4)), ret_value);
	case 0xd9:
	case 0xda:
	case 0xdb:
		return take_counted(reader, VALUE_TEXT, (size_t)1 << (first - 0xd9), 0, ret_value);
	case 0xdc:
	case 0xdd:
		return take_counted(reader, VALUE_ARRAY, (size_t)2 << (first - 0xdc), 0, ret_value);
	case 0xde:
	case 0xdf:
		return take_counted(reader, VALUE_MAP, (size_t)2 << (first - 0xde), 0, ret_value);
	default: /* 0xc1 is never used */
		return used_up(reader);
	}
}

/* Values that follow the head of this one and belong to it. */
static uint64_t children_of(const struct value *value)
{
	return value->type == VALUE_ARRAY ? value->number : value->type == VALUE_MAP ? 2 * value->number : 0;
}

int value_skip_rest(struct value_reader *reader, const struct value *head)
{
	uint64_t left = children_of(head);
	struct value value;

	for (; left > 0; left--) {
		if (value_read(reader, &value) != 0)
			return -1;
		left += children_of(&value); /* at most 2^33 for 5 bytes of input: no sum of them overflows */
	}
	return 0;
}

int value_skip(struct value_reader *reader)
{
	struct value value;

	return value_read(reader, &value) != 0 ? -1 : value_skip_rest(reader, &value);
}

static int unreadable(struct bytes left, struct error *error)
{
	if (left.size > 0 && left.data[0] == 0xc1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "the byte 0xc1 is never used in MessagePack");
	return error_set(error, ERROR_INVALID_ARGUMENT, "the record is cut short");
}

int value_check(struct bytes bytes, struct error *error)
{
	struct value_reader reader = value_reader_of(bytes);
	uint64_t above[LIMIT_FRAME_DEPTH], left = 1, elements = 0;
	unsigned depth = 0;

	if (bytes.size > LIMIT_FRAME_PEER_BYTES)
		return error_set(error, ERROR_TOO_LARGE, "%zu bytes exceed the limit of %u", bytes.size,
				 LIMIT_FRAME_PEER_BYTES);
	/* `left` values are missing in the innermost array or map. */
	for (;;) {
		struct value_reader before;
		struct value value;
		uint64_t children;

		while (left == 0) {
			if (depth == 0)
				return reader.at == reader.end
					       ? 0
					       : error_set(error, ERROR_INVALID_ARGUMENT, "bytes behind the record");
			left = above[--depth];
		}
		before = reader;
		if (value_read(&reader, &value) != 0)
			return unreadable((struct bytes){ before.at, (size_t)(before.end - before.at) }, error);
		left--;
		children = children_of(&value);
		if (children == 0)
			continue;
		elements += children;
		if (elements > LIMIT_FRAME_ELEMENTS)
			return error_set(error, ERROR_TOO_LARGE, "more than %u values in a record",
					 LIMIT_FRAME_ELEMENTS);
		if (depth == LIMIT_FRAME_DEPTH)
			return error_set(error, ERROR_TOO_LARGE, "the record is nested deeper than the limit of %u",
					 LIMIT_FRAME_DEPTH);
		above[depth++] = left;
		left = children;
	}
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* A type byte and a number behind it. */
static size_t put(uint8_t *at, uint8_t first, uint64_t number, size_t bytes)
{
	at[0] = first;
	for (size_t i = 0; i < bytes; i++)
		at[1 + i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
	return 1 + bytes;
}

size_t value_number(uint8_t *at, uint64_t number)
{
	if (number <= 0x7f) {
		at[0] = (uint8_t)number;
		return 1;
	}
	if (number <= UINT8_MAX)
		return put(at, 0xcc, number, 1);
	if (number <= UINT16_MAX)
		return put(at, 0xcd, number, 2);
	if (number <= UINT32_MAX)
		return put(at, 0xce, number, 4);
	return put(at, 0xcf, number, 8);
}

size_t value_text_head(uint8_t *at, size_t bytes)
{
	if (bytes < 32)
		return put(at, (uint8_t)(0xa0 | bytes), 0, 0);
	if (bytes <= UINT8_MAX)
		return put(at, 0xd9, bytes, 1);
	if (bytes <= UINT16_MAX)
		return put(at, 0xda, bytes, 2);
	return put(at, 0xdb, bytes, 4);
}

size_t value_binary_head(uint8_t *at, size_t bytes)
{
	if (bytes <= UINT8_MAX)
		return put(at, 0xc4, bytes, 1);
	if (bytes <= UINT16_MAX)
		return put(at, 0xc5, bytes, 2);
	return put(at, 0xc6, bytes, 4);
}

size_t value_array_head(uint8_t *at, size_t elements)
{
	if (elements < 16)
		return put(at, (uint8_t)(0x90 | elements), 0, 0);
	if (elements <= UINT16_MAX)
		return put(at, 0xdc, elements, 2);
	return put(at, 0xdd, elements, 4);
}

size_t value_map_head(uint8_t *at, size_t pairs)
{
	if (pairs < 16)
		return put(at, (uint8_t)(0x80 | pairs), 0, 0);
	if (pairs <= UINT16_MAX)
		return put(at, 0xde, pairs, 2);
	return put(at, 0xdf, pairs, 4);
}
