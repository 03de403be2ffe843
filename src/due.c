/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A binary heap: the parent of place p is at p / 2, and not later. */
#include "src/due.h"

#include <assert.h>
#include <stdlib.h>

static void place(struct due *due, struct due_entry *entry, size_t at)
{
	due->items[at - 1] = entry;
	entry->place = at;
}

static void sift(struct due *due, struct due_entry *entry, size_t at)
{
	while (at > 1 && due->items[at / 2 - 1]->at_ms > entry->at_ms) {
		place(due, due->items[at / 2 - 1], at);
		at /= 2;
	}
	while (2 * at <= due->count) {
		size_t child = 2 * at;

		if (child < due->count && due->items[child]->at_ms < due->items[child - 1]->at_ms)
			child++;
		if (due->items[child - 1]->at_ms >= entry->at_ms)
			break;
		place(due, due->items[child - 1], at);
		at = child;
	}
	place(due, entry, at);
}

int due_put(struct due *due, struct due_entry *entry, uint64_t at_ms)
{
	if (entry->place == 0 && due->count == due->capacity) {
		size_t capacity = due->capacity > 0 ? due->capacity * 2 : 16;
		struct due_entry **items = realloc(due->items, capacity * sizeof(*items));

		if (items == NULL)
			return -1;
		due->items = items;
		due->capacity = capacity;
	}
	entry->at_ms = at_ms;
	if (entry->place == 0)
		place(due, entry, ++due->count);
	sift(due, entry, entry->place);
	return 0;
}

void due_remove(struct due *due, struct due_entry *entry)
{
	struct due_entry *last;
	size_t at = entry->place;

	if (at == 0)
		return;
	assert(due->items[at - 1] == entry);
	last = due->items[--due->count];
	entry->place = 0;
	if (last != entry)
		sift(due, last, at);
}

struct due_entry *due_take(struct due *due, uint64_t now_ms)
{
	struct due_entry *first = due->count > 0 ? due->items[0] : NULL;

	if (first == NULL || first->at_ms > now_ms)
		return NULL;
	due_remove(due, first);
	return first;
}

void due_free(struct due *due)
{
	assert(due->count == 0);
	free(due->items);
	*due = (struct due){ 0 };
}
