/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test_recorded_rig.h"

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wire/codec.h"

#define FOREIGN_TAG 60000

/* --- values ------------------------------------------------------------------------------------------------------ */

static void *fill(const struct schema *schema, bool all, struct arena *arena);

/* Beginning with the field's name, so that two fields never hold the same, as far as there is room. */
static const char *text_of(const struct schema_field *field, uint64_t limit, struct arena *arena)
{
	char *text = arena_printf(arena, "%s-%u", field->name, field->tag);

	assert_non_null(text);
	if (strlen(text) > limit)
		text[limit] = '\0';
	for (char *at = text; *at != '\0'; at++)
		*at = *at == '_' ? '-' : *at;
	return text;
}

static void fill_list(const struct schema_field *field, struct arena *arena, void *at)
{
	struct string_list strings = { .count = 1 };

	if (field->type == FIELD_STRINGS) {
		strings.items = arena_alloc(arena, sizeof(*strings.items));
		strings.items[0] = text_of(field, field->min, arena);
		*(struct string_list *)at = strings;
	} else {
		*(struct any_list *)at = (struct any_list){ 1, fill(field->record(), false, arena) };
	}
}

static void fill_value(const struct schema_field *field, struct arena *arena, void *at)
{
	const struct enum_schema *values;
	uint8_t *bytes;

	switch (field->type) {
	case FIELD_U64:
		*(uint64_t *)at = field->max - field->min >= field->tag ? field->max - field->tag + 1 : field->max;
		break;
	case FIELD_FLAG:
		*(bool *)at = true;
		break;
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		*(const char **)at = text_of(field, field->max, arena);
		break;
	case FIELD_BINARY:
		bytes = arena_alloc(arena, 16);
		memset(bytes, (int)field->tag, 16);
		*(struct bytes *)at = (struct bytes){ bytes, field->max < 16 ? field->max : 16 };
		break;
	case FIELD_UUID:
		memset(at, (int)field->tag, 16);
		break;
	case FIELD_ID:
		*(uint64_t *)at = 1000 + field->tag;
		break;
	case FIELD_ENUM:
		values = field->values();
		*(int *)at = values->values[field->tag % values->count].number;
		break;
	case FIELD_ONE:
		*(void **)at = fill(field->record(), false, arena);
		break;
	case FIELD_LIST:
	case FIELD_STRINGS:
		fill_list(field, arena, at);
		break;
	}
}

static void *fill(const struct schema *schema, bool all, struct arena *arena)
{
	char *record = arena_alloc(arena, schema->size);

	assert_non_null(record);
	for (size_t i = 0; i < schema->field_count; i++) {
		if (all || schema->fields[i].required)
			fill_value(&schema->fields[i], arena, record + schema->fields[i].offset);
	}
	return record;
}

void *recorded_fill(const struct schema *schema, struct arena *arena)
{
	return fill(schema, true, arena);
}

/* --- text -------------------------------------------------------------------------------------------------------- */

const char *recorded_field(const struct schema_field *field, struct arena *arena)
{
	static const char *const types[] = {
		[FIELD_U64] = "integer", [FIELD_FLAG] = "boolean",  [FIELD_NAME] = "name", [FIELD_STRING] = "string",
		[FIELD_TEXT] = "text",	 [FIELD_BINARY] = "binary", [FIELD_UUID] = "uuid", [FIELD_ID] = "id",
		[FIELD_ENUM] = "enum",	 [FIELD_ONE] = "one",	    [FIELD_LIST] = "list", [FIELD_STRINGS] = "strings",
	};
	const char *of = "";

	if (field->type == FIELD_ID)
		of = field->prefix;
	else if (field->type == FIELD_ENUM)
		of = field->values()->name;
	else if (field->type == FIELD_ONE || field->type == FIELD_LIST)
		of = field->record()->name;
	return arena_printf(arena, "%u:%s:%s%s%s%s", field->tag, field->name, types[field->type],
			    of[0] != '\0' ? "=" : "", of, field->required ? "!" : "");
}

const char *recorded_fields(const struct schema *schema, struct arena *arena)
{
	const char *text = "";

	for (size_t i = 0; i < schema->field_count; i++)
		text = arena_printf(arena, "%s%s%s", text, i > 0 ? " " : "", recorded_field(&schema->fields[i], arena));
	return text;
}

const char *recorded_hex(struct bytes bytes, struct arena *arena)
{
	char *text = arena_alloc(arena, 2 * bytes.size + 1);

	for (size_t i = 0; i < bytes.size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
	return text;
}

struct bytes recorded_unhex(const char *text, struct arena *arena)
{
	size_t size = strlen(text) / 2;
	uint8_t *bytes = arena_alloc(arena, size + 1);
	char pair[3] = "";

	assert_int_equal(strlen(text) % 2, 0);
	for (size_t i = 0; i < size; i++) {
		memcpy(pair, text + 2 * i, 2);
		assert_int_equal(strspn(pair, "0123456789abcdef"), 2);
		bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return (struct bytes){ bytes, size };
}

/* --- what a newer version may send ------------------------------------------------------------------------------- */

static void foreign_object(const msgpack_object *object, msgpack_packer *packer)
{
	bool tagged;

	if (object->type == MSGPACK_OBJECT_ARRAY) {
		msgpack_pack_array(packer, object->via.array.size);
		for (uint32_t i = 0; i < object->via.array.size; i++)
			foreign_object(&object->via.array.ptr[i], packer);
		return;
	}
	if (object->type != MSGPACK_OBJECT_MAP) {
		msgpack_pack_object(packer, *object);
		return;
	}
	tagged = object->via.map.size > 0 && object->via.map.ptr[0].key.type == MSGPACK_OBJECT_POSITIVE_INTEGER;
	msgpack_pack_map(packer, object->via.map.size + 1);
	if (tagged)
		msgpack_pack_uint64(packer, FOREIGN_TAG);
	else
		msgpack_pack_str_with_body(packer, "of_the_next_version", strlen("of_the_next_version"));
	msgpack_pack_map(packer, 1);
	msgpack_pack_str_with_body(packer, "a", 1);
	msgpack_pack_array(packer, 1);
	msgpack_pack_nil(packer);
	for (uint32_t i = 0; i < object->via.map.size; i++) {
		msgpack_pack_object(packer, object->via.map.ptr[i].key);
		foreign_object(&object->via.map.ptr[i].val, packer);
	}
}

void recorded_foreign(struct bytes frame, struct buffer *output)
{
	msgpack_unpacked unpacked;
	msgpack_packer packer;
	size_t offset = 0;

	msgpack_unpacked_init(&unpacked);
	assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)frame.data, frame.size, &offset),
			 MSGPACK_UNPACK_SUCCESS);
	msgpack_packer_init(&packer, output, codec_buffer_write);
	foreign_object(&unpacked.data, &packer);
	msgpack_unpacked_destroy(&unpacked);
}
