/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"

static int copy_record(const struct schema *schema, const void *record, struct arena *arena, void *ret_record);

static int copy_text(const char *text, struct arena *arena, const char **ret_text)
{
	*ret_text = text != NULL ? arena_strdup(arena, text) : NULL;
	return text == NULL || *ret_text != NULL ? 0 : -1;
}

static int copy_list(const struct schema_field *field, const struct any_list *list, struct arena *arena,
		     struct any_list *ret_list)
{
	const struct schema *schema = field->record();

	ret_list->count = list->count;
	ret_list->items = arena_alloc_array(arena, list->count, schema->size);
	if (ret_list->items == NULL)
		return -1;
	for (size_t i = 0; i < list->count; i++) {
		size_t at = i * schema->size;

		if (copy_record(schema, (const char *)list->items + at, arena, (char *)ret_list->items + at) != 0)
			return -1;
	}
	return 0;
}

static int copy_strings(const struct string_list *list, struct arena *arena, struct string_list *ret_list)
{
	ret_list->count = list->count;
	ret_list->items = arena_alloc_array(arena, list->count, sizeof(*list->items));
	if (ret_list->items == NULL)
		return -1;
	for (size_t i = 0; i < list->count; i++) {
		if (copy_text(list->items[i], arena, &ret_list->items[i]) != 0)
			return -1;
	}
	return 0;
}

/* Of a field with parts of its own: they are copied, and `at` gets them in place of the record's. */
static int parts_copy(const struct schema_field *field, const void *record, struct arena *arena, void *at)
{
	const void *one;
	struct bytes *bytes;

	switch (field->type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		return copy_text(codec_field_string(field, record), arena, at);
	case FIELD_BINARY:
		bytes = at;
		bytes->data = arena_memdup(arena, bytes->data, bytes->size);
		return bytes->data != NULL ? 0 : -1;
	case FIELD_ONE:
		one = *(void *const *)codec_field_at(field, record);
		if (one == NULL)
			return 0;
		*(void **)at = arena_alloc(arena, field->record()->size);
		return *(void **)at != NULL ? copy_record(field->record(), one, arena, *(void **)at) : -1;
	case FIELD_LIST:
		return copy_list(field, codec_field_list(field, record), arena, at);
	case FIELD_STRINGS:
		return copy_strings(codec_field_at(field, record), arena, at);
	default:
		return -1;
	}
}

static size_t parts_size(enum field_type type)
{
	switch (type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
	case FIELD_ONE:
		return sizeof(void *);
	case FIELD_BINARY:
		return sizeof(struct bytes);
	case FIELD_LIST:
	case FIELD_STRINGS:
		return sizeof(struct any_list);
	default:
		return 0;
	}
}

static int copy_record(const struct schema *schema, const void *record, struct arena *arena, void *ret_record)
{
	memcpy(ret_record, record, schema->size);
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		void *at = (char *)ret_record + field->offset;
		size_t size = parts_size(field->type);

		if (size == 0)
			continue;
		if (!field->required && codec_field_is_zero(field, record))
			memset(at, 0, size);
		else if (parts_copy(field, record, arena, at) != 0)
			return -1;
	}
	return 0;
}

int codec_copy(const struct schema *schema, const void *record, struct arena *arena, void *ret_record,
	       struct error *error)
{
	void *copy = arena_alloc(arena, schema->size);

	if (copy == NULL || copy_record(schema, record, arena, copy) != 0)
		return error_set_nomem(error);
	memcpy(ret_record, copy, schema->size);
	return 0;
}

/* --- packed ------------------------------------------------------------------------------------------------------ */

/* Places in a block are offsets in it: it moves when it grows. */
struct packer {
	struct buffer *block, *pointers;
	bool failed; /* memory is exhausted */
};

/* Append to the block; returns where it lies. */
static size_t pack(struct packer *packer, const void *data, size_t size)
{
	struct buffer *block = packer->block;
	size_t at = (block->size + sizeof(void *) - 1) & ~(sizeof(void *) - 1);

	if (packer->failed || buffer_reserve(block, at - block->size + size) != 0) {
		packer->failed = true;
		return 0;
	}
	if (size > 0)
		memcpy(block->data + at, data, size);
	block->size = at + size;
	return at;
}

static void point(struct packer *packer, size_t slot, size_t at)
{
	packer->failed = packer->failed || buffer_append(packer->pointers, &slot, sizeof(slot)) != 0;
	if (!packer->failed)
		memcpy(packer->block->data + slot, &at, sizeof(at));
}

static void clear(struct packer *packer, size_t slot, size_t size)
{
	if (!packer->failed)
		memset(packer->block->data + slot, 0, size);
}

static void pack_text(struct packer *packer, const char *text, size_t slot)
{
	if (text != NULL)
		point(packer, slot, pack(packer, text, strlen(text) + 1));
}

static void pack_parts(struct packer *packer, const struct schema *schema, const void *record, size_t at);

static void pack_list(struct packer *packer, const struct schema *schema, const struct any_list *list, size_t slot)
{
	size_t at = pack(packer, list->items, list->count * schema->size);

	point(packer, slot + offsetof(struct any_list, items), at);
	for (size_t i = 0; i < list->count; i++)
		pack_parts(packer, schema, (const char *)list->items + i * schema->size, at + i * schema->size);
}

static void pack_strings(struct packer *packer, const struct string_list *list, size_t slot)
{
	size_t at = pack(packer, list->items, list->count * sizeof(*list->items));

	point(packer, slot + offsetof(struct any_list, items), at);
	for (size_t i = 0; i < list->count; i++)
		pack_text(packer, list->items[i], at + i * sizeof(*list->items));
}

static void pack_field(struct packer *packer, const struct schema_field *field, const void *record, size_t slot)
{
	const struct bytes *bytes;
	const void *one;
	size_t at;

	switch (field->type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		pack_text(packer, codec_field_string(field, record), slot);
		break;
	case FIELD_BINARY:
		bytes = codec_field_at(field, record);
		point(packer, slot + offsetof(struct bytes, data), pack(packer, bytes->data, bytes->size));
		break;
	case FIELD_ONE:
		one = *(void *const *)codec_field_at(field, record);
		if (one == NULL)
			break;
		at = pack(packer, one, field->record()->size);
		point(packer, slot, at);
		pack_parts(packer, field->record(), one, at);
		break;
	case FIELD_LIST:
		pack_list(packer, field->record(), codec_field_list(field, record), slot);
		break;
	case FIELD_STRINGS:
		pack_strings(packer, codec_field_at(field, record), slot);
		break;
	default:
		break;
	}
}

/* Of a record that is packed at `at`: its parts, behind everything else. */
static void pack_parts(struct packer *packer, const struct schema *schema, const void *record, size_t at)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		size_t size = parts_size(field->type);

		if (size == 0)
			continue;
		if (!field->required && codec_field_is_zero(field, record))
			clear(packer, at + field->offset, size);
		else
			pack_field(packer, field, record, at + field->offset);
	}
}

int codec_pack(const struct schema *schema, const void *record, struct codec_packed *packed, struct error *error)
{
	struct packer packer = { .block = &packed->block, .pointers = &packed->pointers };

	packed->schema = schema;
	buffer_clear(&packed->block);
	buffer_clear(&packed->pointers);
	pack_parts(&packer, schema, record, pack(&packer, record, schema->size));
	return packer.failed ? error_set_nomem(error) : 0;
}

int codec_unpack(const struct codec_packed *packed, struct arena *arena, void *ret_record, struct error *error)
{
	size_t count = packed->pointers.size / sizeof(size_t);
	char *block = arena_room(arena, packed->block.size);

	if (block == NULL)
		return error_set_nomem(error);
	memcpy(block, packed->block.data, packed->block.size);
	for (size_t i = 0; i < count; i++) {
		size_t slot = ((const size_t *)packed->pointers.data)[i], at;
		char *target;

		memcpy(&at, block + slot, sizeof(at));
		target = block + at;
		memcpy(block + slot, &target, sizeof(target));
	}
	memcpy(ret_record, block, packed->schema->size);
	return 0;
}

void codec_packed_free(struct codec_packed *packed)
{
	buffer_free(&packed->block);
	buffer_free(&packed->pointers);
	packed->schema = NULL;
}
