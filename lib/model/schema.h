/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of records: what the codec, the validation, the JSON output and
 * the protocol tables are driven by. The records themselves are in schema.def.
 */
#ifndef DNVME_LIB_MODEL_SCHEMA_H
#define DNVME_LIB_MODEL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_U64,
	FIELD_FLAG,
	FIELD_NAME,
	FIELD_STRING,
	FIELD_TEXT,
	FIELD_BINARY,
	FIELD_UUID,
	FIELD_ID,
	FIELD_ENUM,
	FIELD_ONE,
	FIELD_LIST,
	FIELD_STRINGS,
};

struct enum_value {
	int number;
	const char *name;
};

struct enum_schema {
	const char *name;
	const char *doc;
	const struct enum_value *values;
	size_t count;
};

struct schema;

struct schema_field {
	uint32_t tag;
	const char *name;
	enum field_type type;
	bool required;
	size_t offset;
	uint64_t min;				   /* U64: smallest value; STRINGS: bytes of one string */
	uint64_t max;				   /* U64: largest value; strings: bytes; lists: elements */
	const char *prefix;			   /* ID */
	const struct enum_schema *(*values)(void); /* ENUM */
	const struct schema *(*record)(void);	   /* ONE, LIST */
	const char *doc;
};

struct schema {
	const char *name;
	const char *doc;
	size_t size; /* of the struct */
	const struct schema_field *fields;
	size_t field_count;
	size_t required_count; /* of the fields */
};

/* How any LIST and STRINGS field lies in memory. */
struct any_list {
	size_t count;
	void *items;
};

struct string_list {
	size_t count;
	const char **items;
};

/* The name of an enumeration's value; NULL when there is none. */
const char *enum_schema_name(const struct enum_schema *schema, int number);

/* The number of a name; -1 when there is none. */
int enum_schema_parse(const struct enum_schema *schema, const char *name);

#endif
