/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot of the state, as another server or a backup gives it.
 *
 *   input: store_dump()'s bytes; the checksum at their end is made right first, as it keeps nobody out. What stands in
 *   its place chooses the commands that come next.
 *
 * It is refused, or loaded; what was loaded is read in every way, and the machine goes on with it, right or wrong.
 * What the audit finds good can be dumped to the same bytes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz/shape.h"
#include "fuzz/words.h"
#include "fuzz/world.h"
#include "lib/base/arena.h"
#include "lib/model/records.h"

#define HEADER_SIZE 24u
#define TABLE_SIZE 16u
#define PAIR_SIZE 8u
#define HASH_SIZE 16u
#define PAIRS_MAX 512u
#define WILD 16u
#define BUDGET 32u
#define VOLUMES 4u
#define COMMANDS 6u /* at random, behind those that are always the same */

static struct world world;

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
	(void)argument_count;
	(void)arguments;
	world_open("world", &world);
	return 0;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

struct pair {
	uint32_t table;
	struct bytes key, value;
};

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put(struct buffer *output, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	buffer_append(output, bytes, size);
}

/* Pairs as far as they can be made out. */
static size_t pairs_read(struct bytes dump, struct pair *ret_pairs)
{
	size_t count = 0, at = HEADER_SIZE;

	if (dump.size < HEADER_SIZE + HASH_SIZE)
		return 0;
	dump.size -= HASH_SIZE;
	while (dump.size - at >= TABLE_SIZE && at < dump.size) {
		uint32_t table = get32(dump.data + at), pairs = get32(dump.data + at + 8);

		at += TABLE_SIZE;
		for (uint32_t i = 0; i < pairs && count < PAIRS_MAX && dump.size - at >= PAIR_SIZE; i++) {
			uint64_t key = get32(dump.data + at), value = get32(dump.data + at + 4);

			if (key + value > dump.size - at - PAIR_SIZE)
				return count;
			at += PAIR_SIZE;
			ret_pairs[count++] =
				(struct pair){ table, { dump.data + at, key }, { dump.data + at + key, value } };
			at += key + value;
		}
	}
	return count;
}

static void pairs_write(const struct pair *pairs, size_t count, uint64_t commands, struct buffer *output)
{
	buffer_append(output, "DNVMDMP\n\1\0\0\0", 12);
	put(output, STORE_TABLE_COUNT, 4);
	put(output, count, 8);
	for (uint32_t table = 0; table < STORE_TABLE_COUNT; table++) {
		uint64_t of_table = 0;

		for (size_t i = 0; i < count; i++)
			of_table += pairs[i].table == table;
		put(output, table, 8);
		put(output, of_table, 8);
		for (size_t i = 0; i < count; i++) {
			if (pairs[i].table != table)
				continue;
			put(output, pairs[i].key.size, 4);
			put(output, pairs[i].value.size, 4);
			buffer_append(output, pairs[i].key.data, pairs[i].key.size);
			buffer_append(output, pairs[i].value.data, pairs[i].value.size);
		}
	}
	put(output, commands, 8);
	put(output, 0, 8);
}

static int pair_compare(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	size_t size = x->key.size < y->key.size ? x->key.size : y->key.size;
	int order = x->table != y->table ? (x->table < y->table ? -1 : 1) : memcmp(x->key.data, y->key.data, size);

	return order != 0 ? order : (x->key.size > y->key.size) - (x->key.size < y->key.size);
}

static const struct schema *schema_of(const struct pair *pair)
{
	switch (pair->table) {
	case STORE_TABLE_META:
		return pair->key.size == strlen("cluster") ? schema_cluster() : NULL;
	case STORE_TABLE_NODE:
		return schema_node();
	case STORE_TABLE_DISK:
		return schema_disk();
	case STORE_TABLE_VOLUME:
		return schema_volume();
	case STORE_TABLE_REQUEST:
		return schema_outcome();
	case STORE_TABLE_JOB:
		return schema_operation();
	case STORE_TABLE_EVENT:
		return schema_event();
	default:
		return NULL;
	}
}

static void bytes_change(struct dice *dice, struct bytes from, struct buffer *output)
{
	size_t at = dice_roll(dice, from.size);

	buffer_append(output, from.data, from.size);
	if (from.size == 0 || dice_once_in(dice, 8))
		buffer_append(output, "\1", 1);
	else if (dice_once_in(dice, 8))
		output->size--;
	else if (dice_roll(dice, 2))
		output->data[at] = (uint8_t)(output->data[at] + dice_roll(dice, 3) - 1);
	else
		output->data[at] = (uint8_t)dice_roll(dice, 256);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct shape shape = { .style = CODEC_TAGGED, .wild = WILD, .budget = BUDGET };
	struct buffer made = BUFFER_INIT, part = BUFFER_INIT;
	static struct pair pairs[PAIRS_MAX];
	size_t count = pairs_read((struct bytes){ data, size }, pairs), at, given;
	uint64_t commands;
	const struct schema *schema;

	dice_init(&shape.dice, seed);
	if (count == 0 || dice_once_in(&shape.dice, 16))
		return LLVMFuzzerMutate(data, size, max_size);
	if (dice_roll(&shape.dice, 2))
		shape.wild = 0;
	at = dice_roll(&shape.dice, count);
	/* There are many events, and little depends on them. */
	for (unsigned i = 0; i < 3 && pairs[at].table == STORE_TABLE_EVENT; i++)
		at = dice_roll(&shape.dice, count);
	schema = schema_of(&pairs[at]);
	/* Often the same ones: then what is new comes of the state. */
	commands = dice_roll(&shape.dice, 2) ? get32(data + size - HASH_SIZE) : dice_roll(&shape.dice, UINT32_MAX);
	if (dice_once_in(&shape.dice, 12)) {
		memmove(&pairs[at], &pairs[at + 1], (--count - at) * sizeof(pairs[0]));
	} else if (schema == NULL ? dice_roll(&shape.dice, 2) == 0 : dice_once_in(&shape.dice, 6)) {
		bytes_change(&shape.dice, pairs[at].key, &part);
		pairs[at].key = buffer_bytes(&part);
	} else if (schema != NULL && shape_mutate(&shape, schema, pairs[at].value, &part)) {
		pairs[at].value = buffer_bytes(&part);
	} else {
		buffer_clear(&part);
		bytes_change(&shape.dice, pairs[at].value, &part);
		pairs[at].value = buffer_bytes(&part);
	}
	if (dice_roll(&shape.dice, 32))
		qsort(pairs, count, sizeof(pairs[0]), pair_compare);
	pairs_write(pairs, count, commands, &made);
	given = fuzz_give(&made, data, max_size);
	buffer_free(&made);
	buffer_free(&part);
	return given > 0 ? given : LLVMFuzzerMutate(data, size, max_size);
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

/* Pages, and what else is about all objects. */
static void lists_read(struct world *loaded, struct arena *arena)
{
	const struct fsm_event_query all = { 0 }, some = { .after_revision = 3, .volume = "db1", .node = "n1" };
	struct operation_list operations;
	struct fsm_events events;
	struct disk_list disks;
	struct volume_list volumes;
	struct host_list hosts;
	struct cluster cluster;
	struct outcome outcome;
	uint64_t *ids = NULL, nodes_count, disks_count, volumes_count;
	size_t count = 0;
	bool more;

	fsm_cluster_get(loaded->fsm, arena, &cluster, NULL);
	fsm_disk_list(loaded->fsm, NULL, 0, 0, arena, &disks, &more, NULL);
	fsm_volume_list(loaded->fsm, NULL, 0, arena, &volumes, &more, NULL);
	fsm_volume_list(loaded->fsm, "db1", 1, arena, &volumes, &more, NULL);
	fsm_host_list(loaded->fsm, NULL, NULL, 0, arena, &hosts, &more, NULL);
	fsm_host_list(loaded->fsm, "nqn.2014-08.org.x:h0", NULL, 0, arena, &hosts, &more, NULL);
	fsm_transition_list(loaded->fsm, 0, 0, arena, &ids, &count, NULL);
	fsm_operation_list(loaded->fsm, 0, 0, arena, &operations, &more, NULL);
	fsm_event_list(loaded->fsm, &all, arena, &events, NULL);
	fsm_event_list(loaded->fsm, &some, arena, &events, NULL);
	fsm_request_get(loaded->fsm, (struct bytes){ (const uint8_t *)"0123456789abcdef", LIMIT_REQUEST_ID }, arena,
			&outcome, NULL);
	fsm_counts(loaded->fsm, &nodes_count, &disks_count, &volumes_count, NULL);
}

static void node_read(struct world *loaded, const char *node, struct arena *arena)
{
	struct desired desired;
	struct disk_list disks;
	uint64_t *ids = NULL;
	size_t count = 0;
	bool more;

	fsm_project_node(loaded->fsm, node, arena, &desired, NULL);
	for (uint64_t id = 1; id <= VOLUMES; id++)
		fsm_project_volume(loaded->fsm, node, id, arena, &desired, NULL);
	fsm_node_volume_list(loaded->fsm, node, 0, 0, arena, &ids, &count, NULL);
	fsm_disk_list(loaded->fsm, node, 0, 0, arena, &disks, &more, NULL);
}

/* Everything that can be read; what comes of it does not matter. */
static void read_all(struct world *loaded)
{
	struct arena arena = ARENA_INIT;
	struct node_list nodes = { 0 };
	struct volume volume;
	bool more;

	if (fsm_node_list(loaded->fsm, NULL, 0, &arena, &nodes, &more, NULL) != 0)
		nodes.count = 0;
	for (size_t i = 0; i < nodes.count; i++)
		node_read(loaded, nodes.items[i].name, &arena);
	lists_read(loaded, &arena);
	fsm_volume_find(loaded->fsm, "db1", &arena, &volume, NULL);
	arena_free(&arena);
}

static void command_apply(struct world *loaded, struct command *command)
{
	struct buffer encoded = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct bytes bytes;

	command->time_ms = 1;
	world_freshen(loaded, command, &arena);
	if (codec_encode(schema_command(), command, CODEC_TAGGED, &encoded, NULL) == 0) {
		bytes = buffer_bytes(&encoded);
		fsm_apply(loaded->fsm, loaded->index + 1, &bytes, 1, NULL, NULL);
		loaded->index = fsm_applied_index(loaded->fsm);
	}
	buffer_free(&encoded);
	arena_free(&arena);
}

static void go_on_at_random(struct world *loaded, uint64_t seed)
{
	struct shape shape = { .style = CODEC_TAGGED };
	struct buffer record = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct command command;

	dice_init(&shape.dice, seed);
	for (unsigned i = 0; i < COMMANDS; i++) {
		buffer_clear(&record);
		shape.budget = 24;
		shape_record(&shape, schema_command(), &record);
		if (codec_decode(schema_command(), buffer_bytes(&record), &arena, &command, NULL) == 0)
			command_apply(loaded, &command);
	}
	buffer_free(&record);
	arena_free(&arena);
}

/* Whatever the state is worth: commands are applied, refused, or fail as a whole. */
static void go_on(struct world *loaded)
{
	const char *lds[] = { "ld1", "ld2" };
	struct command_node_register node = { .name = "n1", .address = "10.0.9.9", .port = 4420, .version = "2" };
	struct command_node_forget forget = { .name = "n3", .dead = true };
	struct command_disk_add disk_add = { .node = "n2", .path = "/dev/new", .size_bytes = UINT64_C(1) << 30 };
	struct command_disk_remove disk_remove = { 6 };
	struct command_slot_move move = { 1, 0, WORDS_PRESENT, "n2", MOVE_REASON_FAILOVER };
	struct command_lds_stale stale = { 1, 0, WORDS_PRESENT, STALE_REASON_MEDIUM, { 1, lds } };
	struct command_ld_replace replace = { 1, 0, WORDS_PRESENT, 1, 5 };
	struct command_volume_delete remove = { "db3" };
	struct command_lds_free lds_free = { 1, { 2, lds } };
	struct command_job_advance advance = { 1, OPERATION_PHASE_OVER, OPERATION_PHASE_OVER, WORDS_PRESENT };
	struct command commands[] = {
		{ .job_advance = &advance },  { .slot_move = &move },	 { .lds_stale = &stale },
		{ .ld_replace = &replace },   { .lds_free = &lds_free }, { .node_register = &node },
		{ .node_forget = &forget },   { .disk_add = &disk_add }, { .disk_remove = &disk_remove },
		{ .volume_delete = &remove },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		command_apply(loaded, &commands[i]);
}

static void loaded_take(struct world *loaded, struct bytes dump, uint64_t commands)
{
	struct buffer again = BUFFER_INIT;
	struct error error;

	loaded->index = fsm_applied_index(loaded->fsm);
	FUZZ_MUST(fsm_dump(loaded->fsm, &again, &error), &error);
	/* One of before this version lacks tables. */
	if (get32(dump.data + 12) == STORE_TABLE_COUNT)
		FUZZ_REQUIRE(again.size == dump.size && memcmp(again.data, dump.data, dump.size) == 0,
			     "what was loaded is dumped as something else");
	buffer_free(&again);
	error_clear(&error);
	if (fsm_check(loaded->fsm, &error) != 0)
		FUZZ_REQUIRE(error.message[0] != '\0', "the audit found something and did not say what");
	read_all(loaded);
	if (loaded->index < UINT64_MAX - 100) {
		go_on_at_random(loaded, commands);
		go_on(loaded);
		read_all(loaded);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer dump = BUFFER_INIT;
	XXH128_canonical_t hash;
	struct error error;

	if (size < HEADER_SIZE + HASH_SIZE)
		return 0;
	FUZZ_REQUIRE(buffer_append(&dump, data, size) == 0, "no memory");
	XXH128_canonicalFromHash(&hash, XXH3_128bits(dump.data, size - HASH_SIZE));
	memcpy(dump.data + size - HASH_SIZE, hash.digest, HASH_SIZE);
	error_clear(&error);
	if (store_load(world.store, buffer_bytes(&dump), &error) != 0) {
		FUZZ_REQUIRE(error.code != ERROR_INTERNAL, "%s", error.message);
	} else {
		fsm_close(world.fsm);
		world.fsm = NULL;
		if (fsm_open(world.store, NULL, NULL, &world.fsm, &error) == 0)
			loaded_take(&world, buffer_bytes(&dump), get32(data + size - HASH_SIZE));
	}
	buffer_free(&dump);
	return 0;
}
