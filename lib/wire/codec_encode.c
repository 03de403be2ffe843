/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"
#include "lib/wire/value.h"

struct encoder {
	struct buffer *output; /* NULL: nothing is written, only checked */
	enum codec_style style;
	struct error *error;
};

static int encode_record(struct encoder *encoder, const struct schema *schema, const void *record,
			 const struct codec_path *parent);

int codec_buffer_write(void *buffer, const char *data, size_t size)
{
	return buffer_append(buffer, data, size);
}

/* A head or a number, and the bytes behind it. */
static int append(struct encoder *encoder, const uint8_t head[VALUE_HEAD_MAX], size_t head_size, const void *bytes,
		  size_t size)
{
	struct buffer *output = encoder->output;
	uint8_t *at;

	if (output == NULL)
		return 0;
	if (output->capacity - output->size < VALUE_HEAD_MAX + size &&
	    buffer_reserve(output, VALUE_HEAD_MAX + size) != 0)
		return error_set_nomem(encoder->error);
	at = output->data + output->size;
	memcpy(at, head, VALUE_HEAD_MAX); /* all of it: there is room, and its size is known to the compiler */
	if (size > 0)
		memcpy(at + head_size, bytes, size);
	output->size += head_size + size;
	return 0;
}

static int append_text(struct encoder *encoder, const char *text, size_t length)
{
	uint8_t head[VALUE_HEAD_MAX] = { 0 };

	return append(encoder, head, value_text_head(head, length), text, length);
}

static int append_bytes(struct encoder *encoder, const void *data, size_t size)
{
	uint8_t head[VALUE_HEAD_MAX] = { 0 };

	return append(encoder, head, value_binary_head(head, size), data, size);
}

static int append_number(struct encoder *encoder, uint64_t number)
{
	uint8_t head[VALUE_HEAD_MAX] = { 0 };

	return append(encoder, head, value_number(head, number), NULL, 0);
}

static int append_byte(struct encoder *encoder, uint8_t byte)
{
	uint8_t head[VALUE_HEAD_MAX] = { byte };

	return append(encoder, head, 1, NULL, 0);
}

static int append_array(struct encoder *encoder, size_t elements)
{
	uint8_t head[VALUE_HEAD_MAX] = { 0 };

	return append(encoder, head, value_array_head(head, elements), NULL, 0);
}

static int append_map(struct encoder *encoder, size_t pairs)
{
	uint8_t head[VALUE_HEAD_MAX] = { 0 };

	return append(encoder, head, value_map_head(head, pairs), NULL, 0);
}

static int encode_string(struct encoder *encoder, const struct codec_path *path, const char *text)
{
	size_t length;
	int rv;

	if (text == NULL)
		return codec_path_error(path, encoder->error, "missing");
	length = strlen(text);
	rv = codec_check_string(path, text, length, encoder->error);
	return rv != 0 ? rv : append_text(encoder, text, length);
}

static int encode_id(struct encoder *encoder, const struct codec_path *path, uint64_t id)
{
	char text[NAMES_ID_SIZE];

	if (id == 0)
		return codec_path_error(path, encoder->error, "missing");
	if (encoder->style == CODEC_TAGGED)
		return append_number(encoder, id);
	names_id_format(path->field->prefix, id, text);
	return append_text(encoder, text, strlen(text));
}

static int encode_enum(struct encoder *encoder, const struct codec_path *path, int value)
{
	const char *name = enum_schema_name(path->field->values(), value);

	if (name == NULL)
		return codec_path_error(path, encoder->error, "%d is not a value of %s", value,
					path->field->values()->name);
	if (encoder->style == CODEC_TAGGED)
		return append_number(encoder, (uint64_t)value);
	return append_text(encoder, name, strlen(name));
}

static int encode_list(struct encoder *encoder, struct codec_path *path, const struct any_list *list)
{
	const struct schema *schema = path->field->record();
	int rv = codec_check_count(path, list->count, encoder->error);

	if (rv == 0)
		rv = append_array(encoder, list->count);
	for (size_t i = 0; rv == 0 && i < list->count; i++) {
		path->index = (long)i;
		rv = encode_record(encoder, schema, (const char *)list->items + i * schema->size, path);
	}
	return rv;
}

static int encode_strings(struct encoder *encoder, struct codec_path *path, const struct string_list *list)
{
	int rv = codec_check_count(path, list->count, encoder->error);

	if (rv == 0)
		rv = append_array(encoder, list->count);
	for (size_t i = 0; rv == 0 && i < list->count; i++) {
		path->index = (long)i;
		rv = encode_string(encoder, path, list->items[i]);
	}
	return rv;
}

static int encode_value(struct encoder *encoder, struct codec_path *path, const void *record)
{
	const struct schema_field *field = path->field;
	const struct bytes *bytes;
	const void *one;
	char text[UUID_TEXT_SIZE];
	int rv;

	switch (field->type) {
	case FIELD_U64:
		rv = codec_check_u64(path, codec_field_u64(field, record), encoder->error);
		if (rv != 0)
			return rv;
		return append_number(encoder, codec_field_u64(field, record));
	case FIELD_FLAG:
		return append_byte(encoder,
				   *(const bool *)codec_field_at(field, record) ? VALUE_TRUE_BYTE : VALUE_FALSE_BYTE);
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		return encode_string(encoder, path, codec_field_string(field, record));
	case FIELD_BINARY:
		bytes = codec_field_at(field, record);
		if (bytes->size > field->max)
			return codec_path_error(path, encoder->error, "%zu bytes, the limit is %" PRIu64, bytes->size,
						field->max);
		return append_bytes(encoder, bytes->data, bytes->size);
	case FIELD_UUID:
		if (encoder->style == CODEC_TAGGED)
			return append_bytes(encoder, codec_field_at(field, record), 16);
		uuid_text_format(codec_field_at(field, record), text);
		return append_text(encoder, text, UUID_TEXT_SIZE - 1);
	case FIELD_ID:
		return encode_id(encoder, path, codec_field_u64(field, record));
	case FIELD_ENUM:
		return encode_enum(encoder, path, codec_field_enum(field, record));
	case FIELD_ONE:
		one = *(void *const *)codec_field_at(field, record);
		if (one == NULL)
			return codec_path_error(path, encoder->error, "missing");
		return encode_record(encoder, field->record(), one, path);
	case FIELD_LIST:
		return encode_list(encoder, path, codec_field_list(field, record));
	case FIELD_STRINGS:
		return encode_strings(encoder, path, codec_field_at(field, record));
	}
	return codec_path_error(path, encoder->error, "unknown type");
}

static int encode_key(struct encoder *encoder, const struct schema_field *field)
{
	if (encoder->style == CODEC_TAGGED)
		return append_number(encoder, field->tag);
	return append_text(encoder, field->name, strlen(field->name));
}

static int encode_record(struct encoder *encoder, const struct schema *schema, const void *record,
			 const struct codec_path *parent)
{
	uint64_t present = 0;
	int rv;

	for (size_t i = 0; i < schema->field_count; i++) {
		if (schema->fields[i].required || !codec_field_is_zero(&schema->fields[i], record))
			present |= UINT64_C(1) << i;
	}
	rv = append_map(encoder, (size_t)__builtin_popcountll(present));
	for (; rv == 0 && present != 0; present &= present - 1) {
		struct codec_path path = { parent, &schema->fields[__builtin_ctzll(present)], -1 };

		rv = encode_key(encoder, path.field);
		if (rv == 0)
			rv = encode_value(encoder, &path, record);
	}
	return rv;
}

int codec_encode(const struct schema *schema, const void *record, enum codec_style style, struct buffer *output,
		 struct error *error)
{
	struct encoder encoder = { output, style, error };
	size_t before = output->size;
	int rv = encode_record(&encoder, schema, record, NULL);

	if (rv != 0)
		output->size = before;
	return rv;
}

int codec_validate(const struct schema *schema, const void *record, struct error *error)
{
	struct encoder encoder = { NULL, CODEC_NAMED, error };

	return encode_record(&encoder, schema, record, NULL);
}
