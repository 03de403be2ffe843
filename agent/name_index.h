/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in a list a name is, found by its hash: what is looked at in each pass is searched for every LD again. Made
 * once for a list that does not change; it lives in the arena, and the names must live as long.
 */
#ifndef DNVME_AGENT_NAME_INDEX_H
#define DNVME_AGENT_NAME_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"

#define NAME_INDEX_NONE SIZE_MAX

struct name_slot {
	const char *name; /* NULL: free */
	uint64_t hash;
	size_t place;
};

/* All zeros: it has no names. */
struct name_index {
	struct name_slot *slots;
	size_t mask; /* their number, a power of two, less one */
};

/* An empty one for up to `count` names. Returns 0, or -1 when memory is exhausted. */
int name_index_make(struct arena *arena, size_t count, struct name_index *ret_index);

/* `name` is at this place of the list. Of a name that comes again the first place stays. */
void name_index_add(struct name_index *index, const char *name, size_t place);

/* The place, or NAME_INDEX_NONE. */
size_t name_index_find(const struct name_index *index, const char *name);

#endif
