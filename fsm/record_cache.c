/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/record_cache.h"

#include <string.h>
#include <xxhash.h>

#include "lib/wire/codec.h"

static void place_clear(struct record_cache_place *place)
{
	arena_free(&place->arena);
	*place = (struct record_cache_place){ .arena = ARENA_INIT };
}

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

/* Another record takes the place; false: there is no memory. */
static bool place_fill(struct record_cache_place *place, const struct schema *schema, struct bytes value,
		       const void *record)
{
	place_clear(place);
	place->value = (struct bytes){ arena_memdup(&place->arena, value.data, value.size), value.size };
	if (place->value.data == NULL || codec_pack(schema, record, &place->arena, &place->record, NULL) != 0) {
		place_clear(place);
		return false;
	}
	place->schema = schema;
	return true;
}

int record_cache_decode(struct record_cache *cache, const struct schema *schema, struct bytes value,
			struct arena *arena, void *ret_record, struct error *error)
{
	struct record_cache_place *place = place_of(cache, value);
	int code;

	if (place != NULL && place_has(place, schema, value))
		return codec_unpack(&place->record, arena, ret_record, error);
	code = codec_decode(schema, value, arena, ret_record, error);
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
	for (size_t i = 0; i < RECORD_CACHE_PLACES; i++)
		place_clear(&cache->places[i]);
}
