/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"

struct encoder {
	msgpack_packer packer;
	enum codec_style style;
	struct error *error;
};

static int encode_record(struct encoder *encoder, const struct schema *schema, const void *record,
			 const struct codec_path *parent);

int codec_buffer_write(void *buffer, const char *data, size_t size)
{
	return buffer_append(buffer, data, size);
}

static int packed(struct encoder *encoder, int result)
{
	return result == 0 ? 0 : error_set_nomem(encoder->error);
}

static int pack_text(struct encoder *encoder, const char *text, size_t length)
{
	return packed(encoder, msgpack_pack_str(&encoder->packer, length) ||
				       msgpack_pack_str_body(&encoder->packer, text, length));
}

static int pack_bytes(struct encoder *encoder, const void *data, size_t size)
{
	return packed(encoder,
		      msgpack_pack_bin(&encoder->packer, size) || msgpack_pack_bin_body(&encoder->packer, data, size));
}

static int encode_string(struct encoder *encoder, const struct codec_path *path, const char *text)
{
	size_t length;
	int rv;

	if (text == NULL)
		return codec_path_error(path, encoder->error, "missing");
	length = strlen(text);
	rv = codec_check_string(path, text, length, encoder->error);
	return rv != 0 ? rv : pack_text(encoder, text, length);
}

static int encode_id(struct encoder *encoder, const struct codec_path *path, uint64_t id)
{
	char text[NAMES_ID_SIZE];

	if (id == 0)
		return codec_path_error(path, encoder->error, "missing");
	if (encoder->style == CODEC_TAGGED)
		return packed(encoder, msgpack_pack_uint64(&encoder->packer, id));
	names_id_format(path->field->prefix, id, text);
	return pack_text(encoder, text, strlen(text));
}

static int encode_enum(struct encoder *encoder, const struct codec_path *path, int value)
{
	const char *name = enum_schema_name(path->field->values(), value);

	if (name == NULL)
		return codec_path_error(path, encoder->error, "%d is not a value of %s", value,
					path->field->values()->name);
	if (encoder->style == CODEC_TAGGED)
		return packed(encoder, msgpack_pack_int(&encoder->packer, value));
	return pack_text(encoder, name, strlen(name));
}

static int encode_list(struct encoder *encoder, struct codec_path *path, const struct any_list *list)
{
	const struct schema *schema = path->field->record();
	int rv = codec_check_count(path, list->count, encoder->error);

	if (rv == 0)
		rv = packed(encoder, msgpack_pack_array(&encoder->packer, list->count));
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
		rv = packed(encoder, msgpack_pack_array(&encoder->packer, list->count));
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
		return packed(encoder, msgpack_pack_uint64(&encoder->packer, codec_field_u64(field, record)));
	case FIELD_FLAG:
		if (*(const bool *)codec_field_at(field, record))
			return packed(encoder, msgpack_pack_true(&encoder->packer));
		return packed(encoder, msgpack_pack_false(&encoder->packer));
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		return encode_string(encoder, path, codec_field_string(field, record));
	case FIELD_BINARY:
		bytes = codec_field_at(field, record);
		if (bytes->size > field->max)
			return codec_path_error(path, encoder->error, "%zu bytes, the limit is %" PRIu64, bytes->size,
						field->max);
		return pack_bytes(encoder, bytes->data, bytes->size);
	case FIELD_UUID:
		if (encoder->style == CODEC_TAGGED)
			return pack_bytes(encoder, codec_field_at(field, record), 16);
		uuid_text_format(codec_field_at(field, record), text);
		return pack_text(encoder, text, UUID_TEXT_SIZE - 1);
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

static int encode_record(struct encoder *encoder, const struct schema *schema, const void *record,
			 const struct codec_path *parent)
{
	size_t present = 0;
	int rv;

	for (size_t i = 0; i < schema->field_count; i++)
		present += schema->fields[i].required || !codec_field_is_zero(&schema->fields[i], record);
	rv = packed(encoder, msgpack_pack_map(&encoder->packer, present));
	for (size_t i = 0; rv == 0 && i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		struct codec_path path = { parent, field, -1 };

		if (!field->required && codec_field_is_zero(field, record))
			continue;
		if (encoder->style == CODEC_TAGGED)
			rv = packed(encoder, msgpack_pack_uint32(&encoder->packer, field->tag));
		else
			rv = pack_text(encoder, field->name, strlen(field->name));
		if (rv == 0)
			rv = encode_value(encoder, &path, record);
	}
	return rv;
}

int codec_encode(const struct schema *schema, const void *record, enum codec_style style, struct buffer *output,
		 struct error *error)
{
	struct encoder encoder = { .style = style, .error = error };
	size_t before = output->size;
	int rv;

	msgpack_packer_init(&encoder.packer, output, codec_buffer_write);
	rv = encode_record(&encoder, schema, record, NULL);
	if (rv != 0)
		output->size = before;
	return rv;
}

static int write_nothing(void *data, const char *bytes, size_t size)
{
	(void)data;
	(void)bytes;
	(void)size;
	return 0;
}

int codec_validate(const struct schema *schema, const void *record, struct error *error)
{
	struct encoder encoder = { .style = CODEC_NAMED, .error = error };

	msgpack_packer_init(&encoder.packer, NULL, write_nothing);
	return encode_record(&encoder, schema, record, NULL);
}
