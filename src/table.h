/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash table from text to pointers. Keys are copied, values belong to the caller. */
#ifndef DNVME_SRC_TABLE_H
#define DNVME_SRC_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_entry {
	struct table_entry *next;
	uint64_t hash;
	void *value;
	char key[];
};

struct table {
	struct table_entry **buckets;
	size_t bucket_count;
	size_t count;
	size_t first; /* no bucket before this one has an entry */
};

#define TABLE_INIT                                                                                                     \
	{                                                                                                              \
		0                                                                                                      \
	}

/* The value of a key, or NULL. */
void *table_get(const struct table *table, const char *key);

/* Set the value (not NULL) of a key. Returns 0, or -1 when memory is exhausted: nothing was changed. */
int table_put(struct table *table, const char *key, void *value);

/* Take a key out; returns its value, or NULL when there was none. */
void *table_remove(struct table *table, const char *key);

/* Walk: from NULL to the first entry, from each to the next, NULL behind the last; in no order. The table must not
 * change meanwhile. */
struct table_entry *table_next(const struct table *table, const struct table_entry *entry);

/* Some entry, or NULL when the table is empty: for emptying it one by one. */
struct table_entry *table_any(struct table *table);

/* Free keys and buckets; the table can be used again. */
void table_free(struct table *table);

#endif
