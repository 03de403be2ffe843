/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/page.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/wire/codec.h"

/* An answer fits into a client's frame limit, too, so a page also ends when it holds this much. */
#define PAGE_BYTES (LIMIT_FRAME_CLIENT_BYTES / 4 * 3)

void page_open(struct page *page, const struct schema *schema, uint64_t limit)
{
	*page = (struct page){ .schema = schema,
			       .limit = limit > 0 && limit < LIMIT_LIST_PAGE ? (size_t)limit : LIMIT_LIST_PAGE };
}

/* Whether the record still fits; counts it in if so. The first one always does. */
static int page_take(struct page *page, const void *record, bool *ret_taken, struct error *error)
{
	bool fits;

	buffer_clear(&page->scratch);
	if (codec_encode(page->schema, record, CODEC_NAMED, &page->scratch, error) != 0)
		return error->code;
	fits = page->count < page->limit && (page->count == 0 || page->bytes + page->scratch.size <= PAGE_BYTES);
	if (fits) {
		page->bytes += page->scratch.size;
		page->count++;
	} else {
		page->full = true;
	}
	*ret_taken = fits;
	return 0;
}

void *list_grow(struct arena *arena, struct any_list *list, size_t size)
{
	/* Doubles at powers of two; the old arrays stay in the arena. */
	if ((list->count & (list->count - 1)) == 0) {
		size_t capacity = list->count > 0 ? list->count * 2 : 1;
		void *items = arena_alloc_array(arena, capacity, size);

		if (items == NULL)
			return NULL;
		if (list->count > 0)
			memcpy(items, list->items, list->count * size);
		list->items = items;
	}
	return (char *)list->items + list->count++ * size;
}

int page_add(struct page *page, struct arena *arena, void *list, const void *record, struct error *error)
{
	bool taken = false;
	void *place;
	int rv = page_take(page, record, &taken, error);

	if (rv != 0 || !taken)
		return rv;
	place = list_grow(arena, list, page->schema->size);
	if (place == NULL)
		return error_set_nomem(error);
	memcpy(place, record, page->schema->size);
	return 0;
}

void page_close(struct page *page)
{
	buffer_free(&page->scratch);
}
