/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records that stay decoded. The same few are read again and again, mostly unchanged: a copy of one costs a fraction of
 * decoding it. What is kept is found by the bytes that it was decoded from, so it is never of an older state.
 */
#ifndef DNVME_FSM_RECORD_CACHE_H
#define DNVME_FSM_RECORD_CACHE_H

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/schema.h"
#include "lib/wire/codec.h"

#define RECORD_CACHE_PLACES 64u
#define RECORD_CACHE_VALUE_MAX 16384u /* bytes; longer ones are decoded each time */

struct record_cache {
	struct record_cache_place {
		const struct schema *schema; /* NULL: nothing is here */
		struct buffer value;
		struct codec_packed record;
	} places[RECORD_CACHE_PLACES];
};

/* As codec_decode(), with the same errors: everything that `ret_record` points to lives in `arena`, and belongs to the
 * caller. `cache` NULL: nothing is kept. Of one thread. */
int record_cache_decode(struct record_cache *cache, const struct schema *schema, struct bytes value,
			struct arena *arena, void *ret_record, struct error *error);

/* Keep a record that was encoded as `value`: what is decoded from that next is a copy of it. Without memory nothing is
 * kept. */
void record_cache_put(struct record_cache *cache, const struct schema *schema, struct bytes value, const void *record);

/* Forget everything. */
void record_cache_clear(struct record_cache *cache);

#endif
