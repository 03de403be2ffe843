/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All pages of a list as one. */
#ifndef DNVME_CLIENT_CLI_PAGE_H
#define DNVME_CLIENT_CLI_PAGE_H

#include "client/cli/cli.h"

struct page_kind {
	enum method_id method;
	size_t item_size;
	/* The name or id behind which the next page begins; in the arena or the item. NULL: no memory. */
	const char *(*after)(struct arena *arena, const void *item);
};

/* Fetch every page. A page record is {list, bool more}: `ret_page` gets all items and `more` false. All in the
 * arena of `cli`. */
int page_fetch_all(struct cli *cli, const struct page_kind *kind, const char *filter, void *ret_page,
		   struct error *error);

#endif
