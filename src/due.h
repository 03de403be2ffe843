/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be done at some time, the earliest first. Entries belong to the caller. */
#ifndef DNVME_SRC_DUE_H
#define DNVME_SRC_DUE_H

#include <stddef.h>
#include <stdint.h>

struct due_entry {
	uint64_t at_ms;
	size_t place; /* in the heap, from 1 on; 0: it is in none */
};

struct due {
	struct due_entry **items;
	size_t count, capacity;
};

/* Put an entry in, or move it to another time. Returns 0, or -1 when memory is exhausted: it is in no heap then. */
int due_put(struct due *due, struct due_entry *entry, uint64_t at_ms);

/* Take an entry out; nothing happens when it is not in. */
void due_remove(struct due *due, struct due_entry *entry);

/* Take out the earliest entry that is due by now; NULL when there is none. */
struct due_entry *due_take(struct due *due, uint64_t now_ms);

/* Free the heap, which must be empty. */
void due_free(struct due *due);

#endif
