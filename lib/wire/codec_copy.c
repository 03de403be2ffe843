/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"

static int copy_record(const struct schema *schema, const void *record, struct arena *arena, void *ret_record);

/* What has no parts of its own. */
static size_t plain_size(enum field_type type)
{
	switch (type) {
	case FIELD_U64:
	case FIELD_ID:
		return sizeof(uint64_t);
	case FIELD_FLAG:
		return sizeof(bool);
	case FIELD_UUID:
		return 16;
	case FIELD_ENUM:
		return sizeof(int);
	default:
		return 0;
	}
}

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

static int copy_field(const struct schema_field *field, const void *record, struct arena *arena, void *at)
{
	const void *one;
	struct bytes *bytes;
	size_t plain = plain_size(field->type);

	if (plain > 0) {
		memcpy(at, codec_field_at(field, record), plain);
		return 0;
	}
	switch (field->type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		return copy_text(codec_field_string(field, record), arena, at);
	case FIELD_BINARY:
		bytes = at;
		*bytes = *(const struct bytes *)codec_field_at(field, record);
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

/* Into a record of zeros. */
static int copy_record(const struct schema *schema, const void *record, struct arena *arena, void *ret_record)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (!field->required && codec_field_is_zero(field, record))
			continue;
		if (copy_field(field, record, arena, (char *)ret_record + field->offset) != 0)
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
