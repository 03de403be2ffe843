/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records at random, through the schema: what plain bytes would reach after years.
 *
 * A record is made, or changed in one place, as MessagePack. Most values are within their bounds and of a small world
 * (nodes n1 to n6, disks d1 to d12, the volume db1 …), so that records fit to each other; some are just outside.
 */
#ifndef DNVME_FUZZ_SHAPE_H
#define DNVME_FUZZ_SHAPE_H

#include "fuzz/fuzz.h"
#include "lib/model/schema.h"
#include "lib/wire/codec.h"

struct shape {
	struct dice dice;
	enum codec_style style;
	unsigned wild;	 /* one of so many values is out of bounds; 0: none is */
	unsigned budget; /* values that may still be made; lists are empty then */
	unsigned choice; /* of a command: this field of its record, counted from 1; 0: any */
};

/* Append a record. */
void shape_record(struct shape *shape, const struct schema *schema, struct buffer *output);

/* Append the record with one change. false when the input is not a map of MessagePack. */
bool shape_mutate(struct shape *shape, const struct schema *schema, struct bytes input, struct buffer *output);

#endif
