/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/wire/json.h"

#include "lib/base/buffer.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/codec_field.h"

static struct json_object *make_binary(const struct bytes *bytes)
{
	static const char digits[] = "0123456789abcdef";
	struct buffer text = BUFFER_INIT;
	struct json_object *object = NULL;
	int rv = 0;

	for (size_t i = 0; rv == 0 && i < bytes->size; i++) {
		char pair[2] = { digits[bytes->data[i] >> 4], digits[bytes->data[i] & 15] };

		rv = buffer_append(&text, pair, sizeof(pair));
	}
	if (rv == 0)
		object = json_object_new_string_len((const char *)text.data, (int)text.size);
	buffer_free(&text);
	return object;
}

static struct json_object *make_value(const struct schema_field *field, const void *record);

static struct json_object *make_list(const struct schema_field *field, const struct any_list *list)
{
	struct json_object *array = json_object_new_array(), *item;

	for (size_t i = 0; array != NULL && i < list->count; i++) {
		if (field->type == FIELD_STRINGS)
			item = json_object_new_string(((const char *const *)list->items)[i]);
		else
			item = json_record_make(field->record(), (const char *)list->items + i * field->record()->size);
		if (item == NULL || json_object_array_add(array, item) != 0) {
			json_object_put(item);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static struct json_object *make_value(const struct schema_field *field, const void *record)
{
	char text[UUID_TEXT_SIZE], id[NAMES_ID_SIZE];
	const char *string;

	switch (field->type) {
	case FIELD_U64:
		return json_object_new_uint64(codec_field_u64(field, record));
	case FIELD_FLAG:
		return json_object_new_boolean(*(const bool *)codec_field_at(field, record));
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		string = codec_field_string(field, record);
		return json_object_new_string(string != NULL ? string : "");
	case FIELD_BINARY:
		return make_binary(codec_field_at(field, record));
	case FIELD_UUID:
		uuid_text_format(codec_field_at(field, record), text);
		return json_object_new_string(text);
	case FIELD_ID:
		names_id_format(field->prefix, codec_field_u64(field, record), id);
		return json_object_new_string(id);
	case FIELD_ENUM:
		string = enum_schema_name(field->values(), codec_field_enum(field, record));
		return json_object_new_string(string != NULL ? string : "");
	case FIELD_ONE:
		return json_record_make(field->record(), *(void *const *)codec_field_at(field, record));
	case FIELD_LIST:
	case FIELD_STRINGS:
		return make_list(field, codec_field_list(field, record));
	}
	return NULL;
}

struct json_object *json_record_make(const struct schema *schema, const void *record)
{
	struct json_object *object = json_object_new_object(), *value;

	for (size_t i = 0; object != NULL && i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		/* Numbers, flags and lists are always there, so that scripts need no defaults. */
		if (!field->required && codec_field_is_zero(field, record) && field->type != FIELD_U64 &&
		    field->type != FIELD_FLAG && field->type != FIELD_LIST && field->type != FIELD_STRINGS)
			continue;
		value = make_value(field, record);
		if (value == NULL || json_object_object_add(object, field->name, value) != 0) {
			json_object_put(value);
			json_object_put(object);
			return NULL;
		}
	}
	return object;
}
