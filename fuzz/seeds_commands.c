/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Histories of commands, and states that they lead to. */
#include <string.h>

#include "fuzz/accept.h"
#include "fuzz/seeds.h"
#include "fuzz/sequence.h"
#include "fuzz/words.h"
#include "fuzz/world.h"
#include "lib/base/arena.h"
#include "lib/wire/codec.h"

#define PRESENT WORDS_PRESENT
#define HISTORIES 40u
#define HISTORY_LENGTH 20u
#define TRIES 4000u
#define DUMPS_MAX 16u

static void command_add(struct command command, struct buffer *input)
{
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	command.time_ms = 1000;
	FUZZ_MUST(codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error), &error);
	sequence_append(0, buffer_bytes(&bytes), input);
	buffer_free(&bytes);
}

/* Dumps of the states that histories lead to. */
static struct buffer dumps[DUMPS_MAX];
static size_t dump_count;

static void history_end(struct buffer *input)
{
	seed_write("command", buffer_bytes(input));
	buffer_clear(input);
}

/* Of each command the state takes, or refuses, what the target makes of it. */
static void history_follow(struct world *world, const struct buffer *input)
{
	struct arena arena = ARENA_INIT;
	struct sequence sequence;
	struct error error;

	world_reset(world);
	sequence_split(buffer_bytes(input), &sequence);
	for (size_t i = 0; i < sequence.count; i++) {
		struct buffer bytes = BUFFER_INIT, answer = BUFFER_INIT;
		struct outcome outcome;
		struct command command;

		FUZZ_MUST(codec_decode(schema_command(), sequence.items[i].record, &arena, &command, &error), &error);
		world_freshen(world, &command, &arena);
		FUZZ_MUST(codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error), &error);
		world_apply(world, buffer_bytes(&bytes), &answer);
		FUZZ_MUST(codec_decode(schema_outcome(), buffer_bytes(&answer), &arena, &outcome, &error), &error);
		FUZZ_REQUIRE(outcome.code == 0, "command %zu is refused: %s", i + 1, outcome.message);
		buffer_free(&bytes);
		buffer_free(&answer);
	}
	arena_free(&arena);
}

/* The state that such a history leads to is one that a snapshot may hold. */
static void history_end_dumped(struct world *world, struct buffer *input)
{
	struct error error;

	history_follow(world, input);
	FUZZ_REQUIRE(dump_count < DUMPS_MAX, "too many dumps");
	FUZZ_MUST(fsm_dump(world->fsm, &dumps[dump_count++], &error), &error);
	history_end(input);
}

static void slot_advances(struct buffer *input)
{
	struct command_slot_advance advance = { 1, 0, PRESENT, SLOT_PHASE_SERVING, SLOT_PHASE_SERVING, PRESENT };

	for (unsigned i = 0; i < 3; i++)
		command_add((struct command){ .slot_advance = &advance }, input);
}

static void volume_advances(uint64_t id, unsigned count, struct buffer *input)
{
	struct command_volume_advance advance = { id, VOLUME_PHASE_PLACED, VOLUME_PHASE_PLACED, PRESENT };

	for (unsigned i = 0; i < count; i++)
		command_add((struct command){ .volume_advance = &advance }, input);
}

/* A slot moves; its old holder is cleaned. */
static void history_move(struct buffer *input)
{
	struct command_slot_move move = { 1, 0, PRESENT, "n3", MOVE_REASON_FAILOVER };
	struct command_controller_drop drop = { 1, "n1", PRESENT };
	struct command_controller_add add = { 1, "n4" };
	struct command_controller_retire retire = { 1, "n4" };

	command_add((struct command){ .slot_move = &move }, input);
	slot_advances(input);
	command_add((struct command){ .controller_drop = &drop }, input);
	command_add((struct command){ .controller_add = &add }, input);
	command_add((struct command){ .controller_retire = &retire }, input);
	history_end(input);
}

/* A member is lost: it comes back, or another one takes its place; a question about one that failed to read. */
static void history_members(struct buffer *input)
{
	const char *first[] = { "ld1" }, *second[] = { "ld2" }, *gone[] = { "ld2" };
	struct command_lds_stale stale = { 1, 0, PRESENT, STALE_REASON_PATH_LOST, { 1, first } };
	struct command_lds_stale other = { 1, 0, PRESENT, STALE_REASON_MEDIUM, { 1, second } };
	struct command_ld_rebuild rebuild = { 1, 0, PRESENT, 1, true };
	struct command_ld_in_sync in_sync = { 1, 0, PRESENT, 1, PRESENT };
	struct command_ld_settle settle = { 1, 0, PRESENT, 1, PRESENT, false };
	struct command_ld_replace replace = { 1, 0, PRESENT, 2, 5 };
	struct command_lds_free lds_free = { 1, { 1, gone } };
	struct failed_reads failed = { .boot_id = { 7 }, .reads = 3, .last_us = 9 };
	struct command_ld_drain drain = { 1, 0, PRESENT, 1, &failed };
	struct command_ld_excuse excuse = { 1, 0, PRESENT, 1, PRESENT };

	command_add((struct command){ .lds_stale = &stale }, input);
	command_add((struct command){ .ld_settle = &settle }, input);
	command_add((struct command){ .lds_stale = &stale }, input);
	command_add((struct command){ .ld_rebuild = &rebuild }, input);
	command_add((struct command){ .ld_in_sync = &in_sync }, input);
	command_add((struct command){ .lds_stale = &other }, input);
	command_add((struct command){ .ld_replace = &replace }, input);
	command_add((struct command){ .lds_free = &lds_free }, input);
	command_add((struct command){ .ld_drain = &drain }, input);
	command_add((struct command){ .ld_excuse = &excuse }, input);
	history_end(input);
}

/* Two members are replaced, of two slots; none of the old ones is gone yet. */
static void history_leaving(struct buffer *input)
{
	const char *lds[2][1] = { { "ld2" }, { "ld4" } };

	for (uint64_t slot = 0; slot < 2; slot++) {
		struct command_lds_stale stale = { 1, slot, PRESENT, STALE_REASON_MEDIUM, { 1, lds[slot] } };
		struct command_ld_replace replace = { 1, slot, PRESENT, 2 + 2 * slot, 5 + slot };

		command_add((struct command){ .lds_stale = &stale }, input);
		command_add((struct command){ .ld_replace = &replace }, input);
	}
	history_end(input);
}

/* The last copy with everything is away, and an operator takes the other one. */
static void history_force(struct buffer *input)
{
	const char *lds[] = { "ld1" }, *off[] = { "n2" };
	struct command_lds_stale stale = { 1, 0, PRESENT, STALE_REASON_PATH_LOST, { 1, lds } };
	struct command_slot_move move = { 1, 0, PRESENT, "n3", MOVE_REASON_FAILOVER };
	struct command_slot_force force = { 1, 0, PRESENT, PRESENT, { 1, lds }, "root@ops", { 1, off } };
	struct command_node_forget forget = { "n2", true };

	command_add((struct command){ .lds_stale = &stale }, input);
	command_add((struct command){ .slot_move = &move }, input);
	command_add((struct command){ .slot_force = &force }, input);
	slot_advances(input);
	command_add((struct command){ .node_forget = &forget }, input);
	history_end(input);
}

/* A volume is made, used, and goes. */
static void history_volume(struct buffer *input)
{
	const char *actives[] = { "n1", "n2" }, *lds[] = { "ld8", "ld9", "ld10", "ld11" };
	struct command_volume_create create = { .name = "db4",
						.uuid = { 4 },
						.size_bytes = UINT64_C(64) << 20,
						.copies = 2,
						.standbys = 1,
						.legs_per_controller = 1,
						.spread = SPREAD_RACK,
						.provision = PROVISION_THICK,
						.stripe_bytes = 65536,
						.actives = { 2, actives } };
	struct command_volume_set set = { 4, 2, PRESENT };
	struct command_volume_delete remove = { "v4" };
	struct command_host_attach attach = { "db4", "nqn.2014-08.org.x:h1" };
	struct command_host_detach detach = { "db4", "nqn.2014-08.org.x:h1" };
	struct command_lds_free lds_free = { 4, { 4, lds } };

	command_add((struct command){ .volume_create = &create }, input);
	volume_advances(4, 3, input);
	command_add((struct command){ .host_attach = &attach }, input);
	command_add((struct command){ .host_detach = &detach }, input);
	command_add((struct command){ .volume_set = &set }, input);
	command_add((struct command){ .volume_delete = &remove }, input);
	volume_advances(4, 2, input);
	command_add((struct command){ .lds_free = &lds_free }, input);
	history_end(input);
}

static void history_nodes(struct buffer *input)
{
	struct settings settings = { 1000, 1 << 20 };
	struct command_cluster_set set = { &settings };
	struct command_node_cordon cordon = { "n4", true, true };
	struct command_node_register node = { .name = "n4", .address = "10.0.0.9", .port = 4421, .boot_id = { 9 } };
	struct command_disk_add disk = { "n4", "/dev/x", UINT64_C(1) << 30, "S9", true, true };
	struct command_disk_cache cache = { 7, { 9 }, false };
	struct command_disk_remove remove = { 7 };
	struct command_node_forget forget = { "n5", false };
	struct command_server_add server = { 0, "b", "10.0.0.2:7401", "10.0.0.2:7400" };
	struct command_server_remove no_server = { 2, false }, gone = { 2, true };

	command_add((struct command){ .cluster_set = &set }, input);
	command_add((struct command){ .node_cordon = &cordon }, input);
	command_add((struct command){ .node_register = &node }, input);
	command_add((struct command){ .disk_add = &disk }, input);
	command_add((struct command){ .disk_cache = &cache }, input);
	command_add((struct command){ .disk_remove = &remove }, input);
	command_add((struct command){ .node_forget = &forget }, input);
	command_add((struct command){ .server_add = &server }, input);
	command_add((struct command){ .server_remove = &no_server }, input);
	command_add((struct command){ .server_remove = &gone }, input);
	history_end(input);
}

/* --- jobs, moves of LDs, recoveries ------------------------------------------------------------------------------- */

static void job_advances(uint64_t id, unsigned count, struct buffer *input)
{
	struct command_job_advance advance = { id, OPERATION_PHASE_OVER, OPERATION_PHASE_OVER, PRESENT };

	for (unsigned i = 0; i < count; i++)
		command_add((struct command){ .job_advance = &advance }, input);
}

static void extend_add(struct buffer *input)
{
	struct command_volume_extend extend = { .id = 1,
						.size_bytes = UINT64_C(256) << 20,
						.from_bytes = UINT64_C(64) << 20 };

	command_add((struct command){ .volume_extend = &extend }, input);
}

static void snapshot_add(const char *name, struct buffer *input)
{
	struct command_snapshot_create create = {
		.id = 1, .name = name, .pause_limit_ms = LIMIT_PAUSE_MS_DEFAULT, .accept_flush = true
	};

	command_add((struct command){ .snapshot_create = &create }, input);
}

/* A volume grows; another time that is undone. */
static void history_extend(struct world *world, struct buffer *input)
{
	struct command_job_cancel cancel = { 1 };
	struct command_job_forget forget = { 1, PRESENT };

	extend_add(input);
	job_advances(1, 2, input);
	history_end_dumped(world, input);
	extend_add(input);
	job_advances(1, 4, input);
	command_add((struct command){ .job_forget = &forget }, input);
	history_end_dumped(world, input);
	extend_add(input);
	job_advances(1, 1, input);
	command_add((struct command){ .job_cancel = &cancel }, input);
	job_advances(1, 1, input);
	history_end_dumped(world, input);
}

/* A snapshot is made at the second attempt, is read by a host while a slot moves, and goes; a slot moves while another
 * one is made. */
static void history_snapshot(struct world *world, struct buffer *input)
{
	struct operation_error why = { "DEADLINE_EXCEEDED", "it took too long" };
	struct command_snapshot_retry retry = { 1, OPERATION_PHASE_OVER, LIMIT_THINS, &why };
	struct command_snapshot_delete remove = { "db1", "n1" };
	struct command_snapshot_attach attach = { "db1", "n1", "nqn.2014-08.org.x:h1" };
	struct command_snapshot_detach detach = { "db1", "n1", "nqn.2014-08.org.x:h1" };
	struct command_thins_purge purge = { 1, PRESENT };
	struct command_slot_move move = { 1, 0, PRESENT, "n3", MOVE_REASON_FAILOVER };

	snapshot_add("n1", input);
	job_advances(1, 4, input);
	command_add((struct command){ .snapshot_retry = &retry }, input);
	command_add((struct command){ .thins_purge = &purge }, input);
	job_advances(1, 4, input);
	history_end_dumped(world, input);
	snapshot_add("n1", input);
	job_advances(1, 8, input);
	command_add((struct command){ .snapshot_attach = &attach }, input);
	command_add((struct command){ .snapshot_delete = &remove }, input);
	command_add((struct command){ .slot_move = &move }, input);
	slot_advances(input);
	history_end_dumped(world, input);
	snapshot_add("n1", input);
	job_advances(1, 8, input);
	command_add((struct command){ .snapshot_attach = &attach }, input);
	command_add((struct command){ .snapshot_detach = &detach }, input);
	command_add((struct command){ .snapshot_delete = &remove }, input);
	command_add((struct command){ .thins_purge = &purge }, input);
	history_end(input);
	snapshot_add("n1", input);
	job_advances(1, 4, input);
	command_add((struct command){ .slot_move = &move }, input);
	slot_advances(input);
	history_end_dumped(world, input);
}

/* Somebody moves a slot to its standby; then another one, which he cancels. */
static void history_move_slot(struct world *world, struct buffer *input)
{
	struct command_volume_move move = { 1, 0, PRESENT, "n3", 0 }, other = { 1, 1, PRESENT, "n5", 1 };
	struct command_slot_move slot_move = { 1, 0, PRESENT, "n3", MOVE_REASON_ASKED };
	struct command_job_cancel cancel = { 2 };

	command_add((struct command){ .volume_move = &move }, input);
	command_add((struct command){ .slot_move = &slot_move }, input);
	slot_advances(input);
	job_advances(1, 1, input);
	command_add((struct command){ .volume_move = &other }, input);
	history_end_dumped(world, input);
	command_add((struct command){ .volume_move = &other }, input);
	command_add((struct command){ .job_cancel = &cancel }, input);
	history_end(input);
}

/* A disk is drained: its LD is copied to another one, and goes. */
static void history_drain(struct world *world, struct buffer *input)
{
	const char *disks[] = { "d1" }, *lds[] = { "ld1" };
	struct command_disk_drain drain = { { 1, disks }, true };
	struct command_ld_move move = { 1, 0, PRESENT, 1, 5 };
	struct command_ld_in_sync in_sync = { 1, 0, PRESENT, 8, PRESENT };
	struct command_lds_stale stale = { 1, 0, PRESENT, STALE_REASON_MOVED, { 1, lds } };
	struct command_ld_settle settle = { 1, 0, PRESENT, 1, PRESENT, true };
	struct command_ld_moved moved = { 1, 0, PRESENT, 1, PRESENT };
	struct command_lds_free lds_free = { 1, { 1, lds } };

	command_add((struct command){ .disk_drain = &drain }, input);
	command_add((struct command){ .ld_move = &move }, input);
	history_end_dumped(world, input);
	command_add((struct command){ .disk_drain = &drain }, input);
	command_add((struct command){ .ld_move = &move }, input);
	command_add((struct command){ .ld_in_sync = &in_sync }, input);
	command_add((struct command){ .lds_stale = &stale }, input);
	command_add((struct command){ .ld_settle = &settle }, input);
	command_add((struct command){ .ld_moved = &moved }, input);
	command_add((struct command){ .lds_free = &lds_free }, input);
	history_end(input);
}

/* The group lost its majority: every volume is held, and released. */
static void history_recover(struct world *world, struct buffer *input)
{
	struct command_cluster_recover recover = { .server = 1, .by = "root@ops" };
	struct command_volume_release release = { 1, PRESENT };

	command_add((struct command){ .cluster_recover = &recover }, input);
	history_end_dumped(world, input);
	command_add((struct command){ .cluster_recover = &recover }, input);
	command_add((struct command){ .volume_release = &release }, input);
	slot_advances(input);
	history_end(input);
}

/* --- long ways ---------------------------------------------------------------------------------------------------- */

/* Into states that a few commands do not reach. */
static void histories_random(struct world *world, struct buffer *input)
{
	for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
		struct shape shape = { .style = CODEC_TAGGED };

		dice_init(&shape.dice, seed);
		world_reset(world);
		for (unsigned i = 0; i < HISTORY_LENGTH && accept_find(world, &shape, TRIES, input); i++)
			;
		history_end(input);
	}
	world_reset(world);
}

void seeds_commands(void)
{
	struct buffer input = BUFFER_INIT;
	struct world world;

	world_open("histories", &world);
	history_move(&input);
	history_members(&input);
	history_leaving(&input);
	history_force(&input);
	history_volume(&input);
	history_nodes(&input);
	history_extend(&world, &input);
	history_snapshot(&world, &input);
	history_move_slot(&world, &input);
	history_drain(&world, &input);
	history_recover(&world, &input);
	histories_random(&world, &input);
	seed_write("snapshot", world_beginning());
	for (size_t i = 0; i < dump_count; i++) {
		seed_write("snapshot", buffer_bytes(&dumps[i]));
		buffer_free(&dumps[i]);
	}
	world_close(&world);
	buffer_free(&input);
}
