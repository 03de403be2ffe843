/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/table.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define TABLE_BUCKETS_FIRST 16

static struct table_entry **find(const struct table *table, const char *key, uint64_t hash)
{
	struct table_entry **place = &table->buckets[hash & (table->bucket_count - 1)];

	while (*place != NULL && ((*place)->hash != hash || strcmp((*place)->key, key) != 0))
		place = &(*place)->next;
	return place;
}

static uint64_t hash_of(const char *key)
{
	return XXH64(key, strlen(key), 0);
}

void *table_get(const struct table *table, const char *key)
{
	struct table_entry *entry;

	if (table->count == 0)
		return NULL;
	entry = *find(table, key, hash_of(key));
	return entry != NULL ? entry->value : NULL;
}

/* A table that cannot grow only gets slower, unless it has no buckets at all. */
static int grow(struct table *table)
{
	size_t count = table->bucket_count > 0 ? table->bucket_count * 2 : TABLE_BUCKETS_FIRST;
	struct table_entry **buckets = calloc(count, sizeof(*buckets));

	if (buckets == NULL)
		return table->bucket_count > 0 ? 0 : -1;
	for (size_t i = 0; i < table->bucket_count; i++) {
		for (struct table_entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
			next = entry->next;
			entry->next = buckets[entry->hash & (count - 1)];
			buckets[entry->hash & (count - 1)] = entry;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->bucket_count = count;
	table->first = 0;
	return 0;
}

int table_put(struct table *table, const char *key, void *value)
{
	uint64_t hash = hash_of(key);
	size_t size = strlen(key) + 1;
	struct table_entry **place, *entry;

	if (table->count >= table->bucket_count && grow(table) != 0)
		return -1;
	place = find(table, key, hash);
	if (*place != NULL) {
		(*place)->value = value;
		return 0;
	}
	entry = malloc(sizeof(*entry) + size);
	if (entry == NULL)
		return -1;
	entry->next = NULL;
	entry->hash = hash;
	entry->value = value;
	memcpy(entry->key, key, size);
	*place = entry;
	table->count++;
	if ((hash & (table->bucket_count - 1)) < table->first)
		table->first = hash & (table->bucket_count - 1);
	return 0;
}

void *table_remove(struct table *table, const char *key)
{
	struct table_entry **place, *entry;
	void *value;

	if (table->count == 0)
		return NULL;
	place = find(table, key, hash_of(key));
	entry = *place;
	if (entry == NULL)
		return NULL;
	value = entry->value;
	*place = entry->next;
	free(entry);
	table->count--;
	return value;
}

struct table_entry *table_next(const struct table *table, const struct table_entry *entry)
{
	size_t bucket = table->first;

	if (entry != NULL) {
		if (entry->next != NULL)
			return entry->next;
		bucket = (entry->hash & (table->bucket_count - 1)) + 1;
	}
	for (; bucket < table->bucket_count; bucket++) {
		if (table->buckets[bucket] != NULL)
			return table->buckets[bucket];
	}
	return NULL;
}

/* Who empties a table that way begins each time where the last entry was, and not at the first bucket. */
struct table_entry *table_any(struct table *table)
{
	if (table->count == 0)
		return NULL;
	while (table->buckets[table->first] == NULL)
		table->first++;
	return table->buckets[table->first];
}

void table_free(struct table *table)
{
	struct table_entry *entry;

	while ((entry = table_any(table)) != NULL)
		table_remove(table, entry->key);
	free(table->buckets);
	*table = (struct table)TABLE_INIT;
}
