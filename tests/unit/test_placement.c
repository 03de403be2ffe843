/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fsm/policy/placement.h"
#include "lib/model/layout.h"
#include "tests/unit/failing_alloc.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define EXTENT (4 * MIB)
#define MOST 64

/* A rack: nodes n1…, each with one disk d1…; the tests change what they are about. */
struct rack {
	struct node nodes[MOST];
	struct label labels[MOST];
	struct disk disks[MOST];
	enum health health[MOST];
	char names[MOST][24], racks[MOST][24];
	struct placement_view view;
	struct placement_request request;
	struct arena arena;
};

static void rack_make(struct rack *rack, size_t nodes, uint64_t disk_extents)
{
	arena_free(&rack->arena);
	memset(rack, 0, sizeof(*rack));
	for (size_t i = 0; i < nodes; i++) {
		snprintf(rack->names[i], sizeof(rack->names[i]), "n%zu", i + 1);
		snprintf(rack->racks[i], sizeof(rack->racks[i]), "r%zu", i / 2 + 1);
		rack->labels[i] = (struct label){ "rack", rack->racks[i] };
		rack->nodes[i] = (struct node){
			.name = rack->names[i],
			.colour = i % LIMIT_COLOURS,
			.labels = { 1, &rack->labels[i] },
		};
		rack->disks[i] = (struct disk){
			.id = i + 1,
			.node = rack->names[i],
			.extents_total = disk_extents,
			.extents_free = disk_extents,
		};
		rack->health[i] = HEALTH_ONLINE;
	}
	rack->view = (struct placement_view){
		.extent_bytes = EXTENT,
		.nodes = { nodes, rack->nodes },
		.disks = { nodes, rack->disks },
		.health = rack->health,
	};
	rack->request = (struct placement_request){
		.name = "db1",
		.size_bytes = GIB,
		.copies = 2,
		.controllers = 1,
		.legs_per_controller = 1,
		.spread = SPREAD_NODE,
		.provision = PROVISION_THIN,
	};
}

static uint64_t extents_of(uint64_t leg_bytes)
{
	uint64_t extents = 0;

	assert_int_equal(layout_ld_extents(leg_bytes, layout_thin_block_bytes(leg_bytes), EXTENT, &extents, NULL), 0);
	return extents;
}

static struct command_volume_create plan(struct rack *rack)
{
	struct command_volume_create command = { 0 };
	struct error error;

	error_clear(&error);
	if (placement_plan(&rack->request, &rack->view, &rack->arena, &command, &error) != 0)
		fail_msg("%s\n%s\n%s", error.message, error.details, error.hint);
	return command;
}

static struct error refusal(struct rack *rack, enum error_code code)
{
	struct command_volume_create command, before;
	struct error error;

	memset(&command, 0x5a, sizeof(command));
	before = command;
	assert_int_equal(placement_plan(&rack->request, &rack->view, &rack->arena, &command, &error), code);
	assert_int_equal(error.code, code);
	assert_memory_equal(&command, &before, sizeof(command));
	/* Who does not want to know why is told the same code. */
	assert_int_equal(placement_plan(&rack->request, &rack->view, &rack->arena, &command, NULL), code);
	return error;
}

static uint64_t disk_of(const struct command_volume_create *command, size_t leg, size_t group, size_t member)
{
	return command->legs.items[leg].groups.items[group].members.items[member].disk;
}

static void test_simple(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;

	(void)state;
	rack_make(&rack, 4, 1000);
	rack.disks[2].extents_free = 999;
	rack.request.size_bytes = GIB + 4096;
	command = plan(&rack);
	assert_int_equal(command.size_bytes, GIB + LAYOUT_STRIPE_BYTES);
	assert_string_equal(command.actives.items[0], "n1");
	assert_int_equal(command.standby_nodes.count, 0);
	assert_int_equal(command.legs.count, 1);
	assert_int_equal(command.legs.items[0].size_bytes, command.size_bytes);
	assert_int_equal(command.legs.items[0].group_extents, extents_of(command.size_bytes));
	assert_int_equal(command.legs.items[0].groups.count, 1);
	assert_int_equal(disk_of(&command, 0, 0, 0), 1);
	assert_int_equal(disk_of(&command, 0, 0, 1), 2);
	arena_free(&rack.arena);
}

/* Relative, not absolute: half of a small disk is less than three quarters of a large one. */
static void test_most_free_first(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;

	(void)state;
	rack_make(&rack, 3, 1000);
	rack.disks[0].extents_total = 100000;
	rack.disks[0].extents_free = 50000;
	rack.disks[1].extents_free = 750;
	rack.disks[2].extents_free = 740;
	command = plan(&rack);
	assert_int_equal(disk_of(&command, 0, 0, 0), 2);
	assert_int_equal(disk_of(&command, 0, 0, 1), 3);
	arena_free(&rack.arena);
}

/* What the call itself took counts: four legs go to four pairs before any disk is used twice. */
static void test_balance(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;
	unsigned uses[MOST + 1] = { 0 };

	(void)state;
	rack_make(&rack, 8, 1000);
	rack.request.controllers = 2;
	rack.request.legs_per_controller = 2;
	command = plan(&rack);
	assert_int_equal(command.legs.count, 4);
	for (size_t l = 0; l < 4; l++) {
		assert_int_equal(command.legs.items[l].slot, l / 2);
		for (size_t m = 0; m < 2; m++)
			uses[disk_of(&command, l, 0, m)]++;
	}
	for (size_t d = 1; d <= 8; d++)
		assert_int_equal(uses[d], 1);
	arena_free(&rack.arena);
}

static void test_spread(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;

	(void)state;
	rack_make(&rack, 6, 1000);
	rack.request.spread = SPREAD_RACK;
	rack.request.copies = 3;
	command = plan(&rack);
	assert_int_equal(disk_of(&command, 0, 0, 0), 1);
	assert_int_equal(disk_of(&command, 0, 0, 1), 3);
	assert_int_equal(disk_of(&command, 0, 0, 2), 5);

	/* A node without the label is a domain of its own. */
	rack.nodes[1].labels.count = 0;
	rack.request.copies = 4;
	command = plan(&rack);
	assert_int_equal(disk_of(&command, 0, 0, 1), 2);

	/* Two disks of one node are one domain. */
	rack.request.spread = SPREAD_NODE;
	rack.request.copies = 2;
	rack.disks[1].node = "n1";
	rack.view.disks.count = 2;
	refusal(&rack, ERROR_NO_CAPACITY);
	arena_free(&rack.arena);
}

static void test_controllers(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;

	(void)state;
	rack_make(&rack, 8, 10000);
	rack.nodes[0].controllers = 5;
	rack.nodes[1].cordoned = true;
	rack.nodes[2].storage_only = true;
	rack.health[3] = HEALTH_SUSPECT;
	rack.nodes[4].controllers = 2;
	rack.nodes[5].controllers = 2;
	rack.nodes[6].controllers = 3;
	rack.nodes[6].colour = rack.nodes[5].colour;
	rack.nodes[7].controllers = 9;
	rack.request.controllers = 2;
	rack.request.standbys = 2;
	command = plan(&rack);
	assert_string_equal(command.actives.items[0], "n5");
	assert_string_equal(command.actives.items[1], "n6");
	assert_int_equal(command.standbys, 2);
	assert_string_equal(command.standby_nodes.items[0], "n1"); /* not n7: it has the colour of n6 */
	assert_string_equal(command.standby_nodes.items[1], "n8");
	/* Data goes where no controller may be, but not to n2 and n4. */
	for (size_t l = 0; l < command.legs.count; l++) {
		for (size_t m = 0; m < 2; m++) {
			assert_int_not_equal(disk_of(&command, l, 0, m), 2);
			assert_int_not_equal(disk_of(&command, l, 0, m), 4);
		}
	}
	arena_free(&rack.arena);
}

static void test_controllers_explained(void **state)
{
	struct rack rack = { 0 };
	struct error error;

	(void)state;
	rack_make(&rack, 6, 10000);
	rack.nodes[1].cordoned = true;
	rack.nodes[2].storage_only = true;
	rack.health[3] = HEALTH_OFFLINE;
	rack.nodes[5].colour = 0;
	rack.request.controllers = 2;
	rack.request.standbys = 1;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_string_equal(error.message,
			    "cannot create volume \"db1\": 3 controllers and standbys need as many nodes "
			    "of different colours, there are 2");
	assert_string_equal(error.details, "n2 is cordoned\nn3 holds no controllers\nn4 is offline\n"
					   "n6 has the colour of another node");
	assert_string_equal(error.hint, "uncordon n2, add a node, or ask for fewer controllers");
	arena_free(&rack.arena);
}

/* Controllers of a strict volume need the write-through target; data does not. */
static void test_strict(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;
	struct error error;

	(void)state;
	rack_make(&rack, 4, 10000);
	rack.nodes[2].writethrough = rack.nodes[3].writethrough = true;
	rack.nodes[2].controllers = 7;
	rack.request.controllers = rack.request.standbys = 1;
	rack.request.durability = DURABILITY_STRICT;
	command = plan(&rack);
	assert_int_equal(command.durability, DURABILITY_STRICT);
	assert_string_equal(command.actives.items[0], "n4");
	assert_string_equal(command.standby_nodes.items[0], "n3");
	assert_int_equal(disk_of(&command, 0, 0, 0), 1);
	assert_int_equal(disk_of(&command, 0, 0, 1), 2);
	rack.nodes[1].cordoned = true;
	rack.nodes[3].writethrough = false;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_string_equal(error.message,
			    "cannot create volume \"db1\": 2 controllers and standbys need as many nodes of different "
			    "colours with the write-through target (durability is strict), there are 1");
	assert_string_equal(error.details, "n1 has a kernel without the write-through target\nn2 is cordoned\n"
					   "n4 has a kernel without the write-through target");
	assert_string_equal(error.hint, "load dm-writethrough on n1 (kmod/README.md) and restart its agent, or ask for "
					"durability flush");
	/* Where the target would not help, it is not named. */
	rack.nodes[0].writethrough = rack.nodes[3].writethrough = true;
	rack.nodes[0].colour = rack.nodes[3].colour = rack.nodes[2].colour;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_string_equal(error.hint, "uncordon n2, add a node, or ask for fewer controllers");
	rack.request.durability = DURABILITY_FLUSH;
	rack.nodes[0].colour = 0;
	command = plan(&rack);
	assert_int_equal(command.durability, DURABILITY_FLUSH);
	assert_string_equal(command.actives.items[0], "n1");
	arena_free(&rack.arena);
}

static void test_space_explained(void **state)
{
	struct rack rack = { 0 };
	struct error error;

	(void)state;
	rack_make(&rack, 5, 100000);
	/* Nothing is large enough for half a leg either. */
	rack.disks[0].extents_free = 81 * 256;
	rack.nodes[1].cordoned = true;
	rack.view.disks.count = 3;
	rack.health[4] = HEALTH_SUSPECT;
	rack.request.size_bytes = 64 * GIB;
	rack.request.spread = SPREAD_RACK;
	rack.disks[2].extents_free = 2 * 256;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_string_equal(error.message,
			    "cannot create volume \"db1\": not enough space for 2 copies of 64 GiB in different racks");
	assert_string_equal(error.details, "rack r1: n1 has 81 GiB free, n2 is cordoned\n"
					   "rack r2: n3 is 63 GiB short, n4 has no disk\n"
					   "rack r3: n5 misses heartbeats");
	assert_string_equal(error.hint, "add a disk in r2, uncordon n2");

	rack.nodes[1].cordoned = false;
	rack.view.disks.count = 2;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_string_equal(error.hint, "add a disk in r2, or use --spread node");

	rack.request.copies = 3;
	rack.request.spread = SPREAD_NODE;
	rack.request.controllers = 2;
	rack.disks[1].cordoned = true;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_string_equal(error.message, "cannot create volume \"db1\": not enough space for 3 copies of each of 2 "
					   "legs of 32 GiB on different nodes");
	assert_string_equal(error.details, "n1 has 81 GiB free\nn2 has only cordoned disks\nn3 has no disk\n"
					   "n4 has no disk\nn5 misses heartbeats");

	/* No nodes, no disks. */
	rack.view.nodes.count = rack.view.disks.count = 0;
	error = refusal(&rack, ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "there are 0"));
	arena_free(&rack.arena);
}

static void test_groups(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;
	uint64_t whole = extents_of(10 * GIB), half = 0;
	bool used[MOST + 1] = { false };

	(void)state;
	assert_int_equal(layout_ld_extents(5 * GIB, layout_thin_block_bytes(10 * GIB), EXTENT, &half, NULL), 0);
	rack_make(&rack, 4, whole);
	rack.request.size_bytes = 10 * GIB;
	command = plan(&rack);
	assert_int_equal(command.legs.items[0].groups.count, 1);

	/* One extent less on each disk: two groups, on four different disks. */
	rack_make(&rack, 4, whole - 1);
	rack.request.size_bytes = 10 * GIB;
	command = plan(&rack);
	assert_int_equal(command.legs.items[0].groups.count, 2);
	assert_int_equal(command.legs.items[0].group_extents, half);
	for (size_t g = 0; g < 2; g++) {
		for (size_t m = 0; m < 2; m++) {
			assert_false(used[disk_of(&command, 0, g, m)]);
			used[disk_of(&command, 0, g, m)] = true;
		}
	}

	/* Exactly two halves on two disks each; one extent less and it takes more groups or fails. */
	rack_make(&rack, 2, 2 * half);
	rack.request.size_bytes = 10 * GIB;
	rack.disks[0].extents_free = rack.disks[1].extents_free = 2 * half;
	if (whole > 2 * half)
		assert_int_equal(plan(&rack).legs.items[0].groups.count, 2);
	rack.disks[0].extents_free = whole / 2;
	refusal(&rack, ERROR_NO_CAPACITY);

	/* 64 groups at most. */
	rack_make(&rack, 2, 100);
	rack.view.disks.count = 2;
	rack.disks[0].extents_total = rack.disks[1].extents_total = UINT32_MAX;
	rack.request.size_bytes = TIB;
	refusal(&rack, ERROR_NO_CAPACITY);
	arena_free(&rack.arena);
}

/* A failed attempt with few groups takes nothing from the next attempt. */
static void test_attempts_are_undone(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;
	uint64_t block = layout_thin_block_bytes(9 * GIB), half = 0, third = 0;

	(void)state;
	rack_make(&rack, 4, 100000);
	assert_int_equal(layout_ld_extents(9 * GIB / 2, block, EXTENT, &half, NULL), 0);
	assert_int_equal(layout_ld_extents(3 * GIB, block, EXTENT, &third, NULL), 0);
	rack.request.size_bytes = 9 * GIB;
	/* Node 2 has three disks: the first of two halves fits on them, the second does not, and three thirds do. */
	rack.disks[2].node = rack.disks[3].node = rack.disks[1].node;
	rack.disks[0].extents_free = 3 * half;
	rack.disks[1].extents_free = half;
	rack.disks[2].extents_free = rack.disks[3].extents_free = third;
	command = plan(&rack);
	assert_int_equal(command.legs.items[0].groups.count, 3);
	for (size_t g = 0; g < 3; g++) {
		assert_int_equal(disk_of(&command, 0, g, 0), g == 0 ? 1 : g + 2);
		assert_int_equal(disk_of(&command, 0, g, 1), g == 0 ? 2 : 1);
	}
	arena_free(&rack.arena);
}

/* The second group prefers a disk that the leg does not use yet, even if the first one's is emptier. */
static void test_groups_on_other_disks(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;
	uint64_t block = layout_thin_block_bytes(9 * GIB), whole = 0, half = 0;

	(void)state;
	rack_make(&rack, 2, 100000);
	assert_int_equal(layout_ld_extents(9 * GIB, block, EXTENT, &whole, NULL), 0);
	assert_int_equal(layout_ld_extents(9 * GIB / 2, block, EXTENT, &half, NULL), 0);
	rack.request.size_bytes = 9 * GIB;
	rack.request.copies = 1;
	rack.disks[0].extents_free = rack.disks[0].extents_total = whole - 1;
	rack.disks[1].extents_free = half;
	command = plan(&rack);
	assert_int_equal(command.legs.items[0].groups.count, 2);
	assert_int_equal(disk_of(&command, 0, 0, 0), 1);
	assert_int_equal(disk_of(&command, 0, 1, 0), 2);
	arena_free(&rack.arena);
}

static void boundary(uint64_t size, size_t groups)
{
	struct rack rack = { 0 };
	struct command_volume_create command;

	rack_make(&rack, 4, LIMIT_DISK_BYTES_MAX / EXTENT - 1);
	rack.request.size_bytes = size;
	command = plan(&rack);
	assert_int_equal(command.size_bytes,
			 (size + LAYOUT_STRIPE_BYTES - 1) / LAYOUT_STRIPE_BYTES * LAYOUT_STRIPE_BYTES);
	assert_int_equal(command.legs.items[0].groups.count, groups);
	arena_free(&rack.arena);
}

static void test_sizes(void **state)
{
	static const uint64_t refused[] = {
		0, MIB - 4096, GIB + 1, LIMIT_VOLUME_BYTES_MAX + 4096, UINT64_C(1) << 63, UINT64_MAX
	};
	struct rack rack = { 0 };

	(void)state;
	boundary(MIB, 1);
	boundary(4 * GIB - 4096, 1);
	boundary(4 * GIB, 1);
	boundary(4 * GIB + 4096, 1);
	boundary(16 * TIB - 4096, 1);
	boundary(16 * TIB, 1);
	boundary(16 * TIB + 4096, 1);
	/* The largest volume is larger than the largest LD, labels and metadata counted. */
	boundary(LIMIT_VOLUME_BYTES_MAX / 2, 1);
	boundary(LIMIT_VOLUME_BYTES_MAX, 2);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		rack_make(&rack, 4, LIMIT_DISK_BYTES_MAX / EXTENT - 1);
		rack.request.size_bytes = refused[i];
		refusal(&rack, ERROR_INVALID_ARGUMENT);
		arena_free(&rack.arena);
	}
	/* Three legs round the largest size up beyond the limit. */
	rack_make(&rack, 4, LIMIT_DISK_BYTES_MAX / EXTENT - 1);
	rack.request.size_bytes = LIMIT_VOLUME_BYTES_MAX;
	rack.request.legs_per_controller = 3;
	refusal(&rack, ERROR_INVALID_ARGUMENT);
	arena_free(&rack.arena);
}

static void test_shapes(void **state)
{
	struct rack rack = { 0 };
	struct error error;

	(void)state;
	rack_make(&rack, 32, 1000000);
	rack.request.copies = LIMIT_COPIES;
	rack.request.controllers = 4;
	rack.request.legs_per_controller = 16;
	assert_int_equal(plan(&rack).legs.count, 64);
	rack.request.controllers = 5;
	error = refusal(&rack, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "make 80 legs, the limit is 64"));
	rack.request.legs_per_controller = 17;
	error = refusal(&rack, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "17 legs per controller, from 1 to 16"));
	rack.request.legs_per_controller = 1;
	rack.request.controllers = 16;
	plan(&rack);
	rack.request.standbys = 1;
	error = refusal(&rack, ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "limit of 16 together"));
	rack.request.controllers = 17;
	refusal(&rack, ERROR_INVALID_ARGUMENT);
	rack.request.controllers = 1;
	rack.request.standbys = 15;
	plan(&rack);
	rack.request.standbys = 16;
	refusal(&rack, ERROR_INVALID_ARGUMENT);
	rack.request.standbys = 0;
	rack.request.copies = 5;
	refusal(&rack, ERROR_INVALID_ARGUMENT);
	rack.request.copies = 0;
	refusal(&rack, ERROR_INVALID_ARGUMENT);
	arena_free(&rack.arena);
}

static void test_out_of_memory(void **state)
{
	struct rack rack = { 0 };
	struct command_volume_create command;
	struct error error;
	int result = -1;

	(void)state;
	rack_make(&rack, 64, 1000000);
	rack.request.legs_per_controller = 16;
	for (unsigned long n = 1; result != 0; n++) {
		assert_true(n < 100);
		failing_alloc_arm(n);
		result = placement_plan(&rack.request, &rack.view, &rack.arena, &command, &error);
		if (failing_alloc_disarm())
			assert_int_equal(result, ERROR_INTERNAL);
		arena_free(&rack.arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple),
		cmocka_unit_test(test_most_free_first),
		cmocka_unit_test(test_balance),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_controllers),
		cmocka_unit_test(test_controllers_explained),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_space_explained),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_attempts_are_undone),
		cmocka_unit_test(test_groups_on_other_disks),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
