/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/record_cache.h"

#include <string.h>
#include <xxhash.h>

#include "lib/wire/codec.h"

static bool place_has(const struct record_cache_place *place, const struct schema *schema, struct bytes value)
{
	return place->schema == schema && place->value.size == value.size &&
	       memcmp(place->value.data, value.data, value.size) == 0;
}

static struct record_cache_place *place_of(struct record_cache *cache, struct bytes value)
{
	if (cache == NULL || value.size > RECORD_CACHE_VALUE_MAX)
		return NULL;
	return &cache->places[XXH3_64bits(value.data, value.size) % RECORD_CACHE_PLACES];
}

/* Another record takes the place, and its memory. */
static void place_fill(struct record_cache_place *place, const struct schema *schema, struct bytes value,
		       const void *record)
{
	place->schema = NULL;
	buffer_clear(&place->value);
	if (buffer_append(&place->value, value.data, value.size) == 0 &&
	    codec_pack(schema, record, &place->record, NULL) == 0)
		place->schema = schema;
}

int record_cache_decode(struct record_cache *cache, const struct schema *schema, struct bytes value,
			struct arena *arena, void *ret_record, struct error *error)
{
	struct record_cache_place *place = place_of(cache, value);
	int code;

	if (place != NULL && place_has(place, schema, value))
		return codec_unpack(&place->record, arena, ret_record, error);
	code = codec_decode_value(schema, value, arena, ret_record, error);
	if (code == 0 && place != NULL)
		place_fill(place, schema, value, ret_record);
	return code;
}

void record_cache_put(struct record_cache *cache, const struct schema *schema, struct bytes value, const void *record)
{
	struct record_cache_place *place = place_of(cache, value);

	if (place != NULL && !place_has(place, schema, value))
		place_fill(place, schema, value, record);
}

void record_cache_clear(struct record_cache *cache)
{
	for (size_t i = 0; i < RECORD_CACHE_PLACES; i++) {
		struct record_cache_place *place = &cache->places[i];

		buffer_free(&place->value);
		codec_packed_free(&place->record);
		place->schema = NULL;
	}
}
