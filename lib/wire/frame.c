/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/frame.h"

#include <string.h>

/* What a type byte announces (github.com/msgpack/msgpack, spec.md, "Formats"). */
struct value_kind {
	unsigned length_bytes;	/* of the length that follows the type byte */
	uint64_t payload_fixed; /* payload bytes known from the type byte */
	uint64_t children;	/* values known from the type byte */
	unsigned per_element;	/* values for each unit of the length; 0 when the length counts payload bytes */
	unsigned extra;		/* payload bytes beyond the length (the type of an extension) */
};

static int kind_of(uint8_t byte, struct value_kind *ret_kind)
{
	struct value_kind kind = { 0 };

	if (byte <= 0x7f || byte >= 0xe0) {
		/* small integers */
	} else if (byte <= 0x8f) {
		kind.children = 2 * (uint64_t)(byte & 0x0f);
	} else if (byte <= 0x9f) {
		kind.children = byte & 0x0f;
	} else if (byte <= 0xbf) {
		kind.payload_fixed = byte & 0x1f;
	} else {
		switch (byte) {
		case 0xc1:
			return -1;
		case 0xc4:
		case 0xd9:
			kind.length_bytes = 1;
			break;
		case 0xc5:
		case 0xda:
			kind.length_bytes = 2;
			break;
		case 0xc6:
		case 0xdb:
			kind.length_bytes = 4;
			break;
		case 0xc7:
			kind.length_bytes = 1;
			kind.extra = 1;
			break;
		case 0xc8:
			kind.length_bytes = 2;
			kind.extra = 1;
			break;
		case 0xc9:
			kind.length_bytes = 4;
			kind.extra = 1;
			break;
		case 0xcc:
		case 0xd0:
			kind.payload_fixed = 1;
			break;
		case 0xcd:
		case 0xd1:
			kind.payload_fixed = 2;
			break;
		case 0xca:
		case 0xce:
		case 0xd2:
			kind.payload_fixed = 4;
			break;
		case 0xcb:
		case 0xcf:
		case 0xd3:
			kind.payload_fixed = 8;
			break;
		case 0xd4:
			kind.payload_fixed = 2;
			break;
		case 0xd5:
			kind.payload_fixed = 3;
			break;
		case 0xd6:
			kind.payload_fixed = 5;
			break;
		case 0xd7:
			kind.payload_fixed = 9;
			break;
		case 0xd8:
			kind.payload_fixed = 17;
			break;
		case 0xdc:
			kind.length_bytes = 2;
			kind.per_element = 1;
			break;
		case 0xdd:
			kind.length_bytes = 4;
			kind.per_element = 1;
			break;
		case 0xde:
			kind.length_bytes = 2;
			kind.per_element = 2;
			break;
		case 0xdf:
			kind.length_bytes = 4;
			kind.per_element = 2;
			break;
		default:
			break; /* nil, false, true */
		}
	}
	*ret_kind = kind;
	return 0;
}

void frame_scanner_init(struct frame_scanner *scanner, size_t max_bytes)
{
	*scanner = (struct frame_scanner){ .max_bytes = max_bytes };
}

int frame_scanner_is_partial(const struct frame_scanner *scanner)
{
	return scanner->bytes > 0;
}

/* A value ended: close every container whose last value it was. */
static void end_value(struct frame_scanner *scanner, int *ret_complete)
{
	while (scanner->depth > 0) {
		if (--scanner->pending[scanner->depth - 1] > 0)
			return;
		scanner->depth--;
	}
	*ret_complete = 1;
}

/* The type byte and its length are complete: account for what they announce. */
static int begin_value(struct frame_scanner *scanner, const struct value_kind *kind, int *ret_complete,
		       struct error *error)
{
	uint64_t length = 0, payload = kind->payload_fixed, children = kind->children;

	for (unsigned i = 0; i < kind->length_bytes; i++)
		length = length << 8 | scanner->header[1 + i];
	if (kind->per_element > 0)
		children = length * kind->per_element;
	else if (kind->length_bytes > 0)
		payload = length + kind->extra;
	if (payload > scanner->max_bytes - scanner->bytes)
		return error_set(error, ERROR_TOO_LARGE, "a value of %llu bytes exceeds the frame limit of %zu bytes",
				 (unsigned long long)payload, scanner->max_bytes);
	/* Each value takes at least one byte, so a count that the rest of the frame cannot hold is refused here. */
	if (children > scanner->max_bytes - scanner->bytes || children > LIMIT_FRAME_ELEMENTS - scanner->elements)
		return error_set(error, ERROR_TOO_LARGE,
				 "a container of %llu values exceeds the limit of %u values in a frame of %zu bytes",
				 (unsigned long long)children, LIMIT_FRAME_ELEMENTS, scanner->max_bytes);
	scanner->elements += children;
	scanner->header_size = 0;
	if (children > 0) {
		if (scanner->depth == LIMIT_FRAME_DEPTH)
			return error_set(error, ERROR_TOO_LARGE, "the frame is nested deeper than the limit of %u",
					 LIMIT_FRAME_DEPTH);
		scanner->pending[scanner->depth++] = children;
		return 0;
	}
	scanner->skip = payload;
	if (payload == 0)
		end_value(scanner, ret_complete);
	return 0;
}

int frame_scanner_feed(struct frame_scanner *scanner, const uint8_t *data, size_t size, size_t *ret_used,
		       int *ret_complete, struct error *error)
{
	struct value_kind kind;
	size_t used = 0;
	int complete = 0, rv;

	while (used < size && !complete) {
		if (scanner->bytes == scanner->max_bytes)
			return error_set(error, ERROR_TOO_LARGE, "the frame exceeds the limit of %zu bytes",
					 scanner->max_bytes);
		if (scanner->skip > 0) {
			size_t step = size - used < scanner->skip ? size - used : (size_t)scanner->skip;

			scanner->skip -= step;
			scanner->bytes += step;
			used += step;
			if (scanner->skip == 0)
				end_value(scanner, &complete);
			continue;
		}
		/* Small integers, which half of all values are. */
		if (scanner->header_size == 0 && (data[used] <= 0x7f || data[used] >= 0xe0)) {
			used++;
			scanner->bytes++;
			end_value(scanner, &complete);
			continue;
		}
		/* Short strings that are there as a whole, which are most of the rest. */
		if (scanner->header_size == 0 && (data[used] & 0xe0) == 0xa0) {
			size_t whole = 1 + (size_t)(data[used] & 0x1f);

			if (whole <= size - used && whole <= scanner->max_bytes - scanner->bytes) {
				used += whole;
				scanner->bytes += whole;
				end_value(scanner, &complete);
				continue;
			}
		}
		scanner->header[scanner->header_size++] = data[used++];
		scanner->bytes++;
		if (kind_of(scanner->header[0], &kind) != 0)
			return error_set(error, ERROR_INVALID_ARGUMENT, "the byte 0xc1 is never used in MessagePack");
		if (scanner->header_size < 1 + kind.length_bytes)
			continue;
		rv = begin_value(scanner, &kind, &complete, error);
		if (rv != 0)
			return rv;
	}
	if (complete)
		frame_scanner_init(scanner, scanner->max_bytes);
	*ret_used = used;
	*ret_complete = complete;
	return 0;
}
