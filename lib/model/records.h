/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The structs of every record and the enumerations, made from schema.def and enums.def. */
#ifndef DNVME_LIB_MODEL_RECORDS_H
#define DNVME_LIB_MODEL_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/limits.h"
#include "lib/model/schema.h"

#define ENUM_BEGIN(name, doc) enum name {
#define ENUM_VALUE(name, constant, number, text) constant = number,
#define ENUM_END(name)                                                                                                 \
	}                                                                                                              \
	;                                                                                                              \
	const struct enum_schema *enum_schema_##name(void);
#include "lib/model/enums.def"
#undef ENUM_BEGIN
#undef ENUM_VALUE
#undef ENUM_END

#define RECORD_BEGIN(name, doc) struct name {
#define RECORD_END(name)                                                                                               \
	}                                                                                                              \
	;                                                                                                              \
	struct name##_list {                                                                                           \
		size_t count;                                                                                          \
		struct name *items;                                                                                    \
	};                                                                                                             \
	const struct schema *schema_##name(void);
#define U64(tag, field, presence, min, max, doc) uint64_t field;
#define FLAG(tag, field, presence, doc) bool field;
#define NAME(tag, field, presence, doc) const char *field;
#define STRING(tag, field, presence, max, doc) const char *field;
#define TEXT(tag, field, presence, max, doc) const char *field;
#define BINARY(tag, field, presence, max, doc) struct bytes field;
#define UUID(tag, field, presence, doc) uint8_t field[16];
#define ID(tag, field, presence, prefix, doc) uint64_t field;
#define ENUM(tag, field, presence, type, doc) enum type field;
#define ONE(tag, field, presence, record, doc) struct record *field;
#define LIST(tag, field, presence, record, max, doc) struct record##_list field;
#define STRINGS(tag, field, presence, max, length, doc) struct string_list field;
#include "lib/model/schema.def"
#include "lib/model/schema_undef.h"

/* Every record, for tables of the protocol and for tests. NULL behind the last. */
const struct schema *schema_at(size_t index);
const struct enum_schema *enum_schema_at(size_t index);

/* The name on the wire of an enumeration's value, "?" when there is none: ENUM_NAME(volume_phase, phase). */
#define ENUM_NAME(type, value) (enum_schema_name_or_unknown(enum_schema_##type(), (int)(value)))
const char *enum_schema_name_or_unknown(const struct enum_schema *schema, int number);

#endif
