/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/push.h"

#include <string.h>

#include "lib/wire/codec.h"
#include "lib/wire/rpc.h"

/* A part is closed when it holds this much; one object more still fits into a frame. */
#define PART_BYTES (2u << 20)
#define PART_OBJECTS 1024u

static int part_send(const struct push *push, struct desired *part, struct error *error)
{
	size_t before = push->output->size;

	part->term = push->term;
	if (rpc_notification_encode("agent.desired", schema_desired(), part, push->output, error) != 0)
		return error_prefix(error, "desired state of node %s", push->node);
	if (push->output->size - before > LIMIT_FRAME_PEER_BYTES) {
		push->output->size = before;
		return error_set(error, ERROR_TOO_LARGE, "desired state of node %s: an object is larger than %u bytes",
				 push->node, LIMIT_FRAME_PEER_BYTES);
	}
	return 0;
}

struct parting {
	const struct push *push;
	struct desired part;
	struct buffer scratch;
	size_t bytes, objects;
};

/* Start the next part behind what was sent. */
static void part_begin(struct parting *parting)
{
	struct desired *part = &parting->part;

	part->disks = (struct desired_disk_list){ 0 };
	part->exports = (struct desired_export_list){ 0 };
	part->volumes = (struct desired_volume_list){ 0 };
	part->removed = (struct object_ref_list){ 0 };
	parting->bytes = parting->objects = 0;
}

/* Count one object in; send what is there when the part is full. */
static int part_add(struct parting *parting, const struct schema *schema, const void *object, struct error *error)
{
	buffer_clear(&parting->scratch);
	if (codec_encode(schema, object, CODEC_NAMED, &parting->scratch, error) != 0)
		return error_prefix(error, "desired state of node %s", parting->push->node);
	if (parting->objects > 0 &&
	    (parting->bytes + parting->scratch.size > PART_BYTES || parting->objects >= PART_OBJECTS)) {
		if (part_send(parting->push, &parting->part, error) != 0)
			return error->code;
		parting->part.reset = false;
		part_begin(parting);
	}
	parting->bytes += parting->scratch.size;
	parting->objects++;
	return 0;
}

#define PART_LIST(parting, whole, list, schema, error)                                                                 \
	for (size_t i_ = 0; rv == 0 && i_ < (whole)->list.count; i_++) {                                               \
		rv = part_add(parting, schema, &(whole)->list.items[i_], error);                                       \
		if (rv == 0 && (parting)->part.list.count++ == 0)                                                      \
			(parting)->part.list.items = &(whole)->list.items[i_];                                         \
	}

int push_whole(const struct push *push, struct error *error)
{
	struct parting parting = { .push = push };
	struct arena arena = ARENA_INIT;
	struct desired whole;
	int rv = fsm_project_node(push->fsm, push->node, &arena, &whole, error);

	if (rv == 0) {
		parting.part = whole;
		parting.part.reset = true;
		parting.part.complete = false;
		part_begin(&parting);
	}
	PART_LIST(&parting, &whole, disks, schema_desired_disk(), error)
	PART_LIST(&parting, &whole, exports, schema_desired_export(), error)
	PART_LIST(&parting, &whole, volumes, schema_desired_volume(), error)
	PART_LIST(&parting, &whole, removed, schema_object_ref(), error)
	if (rv == 0) {
		parting.part.complete = true;
		rv = part_send(push, &parting.part, error);
	}
	buffer_free(&parting.scratch);
	arena_free(&arena);
	return rv;
}

int push_disks(const struct push *push, const struct table *removed, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct desired part;
	int rv = fsm_project_node(push->fsm, push->node, &arena, &part, error);

	if (rv != 0)
		goto cleanup;
	part.exports = (struct desired_export_list){ 0 };
	part.volumes = (struct desired_volume_list){ 0 };
	part.removed = (struct object_ref_list){ 0 };
	part.removed.items = arena_alloc_array(&arena, removed->count, sizeof(*part.removed.items));
	if (part.removed.items == NULL) {
		rv = error_set_nomem(error);
		goto cleanup;
	}
	for (struct table_entry *entry = table_next(removed, NULL); entry != NULL; entry = table_next(removed, entry))
		part.removed.items[part.removed.count++] = (struct object_ref){ .kind = OBJECT_KIND_DISK,
										.id = entry->key,
										.revision = fsm_revision(push->fsm) };
	part.complete = true;
	rv = part_send(push, &part, error);
cleanup:
	arena_free(&arena);
	return rv;
}

int push_volume(const struct push *push, uint64_t volume, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct desired part;
	int rv = fsm_project_volume(push->fsm, push->node, volume, &arena, &part, error);

	if (rv == 0) {
		part.complete = true;
		rv = part_send(push, &part, error);
	}
	arena_free(&arena);
	return rv;
}
