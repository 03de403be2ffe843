/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <msgpack/unpack.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"
#include "lib/wire/frame.h"

struct decoder {
	struct arena *arena;
	struct error *error;
	bool known; /* everything must be */
};

static int decode_record(struct decoder *decoder, const struct schema *schema, const msgpack_object *object,
			 void *record, const struct codec_path *parent);

static const char *type_name(const msgpack_object *object)
{
	switch (object->type) {
	case MSGPACK_OBJECT_NIL:
		return "nil";
	case MSGPACK_OBJECT_BOOLEAN:
		return "a boolean";
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return "an integer";
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return "a negative integer";
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return "a float";
	case MSGPACK_OBJECT_STR:
		return "a string";
	case MSGPACK_OBJECT_ARRAY:
		return "an array";
	case MSGPACK_OBJECT_MAP:
		return "a map";
	case MSGPACK_OBJECT_BIN:
		return "binary";
	default:
		return "an extension";
	}
}

static int wrong_type(struct decoder *decoder, const struct codec_path *path, const char *wanted,
		      const msgpack_object *object)
{
	return codec_path_error(path, decoder->error, "must be %s, not %s", wanted, type_name(object));
}

/* What was just said is about something that a newer version knows. */
static int unsupported(struct decoder *decoder)
{
	if (decoder->error != NULL)
		decoder->error->code = ERROR_UNSUPPORTED;
	return ERROR_UNSUPPORTED;
}

static int unknown_key(struct decoder *decoder, const struct schema *schema, const msgpack_object *key,
		       const struct codec_path *parent)
{
	char text[48] = "a field";

	if (key->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		snprintf(text, sizeof(text), "field %" PRIu64, key->via.u64);
	if (parent != NULL)
		codec_path_error(parent, decoder->error, "%s is not known to this version", text);
	else
		error_set(decoder->error, ERROR_UNSUPPORTED, "%s: %s is not known to this version", schema->name, text);
	return unsupported(decoder);
}

/* Some clients write text as binary and binary as text (the old MessagePack had only "raw"): take both. The library has
 * no address for an empty one. */
static int raw_of(const msgpack_object *object, const char **ret_data, size_t *ret_size)
{
	if (object->type == MSGPACK_OBJECT_STR) {
		*ret_data = object->via.str.size > 0 ? object->via.str.ptr : "";
		*ret_size = object->via.str.size;
		return 0;
	}
	if (object->type == MSGPACK_OBJECT_BIN) {
		*ret_data = object->via.bin.size > 0 ? object->via.bin.ptr : "";
		*ret_size = object->via.bin.size;
		return 0;
	}
	return -1;
}

static int decode_string(struct decoder *decoder, const struct codec_path *path, const msgpack_object *object,
			 const char **ret_text)
{
	const char *data;
	size_t size;
	int rv;

	if (raw_of(object, &data, &size) != 0)
		return wrong_type(decoder, path, "a string", object);
	rv = codec_check_string(path, data, size, decoder->error);
	if (rv != 0)
		return rv;
	*ret_text = arena_strndup(decoder->arena, data, size);
	return *ret_text == NULL ? error_set_nomem(decoder->error) : 0;
}

static int decode_short_text(struct decoder *decoder, const struct codec_path *path, const msgpack_object *object,
			     const char *wanted, char *ret_text, size_t text_size)
{
	const char *data;
	size_t size;

	if (raw_of(object, &data, &size) != 0)
		return wrong_type(decoder, path, wanted, object);
	if (size >= text_size || memchr(data, '\0', size) != NULL)
		return codec_path_error(path, decoder->error, "must be %s", wanted);
	memcpy(ret_text, data, size);
	ret_text[size] = '\0';
	return 0;
}

static int decode_id(struct decoder *decoder, const struct codec_path *path, const msgpack_object *object,
		     uint64_t *ret_id)
{
	char text[NAMES_ID_SIZE], wanted[48];
	int rv;

	if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 > 0) {
		*ret_id = object->via.u64;
		return 0;
	}
	snprintf(wanted, sizeof(wanted), "an id such as \"%s1\"", path->field->prefix);
	rv = decode_short_text(decoder, path, object, wanted, text, sizeof(text));
	if (rv != 0)
		return rv;
	if (names_id_parse(path->field->prefix, text, ret_id) != 0)
		return codec_path_error(path, decoder->error, "must be %s", wanted);
	return 0;
}

static int decode_uuid(struct decoder *decoder, const struct codec_path *path, const msgpack_object *object,
		       uint8_t ret_uuid[16])
{
	char text[UUID_TEXT_SIZE];
	int rv;

	if (object->type == MSGPACK_OBJECT_BIN && object->via.bin.size == 16) {
		memcpy(ret_uuid, object->via.bin.ptr, 16);
		return 0;
	}
	rv = decode_short_text(decoder, path, object, "a UUID", text, sizeof(text));
	if (rv == 0 && uuid_text_parse(text, ret_uuid) != 0)
		rv = codec_path_error(path, decoder->error, "must be a UUID");
	return rv;
}

static int decode_enum(struct decoder *decoder, const struct codec_path *path, const msgpack_object *object,
		       int *ret_value)
{
	const struct enum_schema *values = path->field->values();
	char text[64];
	int rv;

	if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
		if (object->via.u64 > 1000 || enum_schema_name(values, (int)object->via.u64) == NULL) {
			rv = codec_path_error(path, decoder->error, "%" PRIu64 " is not a value of %s", object->via.u64,
					      values->name);
			return decoder->known ? unsupported(decoder) : rv;
		}
		*ret_value = (int)object->via.u64;
		return 0;
	}
	rv = decode_short_text(decoder, path, object, "a name", text, sizeof(text));
	if (rv != 0)
		return rv;
	*ret_value = enum_schema_parse(values, text);
	if (*ret_value >= 0)
		return 0;
	rv = codec_path_error(path, decoder->error, "\"%s\" is not a value of %s", text, values->name);
	for (size_t i = 0; i < values->count; i++)
		error_detail(decoder->error, "allowed: %s", values->values[i].name);
	return rv;
}

static int decode_list(struct decoder *decoder, struct codec_path *path, const msgpack_object *object,
		       struct any_list *ret_list)
{
	const struct schema *schema = path->field->record();
	struct any_list list;
	int rv;

	if (object->type != MSGPACK_OBJECT_ARRAY)
		return wrong_type(decoder, path, "an array", object);
	list.count = object->via.array.size;
	rv = codec_check_count(path, list.count, decoder->error);
	if (rv != 0)
		return rv;
	list.items = arena_alloc_array(decoder->arena, list.count, schema->size);
	if (list.items == NULL)
		return error_set_nomem(decoder->error);
	for (size_t i = 0; i < list.count; i++) {
		path->index = (long)i;
		rv = decode_record(decoder, schema, &object->via.array.ptr[i], (char *)list.items + i * schema->size,
				   path);
		if (rv != 0)
			return rv;
	}
	*ret_list = list;
	return 0;
}

static int decode_strings(struct decoder *decoder, struct codec_path *path, const msgpack_object *object,
			  struct string_list *ret_list)
{
	struct string_list list;
	int rv;

	if (object->type != MSGPACK_OBJECT_ARRAY)
		return wrong_type(decoder, path, "an array", object);
	list.count = object->via.array.size;
	rv = codec_check_count(path, list.count, decoder->error);
	if (rv != 0)
		return rv;
	list.items = arena_alloc_array(decoder->arena, list.count, sizeof(*list.items));
	if (list.items == NULL)
		return error_set_nomem(decoder->error);
	for (size_t i = 0; rv == 0 && i < list.count; i++) {
		path->index = (long)i;
		rv = decode_string(decoder, path, &object->via.array.ptr[i], &list.items[i]);
	}
	if (rv == 0)
		*ret_list = list;
	return rv;
}

static int decode_binary(struct decoder *decoder, const struct codec_path *path, const msgpack_object *object,
			 struct bytes *ret_bytes)
{
	const char *data;
	size_t size;

	if (raw_of(object, &data, &size) != 0)
		return wrong_type(decoder, path, "binary", object);
	if (size > path->field->max)
		return codec_path_error(path, decoder->error, "%zu bytes, the limit is %" PRIu64, size,
					path->field->max);
	ret_bytes->data = arena_memdup(decoder->arena, data, size);
	ret_bytes->size = size;
	return ret_bytes->data == NULL ? error_set_nomem(decoder->error) : 0;
}

static int decode_value(struct decoder *decoder, struct codec_path *path, const msgpack_object *object, void *at)
{
	const struct schema_field *field = path->field;
	void *one;
	int rv;

	switch (field->type) {
	case FIELD_U64:
		if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			return wrong_type(decoder, path, "an integer that is not negative", object);
		rv = codec_check_u64(path, object->via.u64, decoder->error);
		if (rv == 0)
			*(uint64_t *)at = object->via.u64;
		return rv;
	case FIELD_FLAG:
		if (object->type != MSGPACK_OBJECT_BOOLEAN)
			return wrong_type(decoder, path, "a boolean", object);
		*(bool *)at = object->via.boolean;
		return 0;
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		return decode_string(decoder, path, object, at);
	case FIELD_BINARY:
		return decode_binary(decoder, path, object, at);
	case FIELD_UUID:
		return decode_uuid(decoder, path, object, at);
	case FIELD_ID:
		return decode_id(decoder, path, object, at);
	case FIELD_ENUM:
		return decode_enum(decoder, path, object, at);
	case FIELD_ONE:
		one = arena_alloc(decoder->arena, field->record()->size);
		if (one == NULL)
			return error_set_nomem(decoder->error);
		rv = decode_record(decoder, field->record(), object, one, path);
		if (rv == 0)
			*(void **)at = one;
		return rv;
	case FIELD_LIST:
		return decode_list(decoder, path, object, at);
	case FIELD_STRINGS:
		return decode_strings(decoder, path, object, at);
	}
	return codec_path_error(path, decoder->error, "unknown type");
}

/* The index of the field that a key of the map names; field_count when it names none. Maps are mostly in the
 * schema's order: begin behind the last one found. */
static size_t find_field(const struct schema *schema, const msgpack_object *key, size_t start)
{
	for (size_t n = 0, i = start; n < schema->field_count; n++, i++) {
		const struct schema_field *field;

		if (i >= schema->field_count)
			i = 0;
		field = &schema->fields[i];

		if (key->type == MSGPACK_OBJECT_POSITIVE_INTEGER && key->via.u64 == field->tag)
			return i;
		if (key->type == MSGPACK_OBJECT_STR && strlen(field->name) == key->via.str.size &&
		    memcmp(field->name, key->via.str.ptr, key->via.str.size) == 0)
			return i;
	}
	return schema->field_count;
}

static int decode_record(struct decoder *decoder, const struct schema *schema, const msgpack_object *object,
			 void *record, const struct codec_path *parent)
{
	uint64_t present = 0;
	size_t next = 0, found;
	int rv;

	if (object->type != MSGPACK_OBJECT_MAP) {
		if (parent != NULL)
			return wrong_type(decoder, parent, "a map", object);
		return error_set(decoder->error, ERROR_INVALID_ARGUMENT, "%s must be a map, not %s", schema->name,
				 type_name(object));
	}
	memset(record, 0, schema->size);
	for (size_t i = 0; i < object->via.map.size; i++) {
		const msgpack_object_kv *pair = &object->via.map.ptr[i];
		struct codec_path path = { parent, NULL, -1 };

		found = find_field(schema, &pair->key, next);
		if (found == schema->field_count && decoder->known)
			return unknown_key(decoder, schema, &pair->key, parent);
		if (found == schema->field_count)
			continue;
		path.field = &schema->fields[found];
		next = found + 1;
		if (present & UINT64_C(1) << found)
			return codec_path_error(&path, decoder->error, "given twice");
		/* nil stands for an absent optional field: languages without optional map entries send it. */
		if (pair->val.type == MSGPACK_OBJECT_NIL && !path.field->required)
			continue;
		present |= UINT64_C(1) << found;
		rv = decode_value(decoder, &path, &pair->val, (char *)record + path.field->offset);
		if (rv != 0)
			return rv;
	}
	for (size_t i = 0; i < schema->field_count; i++) {
		struct codec_path path = { parent, &schema->fields[i], -1 };

		if (schema->fields[i].required && !(present & UINT64_C(1) << i))
			return codec_path_error(&path, decoder->error, "missing");
	}
	return 0;
}

static int decode_object(const struct schema *schema, const msgpack_object *object, bool known, struct arena *arena,
			 void *ret_record, struct error *error)
{
	struct decoder decoder = { arena, error, known };
	void *record = arena_alloc(arena, schema->size);
	int rv;

	if (record == NULL)
		return error_set_nomem(error);
	rv = decode_record(&decoder, schema, object, record, NULL);
	if (rv == 0)
		memcpy(ret_record, record, schema->size);
	return rv;
}

int codec_decode_object(const struct schema *schema, const msgpack_object *object, struct arena *arena,
			void *ret_record, struct error *error)
{
	return decode_object(schema, object, false, arena, ret_record, error);
}

static int decode_bytes(const struct schema *schema, struct bytes input, bool known, struct arena *arena,
			void *ret_record, struct error *error)
{
	struct frame_scanner scanner;
	msgpack_unpacked unpacked;
	size_t used = 0, offset = 0;
	int complete = 0, rv;

	frame_scanner_init(&scanner, LIMIT_FRAME_PEER_BYTES);
	rv = input.size == 0 ? 0 : frame_scanner_feed(&scanner, input.data, input.size, &used, &complete, error);
	if (rv != 0)
		return error_prefix(error, "%s", schema->name), rv;
	if (!complete || used != input.size)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: %s", schema->name,
				 complete ? "bytes behind the record" : "the record is cut short");
	msgpack_unpacked_init(&unpacked);
	switch (msgpack_unpack_next(&unpacked, (const char *)input.data, input.size, &offset)) {
	case MSGPACK_UNPACK_SUCCESS:
		rv = decode_object(schema, &unpacked.data, known, arena, ret_record, error);
		break;
	case MSGPACK_UNPACK_NOMEM_ERROR:
		rv = error_set_nomem(error);
		break;
	default:
		rv = error_set(error, ERROR_INVALID_ARGUMENT, "%s: not MessagePack", schema->name);
		break;
	}
	msgpack_unpacked_destroy(&unpacked);
	return rv;
}

int codec_decode(const struct schema *schema, struct bytes input, struct arena *arena, void *ret_record,
		 struct error *error)
{
	return decode_bytes(schema, input, false, arena, ret_record, error);
}

int codec_decode_known(const struct schema *schema, struct bytes input, struct arena *arena, void *ret_record,
		       struct error *error)
{
	return decode_bytes(schema, input, true, arena, ret_record, error);
}
