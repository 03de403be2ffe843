/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists that grow in an arena: any record_list, string_list, or struct with the members `count` and `items`. */
#ifndef DNVME_AGENT_LIST_H
#define DNVME_AGENT_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"

/* A zeroed element at the end; NULL when memory is exhausted. Earlier elements may move. A list grows with this
 * function only. `list` points to a struct that begins with the count and the items. */
void *list_push(struct arena *arena, void *list, size_t item_size);

#define LIST_PUSH(arena, list) ((__typeof__((list)->items))list_push((arena), (list), sizeof(*(list)->items)))

/* A copy of the string at the end of a string_list. Returns 0 or -1. */
struct string_list;
int list_push_string(struct arena *arena, struct string_list *list, const char *text);
bool list_has_string(const struct string_list *list, const char *text);

#endif
