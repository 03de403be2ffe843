/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backend/sim/sim.h"
#include "agent/label_memory.h"
#include "agent/plan.h"
#include "fuzz/accept.h"
#include "fuzz/seeds.h"
#include "fuzz/sequence.h"
#include "fuzz/words.h"
#include "fuzz/world.h"
#include "lib/model/names.h"

#define PRESENT WORDS_PRESENT
#define HISTORIES 40u
#define HISTORY_LENGTH 20u
#define TRIES 4000u
#define WAVES 6u

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void command_add(struct command command, struct buffer *input)
{
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	command.time_ms = 1000;
	FUZZ_MUST(codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error), &error);
	sequence_append(0, buffer_bytes(&bytes), input);
	buffer_free(&bytes);
}

static void history_end(struct buffer *input)
{
	seed_write("command", buffer_bytes(input));
	buffer_clear(input);
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
	struct command_volume_delete remove = { "v4" };
	struct command_host_attach attach = { "db4", "nqn.2014-08.org.x:h1" };
	struct command_host_detach detach = { "db4", "nqn.2014-08.org.x:h1" };
	struct command_lds_free lds_free = { 4, { 4, lds } };

	command_add((struct command){ .volume_create = &create }, input);
	volume_advances(4, 3, input);
	command_add((struct command){ .host_attach = &attach }, input);
	command_add((struct command){ .host_detach = &detach }, input);
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

/* Long ways into states that a few commands do not reach. */
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

/* --- what an agent is told, and sees ------------------------------------------------------------------------------ */

static void record_add(uint8_t kind, const struct schema *schema, const void *record, struct buffer *input)
{
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	FUZZ_MUST(codec_encode(schema, record, CODEC_TAGGED, &bytes, &error), &error);
	sequence_append(kind, buffer_bytes(&bytes), input);
	buffer_free(&bytes);
}

/* One wave of what the agent would do; the kernel before it goes into the input. */
static void wave(struct kernel *kernel, struct label_memory *labels, const struct desired *desired,
		 struct buffer *input)
{
	struct arena arena = ARENA_INIT;
	struct observed observed;
	struct target target;
	struct error error;
	struct plan plan;

	uint64_t look = label_memory_look(labels);

	FUZZ_MUST(kernel->operations->observe(kernel, &arena, &observed, &error), &error);
	FUZZ_MUST(label_memory_add(labels, look, &observed, &arena, &error), &error);
	FUZZ_MUST(target_build(desired, &arena, &target, &error), &error);
	FUZZ_MUST(plan_make(&observed, &target, &arena, &plan, &error), &error);
	record_add(1, schema_observed(), &observed, input);
	record_add(0, schema_desired(), desired, input);
	for (size_t i = 0; i < plan.actions.count; i++) {
		const struct action *action = &plan.actions.items[i];
		struct observed_label label = { 0 };

		for (size_t j = 0; j < action->zeros.count; j++)
			label_memory_forget(labels, action->zeros.items[j].device);
		if (action->kind == ACTION_LABEL_WRITE || action->kind == ACTION_LABEL_CHECK)
			label_memory_forget(labels, action->name);
		/* What fails is tried again in the next wave. */
		action_execute(action, kernel, &arena, &label, &error);
		if (label.device != NULL)
			label_memory_keep(labels, &label);
	}
	arena_free(&arena);
}

static void agent(struct world *world, const char *node, unsigned waves)
{
	struct label_memory labels = { 0 };
	struct buffer input = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct kernel *kernel;
	struct desired desired;
	struct error error;

	FUZZ_MUST(fsm_project_node(world->fsm, node, &arena, &desired, &error), &error);
	desired.reset = desired.complete = true;
	desired.term = 3;
	FUZZ_MUST(kernel_sim_open(NULL, &kernel, &error), &error);
	FUZZ_MUST(kernel_sim_disk_add(kernel, "/dev/nvme0n1=2GiB", &error), &error);
	kernel_sim_labels_assume(kernel);
	for (unsigned i = 0; i < waves; i++) {
		buffer_clear(&input);
		wave(kernel, &labels, &desired, &input);
	}
	seed_write("desired", buffer_bytes(&input));
	kernel->operations->close(kernel);
	label_memory_free(&labels);
	buffer_free(&input);
	arena_free(&arena);
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

/* Everything of a node is as desired; its members are all well, but `lost`. */
static void report_add(struct world *world, unsigned number, uint64_t lost, struct buffer *input)
{
	struct member_status members[] = { { .ld = 1, .epoch = PRESENT, .health = MEMBER_HEALTH_IN_SYNC },
					   { .ld = 2, .epoch = PRESENT, .health = MEMBER_HEALTH_IN_SYNC } };
	struct volume_health health = { .volume = 1, .members = { 2, members }, .revision = PRESENT };
	struct object_status statuses[32] = { 0 };
	struct agent_report report = { .objects = { 0, statuses }, .volumes = { 1, &health } };
	struct arena arena = ARENA_INIT;
	struct desired desired;
	struct error error;
	char node[8];

	snprintf(node, sizeof(node), "n%u", number);
	FUZZ_MUST(fsm_project_node(world->fsm, node, &arena, &desired, &error), &error);
	for (size_t i = 0; i < 2; i++) {
		members[i].path_lost = members[i].ld == lost;
		members[i].path_lost_ms = members[i].path_lost ? 9000 : 0;
	}
	for (size_t i = 0; i < desired.exports.count && report.objects.count < 32; i++)
		statuses[report.objects.count++] =
			(struct object_status){ .kind = OBJECT_KIND_EXPORT, .id = desired.exports.items[i].id };
	for (size_t i = 0; i < desired.volumes.count && report.objects.count < 32; i++)
		statuses[report.objects.count++] =
			(struct object_status){ .kind = OBJECT_KIND_VOLUME,
						.id = arena_printf(&arena, "v%" PRIu64, desired.volumes.items[i].id) };
	for (size_t i = 0; i < report.objects.count; i++) {
		statuses[i].revision = PRESENT;
		statuses[i].state = OBJECT_STATE_CONVERGED;
	}
	record_add((uint8_t)(4 * (number - 1)), schema_agent_report(), &report, input);
	arena_free(&arena);
}

static void time_add(unsigned number, struct buffer *input)
{
	struct empty empty = { 0 };

	record_add((uint8_t)(4 * (number - 1) + 3), schema_empty(), &empty, input);
}

static void reports(struct world *world)
{
	const char *live[] = { "n2" }, *lost[] = { "n1" };
	struct host_reach reach = { 1, { 1, live }, { 1, lost } };
	struct host_report host = { "nqn.2014-08.org.x:h0", { 1, &reach } };
	struct buffer input = BUFFER_INIT;

	/* A member is lost, then a node, then a host's path. */
	for (unsigned i = 1; i <= 6; i++)
		report_add(world, i, 0, &input);
	seed_write("report", buffer_bytes(&input));
	report_add(world, 1, 2, &input);
	time_add(6, &input);
	report_add(world, 1, 2, &input);
	seed_write("report", buffer_bytes(&input));
	time_add(1, &input);
	for (unsigned i = 2; i <= 6; i++)
		report_add(world, i, 0, &input);
	seed_write("report", buffer_bytes(&input));
	record_add(2, schema_host_report(), &host, &input);
	time_add(5, &input);
	record_add(2, schema_host_report(), &host, &input);
	seed_write("report", buffer_bytes(&input));
	buffer_free(&input);
}

void seeds_state(void)
{
	struct buffer input = BUFFER_INIT;
	struct world world;

	world_open("seeds", &world);
	world_reset(&world);
	history_move(&input);
	history_members(&input);
	history_leaving(&input);
	history_force(&input);
	history_volume(&input);
	history_nodes(&input);
	histories_random(&world, &input);
	seed_write("snapshot", world_beginning());
	for (unsigned i = 1; i <= WAVES; i++)
		agent(&world, "n1", i);
	agent(&world, "n2", 3);
	agent(&world, "n3", 4);
	reports(&world);
	world_close(&world);
	buffer_free(&input);
}
