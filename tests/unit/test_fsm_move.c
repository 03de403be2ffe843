/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An LD that moves to another disk, and what may happen meanwhile. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/model/moving.h"

#define ON_N5 5u /* a disk that no LD of the pair lies on */

static struct group group_of(struct rig *rig, uint64_t id)
{
	return rig_volume(rig, id).legs.items[0].groups.items[0];
}

static void members_are(struct rig *rig, uint64_t id, const char *wanted)
{
	struct group group = group_of(rig, id);
	char text[256] = "";

	for (size_t i = 0; i < group.members.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%sld%" PRIu64 "@d%" PRIu64 ":%s",
			 i > 0 ? " " : "", group.members.items[i].id, group.members.items[i].disk,
			 ENUM_NAME(ld_state, group.members.items[i].state));
	assert_string_equal(text, wanted);
	rig_check(rig);
}

/* A volume whose ld2 is moved from d2, of n2, to d5, of n5, as ld5. */
static uint64_t open_moving(struct rig *rig)
{
	uint64_t id = rig_open_pair(rig, 5);

	assert_int_equal(rig_move(rig, id, 0, 2, ON_N5).code, 0);
	members_are(rig, id, "ld1@d1:in-sync ld5@d5:rebuilding ld2@d2:in-sync");
	return id;
}

static void test_moves(void **state)
{
	struct outcome outcome;
	struct rig rig;
	uint64_t id, free;

	(void)state;
	id = rig_open_pair(&rig, 5);
	free = rig_extents_free(&rig);
	outcome = rig_move(&rig, id, 0, 2, ON_N5);
	assert_int_equal(outcome.code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:rebuilding ld2@d2:in-sync");
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).moves, 2);
	assert_true(rig_in_transition(&rig, id));
	/* The one that leaves keeps its place. */
	{
		struct volume volume = rig_volume(&rig, id);
		struct group group = group_of(&rig, id);

		assert_int_equal(moving_ld(&volume, &group)->id, 2);
		assert_int_equal(moving_place(&volume, &group, 1), 1);
		assert_int_equal(moving_place(&volume, &group, 2), 1);
	}
	assert_int_equal(rig_move(&rig, id, 0, 2, ON_N5).revision, outcome.revision); /* again */
	/* It counts until another copy takes its place. */
	rig_refused(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED), ERROR_CONFLICT,
		    "a copy beside it is not in sync");
	rig_refused(rig_moved(&rig, id, 0, 2), ERROR_CONFLICT, "ld2 is in-sync, or its group may need it");
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_true(rig_in_transition(&rig, id));
	rig_refused(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MOVED), ERROR_CONFLICT, "ld1 is not moved");
	rig_refused(rig_moved(&rig, id, 0, 1), ERROR_CONFLICT, "ld1 does not leave its group");
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED).code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:in-sync ld2@d2:stale");
	/* Its group may not have gone on without it. */
	rig_refused(rig_moved(&rig, id, 0, 2), ERROR_CONFLICT, "its group may need it");
	rig_refused(rig_rebuild(&rig, id, 0, 2, false), ERROR_CONFLICT, "ld2 leaves its group");
	rig_refused(rig_replace(&rig, id, 0, 2, 3), ERROR_CONFLICT, "ld2 leaves its group");
	assert_int_equal(rig_settle(&rig, id, 0, 2, true).code, 0);
	outcome = rig_moved(&rig, id, 0, 2);
	assert_int_equal(outcome.code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:in-sync");
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).moves, 0);
	assert_int_equal(rig_volume(&rig, id).leaving.count, 1);
	assert_int_equal(rig_moved(&rig, id, 0, 2).revision, outcome.revision); /* again */
	assert_int_equal(rig_free_one(&rig, id, "ld2").code, 0);
	assert_int_equal(rig_extents_free(&rig), free);
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	rig_destroy(&rig, id);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

static const struct desired_ld *exported(const struct desired *desired, const char *export, uint64_t ld)
{
	for (size_t i = 0; i < desired->exports.count; i++) {
		const struct desired_ld_list *lds = &desired->exports.items[i].lds;

		for (size_t j = 0; strcmp(desired->exports.items[i].id, export) == 0 && j < lds->count; j++) {
			if (lds->items[j].id == ld)
				return &lds->items[j];
		}
	}
	return NULL;
}

/* Nothing changes at the old Disk Node: the number of a namespace is that of the place, of the new one in another
 * subsystem. The holder is told of the places that labels have. */
static void test_told(void **state)
{
	struct desired before, desired;
	const struct desired_member *members;
	const struct desired_ld *old, *new;
	struct error error;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	assert_int_equal(fsm_project_node(rig.fsm, "n2", &rig.arena, &before, &error), 0);
	old = exported(&before, "d2.v1.s0", 2);
	assert_non_null(old);
	assert_int_equal(rig_move(&rig, id, 0, 2, ON_N5).code, 0);
	assert_int_equal(fsm_project_node(rig.fsm, "n2", &rig.arena, &desired, &error), 0);
	new = exported(&desired, "d2.v1.s0", 2);
	assert_non_null(new);
	assert_int_equal(new->nsid, old->nsid);
	assert_memory_equal(new->uuid, old->uuid, sizeof(new->uuid));
	assert_int_equal(fsm_project_node(rig.fsm, "n5", &rig.arena, &desired, &error), 0);
	new = exported(&desired, "d5.v1.s0", 5);
	assert_non_null(new);
	assert_int_equal(new->nsid, old->nsid);
	assert_false(new->formatted);
	assert_int_equal(
		fsm_project_node(rig.fsm, rig_volume(&rig, id).slots.items[0].holder, &rig.arena, &desired, &error), 0);
	members = desired.volumes.items[0].legs.items[0].groups.items[0].members.items;
	assert_int_equal(desired.volumes.items[0].legs.items[0].groups.items[0].members.count, 3);
	assert_int_equal(members[1].ld, 5);
	assert_int_equal(members[1].place, 0);
	assert_int_equal(members[2].ld, 2);
	assert_int_equal(members[2].place, 2);
	assert_int_equal(members[2].state, LD_STATE_IN_SYNC);
	/* Given up, it is not exported any more; the new one keeps its number for good. */
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED).code, 0);
	assert_int_equal(fsm_project_node(rig.fsm, "n2", &rig.arena, &desired, &error), 0);
	assert_null(exported(&desired, "d2.v1.s0", 2));
	assert_int_equal(rig_settle(&rig, id, 0, 2, true).code, 0);
	assert_int_equal(rig_moved(&rig, id, 0, 2).code, 0);
	assert_int_equal(fsm_project_node(rig.fsm, "n5", &rig.arena, &desired, &error), 0);
	new = exported(&desired, "d5.v1.s0", 5);
	assert_int_equal(new->nsid, old->nsid);
	assert_true(new->formatted);
	rig_close(&rig);
}

static void test_refused(void **state)
{
	struct command_ld_move other = { 1, 0, 7, 2, ON_N5 };
	struct command_ld_moved moved = { 1, 0, 1, 2, 0 };
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	rig_refused(rig_apply(&rig, (struct command){ .ld_move = &other }), ERROR_CONFLICT, "in epoch 1, not 7");
	rig_refused(rig_move(&rig, id, 1, 2, ON_N5), ERROR_INVALID_ARGUMENT, "belongs to slot 0, not to slot 1");
	rig_refused(rig_move(&rig, id, 0, 2, 1), ERROR_CONFLICT, "node \"n1\" holds another member of the group, ld1");
	rig_refused(rig_move(&rig, id, 0, 2, 2), ERROR_CONFLICT, "ld2 lies on disk d2");
	rig_refused(rig_move(&rig, id, 0, 2, 77), ERROR_CONFLICT, "stale placement");
	assert_int_equal(rig_disk_drain(&rig, "d5", true).code, 0);
	rig_refused(rig_move(&rig, id, 0, 2, ON_N5), ERROR_CONFLICT, "disk d5 of node \"n5\" is cordoned");
	assert_int_equal(rig_disk_drain(&rig, "d5", false).code, 0);
	/* Only a volume that lacks nothing loses time for it. */
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
	rig_refused(rig_move(&rig, id, 0, 2, ON_N5), ERROR_CONFLICT, "ld3 is stale, not in-sync");
	assert_int_equal(rig_rebuild(&rig, id, 1, 3, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 1, 3).code, 0);
	assert_int_equal(rig_move(&rig, id, 0, 2, ON_N5).code, 0);
	rig_refused(rig_move(&rig, id, 1, 4, ON_N5), ERROR_CONFLICT, "another LD of volume \"db1\" is being moved");
	rig_refused(rig_move(&rig, id, 0, 1, ON_N5), ERROR_CONFLICT, "is being moved");
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED).code, 0);
	assert_int_equal(rig_settle(&rig, id, 0, 2, true).code, 0);
	/* What a holder said of an earlier revision may be of a time when it had it. */
	moved.revision = rig_volume(&rig, id).revision - 1;
	rig_refused(rig_apply(&rig, (struct command){ .ld_moved = &moved }), ERROR_CONFLICT,
		    "is where the holder had let go of ld2");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_of_one_copy(void **state)
{
	struct rig_shape shape = rig_pair;
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 5, 1, 10 * GIB);
	shape.copies = 1;
	id = rig_create(&rig, &shape);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	rig_refused(rig_move(&rig, id, 0, rig_member(&rig, id, 0, 0, 0).id, ON_N5), ERROR_FAILED_PRECONDITION,
		    "has one copy");
	rig_close(&rig);
}

/* The holder goes: what is copied begins anew, what counted counts. */
static void test_slot_moves(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = open_moving(&rig);
	assert_int_equal(
		rig_slot_move(&rig, id, 0, rig_volume(&rig, id).slots.items[0].holder, MOVE_REASON_RESTART).code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:stale ld2@d2:in-sync");
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 5, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED).code, 0);
	/* Before anybody said whether the group went on without it. */
	assert_int_equal(
		rig_slot_move(&rig, id, 0, rig_volume(&rig, id).slots.items[0].holder, MOVE_REASON_RESTART).code, 0);
	rig_slot_serve(&rig, id, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:in-sync ld2@d2:stale");
	rig_settle(&rig, id, 0, 2, true);
	assert_int_equal(rig_moved(&rig, id, 0, 2).code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:in-sync");
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* The new disk fails before it has everything, and yet another one takes its part. */
static void test_new_one_is_lost(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = open_moving(&rig);
	assert_int_equal(rig_stale(&rig, id, 0, "ld5", STALE_REASON_PATH_LOST).code, 0);
	assert_false(rig_member(&rig, id, 0, 0, 1).resync);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:stale ld2@d2:in-sync");
	rig_refused(rig_replace(&rig, id, 0, 5, 1), ERROR_CONFLICT, "node \"n1\" holds another member");
	/* Both would have the same number in the export of that disk. */
	rig_refused(rig_replace(&rig, id, 0, 5, 2), ERROR_CONFLICT, "ld2 is to leave disk d2 for it");
	assert_int_equal(rig_replace(&rig, id, 0, 5, 3).code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld6@d3:rebuilding ld2@d2:in-sync");
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).moves, 2);
	rig_check(&rig);
	rig_close(&rig);
}

/* The old disk fails meanwhile: its copy is not brought back, as the new one is on its way. */
static void test_old_one_is_lost(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = open_moving(&rig);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	/* No bitmap is asked while the order of the table changes. */
	assert_false(rig_member(&rig, id, 0, 0, 2).resync);
	rig_refused(rig_rebuild(&rig, id, 0, 2, false), ERROR_CONFLICT, "ld2 leaves its group");
	rig_refused(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MEDIUM), ERROR_FAILED_PRECONDITION, "last member");
	assert_int_equal(rig_settle(&rig, id, 0, 2, true).code, 0);
	assert_int_equal(rig_moved(&rig, id, 0, 2).code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:rebuilding");
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	members_are(&rig, id, "ld1@d1:in-sync ld5@d5:in-sync");
	rig_close(&rig);
}

/* The others failed before the holder let go of it: it is taken back, as any other one that was given up. */
static void test_taken_back(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = open_moving(&rig);
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED).code, 0);
	assert_int_equal(rig_settle(&rig, id, 0, 2, false).code, 0);
	members_are(&rig, id, "ld1@d1:stale ld5@d5:stale ld2@d2:in-sync");
	assert_int_equal(rig_rebuild(&rig, id, 0, 1, false).code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 5, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 0, 1).code, 0);
	rig_refused(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED), ERROR_CONFLICT, "not in sync");
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_MOVED).code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

static void test_deleted_meanwhile(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = open_moving(&rig);
	rig_destroy(&rig, id);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_disk_drain(void **state)
{
	const char *both[] = { "d1", "d2" };
	struct command_disk_drain drain = { { 2, both }, true };
	struct outcome outcome;
	struct rig rig;
	struct disk disk;

	(void)state;
	rig_open_pair(&rig, 5);
	outcome = rig_apply(&rig, (struct command){ .disk_drain = &drain });
	assert_int_equal(outcome.code, 0);
	for (uint64_t i = 1; i <= 2; i++) {
		assert_int_equal(fsm_disk_get(rig.fsm, i, &rig.arena, &disk, NULL), 0);
		assert_true(disk.draining && disk.cordoned);
	}
	assert_int_equal(rig_disk_drain(&rig, "d2", false).code, 0);
	assert_int_equal(fsm_disk_get(rig.fsm, 2, &rig.arena, &disk, NULL), 0);
	assert_false(disk.draining || disk.cordoned);
	/* All or none. */
	both[1] = "d9";
	drain.draining = false;
	rig_refused(rig_apply(&rig, (struct command){ .disk_drain = &drain }), ERROR_NOT_FOUND, "d9");
	assert_int_equal(fsm_disk_get(rig.fsm, 1, &rig.arena, &disk, NULL), 0);
	assert_true(disk.draining);
	rig_refused(rig_disk_drain(&rig, "sdb", true), ERROR_INVALID_ARGUMENT, "\"sdb\" is not the id of a disk");
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_of_one_copy),
		cmocka_unit_test(test_slot_moves),
		cmocka_unit_test(test_new_one_is_lost),
		cmocka_unit_test(test_old_one_is_lost),
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_deleted_meanwhile),
		cmocka_unit_test(test_disk_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
