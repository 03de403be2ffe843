/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inputs that are records one behind the other: a byte that says which schema, then the record as a map of
 * MessagePack. What follows the last whole record is not looked at.
 */
#ifndef DNVME_FUZZ_SEQUENCE_H
#define DNVME_FUZZ_SEQUENCE_H

#include "fuzz/shape.h"

#define SEQUENCE_MAX 64u

struct sequence_item {
	uint8_t kind;
	struct bytes record; /* borrowed from the input */
};

struct sequence {
	size_t count;
	struct sequence_item items[SEQUENCE_MAX];
};

void sequence_split(struct bytes input, struct sequence *ret_sequence);
int sequence_append(uint8_t kind, struct bytes record, struct buffer *output);

/* The schema of a kind below `count`; kinds beyond the last one stand for the first ones again. */
struct sequence_kinds {
	const struct schema *(*schema)(size_t kind);
	size_t count;
	enum codec_style style;
};

/* Change an input: a record in one place, or the order of records; sometimes its bytes. For LLVMFuzzerCustomMutator. */
size_t sequence_mutate(const struct sequence_kinds *kinds, uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
