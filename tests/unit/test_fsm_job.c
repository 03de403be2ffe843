/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs that somebody asked for: an extend through all its phases, undone in each, forgotten, and what refuses it. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdlib.h>

#include "fsm/state.h"
#include "lib/model/layout.h"
#include "tests/unit/test_fsm_text.h"

#define SIZE (3 * GIB)

static struct group group_of(struct rig *rig, uint64_t volume, size_t leg, size_t group)
{
	struct volume found = rig_volume(rig, volume);

	assert_true(group < found.legs.items[leg].groups.count);
	return found.legs.items[leg].groups.items[group];
}

static size_t group_count(struct rig *rig, uint64_t volume, size_t leg)
{
	return rig_volume(rig, volume).legs.items[leg].groups.count;
}

/* "db1" with a job that makes it larger. */
static uint64_t open_extending(struct rig *rig)
{
	uint64_t id = rig_open_pair(rig, 4);
	struct outcome outcome = rig_extend(rig, id, SIZE);

	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "j1");
	return id;
}

static void test_extend(void **state)
{
	struct operation job;
	struct volume volume;
	struct rig rig;
	uint64_t id, leg_bytes, block;

	(void)state;
	id = rig_open_pair(&rig, 4);
	leg_bytes = rig_volume(&rig, id).legs.items[0].size_bytes;
	block = layout_thin_block_bytes(leg_bytes);
	assert_int_equal(rig_extend(&rig, id, SIZE).code, 0);
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.operation, 1);
	assert_int_equal(volume.size_bytes, rig_pair.size_bytes);
	assert_int_equal(volume.legs.items[1].groups.count, 2);
	assert_int_equal(group_of(&rig, id, 1, 1).state, GROUP_STATE_EXPORTING);
	assert_int_equal(group_of(&rig, id, 1, 0).state, 0);
	assert_true(rig_in_transition(&rig, id));
	job = rig_job(&rig, 1);
	assert_int_equal(job.kind, JOB_KIND_EXTEND);
	assert_int_equal(job.phase, OPERATION_PHASE_EXPORTING);
	assert_int_equal(job.state, OPERATION_STATE_RUNNING);
	assert_int_equal(job.extend->size_bytes, SIZE);
	assert_int_equal(job.extend->from_bytes, rig_pair.size_bytes);
	assert_string_equal(job.volume_name, "db1");
	/* One at a time. */
	rig_refused(
		rig_apply(&rig, (struct command){ .volume_extend =
							  &(struct command_volume_extend){
								  .id = id, .size_bytes = SIZE, .from_bytes = GIB } }),
		ERROR_FAILED_PRECONDITION, "job j1 works on volume \"db1\"");
	rig_check(&rig);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_FORMATTING).code, 0);
	assert_int_equal(group_of(&rig, id, 0, 1).state, GROUP_STATE_FORMATTING);
	assert_int_equal(rig_volume(&rig, id).legs.items[0].size_bytes, leg_bytes);
	rig_check(&rig);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_JOINING).code, 0);
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.legs.items[0].size_bytes, SIZE / 2);
	assert_int_equal(volume.legs.items[0].block_bytes, block);
	assert_int_equal(group_of(&rig, id, 0, 1).state, 0);
	assert_int_equal(volume.size_bytes, rig_pair.size_bytes);
	rig_check(&rig);
	rig_refused(rig_job_cancel(&rig, 1), ERROR_FAILED_PRECONDITION, "it cannot be cancelled");
	rig_refused(rig_job_fail(&rig, 1, OPERATION_PHASE_JOINING), ERROR_FAILED_PRECONDITION, "it cannot be undone");
	rig_refused(rig_job_forget(&rig, 1, rig_job(&rig, 1).revision), ERROR_FAILED_PRECONDITION, "forgotten");
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RESIZING).code, 0);
	assert_int_equal(rig_volume(&rig, id).size_bytes, SIZE);
	assert_true(rig_volume(&rig, id).grown_ms > 0);
	rig_check(&rig);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER).code, 0);
	job = rig_job(&rig, 1);
	assert_int_equal(job.state, OPERATION_STATE_DONE);
	assert_true(job.finished_ms > 0);
	assert_int_equal(rig_volume(&rig, id).operation, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_refused(rig_job_cancel(&rig, 1), ERROR_FAILED_PRECONDITION, "job j1 is done");
	rig_check(&rig);
	/* Once more, with other sizes of LDs, and what a replaced one has. */
	assert_int_equal(rig_extend(&rig, id, 2 * SIZE).code, 0);
	assert_int_equal(rig_volume(&rig, id).operation, 2);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* What it makes goes as a replaced LD does. */
static void test_undo(void **state)
{
	static const enum operation_phase phases[] = { OPERATION_PHASE_EXPORTING, OPERATION_PHASE_FORMATTING };

	(void)state;
	for (int way = 0; way < 4; way++) {
		struct operation job;
		struct rig rig;
		uint64_t id = rig_open_pair(&rig, 4), free = rig_extents_free(&rig);
		bool fails = way >= 2;

		assert_int_equal(rig_extend(&rig, id, SIZE).code, 0);
		if (phases[way % 2] == OPERATION_PHASE_FORMATTING)
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_FORMATTING).code, 0);
		if (fails) {
			rig_refused(rig_job_fail(&rig, 1, OPERATION_PHASE_RESIZING), ERROR_CONFLICT, "is in phase");
			assert_int_equal(rig_job_fail(&rig, 1, phases[way % 2]).code, 0);
		} else {
			assert_int_equal(rig_job_cancel(&rig, 1).code, 0);
			assert_int_equal(rig_job_cancel(&rig, 1).code, 0);
		}
		job = rig_job(&rig, 1);
		assert_int_equal(job.phase, OPERATION_PHASE_UNDOING);
		assert_int_equal(job.state, fails ? OPERATION_STATE_FAILING : OPERATION_STATE_CANCELLING);
		assert_int_equal(group_of(&rig, id, 0, 1).state, GROUP_STATE_LEAVING);
		rig_check(&rig);
		assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RELEASING).code, 0);
		assert_int_equal(group_count(&rig, id, 0), 1);
		assert_int_equal(rig_volume(&rig, id).leaving.count, 4);
		rig_check(&rig);
		rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER), ERROR_CONFLICT, "is still on its disk");
		assert_true(rig_extents_free(&rig) < free);
		assert_int_equal(rig_free(&rig, id, 4).code, 0);
		assert_int_equal(rig_extents_free(&rig), free);
		assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER).code, 0);
		job = rig_job(&rig, 1);
		assert_int_equal(job.state, fails ? OPERATION_STATE_FAILED : OPERATION_STATE_CANCELLED);
		assert_int_equal(job.error != NULL, fails);
		assert_int_equal(rig_volume(&rig, id).size_bytes, rig_pair.size_bytes);
		assert_false(rig_in_transition(&rig, id));
		rig_check(&rig);
		rig_compare_replay(&rig);
		rig_close(&rig);
	}
}

static void test_stale(void **state)
{
	struct rig rig;
	struct command_job_advance advance = { .id = 1,
					       .from = OPERATION_PHASE_EXPORTING,
					       .to = OPERATION_PHASE_FORMATTING };
	struct command_volume_extend plan;
	struct error error;
	uint64_t id = open_extending(&rig);

	(void)state;
	advance.revision = rig_volume(&rig, id).revision - 1;
	rig_refused(rig_apply(&rig, (struct command){ .job_advance = &advance }), ERROR_CONFLICT, "was confirmed");
	rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_JOINING), ERROR_INVALID_ARGUMENT,
		    "no job of kind extend goes from");
	advance.from = OPERATION_PHASE_FORMATTING;
	advance.to = OPERATION_PHASE_JOINING;
	rig_refused(rig_apply(&rig, (struct command){ .job_advance = &advance }), ERROR_CONFLICT, "is in phase");
	advance.id = 9;
	rig_refused(rig_apply(&rig, (struct command){ .job_advance = &advance }), ERROR_NOT_FOUND, "no job j9");
	assert_int_equal(rig_plan_extend(&rig, id, rig_pair.size_bytes, &plan, &error), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "can only grow"));
	assert_int_equal(rig_plan_extend(&rig, id, 4000 * GIB, &plan, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "cannot extend volume \"db1\": not enough space"));
	assert_int_equal(rig_plan_extend(&rig, id, SIZE + 1, &plan, &error), ERROR_INVALID_ARGUMENT);
	rig_close(&rig);
}

/* A move begins the phase anew; new groups keep nothing from being fenced or assembled, and are told in their phase. */
static void test_move(void **state)
{
	struct desired desired;
	struct rig rig;
	uint64_t id = open_extending(&rig);

	(void)state;
	desired = text_project(&rig, "n1");
	assert_int_equal(desired.volumes.items[0].legs.items[0].groups.count, 1);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rig_job(&rig, 1).attempts, 2);
	rig_check(&rig);
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_FORMATTING).code, 0);
	assert_int_equal(rig_job(&rig, 1).attempts, 1); /* of this phase */
	desired = text_project(&rig, "n3");
	assert_int_equal(desired.volumes.items[0].legs.items[0].groups.count, 2);
	assert_true(desired.volumes.items[0].legs.items[0].groups.items[1].format);
	assert_false(desired.volumes.items[0].legs.items[0].groups.items[0].format);
	assert_false(desired.volumes.items[0].grown);
	/* A new holder is not told before it serves: nothing of a job keeps it from that. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_RESTART).code, 0);
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING).code, 0);
	assert_int_equal(text_project(&rig, "n3").volumes.items[0].legs.items[0].groups.count, 1);
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(text_project(&rig, "n3").volumes.items[0].legs.items[0].groups.count, 2);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_JOINING).code, 0);
	desired = text_project(&rig, "n3");
	assert_false(desired.volumes.items[0].legs.items[0].groups.items[1].format);
	assert_int_equal(desired.volumes.items[0].legs.items[0].size_bytes, SIZE / 2);
	assert_int_equal(desired.volumes.items[0].legs.items[1].size_bytes, rig_pair.size_bytes / 2);
	assert_int_equal(desired.volumes.items[0].size_bytes, rig_pair.size_bytes);
	assert_true(desired.volumes.items[0].grown);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RESIZING).code, 0);
	desired = text_project(&rig, "n3");
	assert_int_equal(desired.volumes.items[0].legs.items[1].size_bytes, SIZE / 2);
	rig_close(&rig);
}

static void test_delete(void **state)
{
	(void)state;
	for (int phase = 0; phase < 5; phase++) {
		struct rig rig;
		uint64_t id = rig_open_pair(&rig, 4), free;

		free = rig_extents_free(&rig);
		assert_int_equal(rig_extend(&rig, id, SIZE).code, 0);
		if (phase > 0)
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_FORMATTING).code, 0);
		if (phase > 1 && phase < 4)
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_JOINING).code, 0);
		if (phase > 2 && phase < 4)
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RESIZING).code, 0);
		if (phase == 4) {
			assert_int_equal(rig_job_fail(&rig, 1, OPERATION_PHASE_FORMATTING).code, 0);
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RELEASING).code, 0);
		}
		assert_int_equal(rig_delete(&rig, "db1").code, 0);
		rig_check(&rig);
		assert_int_equal(rig_job(&rig, 1).state,
				 phase == 4 ? OPERATION_STATE_FAILED : OPERATION_STATE_CANCELLED);
		rig_destroy(&rig, id);
		assert_true(rig_extents_free(&rig) > free);
		rig_check(&rig);
		/* It is kept although the volume is gone. */
		assert_string_equal(rig_job(&rig, 1).volume_name, "db1");
		assert_int_equal(rig_job_forget(&rig, 1, 0).code, 0);
		rig_refused(rig_job_forget(&rig, 1, 0), ERROR_NOT_FOUND, "no job j1");
		rig_check(&rig);
		rig_close(&rig);
	}
}

static void test_forget(void **state)
{
	struct rig rig;
	uint64_t id = open_extending(&rig), revision;

	(void)state;
	revision = rig_job(&rig, 1).revision;
	rig_refused(rig_job_forget(&rig, 1, revision - 1), ERROR_CONFLICT, "what was accepted");
	assert_int_equal(rig_job_forget(&rig, 1, revision).code, 0);
	rig_refused(rig_job_cancel(&rig, 1), ERROR_NOT_FOUND, "no job j1");
	assert_int_equal(rig_volume(&rig, id).operation, 0);
	assert_int_equal(rig_volume(&rig, id).leaving.count, 4);
	assert_int_equal(group_count(&rig, id, 0), 1);
	rig_check(&rig);
	/* Its extents are owned until their disks say otherwise; another job may begin. */
	assert_int_equal(rig_extend(&rig, id, SIZE).code, 0);
	rig_check(&rig);
	assert_int_equal(rig_free(&rig, id, 4).code, 0);
	rig_check(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* The latest ones are kept, and no more; the same on every replica. */
static void test_kept(void **state)
{
	struct operation_list list;
	struct rig rig;
	uint64_t id;
	bool more;

	(void)state;
	id = rig_open_pair(&rig, 4);
	for (unsigned i = 1; i <= LIMIT_JOBS_KEPT + 2; i++) {
		assert_int_equal(rig_extend(&rig, id, SIZE).code, 0);
		assert_int_equal(rig_job_cancel(&rig, i).code, 0);
		assert_int_equal(rig_job_advance(&rig, i, OPERATION_PHASE_RELEASING).code, 0);
		assert_int_equal(rig_free(&rig, id, 4).code, 0);
		assert_int_equal(rig_job_advance(&rig, i, OPERATION_PHASE_OVER).code, 0);
	}
	assert_int_equal(fsm_operation_list(rig.fsm, 0, 0, &rig.arena, &list, &more, NULL), 0);
	assert_int_equal(list.count, LIMIT_JOBS_KEPT);
	assert_int_equal(list.items[0].id, 3);
	assert_int_equal(fsm_operation_list(rig.fsm, 5, 2, &rig.arena, &list, &more, NULL), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.items[0].id, 6);
	assert_true(more);
	rig_check(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* A node that never comes back takes what was to join a leg with it: that is no reason to keep it. */
static void test_forget_node(void **state)
{
	struct command_node_forget forget = { .dead = true };
	struct group group;
	struct disk disk;
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 6);

	(void)state;
	assert_int_equal(rig_extend(&rig, id, SIZE).code, 0);
	group = group_of(&rig, id, 0, 1);
	assert_int_equal(fsm_disk_get(rig.fsm, group.members.items[0].disk, &rig.arena, &disk, NULL), 0);
	assert_true(disk.id > 4);
	forget.name = disk.node;
	assert_int_equal(rig_apply(&rig, (struct command){ .node_forget = &forget }).code, 0);
	assert_int_equal(group_of(&rig, id, 0, 1).members.items[0].state, LD_STATE_FREED);
	rig_check(&rig);
	assert_int_equal(rig_job_fail(&rig, 1, OPERATION_PHASE_EXPORTING).code, 0);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RELEASING).code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

/* What a leg can have at most is named. */
static void test_limits(void **state)
{
	struct command_volume_extend plan;
	struct command_volume_extend *large = &plan;
	struct rig_shape shape = { .name = "db1", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct error error;
	struct rig rig;
	uint64_t id, size = GIB;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 2, 1, UINT64_C(400) << 40);
	id = rig_create(&rig, &shape);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	/* Blocks of 64 KiB, for each of which 64 bytes are set aside. */
	assert_int_equal(rig_plan_extend(&rig, id, UINT64_C(32) << 40, &plan, &error), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "thin metadata, the limit of dm-thin"));
	for (uint64_t job = 1; job < LIMIT_GROUPS_PER_LEG; job++) {
		/* Not a whole number of extents: some room is left over in the end. */
		size += (UINT64_C(61) + (job == LIMIT_GROUPS_PER_LEG - 1)) << 20;
		assert_int_equal(rig_extend(&rig, id, size).code, 0);
		for (int phase = OPERATION_PHASE_FORMATTING; phase <= OPERATION_PHASE_RESIZING; phase++)
			assert_int_equal(rig_job_advance(&rig, job, (enum operation_phase)phase).code, 0);
		assert_int_equal(rig_job_advance(&rig, job, OPERATION_PHASE_OVER).code, 0);
	}
	assert_int_equal(group_count(&rig, id, 0), LIMIT_GROUPS_PER_LEG);
	rig_check(&rig);
	assert_int_equal(rig_plan_extend(&rig, id, size + GIB, &plan, &error), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "has 64 groups, the most that there can be"));
	/* What it has room for needs no group. */
	assert_int_equal(rig_plan_extend(&rig, id, size + 65536, &plan, &error), 0);
	assert_int_equal(plan.legs.items[0].groups.count, 0);
	assert_int_equal(rig_apply(&rig, (struct command){ .volume_extend = large }).code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

/* What no leader would propose. */
static void test_shape(void **state)
{
	struct command_volume_extend good, bad;
	struct place_growth legs[2];
	struct error error;
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 4);

	(void)state;
	assert_int_equal(rig_plan_extend(&rig, id, SIZE, &good, &error), 0);
#define REFUSED(code, words)                                                                                           \
	rig_refused(rig_apply(&rig, (struct command){ .volume_extend = &bad }), code, words);                          \
	memcpy(legs, good.legs.items, sizeof(legs));                                                                   \
	bad = good;                                                                                                    \
	bad.legs.items = legs
	bad = good;
	memcpy(legs, good.legs.items, sizeof(legs));
	bad.legs.items = legs;
	bad.from_bytes = 2 * GIB;
	REFUSED(ERROR_CONFLICT, "by now");
	bad.size_bytes = rig_pair.size_bytes;
	REFUSED(ERROR_INVALID_ARGUMENT, "it can only grow");
	bad.size_bytes += 4096;
	REFUSED(ERROR_INVALID_ARGUMENT, "whole number of stripes");
	bad.legs.count = 1;
	REFUSED(ERROR_INVALID_ARGUMENT, "whole number of stripes");
	legs[1].size_bytes -= 65536;
	REFUSED(ERROR_INVALID_ARGUMENT, "leg 1 is to have");
	legs[1].groups.count = 0;
	REFUSED(ERROR_INVALID_ARGUMENT, "would hold");
	legs[0].group_extents = 0;
	REFUSED(ERROR_INVALID_ARGUMENT, "out of range");
	legs[0].group_extents--;
	REFUSED(ERROR_INVALID_ARGUMENT, "would hold");
	bad.id = 9;
	REFUSED(ERROR_NOT_FOUND, "no volume v9");
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	REFUSED(ERROR_FAILED_PRECONDITION, "is in phase unexporting");
#undef REFUSED
	rig_check(&rig);
	rig_close(&rig);
}

/* The counters of a state from before there were jobs. */
static void test_old_counters(void **state)
{
	struct store_txn *txn;
	struct bytes value;
	uint8_t copy[48];
	struct rig rig;
	struct key key;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	assert_int_equal(store_txn_begin(rig.store, true, &txn, NULL), 0);
	assert_int_equal(store_get(txn, STORE_TABLE_META, key_text(&key, META_COUNTERS), &value, NULL), 0);
	assert_int_equal(value.size, sizeof(copy));
	memcpy(copy, value.data, sizeof(copy));
	assert_int_equal(
		store_put(txn, STORE_TABLE_META, key_text(&key, META_COUNTERS), (struct bytes){ copy, 40 }, NULL), 0);
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	rig_reopen(&rig);
	assert_string_equal(rig_extend(&rig, id, SIZE).id, "j1");
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extend),	     cmocka_unit_test(test_undo),   cmocka_unit_test(test_stale),
		cmocka_unit_test(test_move),	     cmocka_unit_test(test_delete), cmocka_unit_test(test_forget),
		cmocka_unit_test(test_limits),	     cmocka_unit_test(test_shape),  cmocka_unit_test(test_forget_node),
		cmocka_unit_test(test_old_counters), cmocka_unit_test(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
