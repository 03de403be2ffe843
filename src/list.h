/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intrusive doubly linked lists. A node that is in no list points to itself, so that removing it twice is harmless. */
#ifndef DNVME_SRC_LIST_H
#define DNVME_SRC_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *previous;
};

#define list_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* `next_` keeps the walk valid when the present node is removed; a node that is removed from elsewhere during the walk
 * must not be the next one. */
#define list_for_each(node, next_, head)                                                                               \
	for (struct list *node = (head)->next, *next_ = node->next; node != (head); node = next_, next_ = node->next)

static inline void list_init(struct list *list)
{
	list->next = list->previous = list;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_append(struct list *head, struct list *node)
{
	node->previous = head->previous;
	node->next = head;
	head->previous->next = node;
	head->previous = node;
}

static inline void list_remove(struct list *node)
{
	node->previous->next = node->next;
	node->next->previous = node->previous;
	list_init(node);
}

/* Move all of `from` to `to`, which must be empty; for walks during which nodes come and go. */
static inline void list_take(struct list *to, struct list *from)
{
	list_init(to);
	if (list_is_empty(from))
		return;
	*to = *from;
	to->next->previous = to;
	to->previous->next = to;
	list_init(from);
}

#endif
