/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/accept.h"

#include "fuzz/sequence.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"
#include "lib/wire/codec.h"

#define TRIES_OF_A_KIND 200u

/* As shape.h has it. */
static unsigned kind_choose(struct dice *dice)
{
	const struct schema *schema = schema_command();
	size_t field;

	do
		field = dice_roll(dice, schema->field_count);
	while (schema->fields[field].type != FIELD_ONE);
	return (unsigned)field + 1;
}

bool accept_find(struct world *world, struct shape *shape, unsigned tries, struct buffer *output)
{
	struct buffer record = BUFFER_INIT, bytes = BUFFER_INIT, answer = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct outcome outcome = { .code = 1 };
	struct command command;
	struct error error;

	for (unsigned i = 0; i < tries && outcome.code != 0; i++) {
		if (i % TRIES_OF_A_KIND == 0)
			shape->choice = kind_choose(&shape->dice);
		buffer_clear(&record);
		buffer_clear(&bytes);
		buffer_clear(&answer);
		shape->budget = 24;
		shape_record(shape, schema_command(), &record);
		if (codec_decode(schema_command(), buffer_bytes(&record), &arena, &command, NULL) != 0)
			continue;
		if (command.state_upgrade != NULL)
			continue; /* to a newer version it would end the server */
		command.request_id = (struct bytes){ 0 };
		world_freshen(world, &command, &arena);
		if (codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, NULL) != 0)
			continue;
		world_apply(world, buffer_bytes(&bytes), &answer);
		FUZZ_MUST(codec_decode(schema_outcome(), buffer_bytes(&answer), &arena, &outcome, &error), &error);
	}
	if (outcome.code == 0)
		sequence_append(0, buffer_bytes(&record), output);
	buffer_free(&record);
	buffer_free(&bytes);
	buffer_free(&answer);
	arena_free(&arena);
	return outcome.code == 0;
}
