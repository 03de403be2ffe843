/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a new standby and a replaced member go. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fsm/policy/placement.h"
#include "tests/unit/failing_alloc.h"

#define EXTENT (UINT64_C(4) << 20)
#define NODES 7

/* Nodes n1… with a disk d1… each; two nodes in a rack. Volume db1: n1 active, n2 standby, n3 retired; ld1 on d1, ld2 on
 * d2 in one group of 100 extents. */
struct rack {
	struct node nodes[NODES];
	struct label labels[NODES];
	struct disk disks[NODES];
	enum health health[NODES];
	char names[NODES][8], racks[NODES][8];
	struct placement_view view;
	struct controller controllers[3];
	struct ld lds[2];
	struct group group;
	struct leg leg;
	struct volume volume;
	struct arena arena;
};

static void rack_make(struct rack *rack)
{
	memset(rack, 0, sizeof(*rack));
	for (size_t i = 0; i < NODES; i++) {
		snprintf(rack->names[i], sizeof(rack->names[i]), "n%zu", i + 1);
		snprintf(rack->racks[i], sizeof(rack->racks[i]), "r%zu", i / 2 + 1);
		rack->labels[i] = (struct label){ "rack", rack->racks[i] };
		rack->nodes[i] =
			(struct node){ .name = rack->names[i], .colour = i, .labels = { 1, &rack->labels[i] } };
		rack->disks[i] = (struct disk){
			.id = i + 1, .node = rack->names[i], .extents_total = 1000, .extents_free = 500
		};
		rack->health[i] = HEALTH_ONLINE;
	}
	rack->view = (struct placement_view){ EXTENT, { NODES, rack->nodes }, { NODES, rack->disks }, rack->health };
	rack->controllers[0] = (struct controller){ "n1", CONTROLLER_ROLE_ACTIVE, 0, 0, 0 };
	rack->controllers[1] = (struct controller){ "n2", CONTROLLER_ROLE_STANDBY, 0, 0, 0 };
	rack->controllers[2] = (struct controller){ "n3", CONTROLLER_ROLE_RETIRED, 0, 0, 0 };
	rack->lds[0] = (struct ld){ .id = 1, .disk = 1, .state = LD_STATE_IN_SYNC };
	rack->lds[1] = (struct ld){ .id = 2, .disk = 2, .state = LD_STATE_STALE };
	rack->group = (struct group){ .members = { 2, rack->lds } };
	rack->leg = (struct leg){ .group_extents = 100, .groups = { 1, &rack->group } };
	rack->volume = (struct volume){ .id = 1,
					.name = "db1",
					.spread = SPREAD_RACK,
					.controllers = { 3, rack->controllers },
					.legs = { 1, &rack->leg } };
}

static void standby_is(struct rack *rack, const char *wanted)
{
	const char *node = NULL;
	struct error error;

	if (placement_standby(&rack->view, &rack->volume, &rack->arena, &node, &error) != 0)
		fail_msg("%s\n%s", error.message, error.details);
	assert_string_equal(node, wanted);
}

static void replacement_is(struct rack *rack, uint64_t wanted)
{
	struct error error;
	uint64_t disk = 0;

	if (placement_replacement(&rack->view, &rack->volume, 2, &rack->arena, &disk, &error) != 0)
		fail_msg("%s\n%s", error.message, error.details);
	assert_int_equal(disk, wanted);
}

static void test_standby(void **state)
{
	struct rack rack;

	(void)state;
	rack_make(&rack);
	standby_is(&rack, "n4");
	rack.nodes[3].controllers = 3;
	rack.nodes[4].controllers = 2;
	rack.nodes[5].controllers = 3;
	rack.nodes[6].controllers = 2;
	standby_is(&rack, "n5"); /* the least loaded, the first by name */
	rack.nodes[4].cordoned = true;
	standby_is(&rack, "n7");
	rack.nodes[6].storage_only = true;
	standby_is(&rack, "n4");
	rack.health[3] = HEALTH_SUSPECT;
	standby_is(&rack, "n6");
	/* The colour of the retired one is taken as well. */
	rack.health[3] = HEALTH_ONLINE;
	rack.nodes[3].colour = 2;
	standby_is(&rack, "n6");
	/* In the active one's rack only when there is no other. */
	rack.labels[5].value = "r1";
	rack.nodes[3].colour = 9;
	rack.nodes[5].controllers = 0;
	standby_is(&rack, "n4");
	rack.volume.spread = SPREAD_NODE;
	standby_is(&rack, "n6");
	rack.volume.spread = SPREAD_RACK;
	rack.nodes[3].cordoned = true;
	standby_is(&rack, "n6");
	/* Strict durability needs the target. */
	rack.nodes[3].cordoned = false;
	rack.nodes[3].writethrough = true;
	rack.labels[5].value = "r3";
	standby_is(&rack, "n6");
	rack.volume.durability = DURABILITY_STRICT;
	standby_is(&rack, "n4");
	/* Nobody's health is known: all are online. */
	rack.health[3] = HEALTH_OFFLINE;
	rack.view.health = NULL;
	standby_is(&rack, "n4");
	arena_free(&rack.arena);
}

static void test_standby_refused(void **state)
{
	const char *node = "untouched";
	struct error error;
	struct rack rack;

	(void)state;
	rack_make(&rack);
	rack.volume.durability = DURABILITY_STRICT;
	rack.nodes[3].storage_only = true;
	rack.nodes[4].colour = 0;
	rack.nodes[4].writethrough = true;
	rack.nodes[5].cordoned = true;
	rack.health[1] = HEALTH_OFFLINE;
	error_clear(&error);
	assert_int_equal(placement_standby(&rack.view, &rack.volume, &rack.arena, &node, &error), ERROR_NO_CAPACITY);
	assert_string_equal(node, "untouched");
	assert_string_equal(error.message, "no node can be a standby of volume \"db1\"");
	assert_string_equal(error.details, "n1 is a controller of it\n"
					   "n2 is offline\n"
					   "n3 is a controller of it\n"
					   "n4 holds no controllers\n"
					   "n5 has the colour of one of its controllers\n"
					   "n6 is cordoned\n"
					   "n7 has a kernel without the write-through target");
	assert_true(error.hint[0] != '\0');
	arena_free(&rack.arena);
}

static void test_standbys(void **state)
{
	struct error error;
	struct rack rack;

	(void)state;
	rack_make(&rack);
	error_clear(&error);
	for (uint64_t count = 0; count <= 5; count++)
		assert_int_equal(placement_standbys_check(&rack.view, &rack.volume, count, &rack.arena, &error), 0);
	assert_int_equal(placement_standbys_check(&rack.view, &rack.volume, 6, &rack.arena, &error), ERROR_NO_CAPACITY);
	assert_string_equal(error.message,
			    "volume \"db1\" cannot have 6 standbys: as nodes are now, there are 5 for it");
	assert_string_equal(error.details, "n1 holds slot 0 of it\n"
					   "n2 is a standby of it\n"
					   "n3 was a controller of it, and has not cleaned up yet\n"
					   "n4 can be a standby of it\n"
					   "n5 can be a standby of it\n"
					   "n6 can be a standby of it\n"
					   "n7 can be a standby of it");
	/* One that counts no more, and what the others are. */
	rack.nodes[1].draining = true;
	rack.nodes[3].storage_only = true;
	rack.nodes[4].colour = rack.nodes[0].colour;
	rack.nodes[5].cordoned = true;
	error_clear(&error);
	assert_int_equal(placement_standbys_check(&rack.view, &rack.volume, 1, &rack.arena, &error), 0);
	assert_int_equal(placement_standbys_check(&rack.view, &rack.volume, 2, &rack.arena, &error), ERROR_NO_CAPACITY);
	assert_string_equal(error.details, "n1 holds slot 0 of it\n"
					   "n2 is a standby of it, which does not count: it is drained\n"
					   "n3 was a controller of it, and has not cleaned up yet\n"
					   "n4 holds no controllers\n"
					   "n5 has the colour of one of its controllers\n"
					   "n6 is cordoned\n"
					   "n7 can be a standby of it");
	assert_string_equal(error.hint, "add a node, uncordon one, or ask for fewer standbys");
	rack.nodes[1].draining = false;
	rack.health[1] = HEALTH_OFFLINE;
	error_clear(&error);
	assert_int_equal(placement_standbys_check(&rack.view, &rack.volume, 2, &rack.arena, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.details, "n2 is a standby of it, which does not count: it is offline\n"));
	rack.health[1] = HEALTH_SUSPECT;
	assert_int_equal(placement_standbys_check(&rack.view, &rack.volume, 2, &rack.arena, &error), 0);
	arena_free(&rack.arena);
}

static void test_replacement(void **state)
{
	struct rack rack;

	(void)state;
	rack_make(&rack);
	/* Not n1, which holds ld1; not d2, which ld2 is on; n2 shares the rack of n1. */
	replacement_is(&rack, 3);
	rack.disks[4].extents_free = 501;
	replacement_is(&rack, 5); /* the emptiest */
	rack.disks[4].cordoned = true;
	replacement_is(&rack, 3);
	rack.nodes[2].cordoned = true;
	replacement_is(&rack, 4);
	rack.health[3] = HEALTH_OFFLINE;
	replacement_is(&rack, 6);
	rack.disks[5].extents_free = 99;
	rack.disks[6].extents_free = 100;
	replacement_is(&rack, 7);
	/* In the rack of the other member only when there is no other choice: a second disk of n2. */
	rack.disks[2].node = "n2";
	replacement_is(&rack, 7);
	rack.volume.spread = SPREAD_NODE;
	replacement_is(&rack, 3);
	rack.volume.spread = SPREAD_RACK;
	rack.disks[6].extents_free = 0;
	replacement_is(&rack, 3);
	arena_free(&rack.arena);
}

static void move_is(struct rack *rack, uint64_t wanted)
{
	struct error error;
	uint64_t disk = 0;

	if (placement_move(&rack->view, &rack->volume, 2, &rack->arena, &disk, &error) != 0)
		fail_msg("%s\n%s", error.message, error.details);
	assert_int_equal(disk, wanted);
}

/* No move makes the copies share a failure domain that did not. */
static void test_move(void **state)
{
	struct error error;
	struct rack rack;
	uint64_t disk = 77;

	(void)state;
	rack_make(&rack);
	/* ld2 shares the rack of ld1: another one is better, but not asked for. */
	move_is(&rack, 3);
	for (size_t i = 2; i < NODES; i++)
		rack.disks[i].cordoned = true;
	rack.disks[2].cordoned = false;
	rack.disks[2].node = "n2";
	move_is(&rack, 3);
	/* ld2 is in a rack of its own, and would not be any more. */
	arena_free(&rack.arena);
	rack_make(&rack);
	rack.lds[1].disk = 3;
	for (size_t i = 2; i < NODES; i++)
		rack.disks[i].cordoned = i != 3;
	move_is(&rack, 4);
	rack.disks[3].cordoned = true;
	error_clear(&error);
	assert_int_equal(placement_move(&rack.view, &rack.volume, 2, &rack.arena, &disk, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.details, "n1 holds another copy\n"
					      "n2 shares a failure domain with another copy\n"));
	assert_int_equal(placement_replacement(&rack.view, &rack.volume, 2, &rack.arena, &disk, &error), 0);
	assert_int_equal(disk, 2);
	arena_free(&rack.arena);
}

/* Of one that is moved the node of the old copy is free: that one leaves. But not its disk, be it open again. */
static void test_replacement_of_moving(void **state)
{
	struct rack rack;
	struct ld lds[3];

	(void)state;
	rack_make(&rack);
	lds[0] = rack.lds[0];
	lds[1] = (struct ld){ .id = 2, .disk = 7, .state = LD_STATE_STALE, .moves = 9 };
	lds[2] = (struct ld){ .id = 9, .disk = 3, .state = LD_STATE_IN_SYNC };
	rack.group.members = (struct ld_list){ 3, lds };
	for (size_t i = 0; i < NODES; i++)
		rack.disks[i].cordoned = true;
	rack.disks[5].cordoned = rack.disks[2].cordoned = false;
	rack.disks[2].extents_free = 900;
	rack.disks[5].node = "n3";
	replacement_is(&rack, 6);
	arena_free(&rack.arena);
}

static void test_replacement_refused(void **state)
{
	struct error error;
	struct rack rack;
	uint64_t disk = 77;

	(void)state;
	rack_make(&rack);
	rack.nodes[2].cordoned = true;
	rack.health[3] = HEALTH_OFFLINE;
	rack.disks[4].extents_free = 97;
	rack.disks[5].cordoned = true;
	rack.view.disks.count = 6;
	error_clear(&error);
	assert_int_equal(placement_replacement(&rack.view, &rack.volume, 2, &rack.arena, &disk, &error),
			 ERROR_NO_CAPACITY);
	assert_int_equal(disk, 77);
	assert_string_equal(error.message,
			    "no disk has 400 MiB for a copy that takes the place of ld2 of volume \"db1\"");
	assert_string_equal(error.details, "n1 holds another copy\n"
					   "n2 has no other disk\n"
					   "n3 is cordoned\n"
					   "n4 is offline\n"
					   "n5 is 12 MiB short\n"
					   "n6 has only cordoned disks\n"
					   "n7 has no disk");
	assert_int_equal(placement_replacement(&rack.view, &rack.volume, 9, &rack.arena, &disk, &error),
			 ERROR_NOT_FOUND);
	arena_free(&rack.arena);
}

static void test_memory(void **state)
{
	const char *node;
	struct error error;
	struct rack rack;
	uint64_t disk;

	(void)state;
	rack_make(&rack);
	for (int what = 0; what < 2; what++) {
		int result = -1;

		for (unsigned long n = 1; result != 0; n++) {
			node = NULL;
			disk = 0;
			failing_alloc_arm(n);
			result = what == 0 ? placement_standby(&rack.view, &rack.volume, &rack.arena, &node, &error)
					   : placement_replacement(&rack.view, &rack.volume, 2, &rack.arena, &disk,
								   &error);
			failing_alloc_disarm();
			if (result != 0) {
				assert_int_equal(result, ERROR_INTERNAL);
				assert_true(node == NULL && disk == 0);
			}
			arena_free(&rack.arena);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_standby_refused),
		cmocka_unit_test(test_standbys),
		cmocka_unit_test(test_replacement),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_replacement_of_moving),
		cmocka_unit_test(test_replacement_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
