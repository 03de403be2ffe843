/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/model/records.h"

#include <string.h>

#define ENUM_BEGIN(name, text)                                                                                         \
	const struct enum_schema *enum_schema_##name(void)                                                             \
	{                                                                                                              \
		static const char enum_name[] = #name;                                                                 \
		static const char enum_doc[] = text;                                                                   \
		static const struct enum_value values[] = {
#define ENUM_VALUE(name, constant, number, text) { constant, text },
#define ENUM_END(name)                                                                                                 \
	}                                                                                                              \
	;                                                                                                              \
	static const struct enum_schema schema = { enum_name, enum_doc, values, sizeof(values) / sizeof(values[0]) };  \
	return &schema;                                                                                                \
	}
#include "lib/model/enums.def"
#undef ENUM_BEGIN
#undef ENUM_VALUE
#undef ENUM_END

/* How many fields of each record must be there. */
#define REQUIRED 1
#define OPTIONAL 0
#define RECORD_BEGIN(type, text) enum { required_count_##type = 0
#define RECORD_END(type)                                                                                               \
	}                                                                                                              \
	;
#define U64(tag, field, presence, low, high, doc) +presence
#define FLAG(tag, field, presence, doc) +presence
#define NAME(tag, field, presence, doc) +presence
#define STRING(tag, field, presence, high, doc) +presence
#define TEXT(tag, field, presence, high, doc) +presence
#define BINARY(tag, field, presence, high, doc) +presence
#define UUID(tag, field, presence, doc) +presence
#define ID(tag, field, presence, start, doc) +presence
#define ENUM(tag, field, presence, type, doc) +presence
#define ONE(tag, field, presence, type, doc) +presence
#define LIST(tag, field, presence, type, high, doc) +presence
#define STRINGS(tag, field, presence, high, length, doc) +presence
#include "lib/model/schema.def"
#include "lib/model/schema_undef.h"

#define RECORD_BEGIN(type, text)                                                                                       \
	const struct schema *schema_##type(void)                                                                       \
	{                                                                                                              \
		typedef struct type self;                                                                              \
		static const char record_name[] = #type;                                                               \
		static const char record_doc[] = text;                                                                 \
		static const struct schema_field fields[] = {
#define RECORD_END(type)                                                                                               \
	}                                                                                                              \
	;                                                                                                              \
	static const struct schema schema = { record_name,                                                             \
					      record_doc,                                                              \
					      sizeof(self),                                                            \
					      fields,                                                                  \
					      sizeof(fields) / sizeof(fields[0]),                                      \
					      required_count_##type };                                                 \
	return &schema;                                                                                                \
	}
#define FIELD(tag_, field, presence, kind, text, ...)                                                                  \
	{ .tag = tag_,                                                                                                 \
	  .name = #field,                                                                                              \
	  .type = kind,                                                                                                \
	  .required = presence,                                                                                        \
	  .offset = offsetof(self, field),                                                                             \
	  .doc = text,                                                                                                 \
	  __VA_ARGS__ },
#define U64(tag, field, presence, low, high, doc)                                                                      \
	FIELD(tag, field, presence, FIELD_U64, doc, .min = (low), .max = (high))
#define FLAG(tag, field, presence, doc) FIELD(tag, field, presence, FIELD_FLAG, doc, .max = 1)
#define NAME(tag, field, presence, doc) FIELD(tag, field, presence, FIELD_NAME, doc, .max = LIMIT_NAME)
#define STRING(tag, field, presence, high, doc) FIELD(tag, field, presence, FIELD_STRING, doc, .max = (high))
#define TEXT(tag, field, presence, high, doc) FIELD(tag, field, presence, FIELD_TEXT, doc, .max = (high))
#define BINARY(tag, field, presence, high, doc) FIELD(tag, field, presence, FIELD_BINARY, doc, .max = (high))
#define UUID(tag, field, presence, doc) FIELD(tag, field, presence, FIELD_UUID, doc, .max = 16)
#define ID(tag, field, presence, start, doc) FIELD(tag, field, presence, FIELD_ID, doc, .prefix = (start))
#define ENUM(tag, field, presence, type, doc) FIELD(tag, field, presence, FIELD_ENUM, doc, .values = enum_schema_##type)
#define ONE(tag, field, presence, type, doc) FIELD(tag, field, presence, FIELD_ONE, doc, .record = schema_##type)
#define LIST(tag, field, presence, type, high, doc)                                                                    \
	FIELD(tag, field, presence, FIELD_LIST, doc, .record = schema_##type, .max = (high))
#define STRINGS(tag, field, presence, high, length, doc)                                                               \
	FIELD(tag, field, presence, FIELD_STRINGS, doc, .max = (high), .min = (length))
#include "lib/model/schema.def"
#include "lib/model/schema_undef.h"

static const struct schema *(*const all_records[])(void) = {
#define RECORD_BEGIN(name, doc) schema_##name,
#define RECORD_END(name)
#define U64(tag, field, presence, low, high, doc)
#define FLAG(tag, field, presence, doc)
#define NAME(tag, field, presence, doc)
#define STRING(tag, field, presence, high, doc)
#define TEXT(tag, field, presence, high, doc)
#define BINARY(tag, field, presence, high, doc)
#define UUID(tag, field, presence, doc)
#define ID(tag, field, presence, start, doc)
#define ENUM(tag, field, presence, type, doc)
#define ONE(tag, field, presence, type, doc)
#define LIST(tag, field, presence, type, high, doc)
#define STRINGS(tag, field, presence, high, length, doc)
#include "lib/model/schema.def"
#include "lib/model/schema_undef.h"
};

static const struct enum_schema *(*const all_enums[])(void) = {
#define ENUM_BEGIN(name, doc) enum_schema_##name,
#define ENUM_VALUE(name, constant, number, text)
#define ENUM_END(name)
#include "lib/model/enums.def"
#undef ENUM_BEGIN
#undef ENUM_VALUE
#undef ENUM_END
};

const struct schema *schema_at(size_t index)
{
	return index < sizeof(all_records) / sizeof(all_records[0]) ? all_records[index]() : NULL;
}

const struct enum_schema *enum_schema_at(size_t index)
{
	return index < sizeof(all_enums) / sizeof(all_enums[0]) ? all_enums[index]() : NULL;
}

const char *enum_schema_name(const struct enum_schema *schema, int number)
{
	for (size_t i = 0; i < schema->count; i++) {
		if (schema->values[i].number == number)
			return schema->values[i].name;
	}
	return NULL;
}

const char *enum_schema_name_or_unknown(const struct enum_schema *schema, int number)
{
	const char *name = enum_schema_name(schema, number);

	return name != NULL ? name : "?";
}

int enum_schema_parse(const struct enum_schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->count; i++) {
		if (strcmp(schema->values[i].name, name) == 0)
			return schema->values[i].number;
	}
	return -1;
}
