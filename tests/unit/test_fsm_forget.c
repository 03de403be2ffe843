/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node that never comes back is forgotten, with what it holds; what is needed keeps it. */
#include "tests/unit/test_fsm_text.h"

#include <inttypes.h>

static struct outcome forget(struct rig *rig, const char *name, bool dead)
{
	struct command_node_forget command = { .name = name, .dead = dead };

	return rig_apply(rig, (struct command){ .node_forget = &command });
}

/* What is left is sound, and every node can be told what it shall make of it. */
static void sound(struct rig *rig)
{
	struct node_list nodes;
	struct error error;
	bool more;

	rig_check(rig);
	assert_int_equal(fsm_node_list(rig->fsm, NULL, 0, &rig->arena, &nodes, &more, &error), 0);
	for (size_t i = 0; i < nodes.count; i++) {
		struct desired desired = text_project(rig, nodes.items[i].name);

		text_encodes(&desired);
	}
}

static void finish(struct rig *rig)
{
	sound(rig);
	rig_compare_replay(rig);
	rig_compare_dump(rig);
	rig_close(rig);
}

static bool has_controller(struct rig *rig, uint64_t id, const char *node)
{
	struct volume volume = rig_volume(rig, id);

	for (size_t i = 0; i < volume.controllers.count; i++) {
		if (strcmp(volume.controllers.items[i].node, node) == 0)
			return true;
	}
	return false;
}

static size_t parked_at(struct rig *rig, const char *node)
{
	struct desired desired = text_project(rig, node);

	assert_int_equal(desired.exports.count, 1);
	return desired.exports.items[0].parked.count;
}

/* What it held is waited for by nobody any more. */
static void test_retired(void **state)
{
	struct command_node_register back = { .name = "n1", .address = "10.0.0.1", .port = 4420, .version = "1" };
	struct desired desired;
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 6);

	(void)state;
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED).code, 0);
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(parked_at(&rig, "n2"), 1);
	assert_int_equal(rig_replace(&rig, id, 0, 1, 5).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 0, 5).code, 0);
	assert_int_equal(rig_volume(&rig, id).leaving.count, 1);
	rig_refused(forget(&rig, "n1", false), ERROR_FAILED_PRECONDITION, "has 1 disks");
	buffer_clear(&rig.changes);
	assert_int_equal(forget(&rig, "n1", true).code, 0);
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	/* Its Disk Nodes hear of it, so that they let the old exports go. */
	assert_non_null(strstr((const char *)rig.changes.data, ": n2 n3 n4 n5\n"));
	assert_non_null(strstr((const char *)rig.changes.data, "node n10 removed"));
	assert_false(has_controller(&rig, id, "n1"));
	assert_int_equal(rig_volume(&rig, id).leaving.count, 0);
	assert_int_equal(parked_at(&rig, "n2"), 0);
	sound(&rig);
	rig_refused(forget(&rig, "n1", true), ERROR_NOT_FOUND, "\"n1\"");
	/* It comes back all the same: nothing is wanted of it. */
	memset(back.boot_id, 7, sizeof(back.boot_id));
	rig_do(&rig, (struct command){ .node_register = &back });
	desired = text_project(&rig, "n1");
	assert_int_equal(desired.disks.count + desired.exports.count + desired.volumes.count, 0);
	finish(&rig);
}

/* A member that missed writes goes with its node, and another LD takes its place. */
static void test_lost_member(void **state)
{
	struct desired desired;
	struct disk disk;
	struct rig rig;
	struct ld ld;
	uint64_t id = rig_open_pair(&rig, 6);

	(void)state;
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_PATH_LOST).code, 0);
	rig.time_ms = 70000;
	assert_int_equal(forget(&rig, "n3", true).code, 0);
	ld = rig_member(&rig, id, 1, 0, 0);
	assert_int_equal(ld.id, 3);
	assert_int_equal(ld.state, LD_STATE_FREED);
	assert_int_equal(ld.stale_reason, STALE_REASON_LOST);
	assert_int_equal(ld.since_ms, 70000);
	assert_int_equal(ld.ranges.count, 0);
	assert_false(ld.whole);
	assert_int_equal(fsm_disk_get(rig.fsm, 3, &rig.arena, &disk, NULL), ERROR_NOT_FOUND);
	assert_false(has_controller(&rig, id, "n3")); /* it was the standby */
	assert_true(rig_in_transition(&rig, id));
	sound(&rig);
	/* Its place in the group stays, and is empty. */
	desired = text_project(&rig, "n2");
	assert_int_equal(desired.volumes.items[0].legs.items[1].groups.items[0].members.count, 2);
	assert_int_equal(desired.volumes.items[0].legs.items[1].groups.items[0].members.items[0].state, LD_STATE_STALE);
	/* Nothing but another LD brings it back. */
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
	assert_int_equal(rig_member(&rig, id, 1, 0, 0).state, LD_STATE_FREED);
	rig_refused(rig_rebuild(&rig, id, 1, 3, false), ERROR_CONFLICT, "ld3 is freed, not stale");
	rig_refused(rig_force(&rig, id, 1, "ld3"), ERROR_FAILED_PRECONDITION, "ld3 is freed, not stale");
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	rig_slot_serve(&rig, id, 1);
	sound(&rig);
	rig_refused(rig_replace(&rig, id, 1, 3, 4), ERROR_CONFLICT, "holds another member of the group");
	assert_int_equal(rig_replace(&rig, id, 1, 3, 5).code, 0);
	assert_int_equal(rig_volume(&rig, id).leaving.count, 0);
	assert_int_equal(rig_in_sync(&rig, id, 1, 5).code, 0);
	assert_int_equal(rig_controller_add(&rig, id, "n6").code, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_destroy(&rig, id);
	finish(&rig);
}

/* A volume with a lost member can be deleted. */
static void test_delete_with_lost_member(void **state)
{
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 6);

	(void)state;
	assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 1, 3, false).code, 0);
	assert_int_equal(forget(&rig, "n3", true).code, 0);
	sound(&rig);
	rig_destroy(&rig, id);
	finish(&rig);
}

static void test_refusals(void **state)
{
	struct outcome outcome;
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 6), revision;

	(void)state;
	/* All that is in the way is named, and nothing changed. */
	revision = fsm_revision(rig.fsm);
	outcome = forget(&rig, "n2", true);
	rig_refused(outcome, ERROR_FAILED_PRECONDITION, "\"n2\" holds what is needed");
	assert_non_null(strstr(outcome.details, "ld2 of volume \"db1\" is in sync"));
	assert_non_null(strstr(outcome.details, "it holds slot 1 of volume \"db1\""));
	rig_refused(forget(&rig, "n3", true), ERROR_FAILED_PRECONDITION, "holds what is needed");
	assert_true(has_controller(&rig, id, "n3"));
	assert_int_equal(fsm_revision(rig.fsm), revision);
	/* While a volume is made, each copy is needed. */
	struct rig_shape young = rig_pair;
	young.name = "db2";
	young.standbys = 0;
	rig_create(&rig, &young);
	rig_refused(forget(&rig, "n5", true), ERROR_FAILED_PRECONDITION, "holds what is needed");
	assert_int_equal(forget(&rig, "n9", true).code, ERROR_NOT_FOUND);
	finish(&rig);
}

/* A dead node does not keep a volume that is being deleted, with whatever it was for it. */
static void test_releasing(void **state)
{
	struct volume volume;
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 6);

	(void)state;
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_refused(forget(&rig, "n1", true), ERROR_FAILED_PRECONDITION, "holds what is needed");
	rig_advance_until(&rig, id, VOLUME_PHASE_RELEASING);
	/* The others go first: it holds a slot, whatever that is worth by now. */
	rig_refused(forget(&rig, "n1", true), ERROR_FAILED_PRECONDITION, "holds what is needed");
	for (unsigned ld = 2; ld <= 4; ld++)
		assert_int_equal(rig_free_one(&rig, id, arena_printf(&rig.arena, "ld%u", ld)).code, 0);
	assert_int_equal(forget(&rig, "n1", true).code, 0);
	assert_int_equal(fsm_volume_get(rig.fsm, id, &rig.arena, &volume, NULL), ERROR_NOT_FOUND);
	finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retired),
		cmocka_unit_test(test_lost_member),
		cmocka_unit_test(test_delete_with_lost_member),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_releasing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
