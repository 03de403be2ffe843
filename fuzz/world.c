/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
