/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What encoder, decoder and JSON share: access to a field of a record, and the checks of its bounds. */
#ifndef DNVME_LIB_WIRE_CODEC_FIELD_H
#define DNVME_LIB_WIRE_CODEC_FIELD_H

#include <stdbool.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/schema.h"

/* The field's path in messages: "legs[2].groups[0].members". Links live on the stack of the caller. */
struct codec_path {
	const struct codec_path *parent;
	const struct schema_field *field;
	long index; /* -1: not an element of a list */
};

#define CODEC_PATH_SIZE 160
void codec_path_format(const struct codec_path *path, char ret_text[CODEC_PATH_SIZE]);

/* INVALID_ARGUMENT "<path>: <text>". */
int codec_path_error(const struct codec_path *path, struct error *error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline const void *codec_field_at(const struct schema_field *field, const void *record)
{
	return (const char *)record + field->offset;
}

static inline const char *codec_field_string(const struct schema_field *field, const void *record) /* may be NULL */
{
	return *(const char *const *)codec_field_at(field, record);
}

static inline uint64_t codec_field_u64(const struct schema_field *field, const void *record)
{
	return *(const uint64_t *)codec_field_at(field, record);
}

/* Every enumeration of the schema has the size of an int: its values are small and its compiler type unsigned. */
static inline int codec_field_enum(const struct schema_field *field, const void *record)
{
	int value;

	memcpy(&value, codec_field_at(field, record), sizeof(value));
	return value;
}

static inline const struct any_list *codec_field_list(const struct schema_field *field, const void *record)
{
	return codec_field_at(field, record);
}

/* Whether the field holds its zero: an optional one is then not written. */
static inline bool codec_field_is_zero(const struct schema_field *field, const void *record)
{
	static const uint8_t zero[16];
	const char *text;

	switch (field->type) {
	case FIELD_U64:
	case FIELD_ID:
		return codec_field_u64(field, record) == 0;
	case FIELD_FLAG:
		return !*(const bool *)codec_field_at(field, record);
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_TEXT:
		text = codec_field_string(field, record);
		return text == NULL || text[0] == '\0';
	case FIELD_BINARY:
		return ((const struct bytes *)codec_field_at(field, record))->size == 0;
	case FIELD_UUID:
		return memcmp(codec_field_at(field, record), zero, sizeof(zero)) == 0;
	case FIELD_ENUM:
		return codec_field_enum(field, record) == 0;
	case FIELD_ONE:
		return *(void *const *)codec_field_at(field, record) == NULL;
	case FIELD_LIST:
	case FIELD_STRINGS:
		return codec_field_list(field, record)->count == 0;
	}
	return false;
}

/* Bytes of the UTF-8 character at `text`, of which `left` bytes (at least one) are there; 0 when it is none. */
size_t codec_utf8_length(const uint8_t *text, size_t left);

/* Bounds of one value. */
int codec_check_u64(const struct codec_path *path, uint64_t value, struct error *error);
int codec_check_string(const struct codec_path *path, const char *text, size_t length, struct error *error);
int codec_check_count(const struct codec_path *path, size_t count, struct error *error);

#endif
