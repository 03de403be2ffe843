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

static size_t count_all(void)
{
	size_t count = 0;

	while (schema_at(count) != NULL)
		count++;
	FUZZ_REQUIRE(count <= 256, "a byte says which of %zu records", count);
	return count;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	const struct sequence_kinds kinds = { schema_at, count_all(), seed & 1 ? CODEC_NAMED : CODEC_TAGGED };

	return sequence_mutate(&kinds, data, size, max_size, seed >> 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT;
	struct sequence sequence;
	size_t count = count_all();
	struct error error;

	sequence_split((struct bytes){ data, size }, &sequence);
	for (size_t i = 0; i < sequence.count; i++) {
		const struct sequence_item *item = &sequence.items[i];
		const struct schema *schema = schema_at(item->kind % count);
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
