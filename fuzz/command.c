/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the Raft log, one behind the other, against the state machine.
 *
 *   input: sequence.h, of one kind
 *
 * Each is applied or refused. After each the audit of the whole state is content; a refusal left no trace; the same
 * command again changed nothing and is answered alike. At the end what nodes are told can be sent, and a replica that
 * got all of them in one entry, and one that got a dump, have the same digest.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/accept.h"
#include "fuzz/sequence.h"
#include "fuzz/world.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"

#define COMMANDS_MAX 24u
#define TRIES 300u

static const struct schema *schema_of(size_t kind)
{
	(void)kind;
	return schema_command();
}
static const struct sequence_kinds kinds = { schema_of, 1, CODEC_TAGGED };
static struct world world, replica;

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
	(void)argument_count;
	(void)arguments;
	world_open("world", &world);
	world_open("replica", &replica);
	return 0;
}

static const char *name_of(const struct command *command)
{
	const struct schema *schema = schema_command();

	for (size_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];

		if (field->type == FIELD_ONE && *(void *const *)((const char *)command + field->offset) != NULL)
			return field->name;
	}
	return "nothing";
}

/* What is decoded gets a request id of its own and is made to fit; other bytes go as they are. */
static const char *prepare(struct bytes record, size_t number, struct arena *arena, struct buffer *output)
{
	uint8_t request_id[LIMIT_REQUEST_ID] = { 1, (uint8_t)number };
	struct command command;

	if (codec_decode(schema_command(), record, arena, &command, NULL) != 0) {
		buffer_append(output, record.data, record.size);
		return "bytes";
	}
	if (command.request_id.size == 0 || command.request_id.size == sizeof(request_id))
		command.request_id = (struct bytes){ request_id, sizeof(request_id) };
	world_freshen(&world, &command, arena);
	/* A placement may break bounds of the schema that the leader would refuse. */
	if (codec_encode(schema_command(), &command, CODEC_TAGGED, output, NULL) != 0)
		buffer_append(output, record.data, record.size);
	return name_of(&command);
}

/* Whether it begins a version of the state that is yet to come. One that says several things at a time is refused
 * whatever they are, and so is one with half a request id. */
static bool is_upgrade(const struct command *command)
{
	const struct schema *schema = schema_command();
	size_t count = 0;

	for (size_t i = 0; i < schema->field_count; i++)
		count += schema->fields[i].type == FIELD_ONE &&
			 *(void *const *)((const char *)command + schema->fields[i].offset) != NULL;
	return count == 1 && command->state_upgrade != NULL && command->state_upgrade->version > fsm_version_known() &&
	       (command->request_id.size == 0 || command->request_id.size == LIMIT_REQUEST_ID);
}

/* Whether this version knows all that is in it, so that a server goes on behind it. */
static bool is_known(struct bytes command, struct arena *arena)
{
	struct command decoded;
	int rv = codec_decode_known(schema_command(), command, arena, &decoded, NULL);

	return rv != ERROR_UNSUPPORTED && (rv != 0 || !is_upgrade(&decoded));
}

/* Go where the input leads, and one step further. */
static size_t step_add(uint8_t *data, size_t size, size_t max_size, struct shape *shape)
{
	struct buffer made = BUFFER_INIT, bytes = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct sequence sequence;
	size_t given;

	sequence_split((struct bytes){ data, size }, &sequence);
	if (sequence.count >= COMMANDS_MAX)
		sequence.count = 1 + dice_roll(&shape->dice, COMMANDS_MAX - 1);
	world_reset(&world);
	for (size_t i = 0; i < sequence.count; i++) {
		buffer_clear(&bytes);
		prepare(sequence.items[i].record, i, &arena, &bytes);
		if (!is_known(buffer_bytes(&bytes), &arena))
			continue;
		world_apply(&world, buffer_bytes(&bytes), NULL);
		sequence_append(sequence.items[i].kind, sequence.items[i].record, &made);
	}
	given = accept_find(&world, shape, TRIES, &made) ? fuzz_give(&made, data, max_size) : 0;
	buffer_free(&made);
	buffer_free(&bytes);
	arena_free(&arena);
	return given;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct shape shape = { .style = CODEC_TAGGED };
	size_t given = 0;

	dice_init(&shape.dice, seed);
	if (dice_once_in(&shape.dice, 4))
		given = step_add(data, size, max_size, &shape);
	return given > 0 ? given : sequence_mutate(&kinds, data, size, max_size, seed);
}

static void outcome_check(const struct buffer *bytes, struct arena *arena, struct outcome *ret_outcome)
{
	struct error error;

	FUZZ_MUST(codec_decode(schema_outcome(), buffer_bytes(bytes), arena, ret_outcome, &error), &error);
	FUZZ_REQUIRE(ret_outcome->code == 0 || (ret_outcome->message != NULL && ret_outcome->message[0] != '\0'),
		     "refused without a word");
	FUZZ_REQUIRE(ret_outcome->code != ERROR_INTERNAL, "refused as an error of our own: %s", ret_outcome->message);
}

/* One command: twice. `before` is the digest before and after it. */
static void take(struct bytes command, const char *name, uint8_t before[16], struct arena *arena)
{
	struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
	uint8_t after[16], again[16];
	struct outcome outcome;

	world_apply(&world, command, &first);
	world_digest(&world, after);
	outcome_check(&first, arena, &outcome);
	/* The one that has a refusal remembered does just that. */
	if (outcome.code != 0 && strcmp(name, "refuse") != 0)
		FUZZ_REQUIRE(memcmp(before, after, sizeof(after)) == 0, "%s was refused, and changed the state: %s",
			     name, outcome.message);
	if (memcmp(before, after, sizeof(after)) != 0)
		world_check(&world, name);
	world_apply(&world, command, &second);
	world_digest(&world, again);
	FUZZ_REQUIRE(memcmp(again, after, sizeof(after)) == 0, "%s acted twice", name);
	FUZZ_REQUIRE(first.size == second.size && memcmp(first.data, second.data, first.size) == 0,
		     "%s was answered in two ways", name);
	memcpy(before, after, sizeof(after));
	buffer_free(&first);
	buffer_free(&second);
}

/* One of a version that is yet to come is not applied, and changes nothing. */
static bool is_understood(struct bytes command, const uint8_t digest[16], struct arena *arena)
{
	struct buffer outcome = BUFFER_INIT;
	uint8_t after[16];

	if (is_known(command, arena))
		return true;
	FUZZ_REQUIRE(fsm_apply(world.fsm, world.index + 1, &command, 1, &outcome, NULL) != 0,
		     "a command of a newer version was applied");
	FUZZ_REQUIRE(fsm_applied_index(world.fsm) == world.index, "the entry was counted");
	world_digest(&world, after);
	FUZZ_REQUIRE(memcmp(digest, after, sizeof(after)) == 0, "a command of a newer version changed the state");
	buffer_free(&outcome);
	return false;
}

static void replicas_are_same(const struct bytes *commands, size_t count)
{
	struct buffer dump = BUFFER_INIT;
	uint8_t ours[16], theirs[16];
	struct error error;

	world_digest(&world, ours);
	world_reset(&replica);
	FUZZ_MUST(fsm_apply(replica.fsm, ++replica.index, commands, count, NULL, &error), &error);
	world_digest(&replica, theirs);
	FUZZ_REQUIRE(memcmp(ours, theirs, sizeof(ours)) == 0, "the same commands in one entry give another state");
	FUZZ_MUST(fsm_dump(world.fsm, &dump, &error), &error);
	FUZZ_MUST(fsm_load(replica.fsm, world.index + 1000, buffer_bytes(&dump), &error), &error);
	world_digest(&replica, theirs);
	FUZZ_REQUIRE(memcmp(ours, theirs, sizeof(ours)) == 0, "a dump gives another state");
	buffer_free(&dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes commands[COMMANDS_MAX];
	struct arena arena = ARENA_INIT;
	struct sequence sequence;
	uint8_t digest[16];
	size_t count = 0;

	sequence_split((struct bytes){ data, size }, &sequence);
	if (sequence.count == 0)
		return 0;
	world_reset(&world);
	world_digest(&world, digest);
	for (size_t i = 0; i < sequence.count && i < COMMANDS_MAX; i++) {
		struct buffer bytes = BUFFER_INIT;
		const char *name = prepare(sequence.items[i].record, i, &arena, &bytes);
		void *copy = arena_memdup(&arena, bytes.data, bytes.size);

		FUZZ_REQUIRE(copy != NULL, "no memory");
		commands[count] = (struct bytes){ copy, bytes.size };
		buffer_free(&bytes);
		if (is_understood(commands[count], digest, &arena))
			take(commands[count++], name, digest, &arena);
	}
	world_project(&world, "all commands");
	if (count > 0)
		replicas_are_same(commands, count);
	arena_free(&arena);
	return 0;
}
