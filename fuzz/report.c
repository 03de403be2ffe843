/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What agents and hosts report, and what the leader makes of it.
 *
 *   input: sequence.h; kinds 0 and 1: a report of the agent of n1 to n6, 2: of a host, 3: five seconds pass, and a node
 *   goes or comes
 *
 * In what stands below a controller, UINT64_MAX is the present epoch and revision.
 *
 * After each the leader takes a step for each volume. What it proposes is a command that the schema takes and the state
 * machine does not refuse (it was made for this very state), and the audit of the state is content.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/sequence.h"
#include "fuzz/words.h"
#include "fuzz/world.h"
#include "lib/base/arena.h"
#include "lib/model/names.h"
#include "lib/model/records.h"
#include "src/leader/online.h"
#include "src/leader/volumes.h"

#define NODES 6u
#define VOLUMES 3u
#define STEPS_MAX 4u

static const struct schema *(*const schemas[])(void) = { schema_agent_report, schema_agent_report, schema_host_report,
							 schema_empty };

static const struct schema *schema_of(size_t kind)
{
	return schemas[kind]();
}
static struct world world;

/* The leader's memory. */
struct leader {
	struct reported reported[NODES];
	bool offline[NODES];
	struct moments moments[VOLUMES];
	struct reach reach[VOLUMES];
	uint64_t now_ms;
};

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
	(void)argument_count;
	(void)arguments;
	world_open("world", &world);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	const struct sequence_kinds kinds = { schema_of, 4, CODEC_NAMED };
	size_t given = sequence_mutate(&kinds, data, size, max_size, seed);

	/* Whose report it is. */
	if (given > 0 && seed % 3 == 0)
		data[0] = (uint8_t)(data[0] % 4 + 4 * (seed / 3 % NODES));
	return given;
}

static void node_name(unsigned node, char ret_name[8])
{
	snprintf(ret_name, 8, "n%u", node + 1);
}

/* --- the view ----------------------------------------------------------------------------------------------------- */

struct sight {
	struct node_list nodes;
	struct disk_list disks;
	struct online_node online_nodes[NODES];
	struct online_disk online_disks[NODES];
	char names[NODES][8];
	struct online_view view;
};

static void sight_make(struct leader *leader, const struct volume *volume, struct arena *arena, struct sight *sight)
{
	struct error error;
	bool more;

	FUZZ_MUST(fsm_disk_list(world.fsm, NULL, 0, 0, arena, &sight->disks, &more, &error), &error);
	for (unsigned i = 0; i < NODES; i++) {
		struct node node = { 0 };

		node_name(i, sight->names[i]);
		FUZZ_MUST(fsm_node_get(world.fsm, sight->names[i], arena, &node, &error), &error);
		sight->online_nodes[i] = (struct online_node){
			.name = sight->names[i],
			.health = leader->offline[i] ? HEALTH_OFFLINE : HEALTH_ONLINE,
			.heard_ms = leader->offline[i] ? leader->now_ms - 5000 : leader->now_ms,
			.offline_ms = leader->offline[i] ? 5000 : 0,
			.cordoned = node.cordoned,
			.draining = node.draining,
			.controllers = node.controllers,
			.reported = &leader->reported[i],
		};
		memcpy(sight->online_nodes[i].boot_id, node.boot_id, sizeof(node.boot_id));
	}
	sight->view = (struct online_view){ .volume = volume,
					    .nodes = sight->online_nodes,
					    .node_count = NODES,
					    .disks = sight->online_disks,
					    .moments = &leader->moments[volume->id - 1],
					    .reach = &leader->reach[volume->id - 1],
					    .now_ms = leader->now_ms,
					    .leader_since_ms = 1000,
					    .wall_ms = leader->now_ms + 1000000 };
	for (size_t i = 0; i < sight->disks.count; i++) {
		for (unsigned n = 0; n < NODES; n++) {
			if (strcmp(sight->names[n], sight->disks.items[i].node) == 0)
				sight->online_disks[sight->view.disk_count++] =
					(struct online_disk){ .id = sight->disks.items[i].id,
							      .node = &sight->online_nodes[n] };
		}
	}
}

static const struct object_status *status_of(const struct sight *sight, const struct volumes_part *part)
{
	const struct online_node *node = online_node(&sight->view, part->node);

	return node != NULL ? reported_get(node->reported, part->kind, part->id) : NULL;
}

static struct command *volume_step(struct leader *leader, const struct volume *volume, struct arena *arena)
{
	struct command *command = arena_alloc(arena, sizeof(*command));
	struct sight *sight = arena_alloc(arena, sizeof(*sight));
	struct volumes_parts parts;
	struct volumes_step step = { 0 };
	struct online_step online = ONLINE_STEP_INIT;
	struct error error;

	FUZZ_REQUIRE(command != NULL && sight != NULL, "no memory");
	sight_make(leader, volume, arena, sight);
	if (volume->phase == VOLUME_PHASE_ONLINE) {
		FUZZ_MUST(online_step(&sight->view, arena, &online, &error), &error);
		return online.command;
	}
	FUZZ_MUST(volumes_parts_list(volume, arena, &parts, &error), &error);
	for (size_t i = 0; i < parts.count; i++) {
		struct volumes_part *part = &parts.items[i];
		const struct online_disk *disk =
			part->kind == OBJECT_KIND_EXPORT ? online_disk(&sight->view, part->disk) : NULL;

		if (disk != NULL)
			part->node = disk->node->name;
		part->health = part->node != NULL ? online_node(&sight->view, part->node)->health : HEALTH_UNKNOWN;
		part->status = part->node != NULL ? status_of(sight, part) : NULL;
	}
	FUZZ_MUST(volumes_step(volume, &parts, arena, &step, &error), &error);
	command->volume_advance = step.advance;
	command->lds_free = step.free;
	return step.advance != NULL || step.free != NULL ? command : NULL;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void propose(struct command *command, struct arena *arena)
{
	struct buffer bytes = BUFFER_INIT, answer = BUFFER_INIT;
	struct outcome outcome;
	struct error error;

	command->time_ms = 1000;
	FUZZ_MUST(codec_encode(schema_command(), command, CODEC_TAGGED, &bytes, &error), &error);
	world_apply(&world, buffer_bytes(&bytes), &answer);
	FUZZ_MUST(codec_decode(schema_outcome(), buffer_bytes(&answer), arena, &outcome, &error), &error);
	FUZZ_REQUIRE(outcome.code == 0, "what the leader proposes is refused: %s", outcome.message);
	world_check(&world, "what the leader proposes");
	buffer_free(&bytes);
	buffer_free(&answer);
}

static void leader_step(struct leader *leader)
{
	struct arena arena = ARENA_INIT;

	for (uint64_t id = 1; id <= VOLUMES; id++) {
		for (unsigned i = 0; i < STEPS_MAX; i++) {
			struct command *command;
			struct volume volume;

			if (fsm_volume_get(world.fsm, id, &arena, &volume, NULL) != 0)
				break;
			FUZZ_REQUIRE(moments_update(&leader->moments[id - 1], &volume, leader->now_ms) == 0,
				     "no memory");
			command = volume_step(leader, &volume, &arena);
			if (command == NULL)
				break;
			propose(command, &arena);
		}
	}
	arena_free(&arena);
}

/* UINT64_MAX stands for the present epoch and revision. */
static void health_freshen(struct volume_health *health, struct arena *arena)
{
	struct volume volume;

	if (fsm_volume_get(world.fsm, health->volume, arena, &volume, NULL) != 0)
		return;
	if (health->revision == WORDS_PRESENT)
		health->revision = volume.revision;
	for (size_t i = 0; i < health->members.count; i++) {
		struct member_status *member = &health->members.items[i];

		if (member->epoch != WORDS_PRESENT)
			continue;
		for (size_t l = 0; l < volume.legs.count; l++) {
			const struct ld_list *lds = &volume.legs.items[l].groups.items[0].members;

			for (size_t m = 0; m < lds->count; m++) {
				if (lds->items[m].id == member->ld)
					member->epoch = volume.slots.items[volume.legs.items[l].slot].epoch;
			}
		}
	}
}

static void take(struct leader *leader, const struct sequence_item *item, struct arena *arena)
{
	unsigned node = item->kind / 4 % NODES;
	struct agent_report report;
	struct host_report host;
	bool changed;

	switch (item->kind % 4) {
	case 2:
		if (codec_decode(schema_host_report(), item->record, arena, &host, NULL) != 0)
			return;
		for (size_t i = 0; i < host.volumes.count; i++) {
			if (host.volumes.items[i].volume <= VOLUMES)
				reach_update(&leader->reach[host.volumes.items[i].volume - 1], host.host_nqn,
					     &host.volumes.items[i], leader->now_ms, &changed, NULL);
		}
		return;
	case 3:
		leader->now_ms += 5000;
		leader->offline[node] = !leader->offline[node];
		for (unsigned i = 0; i < VOLUMES; i++)
			reach_sweep(&leader->reach[i], leader->now_ms);
		return;
	default:
		if (codec_decode(schema_agent_report(), item->record, arena, &report, NULL) != 0)
			return;
		for (size_t i = 0; i < report.volumes.count; i++) {
			health_freshen(&report.volumes.items[i], arena);
			reported_health_update(&leader->reported[node], &report.volumes.items[i], leader->now_ms, NULL);
		}
		for (size_t i = 0; i < report.objects.count; i++)
			reported_update(&leader->reported[node], &report.objects.items[i], NULL);
	}
}

/* What people are shown of it is a page that the schema takes. */
static void problems_show(const struct leader *leader, struct arena *arena)
{
	struct volume_status status = { 0 };
	struct error error;

	for (unsigned i = 0; i < NODES; i++) {
		FUZZ_MUST(reported_problems(&leader->reported[i], 0, arena, &status.problems, &error), &error);
	}
	for (size_t i = 0; i < status.problems.count; i++)
		FUZZ_MUST(codec_validate(schema_object_status(), &status.problems.items[i], &error), &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leader leader = { .now_ms = 100000 };
	struct arena arena = ARENA_INIT;
	struct sequence sequence;

	sequence_split((struct bytes){ data, size }, &sequence);
	if (sequence.count == 0)
		return 0;
	world_reset(&world);
	leader_step(&leader);
	for (size_t i = 0; i < sequence.count; i++) {
		take(&leader, &sequence.items[i], &arena);
		leader_step(&leader);
	}
	world_project(&world, "all reports");
	problems_show(&leader, &arena);
	for (unsigned i = 0; i < NODES; i++)
		reported_clear(&leader.reported[i]);
	for (unsigned i = 0; i < VOLUMES; i++) {
		moments_clear(&leader.moments[i]);
		reach_clear(&leader.reach[i]);
	}
	arena_free(&arena);
	return 0;
}
