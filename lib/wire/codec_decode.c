/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_field.h"
#include "lib/wire/value.h"

struct decoder {
	struct value_reader reader;
	struct arena *arena;
	struct error *error;
	bool known; /* everything must be */
};

static int decode_record(struct decoder *decoder, const struct schema *schema, const struct value *value, void *record,
			 const struct codec_path *parent);

static const char *type_name(const struct value *value)
{
	switch (value->type) {
	case VALUE_NIL:
		return "nil";
	case VALUE_FLAG:
		return "a boolean";
	case VALUE_UNSIGNED:
		return "an integer";
	case VALUE_NEGATIVE:
		return "a negative integer";
	case VALUE_FLOAT:
		return "a float";
	case VALUE_TEXT:
		return "a string";
	case VALUE_ARRAY:
		return "an array";
	case VALUE_MAP:
		return "a map";
	case VALUE_BINARY:
		return "binary";
	default:
		return "an extension";
	}
}

static int wrong_type(struct decoder *decoder, const struct codec_path *path, const char *wanted,
		      const struct value *value)
{
	return codec_path_error(path, decoder->error, "must be %s, not %s", wanted, type_name(value));
}

/* What was just said is about something that a newer version knows. */
static int unsupported(struct decoder *decoder)
{
	if (decoder->error != NULL)
		decoder->error->code = ERROR_UNSUPPORTED;
	return ERROR_UNSUPPORTED;
}

static int unknown_key(struct decoder *decoder, const struct schema *schema, const struct value *key,
		       const struct codec_path *parent)
{
	char text[48] = "a field";

	if (key->type == VALUE_UNSIGNED)
		snprintf(text, sizeof(text), "field %" PRIu64, key->number);
	if (parent != NULL)
		codec_path_error(parent, decoder->error, "%s is not known to this version", text);
	else
		error_set(decoder->error, ERROR_UNSUPPORTED, "%s: %s is not known to this version", schema->name, text);
	return unsupported(decoder);
}

/* Some clients write text as binary and binary as text (the old MessagePack had only "raw"): take both. */
static bool is_raw(const struct value *value)
{
	return value->type == VALUE_TEXT || value->type == VALUE_BINARY;
}

static int not_messagepack(struct decoder *decoder)
{
	return error_set(decoder->error, ERROR_INVALID_ARGUMENT, "not MessagePack");
}

static int next_value(struct decoder *decoder, struct value *ret_value)
{
	return value_read(&decoder->reader, ret_value) == 0 ? 0 : not_messagepack(decoder);
}

static int decode_string(struct decoder *decoder, const struct codec_path *path, const struct value *value,
			 const char **ret_text)
{
	int rv;

	if (!is_raw(value))
		return wrong_type(decoder, path, "a string", value);
	rv = codec_check_string(path, value->bytes, value->number, decoder->error);
	if (rv != 0)
		return rv;
	*ret_text = arena_strndup(decoder->arena, value->bytes, value->number);
	return *ret_text == NULL ? error_set_nomem(decoder->error) : 0;
}

static int decode_short_text(struct decoder *decoder, const struct codec_path *path, const struct value *value,
			     const char *wanted, char *ret_text, size_t text_size)
{
	if (!is_raw(value))
		return wrong_type(decoder, path, wanted, value);
	if (value->number >= text_size || memchr(value->bytes, '\0', value->number) != NULL)
		return codec_path_error(path, decoder->error, "must be %s", wanted);
	memcpy(ret_text, value->bytes, value->number);
	ret_text[value->number] = '\0';
	return 0;
}

static int decode_id(struct decoder *decoder, const struct codec_path *path, const struct value *value,
		     uint64_t *ret_id)
{
	char text[NAMES_ID_SIZE], wanted[48];
	int rv;

	if (value->type == VALUE_UNSIGNED && value->number > 0) {
		*ret_id = value->number;
		return 0;
	}
	snprintf(wanted, sizeof(wanted), "an id such as \"%s1\"", path->field->prefix);
	rv = decode_short_text(decoder, path, value, wanted, text, sizeof(text));
	if (rv != 0)
		return rv;
	if (names_id_parse(path->field->prefix, text, ret_id) != 0)
		return codec_path_error(path, decoder->error, "must be %s", wanted);
	return 0;
}

static int decode_uuid(struct decoder *decoder, const struct codec_path *path, const struct value *value,
		       uint8_t ret_uuid[16])
{
	char text[UUID_TEXT_SIZE];
	int rv;

	if (value->type == VALUE_BINARY && value->number == 16) {
		memcpy(ret_uuid, value->bytes, 16);
		return 0;
	}
	rv = decode_short_text(decoder, path, value, "a UUID", text, sizeof(text));
	if (rv == 0 && uuid_text_parse(text, ret_uuid) != 0)
		rv = codec_path_error(path, decoder->error, "must be a UUID");
	return rv;
}

static int decode_enum(struct decoder *decoder, const struct codec_path *path, const struct value *value,
		       int *ret_value)
{
	const struct enum_schema *values = path->field->values();
	char text[64];
	int rv;

	if (value->type == VALUE_UNSIGNED) {
		if (value->number > 1000 || enum_schema_name(values, (int)value->number) == NULL) {
			rv = codec_path_error(path, decoder->error, "%" PRIu64 " is not a value of %s", value->number,
					      values->name);
			return decoder->known ? unsupported(decoder) : rv;
		}
		*ret_value = (int)value->number;
		return 0;
	}
	rv = decode_short_text(decoder, path, value, "a name", text, sizeof(text));
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

static int decode_list(struct decoder *decoder, struct codec_path *path, const struct value *value,
		       struct any_list *ret_list)
{
	const struct schema *schema = path->field->record();
	struct any_list list;
	int rv;

	if (value->type != VALUE_ARRAY)
		return wrong_type(decoder, path, "an array", value);
	list.count = value->number;
	rv = codec_check_count(path, list.count, decoder->error);
	if (rv != 0)
		return rv;
	list.items = arena_alloc_array(decoder->arena, list.count, schema->size);
	if (list.items == NULL)
		return error_set_nomem(decoder->error);
	for (size_t i = 0; i < list.count; i++) {
		struct value element;

		path->index = (long)i;
		rv = next_value(decoder, &element);
		if (rv == 0)
			rv = decode_record(decoder, schema, &element, (char *)list.items + i * schema->size, path);
		if (rv != 0)
			return rv;
	}
	*ret_list = list;
	return 0;
}

static int decode_strings(struct decoder *decoder, struct codec_path *path, const struct value *value,
			  struct string_list *ret_list)
{
	struct string_list list;
	int rv;

	if (value->type != VALUE_ARRAY)
		return wrong_type(decoder, path, "an array", value);
	list.count = value->number;
	rv = codec_check_count(path, list.count, decoder->error);
	if (rv != 0)
		return rv;
	list.items = arena_alloc_array(decoder->arena, list.count, sizeof(*list.items));
	if (list.items == NULL)
		return error_set_nomem(decoder->error);
	for (size_t i = 0; rv == 0 && i < list.count; i++) {
		struct value element;

		path->index = (long)i;
		rv = next_value(decoder, &element);
		if (rv == 0)
			rv = decode_string(decoder, path, &element, &list.items[i]);
	}
	if (rv == 0)
		*ret_list = list;
	return rv;
}

static int decode_binary(struct decoder *decoder, const struct codec_path *path, const struct value *value,
			 struct bytes *ret_bytes)
{
	if (!is_raw(value))
		return wrong_type(decoder, path, "binary", value);
	if (value->number > path->field->max)
		return codec_path_error(path, decoder->error, "%" PRIu64 " bytes, the limit is %" PRIu64, value->number,
					path->field->max);
	ret_bytes->data = arena_memdup(decoder->arena, value->bytes, value->number);
	ret_bytes->size = value->number;
	return ret_bytes->data == NULL ? error_set_nomem(decoder->error) : 0;
}

static int decode_value(struct decoder *decoder, struct codec_path *path, const struct value *value, void *at)
{
	const struct schema_field *field = path->field;
	void *one;
	int rv;

	switch (field->type) {
	case FIELD_U64:
		if (value->type != VALUE_UNSIGNED)
			return wrong_type(decoder, path, "an integer that is not negative", value);
		rv = codec_check_u64(path, value->number, decoder->error);
		if (rv == 0)
			*(uint64_t *)at = value->number;
		return rv;
	case FIELD_FLAG:
		if (value->type != VALUE_FLAG)
			return wrong_type(decoder, path, "a boolean", value);
		*(bool *)at = value->number != 0;
		return 0;
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		return decode_string(decoder, path, value, at);
	case FIELD_BINARY:
		return decode_binary(decoder, path, value, at);
	case FIELD_UUID:
		return decode_uuid(decoder, path, value, at);
	case FIELD_ID:
		return decode_id(decoder, path, value, at);
	case FIELD_ENUM:
		return decode_enum(decoder, path, value, at);
	case FIELD_ONE:
		one = arena_alloc(decoder->arena, field->record()->size);
		if (one == NULL)
			return error_set_nomem(decoder->error);
		rv = decode_record(decoder, field->record(), value, one, path);
		if (rv == 0)
			*(void **)at = one;
		return rv;
	case FIELD_LIST:
		return decode_list(decoder, path, value, at);
	case FIELD_STRINGS:
		return decode_strings(decoder, path, value, at);
	}
	return codec_path_error(path, decoder->error, "unknown type");
}

static bool is_named(const struct schema_field *field, const struct value *key)
{
	return key->type == VALUE_TEXT && key->number > 0 && field->name[0] == key->bytes[0] &&
	       strlen(field->name) == key->number && memcmp(field->name, key->bytes, key->number) == 0;
}

/* The index of the field that a key of the map names; field_count when it names none. A field mostly has the tag that
 * is one more than its index, and maps are mostly in the schema's order: begin behind the last one found. */
static size_t find_field(const struct schema *schema, const struct value *key, size_t start)
{
	const struct schema_field *fields = schema->fields;
	size_t count = schema->field_count;

	if (key->type == VALUE_UNSIGNED) {
		if (key->number - 1 < count && fields[key->number - 1].tag == key->number)
			return key->number - 1;
		for (size_t i = 0; i < count; i++) {
			if (fields[i].tag == key->number)
				return i;
		}
		return count;
	}
	for (size_t n = 0, i = start; n < count; n++, i++) {
		if (i >= count)
			i = 0;
		if (is_named(&fields[i], key))
			return i;
	}
	return count;
}

/* What was seen of a record's map. */
struct seen {
	uint64_t present;      /* fields, by their index */
	size_t required_count; /* of them, how many must be there */
	size_t last;	       /* index of the last one */
};

static int missing(struct decoder *decoder, const struct schema *schema, const struct seen *seen,
		   const struct codec_path *parent)
{
	struct codec_path path = { parent, schema->fields, -1 };

	while (!path.field->required || seen->present & UINT64_C(1) << (path.field - schema->fields))
		path.field++;
	return codec_path_error(&path, decoder->error, "missing");
}

/* A key of the map and its value. */
static int decode_pair(struct decoder *decoder, const struct schema *schema, void *record,
		       const struct codec_path *parent, struct seen *seen)
{
	struct codec_path path = { parent, NULL, -1 };
	struct value key, value;
	size_t found;
	int rv = next_value(decoder, &key);

	if (rv != 0)
		return rv;
	found = find_field(schema, &key, seen->last + 1);
	if (found == schema->field_count) {
		if (decoder->known)
			return unknown_key(decoder, schema, &key, parent);
		if (value_skip_rest(&decoder->reader, &key) != 0 || value_skip(&decoder->reader) != 0)
			return not_messagepack(decoder);
		return 0;
	}
	seen->last = found;
	path.field = &schema->fields[found];
	if (seen->present & UINT64_C(1) << found)
		return codec_path_error(&path, decoder->error, "given twice");
	rv = next_value(decoder, &value);
	/* nil stands for an absent optional field: languages without optional map entries send it. */
	if (rv != 0 || (value.type == VALUE_NIL && !path.field->required))
		return rv;
	seen->present |= UINT64_C(1) << found;
	seen->required_count += path.field->required;
	return decode_value(decoder, &path, &value, (char *)record + path.field->offset);
}

/* The record of a map whose head is `value`; what is in it comes next. */
static int decode_record(struct decoder *decoder, const struct schema *schema, const struct value *value, void *record,
			 const struct codec_path *parent)
{
	struct seen seen = { .last = SIZE_MAX };
	int rv;

	if (value->type != VALUE_MAP) {
		if (parent != NULL)
			return wrong_type(decoder, parent, "a map", value);
		return error_set(decoder->error, ERROR_INVALID_ARGUMENT, "%s must be a map, not %s", schema->name,
				 type_name(value));
	}
	memset(record, 0, schema->size);
	for (uint64_t left = value->number; left > 0; left--) {
		rv = decode_pair(decoder, schema, record, parent, &seen);
		if (rv != 0)
			return rv;
	}
	return seen.required_count == schema->required_count ? 0 : missing(decoder, schema, &seen, parent);
}

static int decode_whole(const struct schema *schema, struct bytes input, bool known, struct arena *arena,
			void *ret_record, struct error *error)
{
	struct decoder decoder = { value_reader_of(input), arena, error, known };
	void *record = arena_room(arena, schema->size);
	struct value value;
	int rv;

	if (record == NULL)
		return error_set_nomem(error);
	rv = next_value(&decoder, &value);
	if (rv == 0)
		rv = decode_record(&decoder, schema, &value, record, NULL);
	if (rv == 0 && decoder.reader.at != decoder.reader.end)
		rv = error_set(error, ERROR_INVALID_ARGUMENT, "%s: bytes behind the record", schema->name);
	if (rv == 0)
		memcpy(ret_record, record, schema->size);
	return rv;
}

int codec_decode_value(const struct schema *schema, struct bytes value, struct arena *arena, void *ret_record,
		       struct error *error)
{
	return decode_whole(schema, value, false, arena, ret_record, error);
}

static int decode_checked(const struct schema *schema, struct bytes input, bool known, struct arena *arena,
			  void *ret_record, struct error *error)
{
	int rv = value_check(input, error);

	if (rv != 0)
		return error_prefix(error, "%s", schema->name), rv;
	return decode_whole(schema, input, known, arena, ret_record, error);
}

int codec_decode(const struct schema *schema, struct bytes input, struct arena *arena, void *ret_record,
		 struct error *error)
{
	return decode_checked(schema, input, false, arena, ret_record, error);
}

int codec_decode_known(const struct schema *schema, struct bytes input, struct arena *arena, void *ret_record,
		       struct error *error)
{
	return decode_checked(schema, input, true, arena, ret_record, error);
}
