/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/known.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/wire/codec.h"

#define BUCKETS 256
#define TICKET_NONE 0 /* nothing that is read now may be kept */

struct known_object {
	struct known_object *next;
	uint64_t generation; /* another one after each operation; no two objects ever had the same */
	unsigned changing;   /* operations that run */
	uint64_t look;	     /* the last one that asked for it */
	uint64_t stamp;
	struct buffer record; /* encoded; empty: not known */
	char name[];
};

struct known {
	pthread_mutex_t lock;
	const struct schema *schema;
	struct known_object *buckets[BUCKETS];
	uint64_t generation;
	uint64_t look;
	uint64_t full_ms; /* when the last full look began */
	bool full;	  /* this one is */
};

struct known *known_make(const struct schema *schema)
{
	struct known *known = calloc(1, sizeof(*known));

	if (known == NULL)
		return NULL;
	pthread_mutex_init(&known->lock, NULL);
	known->schema = schema;
	known->generation = TICKET_NONE;
	known->full = true;
	return known;
}

static void object_remove(struct known_object **at)
{
	struct known_object *object = *at;

	*at = object->next;
	buffer_free(&object->record);
	free(object);
}

void known_free(struct known *known)
{
	if (known == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (known->buckets[i] != NULL)
			object_remove(&known->buckets[i]);
	}
	pthread_mutex_destroy(&known->lock);
	free(known);
}

/* Made when it is not there; NULL when memory is exhausted. */
static struct known_object *object_find(struct known *known, const char *name)
{
	size_t length = strlen(name);
	struct known_object **at = &known->buckets[XXH64(name, length, 0) % BUCKETS], *object;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	if (*at != NULL)
		return *at;
	object = calloc(1, sizeof(*object) + length + 1);
	if (object == NULL)
		return NULL;
	memcpy(object->name, name, length);
	object->generation = ++known->generation;
	object->look = known->look;
	*at = object;
	return object;
}

/* Without memory to note that it changes, nothing is known of anything any more: that is never wrong. */
static void forget_all(struct known *known)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct known_object *object = known->buckets[i]; object != NULL; object = object->next) {
			object->generation = ++known->generation;
			buffer_clear(&object->record);
		}
	}
}

static void note(struct known *known, const char *name, bool begins)
{
	struct known_object *object;

	pthread_mutex_lock(&known->lock);
	object = object_find(known, name);
	if (object != NULL) {
		object->generation = ++known->generation;
		buffer_clear(&object->record);
		if (begins)
			object->changing++;
		else if (object->changing > 0)
			object->changing--;
	} else {
		forget_all(known);
	}
	pthread_mutex_unlock(&known->lock);
}

struct known_change known_change_begin(struct known *known, const char *name)
{
	note(known, name, true);
	return (struct known_change){ known, name };
}

void known_change_end(struct known_change *change)
{
	note(change->known, change->name, false);
}

void known_look_begin(struct known *known, uint64_t now_ms)
{
	pthread_mutex_lock(&known->lock);
	known->full = known->look == 0 || now_ms - known->full_ms >= KNOWN_FULL_MS;
	if (known->full)
		known->full_ms = now_ms;
	known->look++;
	pthread_mutex_unlock(&known->lock);
}

void known_look_end(struct known *known)
{
	pthread_mutex_lock(&known->lock);
	for (size_t i = 0; i < BUCKETS; i++) {
		struct known_object **at = &known->buckets[i];

		while (*at != NULL) {
			if ((*at)->look != known->look && (*at)->changing == 0)
				object_remove(at);
			else
				at = &(*at)->next;
		}
	}
	pthread_mutex_unlock(&known->lock);
}

bool known_get(struct known *known, const char *name, uint64_t stamp, struct arena *arena, void *ret_record,
	       uint64_t *ret_ticket)
{
	struct known_object *object;
	bool found = false;

	*ret_ticket = TICKET_NONE;
	pthread_mutex_lock(&known->lock);
	object = object_find(known, name);
	if (object != NULL) {
		object->look = known->look;
		*ret_ticket = object->generation;
		found = !known->full && object->changing == 0 && object->record.size > 0 && object->stamp == stamp &&
			codec_decode(known->schema, buffer_bytes(&object->record), arena, ret_record, NULL) == 0;
	}
	pthread_mutex_unlock(&known->lock);
	return found;
}

void known_keep(struct known *known, const char *name, uint64_t stamp, uint64_t ticket, const void *record)
{
	struct known_object *object;

	if (ticket == TICKET_NONE)
		return;
	pthread_mutex_lock(&known->lock);
	object = object_find(known, name);
	if (object != NULL && object->generation == ticket) {
		buffer_clear(&object->record);
		object->stamp = stamp;
		if (codec_encode(known->schema, record, CODEC_TAGGED, &object->record, NULL) != 0)
			buffer_clear(&object->record);
	}
	pthread_mutex_unlock(&known->lock);
}
