/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots: made through all phases, given up and tried again in each, undone, deleted, and what refuses them. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test_fsm_text.h"

static const enum operation_phase under_way[] = { OPERATION_PHASE_PAUSING, OPERATION_PHASE_SNAPPING,
						  OPERATION_PHASE_RESUMING };

static struct snapshot snapshot_of(struct rig *rig, uint64_t volume, size_t index)
{
	struct volume found = rig_volume(rig, volume);

	assert_true(index < found.snapshots.count);
	return found.snapshots.items[index];
}

static uint64_t taken(struct rig *rig, uint64_t volume, const char *name, uint64_t job)
{
	assert_int_equal(rig_snapshot(rig, volume, name).code, 0);
	rig_job_until(rig, job, OPERATION_PHASE_OVER);
	return rig_volume(rig, volume).snapshots.count;
}

static void test_taken(void **state)
{
	struct snapshot snapshot;
	struct operation job;
	struct outcome outcome;
	struct volume volume;
	struct rig rig;
	uint64_t id, leg_bytes;

	(void)state;
	id = rig_open_pair(&rig, 4);
	leg_bytes = rig_volume(&rig, id).legs.items[0].size_bytes;
	outcome = rig_snapshot(&rig, id, "before");
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "j1");
	job = rig_job(&rig, 1);
	assert_int_equal(job.kind, JOB_KIND_SNAPSHOT);
	assert_int_equal(job.phase, OPERATION_PHASE_EXPORTING);
	assert_string_equal(job.snapshot->name, "before");
	snapshot = snapshot_of(&rig, id, 0);
	assert_int_equal(snapshot.state, SNAPSHOT_STATE_TAKING);
	assert_int_equal(snapshot.thin, 1);
	assert_int_equal(snapshot.leg_bytes, leg_bytes);
	assert_int_equal(snapshot.pause, 0);
	rig_check(&rig);
	/* The legs have room for another copy of them, and keep their size. */
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.legs.items[0].groups.count, 2);
	assert_int_equal(volume.legs.items[1].groups.items[1].state, GROUP_STATE_EXPORTING);
	rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_PAUSING), ERROR_INVALID_ARGUMENT,
		    "no job of kind snapshot");
	rig_job_until(&rig, 1, OPERATION_PHASE_JOINING);
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.legs.items[1].groups.items[1].state, 0);
	assert_int_equal(volume.legs.items[1].size_bytes, leg_bytes);
	rig_check(&rig);
	rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_RESIZING), ERROR_INVALID_ARGUMENT, "from phase joining");
	rig_job_until(&rig, 1, OPERATION_PHASE_PAUSING);
	snapshot = snapshot_of(&rig, id, 0);
	assert_int_equal(snapshot.pause, PAUSE_PHASE_HOLD);
	assert_int_equal(snapshot.pause_limit_ms, LIMIT_PAUSE_MS_DEFAULT);
	rig_check(&rig);
	rig_job_until(&rig, 1, OPERATION_PHASE_SNAPPING);
	assert_int_equal(snapshot_of(&rig, id, 0).pause, PAUSE_PHASE_SNAP);
	assert_int_equal(snapshot_of(&rig, id, 0).moment_ms, 0);
	rig_check(&rig);
	rig_job_until(&rig, 1, OPERATION_PHASE_RESUMING);
	assert_int_equal(snapshot_of(&rig, id, 0).pause, PAUSE_PHASE_RELEASE);
	rig_check(&rig);
	rig_job_until(&rig, 1, OPERATION_PHASE_OVER);
	job = rig_job(&rig, 1);
	assert_int_equal(job.state, OPERATION_STATE_DONE);
	snapshot = snapshot_of(&rig, id, 0);
	assert_int_equal(snapshot.state, SNAPSHOT_STATE_TAKEN);
	assert_int_equal(snapshot.pause, 0);
	assert_true(snapshot.moment_ms >= snapshot.created_ms && snapshot.moment_ms < job.finished_ms);
	assert_int_equal(rig_volume(&rig, id).operation, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	rig_refused(rig_snapshot(&rig, id, "before"), ERROR_ALREADY_EXISTS, "has a snapshot \"before\"");
	/* Each has its own room. */
	assert_int_equal(taken(&rig, id, "after", 2), 2);
	assert_int_equal(rig_volume(&rig, id).legs.items[0].groups.count, 3);
	assert_int_equal(snapshot_of(&rig, id, 1).thin, 2);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* Another attempt has another number, whatever became of the last one; only what may have been made is to be deleted.
 */
static void test_again(void **state)
{
	(void)state;
	for (int way = 0; way < 6; way++) {
		enum operation_phase phase = under_way[way % 3];
		bool moves = way >= 3;
		struct operation job;
		struct volume volume;
		struct rig rig;
		uint64_t id = rig_open_pair(&rig, 4);

		assert_int_equal(rig_snapshot(&rig, id, "before").code, 0);
		rig_job_until(&rig, 1, phase);
		if (moves) {
			assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
		} else {
			rig_refused(rig_snapshot_retry(&rig, 1, phase, 2), ERROR_CONFLICT,
				    "makes thin device 1, not 2");
			rig_refused(rig_snapshot_retry(&rig, 1, OPERATION_PHASE_JOINING, 1), ERROR_CONFLICT,
				    "in phase");
			assert_int_equal(rig_snapshot_retry(&rig, 1, phase, 1).code, 0);
			rig_refused(rig_snapshot_retry(&rig, 1, phase, 1), ERROR_CONFLICT, "in phase joining");
		}
		job = rig_job(&rig, 1);
		assert_int_equal(job.phase, OPERATION_PHASE_JOINING);
		assert_int_equal(job.state, OPERATION_STATE_RUNNING);
		assert_int_equal(job.snapshot->tries, 1);
		assert_string_equal(job.snapshot->last_error->code, moves ? "CONFLICT" : "DEADLINE_EXCEEDED");
		volume = rig_volume(&rig, id);
		assert_int_equal(volume.snapshots.items[0].thin, 2);
		assert_int_equal(volume.snapshots.items[0].pause, 0);
		assert_int_equal(volume.snapshots.items[0].moment_ms, 0);
		assert_int_equal(volume.dropped_thins.count, phase != OPERATION_PHASE_PAUSING);
		rig_check(&rig);
		/* What was said of the attempt that ended takes nobody on. */
		if (moves) {
			rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_PAUSING), ERROR_FAILED_PRECONDITION,
				    "slot 0 of volume \"db1\" is in phase fencing");
			rig_refused(rig_thins_purge(&rig, id), ERROR_CONFLICT, "nobody deletes anything there");
			rig_slot_serve(&rig, id, 0);
		}
		if (volume.dropped_thins.count > 0) {
			/* It may hold the room that the next one needs. */
			assert_int_equal(volume.dropped_thins.items[0].thin, 1);
			rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_PAUSING), ERROR_CONFLICT,
				    "no room before 1 thin devices are deleted");
			assert_int_equal(rig_thins_purge(&rig, id).code, 0);
			assert_int_equal(rig_volume(&rig, id).dropped_thins.count, 0);
			rig_check(&rig);
		}
		rig_job_until(&rig, 1, OPERATION_PHASE_OVER);
		assert_int_equal(snapshot_of(&rig, id, 0).thin, 2);
		rig_check(&rig);
		rig_compare_replay(&rig);
		rig_close(&rig);
	}
}

static void test_undone(void **state)
{
	static const enum operation_phase phases[] = { OPERATION_PHASE_EXPORTING, OPERATION_PHASE_FORMATTING,
						       OPERATION_PHASE_JOINING,	  OPERATION_PHASE_PAUSING,
						       OPERATION_PHASE_SNAPPING,  OPERATION_PHASE_RESUMING };

	(void)state;
	for (int way = 0; way < 18; way++) {
		enum operation_phase phase = phases[way % 6];
		bool early = way % 6 < 2, made = way % 6 > 3;
		struct volume volume;
		struct rig rig;
		uint64_t id = rig_open_pair(&rig, 4);

		assert_int_equal(rig_snapshot(&rig, id, "before").code, 0);
		rig_job_until(&rig, 1, phase);
		if (way < 6)
			assert_int_equal(rig_job_cancel(&rig, 1).code, 0);
		else if (way < 12)
			assert_int_equal(rig_job_fail(&rig, 1, phase).code, 0);
		else
			assert_int_equal(rig_job_forget(&rig, 1, rig_job(&rig, 1).revision).code, 0);
		volume = rig_volume(&rig, id);
		assert_int_equal(volume.snapshots.count, 0);
		assert_int_equal(volume.dropped_thins.count, made);
		rig_check(&rig);
		if (way < 12) {
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_RELEASING).code, 0);
			rig_check(&rig);
		}
		assert_int_equal(rig_volume(&rig, id).leaving.count, early ? 4 : 0);
		if (early)
			assert_int_equal(rig_free(&rig, id, 4).code, 0);
		/* What a pool may still hold keeps no job from being over. */
		if (way < 12) {
			assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER).code, 0);
			assert_int_equal(rig_job(&rig, 1).state,
					 way < 6 ? OPERATION_STATE_CANCELLED : OPERATION_STATE_FAILED);
		}
		assert_int_equal(rig_in_transition(&rig, id), made);
		/* Room that joined stays, and serves the next one; no number comes back. */
		assert_int_equal(rig_snapshot(&rig, id, "before").code, 0);
		assert_int_equal(rig_job(&rig, 2).phase, early ? OPERATION_PHASE_EXPORTING : OPERATION_PHASE_JOINING);
		assert_int_equal(snapshot_of(&rig, id, 0).thin, 2);
		if (made)
			assert_int_equal(rig_thins_purge(&rig, id).code, 0);
		rig_job_until(&rig, 2, OPERATION_PHASE_OVER);
		rig_check(&rig);
		rig_compare_replay(&rig);
		rig_close(&rig);
	}
}

static void test_deleted(void **state)
{
	struct command_thins_purge purge;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	taken(&rig, id, "one", 1);
	taken(&rig, id, "two", 2);
	rig_refused(rig_delete(&rig, "db1"), ERROR_FAILED_PRECONDITION, "has snapshot \"one\", which would go with it");
	rig_refused(rig_snapshot_delete(&rig, "db1", "three"), ERROR_NOT_FOUND, "no snapshot \"three\"");
	assert_int_equal(rig_snapshot_delete(&rig, "db1", "one").code, 0);
	assert_int_equal(rig_volume(&rig, id).snapshots.count, 1);
	assert_string_equal(snapshot_of(&rig, id, 0).name, "two");
	assert_int_equal(rig_volume(&rig, id).dropped_thins.items[0].thin, 1);
	assert_true(rig_in_transition(&rig, id));
	rig_check(&rig);
	purge = (struct command_thins_purge){ .id = id, .revision = rig_volume(&rig, id).revision - 1 };
	rig_refused(rig_apply(&rig, (struct command){ .thins_purge = &purge }), ERROR_CONFLICT, "was confirmed");
	assert_int_equal(rig_thins_purge(&rig, id).code, 0);
	assert_false(rig_in_transition(&rig, id));
	/* Its name is free. */
	assert_int_equal(rig_snapshot(&rig, id, "one").code, 0);
	assert_int_equal(rig_job(&rig, 3).phase, OPERATION_PHASE_JOINING);
	rig_refused(rig_snapshot_delete(&rig, "db1", "one"), ERROR_FAILED_PRECONDITION, "is being made by job j3");
	rig_job_until(&rig, 3, OPERATION_PHASE_SNAPPING);
	assert_int_equal(rig_snapshot_delete(&rig, "db1", "two").code, 0);
	rig_check(&rig);
	/* One that is in the making goes with its volume, and so does what is still to be deleted. */
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	assert_int_equal(rig_job(&rig, 3).state, OPERATION_STATE_CANCELLED);
	assert_int_equal(rig_volume(&rig, id).dropped_thins.count, 0);
	rig_check(&rig);
	rig_destroy(&rig, id);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_refused(void **state)
{
	struct command_snapshot_create create;
	struct place_growth_list none;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	create = rig_plan_snapshot(&rig, id, "before");
	/* A pool that runs full would stop the volume. */
	none = create.legs;
	none.items = calloc(none.count, sizeof(*none.items));
	for (size_t i = 0; i < none.count; i++)
		none.items[i].size_bytes = create.legs.items[i].size_bytes;
	create.legs = none;
	rig_refused(rig_apply(&rig, (struct command){ .snapshot_create = &create }), ERROR_INVALID_ARGUMENT,
		    "for snapshots");
	none.items[1].size_bytes += 4096;
	rig_refused(rig_apply(&rig, (struct command){ .snapshot_create = &create }), ERROR_CONFLICT, "leg 1 of volume");
	free(none.items);
	/* Who copies, or is about to serve, is let be. */
	assert_int_equal(rig_stale(&rig, id, 0, "ld2", STALE_REASON_PATH_LOST).code, 0);
	assert_int_equal(rig_rebuild(&rig, id, 0, 2, false).code, 0);
	rig_refused(rig_snapshot(&rig, id, "before"), ERROR_FAILED_PRECONDITION,
		    "ld2 of volume \"db1\" is being rebuilt");
	assert_int_equal(rig_in_sync(&rig, id, 0, 2).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	rig_refused(rig_snapshot(&rig, id, "before"), ERROR_FAILED_PRECONDITION,
		    "slot 0 of volume \"db1\" is in phase");
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_snapshot(&rig, id, "before").code, 0);
	rig_refused(rig_snapshot(&rig, id, "other"), ERROR_FAILED_PRECONDITION, "job j1 works on volume \"db1\"");
	rig_check(&rig);
	rig_close(&rig);
}

/* What a thick volume keeps it keeps because no block is ever new to it. */
static void test_durability(void **state)
{
	struct command_snapshot_create create;
	struct command_volume_create thick;
	struct rig_shape shape = rig_pair;
	struct error error;
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open_pair(&rig, 8);
	shape.name = "db2";
	assert_int_equal(rig_plan(&rig, &shape, &thick, &error), 0);
	thick.provision = PROVISION_THICK;
	rig_do(&rig, (struct command){ .volume_create = &thick });
	id = 2;
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	create = rig_plan_snapshot(&rig, id, "before");
	create.accept_flush = false;
	rig_refused(rig_apply(&rig, (struct command){ .snapshot_create = &create }), ERROR_FAILED_PRECONDITION,
		    "would no longer keep all that it acknowledged");
	create.accept_flush = true;
	assert_int_equal(rig_apply(&rig, (struct command){ .snapshot_create = &create }).code, 0);
	rig_check(&rig);
	/* A thin one never kept more. */
	create = rig_plan_snapshot(&rig, 1, "before");
	create.accept_flush = false;
	assert_int_equal(rig_apply(&rig, (struct command){ .snapshot_create = &create }).code, 0);
	rig_close(&rig);
}

/* Who serves is told what to hold up, and what to delete; a standby is not. */
static void test_told(void **state)
{
	struct desired desired;
	struct rig rig;
	uint64_t id = rig_open_pair(&rig, 4);

	(void)state;
	assert_false(text_project(&rig, "n1").volumes.items[0].legs.items[0].shared);
	assert_int_equal(rig_snapshot(&rig, id, "before").code, 0);
	rig_job_until(&rig, 1, OPERATION_PHASE_JOINING);
	desired = text_project(&rig, "n2");
	assert_null(desired.volumes.items[0].pause);
	assert_true(desired.volumes.items[0].legs.items[1].shared);
	assert_false(desired.volumes.items[0].legs.items[0].shared); /* it is another one's */
	assert_true(desired.volumes.items[0].grown);
	assert_int_equal(desired.volumes.items[0].legs.items[1].size_bytes, rig_pair.size_bytes / 2);
	for (size_t i = 0; i < 3; i++) {
		rig_job_until(&rig, 1, under_way[i]);
		for (int node = 0; node < 2; node++) {
			desired = text_project(&rig, node == 0 ? "n1" : "n2");
			assert_non_null(desired.volumes.items[0].pause);
			assert_int_equal(desired.volumes.items[0].pause->number, 1);
			assert_int_equal(desired.volumes.items[0].pause->phase, PAUSE_PHASE_HOLD + i);
			assert_int_equal(desired.volumes.items[0].pause->limit_ms, LIMIT_PAUSE_MS_DEFAULT);
		}
		assert_null(text_project(&rig, "n3").volumes.items[0].pause);
	}
	assert_int_equal(rig_snapshot_retry(&rig, 1, OPERATION_PHASE_RESUMING, 1).code, 0);
	desired = text_project(&rig, "n1");
	assert_null(desired.volumes.items[0].pause);
	assert_int_equal(desired.volumes.items[0].dropped_thins.count, 1);
	assert_int_equal(desired.volumes.items[0].dropped_thins.items[0].thin, 1);
	assert_int_equal(text_project(&rig, "n3").volumes.items[0].dropped_thins.count, 0);
	/* Until it serves, a new holder has other things to do. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(text_project(&rig, "n3").volumes.items[0].dropped_thins.count, 0);
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(text_project(&rig, "n3").volumes.items[0].dropped_thins.count, 1);
	assert_int_equal(rig_thins_purge(&rig, id).code, 0);
	assert_true(text_project(&rig, "n3").volumes.items[0].legs.items[0].shared);
	assert_int_equal(rig_job_cancel(&rig, 1).code, 0);
	/* Discards reach the LDs again. */
	assert_false(text_project(&rig, "n3").volumes.items[0].legs.items[0].shared);
	rig_close(&rig);
}

/* Room for snapshots is not taken for growth. */
static void test_extend(void **state)
{
	struct volume volume;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 4);
	taken(&rig, id, "before", 1);
	assert_int_equal(rig_extend(&rig, id, 2 * rig_pair.size_bytes).code, 0);
	volume = rig_volume(&rig, id);
	assert_int_equal(volume.legs.items[0].groups.count, 3);
	rig_check(&rig);
	for (int phase = OPERATION_PHASE_FORMATTING; phase <= OPERATION_PHASE_RESIZING; phase++)
		assert_int_equal(rig_job_advance(&rig, 2, (enum operation_phase)phase).code, 0);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_OVER).code, 0);
	assert_int_equal(snapshot_of(&rig, id, 0).size_bytes, rig_pair.size_bytes);
	rig_check(&rig);
	/* The next one is of the new size. */
	assert_int_equal(taken(&rig, id, "after", 3), 2);
	assert_int_equal(snapshot_of(&rig, id, 1).size_bytes, 2 * rig_pair.size_bytes);
	rig_check(&rig);
	rig_close(&rig);
}

/* Each brings a group to each leg here, so that groups are used up first. */
static void test_limits(void **state)
{
	struct placement_view view = { .extent_bytes = RIG_EXTENT_BYTES };
	struct rig_shape shape = { .name = "db1", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct place_growth_list legs;
	struct volume volume;
	struct error error;
	char name[16];
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 2, 1, UINT64_C(1) << 40);
	id = rig_create(&rig, &shape);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	for (unsigned i = 1; i < LIMIT_GROUPS_PER_LEG; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(taken(&rig, id, name, i), i);
	}
	rig_check(&rig);
	volume = rig_volume(&rig, id);
	assert_int_equal(placement_snapshot(&view, &volume, &rig.arena, &legs, &error), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "cannot snapshot volume \"db1\": leg 0 has 64 groups"));
	for (unsigned i = 1; i < LIMIT_GROUPS_PER_LEG; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(rig_snapshot_delete(&rig, "db1", name).code, 0);
	}
	assert_int_equal(rig_volume(&rig, id).dropped_thins.count, LIMIT_GROUPS_PER_LEG - 1);
	rig_check(&rig);
	/* All of these have to be deleted before there is room again. */
	assert_int_equal(rig_snapshot(&rig, id, "next").code, 0);
	assert_int_equal(rig_job(&rig, LIMIT_GROUPS_PER_LEG).phase, OPERATION_PHASE_JOINING);
	rig_refused(rig_job_advance(&rig, LIMIT_GROUPS_PER_LEG, OPERATION_PHASE_PAUSING), ERROR_CONFLICT,
		    "have no room");
	assert_int_equal(rig_thins_purge(&rig, id).code, 0);
	rig_job_until(&rig, LIMIT_GROUPS_PER_LEG, OPERATION_PHASE_OVER);
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),	   cmocka_unit_test(test_again),   cmocka_unit_test(test_undone),
		cmocka_unit_test(test_deleted),	   cmocka_unit_test(test_refused), cmocka_unit_test(test_extend),
		cmocka_unit_test(test_durability), cmocka_unit_test(test_told),	   cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
