/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every record of the schema, decoded and taken there and back.
 *
 *   input: sequence.h; the kind is the record's place in the schema
 */
#include "fuzz/round.h"
#include "fuzz/sequence.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"

static const struct schema *(*const all[])(void) = {
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

_Static_assert(sizeof(all) / sizeof(all[0]) <= 256, "a byte says which record");

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	const struct sequence_kinds kinds = { all, sizeof(all) / sizeof(all[0]),
					      seed & 1 ? CODEC_NAMED : CODEC_TAGGED };

	return sequence_mutate(&kinds, data, size, max_size, seed >> 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT;
	struct sequence sequence;
	struct error error;

	sequence_split((struct bytes){ data, size }, &sequence);
	for (size_t i = 0; i < sequence.count; i++) {
		const struct sequence_item *item = &sequence.items[i];
		const struct schema *schema = all[item->kind % (sizeof(all) / sizeof(all[0]))]();
		void *record = arena_alloc(&arena, schema->size);

		error_clear(&error);
		if (codec_decode(schema, item->record, &arena, record, &error) == 0)
			round_trip(schema, record);
		else
			FUZZ_REQUIRE(error.message[0] != '\0', "%s was refused without a word", schema->name);
	}
	arena_free(&arena);
	return 0;
}
