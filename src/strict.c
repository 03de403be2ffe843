/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/strict.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 64

static const struct schema_field *field_find(const struct schema *schema, const msgpack_object *key)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(field->name) &&
		    memcmp(key->via.str.ptr, field->name, key->via.str.size) == 0)
			return field;
		if (key->type == MSGPACK_OBJECT_POSITIVE_INTEGER && key->via.u64 == field->tag)
			return field;
	}
	return NULL;
}

/* Bytes of a stranger, made fit for a message. */
static void key_show(const msgpack_object *key, char shown[SHOWN_BYTES])
{
	size_t length;

	if (key->type != MSGPACK_OBJECT_STR) {
		snprintf(shown, SHOWN_BYTES, "(a key that is no text)");
		return;
	}
	length = key->via.str.size < SHOWN_BYTES - 1 ? key->via.str.size : SHOWN_BYTES - 1;
	for (size_t i = 0; i < length; i++)
		shown[i] = key->via.str.ptr[i] >= 0x20 && key->via.str.ptr[i] < 0x7f ? key->via.str.ptr[i] : '?';
	shown[length] = '\0';
}

static int unknown(const struct schema *schema, const msgpack_object *key, struct error *error)
{
	char shown[SHOWN_BYTES], known[ERROR_HINT_SIZE - 32] = "";
	size_t used = 0;

	key_show(key, shown);
	for (size_t i = 0; i < schema->field_count; i++) {
		size_t length = strlen(schema->fields[i].name);

		if (used + length + 3 > sizeof(known))
			break;
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
					 schema->fields[i].name);
	}
	error_set(error, ERROR_INVALID_ARGUMENT, "%s: unknown field", shown);
	error_hint(error, "fields are: %s", known);
	return ERROR_INVALID_ARGUMENT;
}

static int field_check(const struct schema_field *field, const msgpack_object *value, struct error *error)
{
	if (field->type == FIELD_ONE) {
		if (strict_check(field->record(), value, error) != 0)
			return error_prefix(error, "%s", field->name);
		return 0;
	}
	if (field->type != FIELD_LIST || value->type != MSGPACK_OBJECT_ARRAY)
		return 0;
	for (uint32_t i = 0; i < value->via.array.size; i++) {
		if (strict_check(field->record(), &value->via.array.ptr[i], error) != 0)
			return error_prefix(error, "%s[%u]", field->name, i);
	}
	return 0;
}

int strict_check(const struct schema *schema, const msgpack_object *object, struct error *error)
{
	if (object->type != MSGPACK_OBJECT_MAP)
		return 0;
	for (uint32_t i = 0; i < object->via.map.size; i++) {
		const msgpack_object_kv *pair = &object->via.map.ptr[i];
		const struct schema_field *field = field_find(schema, &pair->key);
		int rv = field == NULL ? unknown(schema, &pair->key, error) : field_check(field, &pair->val, error);

		if (rv != 0)
			return rv;
	}
	return 0;
}
