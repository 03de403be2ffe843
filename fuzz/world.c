/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/policy/placement.h"
#include "fuzz/words.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"

#define NODES 6u
#define DISK_BYTES (UINT64_C(2) << 30)

static const uint8_t boot_id[16] = "one and the same";

static void machine_open(struct world *world)
{
	struct store_options options = { .directory = world->directory, .map_step_bytes = 1 << 20, .boot_id = boot_id };
	struct error error;
	bool rebuilt;

	FUZZ_MUST(store_open(&options, &world->store, &rebuilt, &error), &error);
	FUZZ_MUST(fsm_open(world->store, NULL, NULL, &world->fsm, &error), &error);
	world->index = fsm_applied_index(world->fsm);
}

void world_open(const char *name, struct world *ret_world)
{
	*ret_world = (struct world){ 0 };
	fuzz_directory(name, ret_world->directory, sizeof(ret_world->directory));
	machine_open(ret_world);
}

void world_close(struct world *world)
{
	fsm_close(world->fsm);
	store_close(world->store);
}

void world_apply(struct world *world, struct bytes command, struct buffer *ret_outcome)
{
	struct buffer outcome = BUFFER_INIT;
	struct error error;

	FUZZ_MUST(fsm_apply(world->fsm, ++world->index, &command, 1, &outcome, &error), &error);
	FUZZ_REQUIRE(fsm_applied_index(world->fsm) == world->index, "the entry was not counted");
	if (ret_outcome != NULL)
		buffer_append(ret_outcome, outcome.data, outcome.size);
	buffer_free(&outcome);
}

void world_digest(struct world *world, uint8_t ret_digest[16])
{
	struct error error;

	FUZZ_MUST(fsm_digest(world->fsm, ret_digest, &error), &error);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

/* Apply a command that must succeed. */
static void must(struct world *world, struct command command)
{
	struct buffer bytes = BUFFER_INIT, answer = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	command.time_ms = 1000 + world->index;
	world_freshen(world, &command, &arena);
	FUZZ_MUST(codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error), &error);
	world_apply(world, buffer_bytes(&bytes), &answer);
	FUZZ_MUST(codec_decode(schema_outcome(), buffer_bytes(&answer), &arena, &outcome, &error), &error);
	FUZZ_REQUIRE(outcome.code == 0, "the world cannot be made: %s", outcome.message);
	buffer_free(&bytes);
	buffer_free(&answer);
	arena_free(&arena);
}

static void node_make(struct world *world, unsigned number)
{
	char name[16], address[16], rack[16];
	struct label labels[] = { { "rack", rack } };
	struct command_node_register node = {
		.name = name, .address = address, .port = 4420, .version = "1", .labels = { 1, labels }
	};
	struct command_disk_add disk = { .node = name,
					 .path = "/dev/nvme0n1",
					 .size_bytes = DISK_BYTES,
					 .serial = "S1",
					 .volatile_cache = number % 2 };

	snprintf(name, sizeof(name), "n%u", number);
	snprintf(address, sizeof(address), "10.0.0.%u", number);
	snprintf(rack, sizeof(rack), "r%u", (number + 1) / 2);
	memset(node.boot_id, 7, sizeof(node.boot_id));
	node.storage_only = number == NODES;
	must(world, (struct command){ .node_register = &node });
	must(world, (struct command){ .disk_add = &disk });
}

static void volume_make(struct world *world, const char *name, uint64_t copies, size_t actives, uint64_t standbys,
			uint64_t id)
{
	const char *nodes[] = { "n1", "n2" };
	struct command_volume_create create = { .name = name,
						.size_bytes = UINT64_C(64) << 20,
						.copies = copies,
						.standbys = standbys,
						.legs_per_controller = 1,
						.spread = SPREAD_NODE,
						.provision = PROVISION_THIN,
						.stripe_bytes = 65536,
						.actives = { actives, nodes } };
	struct command_volume_advance advance = {
		.id = id, .from = VOLUME_PHASE_PLACED, .to = VOLUME_PHASE_PLACED, .revision = WORDS_PRESENT
	};

	memset(create.uuid, (int)id, sizeof(create.uuid));
	must(world, (struct command){ .volume_create = &create });
	for (int phase = VOLUME_PHASE_PLACED; id != 2 && phase < VOLUME_PHASE_ONLINE; phase++) {
		advance.from = advance.to = VOLUME_PHASE_PLACED;
		advance.revision = WORDS_PRESENT;
		must(world, (struct command){ .volume_advance = &advance });
	}
}

static void beginning_make(struct world *world)
{
	struct server servers[] = { { 1, "10.0.0.201:7001", "10.0.0.201:7000", NULL, false } };
	struct cluster cluster = { .id = "c0ffee",
				   .name = "lab",
				   .extent_bytes = UINT64_C(4) << 20,
				   .servers = { 1, servers },
				   .created_ms = 5 };
	struct command_host_attach attach = { "db1", "nqn.2014-08.org.x:h0" };

	must(world, (struct command){ .cluster_create = &cluster });
	for (unsigned i = 1; i <= NODES; i++)
		node_make(world, i);
	volume_make(world, "db1", 2, 2, 1, 1);
	volume_make(world, "db2", 2, 1, 1, 2);
	volume_make(world, "db3", 1, 1, 0, 3);
	must(world, (struct command){ .host_attach = &attach });
}

struct bytes world_beginning(void)
{
	static struct buffer dump;
	struct world world;
	struct error error;

	if (dump.size == 0) {
		world_open("beginning", &world);
		beginning_make(&world);
		world_check(&world, "making the world");
		world_project(&world, "making the world");
		FUZZ_MUST(fsm_dump(world.fsm, &dump, &error), &error);
		world_close(&world);
	}
	return buffer_bytes(&dump);
}

void world_reset(struct world *world)
{
	struct error error;

	fsm_close(world->fsm);
	FUZZ_MUST(store_load(world->store, world_beginning(), &error), &error);
	FUZZ_MUST(fsm_open(world->store, NULL, NULL, &world->fsm, &error), &error);
	world->index = fsm_applied_index(world->fsm);
}

void world_check(struct world *world, const char *after)
{
	struct error error;

	if (fsm_check(world->fsm, &error) != 0)
		fuzz_fail(__FILE__, __LINE__, "after %s: %s\n%s", after, error.message, error.details);
}

void world_project(struct world *world, const char *after)
{
	struct arena arena = ARENA_INIT;
	struct node_list nodes;
	struct desired desired;
	struct error error;
	bool more;

	FUZZ_MUST(fsm_node_list(world->fsm, NULL, 0, &arena, &nodes, &more, &error), &error);
	for (size_t i = 0; i < nodes.count; i++) {
		FUZZ_MUST(fsm_project_node(world->fsm, nodes.items[i].name, &arena, &desired, &error), &error);
		if (codec_validate(schema_desired(), &desired, &error) != 0)
			fuzz_fail(__FILE__, __LINE__, "after %s: what %s shall make cannot be sent: %s", after,
				  nodes.items[i].name, error.message);
	}
	arena_free(&arena);
}

/* --- commands that fit -------------------------------------------------------------------------------------------- */

static void place(struct world *world, struct command_volume_create *create, struct arena *arena)
{
	struct placement_request request = { .name = create->name,
					     .size_bytes = create->size_bytes,
					     .copies = create->copies,
					     .controllers = create->actives.count,
					     .standbys = create->standbys,
					     .legs_per_controller = create->legs_per_controller,
					     .spread = create->spread,
					     .provision = create->provision,
					     .durability = create->durability };
	struct command_volume_create placed;
	struct placement_view view = { 0 };
	struct cluster cluster;
	bool more;

	memcpy(request.uuid, create->uuid, sizeof(request.uuid));
	if (fsm_cluster_get(world->fsm, arena, &cluster, NULL) != 0 ||
	    fsm_node_list(world->fsm, NULL, 0, arena, &view.nodes, &more, NULL) != 0 ||
	    fsm_disk_list(world->fsm, NULL, 0, 0, arena, &view.disks, &more, NULL) != 0)
		return;
	view.extent_bytes = cluster.extent_bytes;
	if (placement_plan(&request, &view, arena, &placed, NULL) == 0)
		*create = placed;
}

static const struct slot *slot_of(const struct volume *volume, uint64_t slot)
{
	return slot < volume->slots.count ? &volume->slots.items[slot] : NULL;
}

static void present(uint64_t *field, uint64_t value)
{
	if (*field == WORDS_PRESENT)
		*field = value;
}

/* The question that is asked of an LD; 1 if none is. */
static uint64_t drain_of(const struct volume *volume, uint64_t id)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (members->items[m].id == id && members->items[m].drain > 0)
					return members->items[m].drain;
			}
		}
	}
	return 1;
}

static void advance_freshen(struct command_slot_advance *advance, const struct slot *slot)
{
	if (slot == NULL || advance->from != advance->to)
		return;
	advance->from = slot->phase;
	advance->to = slot->phase == SLOT_PHASE_EXPORTING ? SLOT_PHASE_SERVING : (enum slot_phase)(slot->phase + 1);
	if (enum_schema_name(enum_schema_slot_phase(), (int)advance->to) == NULL)
		advance->to = slot->phase;
}

#define FRESHEN(name)                                                                                                  \
	if (command->name != NULL && fsm_volume_get(world->fsm, command->name->volume, arena, &volume, NULL) == 0) {   \
		slot = slot_of(&volume, command->name->slot);                                                          \
		present(&command->name->epoch, slot != NULL ? slot->epoch : 1);                                        \
	}

void world_freshen(struct world *world, struct command *command, struct arena *arena)
{
	const struct slot *slot = NULL;
	struct volume volume = { 0 };

	if (command->volume_create != NULL && command->volume_create->legs.count == 0)
		place(world, command->volume_create, arena);
	FRESHEN(slot_move)
	FRESHEN(slot_advance)
	FRESHEN(lds_stale)
	FRESHEN(ld_rebuild)
	FRESHEN(ld_in_sync)
	FRESHEN(ld_settle)
	FRESHEN(ld_drain)
	FRESHEN(ld_excuse)
	FRESHEN(ld_replace)
	FRESHEN(slot_force)
	if (command->slot_advance != NULL) {
		advance_freshen(command->slot_advance, slot);
		present(&command->slot_advance->revision, volume.revision);
	}
	if (command->ld_in_sync != NULL)
		present(&command->ld_in_sync->revision, volume.revision);
	if (command->ld_settle != NULL)
		present(&command->ld_settle->revision, volume.revision);
	if (command->slot_force != NULL)
		present(&command->slot_force->revision, volume.revision);
	if (command->ld_excuse != NULL)
		present(&command->ld_excuse->drain, drain_of(&volume, command->ld_excuse->ld));
	if (command->volume_advance != NULL &&
	    fsm_volume_get(world->fsm, command->volume_advance->id, arena, &volume, NULL) == 0) {
		struct command_volume_advance *advance = command->volume_advance;

		present(&advance->revision, volume.revision);
		if (advance->from == advance->to) {
			advance->from = volume.phase;
			advance->to = (enum volume_phase)(volume.phase + 1);
			if (enum_schema_name(enum_schema_volume_phase(), (int)advance->to) == NULL)
				advance->to = volume.phase;
		}
	}
	if (command->controller_drop != NULL &&
	    fsm_volume_get(world->fsm, command->controller_drop->volume, arena, &volume, NULL) == 0) {
		for (size_t i = 0; i < volume.controllers.count; i++) {
			if (strcmp(volume.controllers.items[i].node, command->controller_drop->node) == 0)
				present(&command->controller_drop->epoch, volume.controllers.items[i].epoch);
		}
	}
}
