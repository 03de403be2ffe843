/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/list.h"

#include <string.h>

#include "lib/model/schema.h"

#define LIST_FIRST_CAPACITY 4

void *list_push(struct arena *arena, void *list, size_t item_size)
{
	struct any_list *any = list;
	size_t count = any->count;

	/* The capacity is the next power of two: it is exhausted exactly when the count is one. */
	if (count == 0 || (count >= LIST_FIRST_CAPACITY && (count & (count - 1)) == 0)) {
		size_t capacity = count == 0 ? LIST_FIRST_CAPACITY : count * 2, size;
		void *items;

		if (__builtin_mul_overflow(capacity, item_size, &size))
			return NULL;
		items = arena_room(arena, size);
		if (items == NULL)
			return NULL;
		if (count > 0)
			memcpy(items, any->items, count * item_size);
		any->items = items;
	}
	any->count = count + 1;
	return memset((char *)any->items + count * item_size, 0, item_size);
}

int list_push_string(struct arena *arena, struct string_list *list, const char *text)
{
	char *copy = arena_strdup(arena, text);
	const char **slot = copy != NULL ? LIST_PUSH(arena, list) : NULL;

	if (slot == NULL)
		return -1;
	*slot = copy;
	return 0;
}

bool list_has_string(const struct string_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}
