/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/desired_store.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

struct object {
	enum object_kind kind;
	char id[LIMIT_NAME + 1];
	bool removed;
	struct arena arena;
	union {
		struct desired_disk disk;
		struct desired_export export;
		struct desired_volume volume;
		struct object_ref reference; /* removed */
	};
};

/* Objects by kind and id: a tree of tsearch(). */
struct objects {
	void *root;
	size_t count;
};

struct header {
	char cluster[17], node[LIMIT_NAME + 1], address[LIMIT_ADDRESS + 1], host_nqn[LIMIT_NQN + 1];
	uint64_t term, port, colour;
};

struct desired_store {
	bool complete;
	uint64_t version;
	struct header header;
	struct objects objects;
	bool pending, pending_whole;
	struct header pending_header;
	struct objects pending_objects;
};

static int compare(const void *a, const void *b)
{
	const struct object *x = a, *y = b;

	return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->id, y->id);
}

static void object_free(void *memory)
{
	struct object *object = memory;

	if (object == NULL)
		return;
	arena_free(&object->arena);
	free(object);
}

static void objects_clear(struct objects *objects)
{
	tdestroy(objects->root, object_free);
	*objects = (struct objects){ 0 };
}

/* Takes the object, replacing one of the same kind and id; frees it on failure. */
static int objects_put(struct objects *objects, struct object *object)
{
	struct object **slot = tsearch(object, &objects->root, compare);

	if (slot == NULL) {
		object_free(object);
		return -1;
	}
	if (*slot == object) {
		objects->count++;
	} else {
		object_free(*slot);
		*slot = object;
	}
	return 0;
}

static struct object *object_make(enum object_kind kind, bool removed, const char *id, const struct schema *schema,
				  const void *record, struct error *error)
{
	struct object *object = calloc(1, sizeof(*object));

	if (object == NULL) {
		error_set_nomem(error);
		return NULL;
	}
	object->kind = kind;
	object->removed = removed;
	snprintf(object->id, sizeof(object->id), "%s", id);
	if (codec_copy(schema, record, &object->arena, &object->disk, error) != 0) {
		object_free(object);
		return NULL;
	}
	return object;
}

static int put(struct desired_store *store, struct object *object, struct error *error)
{
	if (object == NULL)
		return error != NULL && error->code != 0 ? (int)error->code : ERROR_INTERNAL;
	return objects_put(&store->pending_objects, object) != 0 ? error_set_nomem(error) : 0;
}

static int part_add(struct desired_store *store, const struct desired *part, struct error *error)
{
	char id[NAMES_ID_SIZE];
	int code = 0;

	/* Removed ones first: the part may name an object that was removed and came back. */
	for (size_t i = 0; i < part->removed.count && code == 0; i++)
		code = put(store,
			   object_make(part->removed.items[i].kind, true, part->removed.items[i].id,
				       schema_object_ref(), &part->removed.items[i], error),
			   error);
	for (size_t i = 0; i < part->disks.count && code == 0; i++) {
		names_id_format("d", part->disks.items[i].id, id);
		code = put(
			store,
			object_make(OBJECT_KIND_DISK, false, id, schema_desired_disk(), &part->disks.items[i], error),
			error);
	}
	for (size_t i = 0; i < part->exports.count && code == 0; i++)
		code = put(store,
			   object_make(OBJECT_KIND_EXPORT, false, part->exports.items[i].id, schema_desired_export(),
				       &part->exports.items[i], error),
			   error);
	for (size_t i = 0; i < part->volumes.count && code == 0; i++) {
		names_id_format("v", part->volumes.items[i].id, id);
		code = put(store,
			   object_make(OBJECT_KIND_VOLUME, false, id, schema_desired_volume(), &part->volumes.items[i],
				       error),
			   error);
	}
	return code;
}

static void header_set(struct header *header, const struct desired *part)
{
	snprintf(header->cluster, sizeof(header->cluster), "%s", part->cluster);
	snprintf(header->node, sizeof(header->node), "%s", part->node);
	snprintf(header->address, sizeof(header->address), "%s", part->address);
	snprintf(header->host_nqn, sizeof(header->host_nqn), "%s", part->host_nqn);
	header->term = part->term;
	header->port = part->port;
	header->colour = part->colour;
}

/* All pending objects move into the state. */
static int merge(struct desired_store *store)
{
	int code = 0;

	while (store->pending_objects.root != NULL) {
		struct object *object = *(struct object **)store->pending_objects.root;

		tdelete(object, &store->pending_objects.root, compare);
		if (objects_put(&store->objects, object) != 0)
			code = -1;
	}
	store->pending_objects.count = 0;
	return code;
}

struct desired_store *desired_store_make(void)
{
	return calloc(1, sizeof(struct desired_store));
}

void desired_store_free(struct desired_store *store)
{
	if (store == NULL)
		return;
	objects_clear(&store->objects);
	objects_clear(&store->pending_objects);
	free(store);
}

void desired_store_abort(struct desired_store *store)
{
	objects_clear(&store->pending_objects);
	store->pending = store->pending_whole = false;
}

int desired_store_take(struct desired_store *store, const struct desired *part, bool *ret_complete, struct error *error)
{
	int code;

	if (!part->reset && !store->pending_whole && !store->complete)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a change came before the whole state");
	if (store->complete && strcmp(store->header.cluster, part->cluster) != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "the state is of cluster %s, this part of cluster %s",
				 store->header.cluster, part->cluster);
	if (part->reset) {
		desired_store_abort(store);
		store->pending_whole = true;
	}
	store->pending = true;
	header_set(&store->pending_header, part);
	code = part_add(store, part, error);
	if (code != 0) {
		desired_store_abort(store);
		return code;
	}
	if (!part->complete) {
		*ret_complete = false;
		return 0;
	}
	store->version++;
	if (store->pending_whole) {
		objects_clear(&store->objects);
		store->objects = store->pending_objects;
		store->pending_objects = (struct objects){ 0 };
	} else if (merge(store) != 0) {
		/* Half of a change: the state is of no use any more, and nothing is done until a whole one came. */
		store->complete = false;
		desired_store_abort(store);
		return error_set_nomem(error);
	}
	store->header = store->pending_header;
	store->complete = true;
	store->pending = store->pending_whole = false;
	*ret_complete = true;
	return 0;
}

bool desired_store_is_complete(const struct desired_store *store)
{
	return store->complete;
}

uint64_t desired_store_version(const struct desired_store *store)
{
	return store->version;
}

struct walk {
	struct arena *arena;
	struct desired *desired;
	bool nomem;
};

static void walk_object(const void *node, VISIT visit, void *closure)
{
	const struct object *object = *(struct object *const *)node;
	struct walk *walk = closure;
	struct object_ref *reference;
	struct desired_export *export;
	struct desired_volume *volume;
	struct desired_disk *disk;

	if (visit != postorder && visit != leaf)
		return;
	if (object->removed) {
		reference = LIST_PUSH(walk->arena, &walk->desired->removed);
		walk->nomem = walk->nomem || reference == NULL;
		if (reference != NULL)
			*reference = object->reference;
		return;
	}
	switch (object->kind) {
	case OBJECT_KIND_DISK:
		disk = LIST_PUSH(walk->arena, &walk->desired->disks);
		walk->nomem = walk->nomem || disk == NULL;
		if (disk != NULL)
			*disk = object->disk;
		break;
	case OBJECT_KIND_EXPORT:
		export = LIST_PUSH(walk->arena, &walk->desired->exports);
		walk->nomem = walk->nomem || export == NULL;
		if (export != NULL)
			*export = object->export;
		break;
	case OBJECT_KIND_VOLUME:
		volume = LIST_PUSH(walk->arena, &walk->desired->volumes);
		walk->nomem = walk->nomem || volume == NULL;
		if (volume != NULL)
			*volume = object->volume;
		break;
	case OBJECT_KIND_CONSUMER: /* part of its volume, never an object of its own here */
	case OBJECT_KIND_SNAPSHOT: /* the same */
		break;
	}
}

int desired_store_get(const struct desired_store *store, struct arena *arena, struct desired *ret_desired,
		      struct error *error)
{
	struct desired desired = {
		.cluster = store->header.cluster,
		.node = store->header.node,
		.term = store->header.term,
		.address = store->header.address,
		.port = store->header.port,
		.colour = store->header.colour,
		.host_nqn = store->header.host_nqn,
		.reset = true,
		.complete = true,
	};
	struct walk walk = { .arena = arena, .desired = &desired };

	twalk_r(store->objects.root, walk_object, &walk);
	if (walk.nomem)
		return error_set_nomem(error);
	*ret_desired = desired;
	return 0;
}

void desired_store_forget_removed(struct desired_store *store, enum object_kind kind, const char *id, uint64_t revision)
{
	struct object key = { .kind = kind }, *object;
	void *found;

	snprintf(key.id, sizeof(key.id), "%s", id);
	found = tfind(&key, &store->objects.root, compare);
	if (found == NULL)
		return;
	object = *(struct object **)found;
	if (!object->removed || object->reference.revision != revision)
		return;
	tdelete(object, &store->objects.root, compare);
	store->objects.count--;
	store->version++;
	object_free(object);
}
