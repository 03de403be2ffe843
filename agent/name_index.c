/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/name_index.h"

#include <string.h>
#include <xxhash.h>

int name_index_make(struct arena *arena, size_t count, struct name_index *ret_index)
{
	size_t slots = 8;
	struct name_index index;

	/* At most half of them are taken: so the search for a name that is not there ends soon. */
	while (slots < count * 2)
		slots *= 2;
	index = (struct name_index){ arena_alloc_array(arena, slots, sizeof(*index.slots)), slots - 1 };
	if (index.slots == NULL)
		return -1;
	*ret_index = index;
	return 0;
}

static struct name_slot *slot_of(const struct name_index *index, const char *name, uint64_t hash)
{
	size_t at = hash & index->mask;

	while (index->slots[at].name != NULL &&
	       (index->slots[at].hash != hash || strcmp(index->slots[at].name, name) != 0))
		at = (at + 1) & index->mask;
	return &index->slots[at];
}

void name_index_add(struct name_index *index, const char *name, size_t place)
{
	uint64_t hash = XXH3_64bits(name, strlen(name));
	struct name_slot *slot = slot_of(index, name, hash);

	if (slot->name == NULL)
		*slot = (struct name_slot){ name, hash, place };
}

size_t name_index_find(const struct name_index *index, const char *name)
{
	const struct name_slot *slot;

	if (index->slots == NULL)
		return NAME_INDEX_NONE;
	slot = slot_of(index, name, XXH3_64bits(name, strlen(name)));
	return slot->name != NULL ? slot->place : NAME_INDEX_NONE;
}
