/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stale member is taken for in sync, because an operator wants it: in one step, and never a half-copied one. */
#include "tests/unit/test_fsm_rig.h"
#include "tests/unit/test_fsm_text.h"

#include <inttypes.h>

/* ld1 went stale, so that ld2 alone is in sync. */
static uint64_t make(struct rig *rig)
{
	uint64_t id = rig_open_pair(rig, 5);

	rig->time_ms = 40000;
	assert_int_equal(rig_stale(rig, id, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	return id;
}

static void finish(struct rig *rig)
{
	rig_check(rig);
	rig_compare_replay(rig);
	rig_compare_dump(rig);
	rig_close(rig);
}

static void test_force(void **state)
{
	struct outcome outcome;
	struct forced forced;
	struct volume volume;
	struct slot slot;
	struct rig rig;
	struct ld ld;
	uint64_t id = make(&rig);

	(void)state;
	assert_true(rig_member(&rig, id, 0, 0, 0).whole);
	rig.time_ms = 50000;
	outcome = rig_force(&rig, id, 0, "ld1");
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "v1");
	ld = rig_member(&rig, id, 0, 0, 0);
	assert_int_equal(ld.state, LD_STATE_IN_SYNC);
	assert_int_equal(ld.stale_reason, STALE_REASON_PATH_LOST);
	assert_int_equal(ld.since_ms, 50000);
	assert_false(ld.whole || ld.resync);
	ld = rig_member(&rig, id, 0, 0, 1);
	assert_int_equal(ld.state, LD_STATE_STALE);
	assert_int_equal(ld.stale_reason, STALE_REASON_FORCED);
	assert_int_equal(ld.since_ms, 50000);
	assert_false(ld.resync);
	volume = rig_volume(&rig, id);
	slot = volume.slots.items[0];
	assert_string_equal(slot.holder, "n1");
	assert_int_equal(slot.epoch, 2);
	assert_int_equal(slot.phase, SLOT_PHASE_FENCING);
	assert_int_equal(slot.reason, MOVE_REASON_FORCE);
	assert_int_equal(slot.since_ms, 50000);
	assert_true(slot.unfenced);
	assert_string_equal(slot.previous, "n1");
	/* Nobody else is concerned. */
	assert_int_equal(volume.slots.items[1].epoch, 1);
	assert_int_equal(rig_member(&rig, id, 1, 0, 0).state, LD_STATE_IN_SYNC);
	/* What is kept of it. */
	assert_int_equal(volume.forced.count, 1);
	forced = volume.forced.items[0];
	assert_int_equal(forced.slot, 0);
	assert_int_equal(forced.epoch, 2);
	assert_int_equal(forced.time_ms, 50000);
	assert_int_equal(forced.revision, outcome.revision);
	assert_int_equal(volume.revision, outcome.revision);
	assert_string_equal(forced.by, "root@ops");
	assert_int_equal(forced.taken.count, 1);
	assert_int_equal(forced.taken.items[0].ld, 1);
	assert_string_equal(forced.taken.items[0].node, "n1");
	assert_int_equal(forced.taken.items[0].reason, STALE_REASON_PATH_LOST);
	assert_int_equal(forced.taken.items[0].since_ms, 40000);
	assert_int_equal(forced.given_up.count, 1);
	assert_int_equal(forced.given_up.items[0].ld, 2);
	assert_string_equal(forced.given_up.items[0].node, "n2");
	assert_int_equal(forced.powered_off.count, 1);
	rig_check(&rig);
	/* The one that was given up comes back by a rebuild only, and all of it. */
	rig_slot_serve(&rig, id, 0);
	rig_refused(rig_in_sync(&rig, id, 0, 2), ERROR_CONFLICT, "ld2 is stale, not rebuilding");
	rig_refused(rig_rebuild(&rig, id, 0, 2, true), ERROR_FAILED_PRECONDITION, "copied as a whole");
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 0, 2).code, 0);
	assert_false(rig_in_transition(&rig, id));
	finish(&rig);
}

/* While the slot waits for a fence that will never be confirmed, which is when it is needed. */
static void test_while_fencing(void **state)
{
	struct volume volume;
	struct rig rig;
	uint64_t id = make(&rig);

	(void)state;
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rig_force(&rig, id, 0, "ld1").code, 0);
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.slots.items[0].epoch, 3);
	assert_string_equal(volume.slots.items[0].holder, "n3");
	/* The holder that may still serve stays in the list, and consumers go on importing from it. */
	assert_string_equal(volume.slots.items[0].previous, "n1");
	assert_int_equal(volume.controllers.items[volume.controllers.count - 1].role, CONTROLLER_ROLE_RETIRED);
	assert_string_equal(volume.controllers.items[volume.controllers.count - 1].node, "n1");
	rig_check(&rig);
	/* A confirmation of the epoch before is none. */
	struct command_slot_advance late = { id, 0, 2, SLOT_PHASE_FENCING, SLOT_PHASE_ASSEMBLING, volume.revision };
	rig_refused(rig_apply(&rig, (struct command){ .slot_advance = &late }), ERROR_CONFLICT, "in epoch 3");
	finish(&rig);
}

static void test_refusals(void **state)
{
	const char *one[] = { "ld1" }, *two[] = { "ld1", "ld2" };
	struct command_slot_force force = { 0 };
	struct rig rig;
	uint64_t id = make(&rig);

	(void)state;
	rig_refused(rig_force(&rig, id, 0, "ld2"), ERROR_FAILED_PRECONDITION, "ld2 is in-sync, not stale");
	rig_refused(rig_force(&rig, id, 1, "ld1"), ERROR_INVALID_ARGUMENT, "belongs to slot 0");
	rig_refused(rig_force(&rig, id, 2, "ld1"), ERROR_NOT_FOUND, "no slot 2");
	rig_refused(rig_force(&rig, id, 0, "ld9"), ERROR_NOT_FOUND, "ld9");
	rig_refused(rig_force(&rig, id, 0, "disk"), ERROR_INVALID_ARGUMENT, "not the id of an LD");
	force = (struct command_slot_force){ id, 0, 1, rig_volume(&rig, id).revision, { 2, two }, NULL, { 0 } };
	rig_refused(rig_apply(&rig, (struct command){ .slot_force = &force }), ERROR_INVALID_ARGUMENT,
		    "more than one is named");
	force.lds = (struct string_list){ 0, two };
	rig_refused(rig_apply(&rig, (struct command){ .slot_force = &force }), ERROR_INVALID_ARGUMENT, "no member");
	/* What the operator saw is another state by now. */
	force.lds = (struct string_list){ 1, one };
	force.revision--;
	rig_refused(rig_apply(&rig, (struct command){ .slot_force = &force }), ERROR_CONFLICT, "what was accepted");
	force.revision++;
	force.epoch = 2;
	rig_refused(rig_apply(&rig, (struct command){ .slot_force = &force }), ERROR_CONFLICT, "in epoch 1, not 2");
	/* It is no way to move. */
	rig_refused(rig_slot_move(&rig, id, 0, "n1", MOVE_REASON_FORCE), ERROR_INVALID_ARGUMENT, "slot.force");
	assert_int_equal(rig_volume(&rig, id).forced.count, 0);
	assert_int_equal(rig_member(&rig, id, 0, 0, 1).state, LD_STATE_IN_SYNC);
	finish(&rig);
}

/* A member that is being rebuilt holds a part of the new and a part of the old: never again without a whole rebuild. */
static void test_half_copied(void **state)
{
	struct command_node_register boot = { .name = "n1", .address = "10.0.0.1", .port = 4420, .version = "1" };
	struct rig rig;
	uint64_t id = make(&rig);

	(void)state;
	assert_int_equal(rig_rebuild(&rig, id, 0, 1, false).code, 0);
	rig_refused(rig_force(&rig, id, 0, "ld1"), ERROR_FAILED_PRECONDITION, "ld1 is rebuilding");
	/* The path to it is lost. */
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_PATH_LOST).code, 0);
	rig_refused(rig_force(&rig, id, 0, "ld1"), ERROR_FAILED_PRECONDITION, "holds only a part");
	/* Its holder is lost. */
	assert_int_equal(rig_rebuild(&rig, id, 0, 1, false).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rig_member(&rig, id, 0, 0, 0).stale_reason, STALE_REASON_HOLDER_LOST);
	rig_refused(rig_force(&rig, id, 0, "ld1"), ERROR_FAILED_PRECONDITION, "holds only a part");
	rig_check(&rig);
	/* Its node began anew. */
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 1, false).code, 0);
	memset(boot.boot_id, 9, sizeof(boot.boot_id));
	rig_do(&rig, (struct command){ .node_register = &boot });
	rig_refused(rig_force(&rig, id, 0, "ld1"), ERROR_FAILED_PRECONDITION, "ld1 is rebuilding");
	/* Complete, and stale again: it is whole. */
	assert_int_equal(rig_in_sync(&rig, id, 0, 1).code, 0);
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_MEDIUM).code, 0);
	assert_int_equal(rig_force(&rig, id, 0, "ld1").code, 0);
	finish(&rig);
}

/* One that was replaced is on its way out; its successor holds nothing yet. */
static void test_replaced(void **state)
{
	struct rig rig;
	uint64_t id = make(&rig);

	(void)state;
	assert_int_equal(rig_replace(&rig, id, 0, 1, 5).code, 0);
	rig_refused(rig_force(&rig, id, 0, "ld1"), ERROR_FAILED_PRECONDITION, "took the place of ld1");
	assert_int_equal(rig_stale(&rig, id, 0, "ld5", STALE_REASON_PATH_LOST).code, 0);
	rig_refused(rig_force(&rig, id, 0, "ld5"), ERROR_FAILED_PRECONDITION, "holds only a part");
	finish(&rig);
}

static uint64_t rebuild_ms_of(struct rig *rig, const char *node)
{
	struct desired desired = text_project(rig, node);

	assert_int_equal(desired.exports.count, 1);
	assert_int_equal(desired.exports.items[0].lds.count, 1);
	return desired.exports.items[0].lds.items[0].rebuild_ms;
}

/* One in sync of a slot that is fenced, as its disk returned errors: it stays in sync, and what was is forgotten. */
static void test_in_sync(void **state)
{
	const char *twice[] = { "ld1", "ld1" };
	struct command_slot_force force = { .slot = 0 };
	struct forced forced;
	struct rig rig;
	struct ld ld;
	uint64_t id, since_ms;

	(void)state;
	id = make(&rig);
	assert_int_equal(rig_rebuild(&rig, id, 0, 1, false).code, 0);
	assert_int_equal(rig_in_sync(&rig, id, 0, 1).code, 0);
	rig_refused(rig_force(&rig, id, 0, "ld1"), ERROR_FAILED_PRECONDITION, "ld1 is in-sync, not stale");
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rebuild_ms_of(&rig, "n1"), 0);
	force.volume = id;
	force.epoch = 2;
	force.revision = rig_volume(&rig, id).revision;
	force.lds = (struct string_list){ 2, twice };
	rig_refused(rig_apply(&rig, (struct command){ .slot_force = &force }), ERROR_INVALID_ARGUMENT,
		    "more than one is named");
	rig.time_ms = 50000;
	assert_int_equal(rig_force(&rig, id, 0, "ld1").code, 0);
	ld = rig_member(&rig, id, 0, 0, 0);
	assert_int_equal(ld.state, LD_STATE_IN_SYNC);
	assert_int_equal(ld.since_ms, 50000);
	assert_true(ld.forced);
	assert_int_equal(rebuild_ms_of(&rig, "n1"), 50000);
	ld = rig_member(&rig, id, 0, 0, 1);
	assert_int_equal(ld.state, LD_STATE_STALE);
	assert_int_equal(ld.stale_reason, STALE_REASON_FORCED);
	assert_true(ld.whole);
	assert_int_equal(rig_volume(&rig, id).slots.items[0].epoch, 3);
	assert_int_equal(rig_volume(&rig, id).slots.items[0].reason, MOVE_REASON_FORCE);
	forced = rig_volume(&rig, id).forced.items[0];
	assert_int_equal(forced.taken.count, 1);
	assert_int_equal(forced.taken.items[0].ld, 1);
	assert_int_equal(forced.taken.items[0].reason, 0);
	assert_int_equal(forced.given_up.count, 1);
	assert_int_equal(forced.given_up.items[0].ld, 2);
	rig_check(&rig);
	/* The holder is lost once more: what came after the decision counts. Decided again, it does not. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_RESTART).code, 0);
	assert_int_equal(rebuild_ms_of(&rig, "n1"), 50000);
	assert_int_equal(rig_force(&rig, id, 0, "ld1").code, 0);
	since_ms = rebuild_ms_of(&rig, "n1");
	assert_true(since_ms > 50000);
	/* Nothing is forgotten after the fence. */
	rig_slot_serve(&rig, id, 0);
	assert_false(rig_member(&rig, id, 0, 0, 0).forced);
	assert_int_equal(rebuild_ms_of(&rig, "n1"), 0);
	finish(&rig);
}

/* A stale one whose disk returned errors would be waited for as well. */
static void test_forgotten(void **state)
{
	struct rig rig;
	uint64_t id = make(&rig);

	(void)state;
	rig.time_ms = 50000;
	assert_int_equal(rig_force(&rig, id, 0, "ld1").code, 0);
	assert_int_equal(rebuild_ms_of(&rig, "n1"), 50000);
	/* The other one is better after all. */
	assert_int_equal(rig_force(&rig, id, 0, "ld2").code, 0);
	assert_false(rig_member(&rig, id, 0, 0, 0).forced);
	assert_true(rig_member(&rig, id, 0, 0, 1).forced);
	finish(&rig);
}

/* Back and forth: only the latest are kept. */
static void test_remembered(void **state)
{
	struct volume volume;
	struct rig rig;
	uint64_t id = make(&rig);

	(void)state;
	for (unsigned i = 0; i < LIMIT_FORCED_KEPT + 2; i++)
		assert_int_equal(rig_force(&rig, id, 0, i % 2 == 0 ? "ld1" : "ld2").code, 0);
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.forced.count, LIMIT_FORCED_KEPT);
	assert_int_equal(volume.forced.items[0].epoch, 4);
	assert_int_equal(volume.forced.items[LIMIT_FORCED_KEPT - 1].epoch, LIMIT_FORCED_KEPT + 3);
	assert_int_equal(volume.forced.items[1].taken.items[0].reason, STALE_REASON_FORCED);
	finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_force),	 cmocka_unit_test(test_while_fencing),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_half_copied),
		cmocka_unit_test(test_replaced), cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_in_sync),	 cmocka_unit_test(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
