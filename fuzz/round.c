/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/round.h"

#include <string.h>

#include "agent/text.h"
#include "lib/wire/codec.h"

static void bytes_are_same(const struct schema *schema, const struct buffer *a, const struct buffer *b, const char *way)
{
	FUZZ_REQUIRE(a->size == b->size && memcmp(a->data, b->data, a->size) == 0,
		     "%s: another record came back (%s; %zu and %zu bytes)", schema->name, way, a->size, b->size);
}

/* Encode, decode, encode as tags again. */
static void through_codec(const struct schema *schema, const void *record, enum codec_style style,
			  const struct buffer *wanted, void *memory)
{
	struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct error error;

	FUZZ_MUST(codec_encode(schema, record, style, &bytes, &error), &error);
	FUZZ_MUST(codec_decode(schema, buffer_bytes(&bytes), &arena, memory, &error), &error);
	FUZZ_MUST(codec_encode(schema, memory, CODEC_TAGGED, &again, &error), &error);
	bytes_are_same(schema, wanted, &again, style == CODEC_TAGGED ? "tags" : "names");
	buffer_free(&bytes);
	buffer_free(&again);
	arena_free(&arena);
}

/* Binary becomes hexadecimal digits, which nobody reads back. */
static bool has_binary(const struct schema *schema)
{
	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (field->type == FIELD_BINARY || (field->record != NULL && has_binary(field->record())))
			return true;
	}
	return false;
}

static void through_json(const struct schema *schema, const void *record, const struct buffer *wanted, void *memory)
{
	struct buffer text = BUFFER_INIT, again = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct error error;

	FUZZ_MUST(text_json_print(schema, record, &text, &error), &error);
	if (!has_binary(schema)) {
		FUZZ_REQUIRE(buffer_append(&text, "", 1) == 0, "no memory");
		FUZZ_MUST(text_json_parse(schema, (const char *)text.data, text.size - 1, &arena, memory, &error),
			  &error);
		FUZZ_MUST(codec_encode(schema, memory, CODEC_TAGGED, &again, &error), &error);
		bytes_are_same(schema, wanted, &again, "JSON");
	}
	buffer_free(&text);
	buffer_free(&again);
	arena_free(&arena);
}

void round_trip(const struct schema *schema, const void *record)
{
	struct buffer tagged = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	void *memory = arena_alloc(&arena, schema->size);
	struct error error;

	FUZZ_REQUIRE(memory != NULL, "no memory");
	FUZZ_MUST(codec_validate(schema, record, &error), &error);
	FUZZ_MUST(codec_encode(schema, record, CODEC_TAGGED, &tagged, &error), &error);
	through_codec(schema, record, CODEC_TAGGED, &tagged, memory);
	through_codec(schema, record, CODEC_NAMED, &tagged, memory);
	through_json(schema, record, &tagged, memory);
	buffer_free(&tagged);
	arena_free(&arena);
}
