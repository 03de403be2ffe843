/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page of an answer: as many records as were asked for, and as fit into a client's frame. */
#ifndef DNVME_SRC_PAGE_H
#define DNVME_SRC_PAGE_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct page {
	const struct schema *schema;
	struct buffer scratch;
	size_t bytes, count, limit;
	bool full;
};

/* `limit` 0 stands for the most. */
void page_open(struct page *page, const struct schema *schema, uint64_t limit);

/* Add a copy of the record to `list` if the page has room; else page->full. */
int page_add(struct page *page, struct arena *arena, void *list, const void *record, struct error *error);

void page_close(struct page *page);

/* Room for one record more in a list that grows; NULL when memory is exhausted. */
void *list_grow(struct arena *arena, struct any_list *list, size_t size);

#endif
