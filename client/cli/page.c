/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/page.h"

#include <string.h>

#include "lib/model/schema.h"

/* Every page record begins with its list, followed by `more` (checked below for each). */
struct any_page {
	struct any_list list;
	bool more;
};

#define IS_PAGE(page, items)                                                                                           \
	_Static_assert(offsetof(struct page, items) == 0 && sizeof(struct page) == sizeof(struct any_page) &&          \
			       offsetof(struct page, more) == offsetof(struct any_page, more),                         \
		       #page " is a page")
IS_PAGE(node_page, nodes);
IS_PAGE(disk_page, disks);
IS_PAGE(volume_page, volumes);
IS_PAGE(host_page, hosts);

int page_fetch_all(struct cli *cli, const struct page_kind *kind, const char *filter, void *ret_page,
		   struct error *error)
{
	struct list_request request = { .filter = filter };
	struct any_list all = { 0 };

	for (;;) {
		struct any_page page = { 0 };
		int rc = cli_call(cli, NULL, kind->method, &request, &page, error);
		char *items;

		if (rc != 0)
			return rc;
		if (page.list.count > 0) {
			items = arena_alloc_array(&cli->arena, all.count + page.list.count, kind->item_size);
			if (items == NULL)
				return error_set_nomem(error);
			if (all.count > 0)
				memcpy(items, all.items, all.count * kind->item_size);
			memcpy(items + all.count * kind->item_size, page.list.items, page.list.count * kind->item_size);
			all.items = items;
			all.count += page.list.count;
		}
		if (!page.more)
			break;
		if (page.list.count == 0)
			return error_set(error, ERROR_INTERNAL, "the server promises more, but its page is empty");
		request.after = kind->after(&cli->arena, (char *)all.items + (all.count - 1) * kind->item_size);
		if (request.after == NULL)
			return error_set_nomem(error);
	}
	*(struct any_page *)ret_page = (struct any_page){ .list = all };
	return 0;
}
