/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many controllers a volume is to have, and a slot that somebody moves. */
#include "tests/unit/test_fsm_rig.h"

static struct outcome set(struct rig *rig, uint64_t id, uint64_t standbys, uint64_t revision)
{
	struct command_volume_set set = { id, standbys, revision };

	return rig_apply(rig, (struct command){ .volume_set = &set });
}

static void test_set(void **state)
{
	struct outcome outcome;
	uint64_t revision;
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 5);
	revision = rig_volume(&rig, id).revision;
	/* More: the leader has to look for them. */
	outcome = set(&rig, id, 2, 0);
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "v1");
	assert_int_equal(outcome.revision, revision + 1);
	assert_int_equal(rig_volume(&rig, id).revision, revision + 1);
	assert_int_equal(rig_volume(&rig, id).standbys, 2);
	assert_true(rig_in_transition(&rig, id));
	rig_check(&rig);
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	assert_false(rig_in_transition(&rig, id));
	/* Asked again it changes nothing, whatever was looked at then. */
	revision = rig_volume(&rig, id).revision;
	assert_int_equal(set(&rig, id, 2, 1).code, 0);
	assert_int_equal(set(&rig, id, 2, 0).revision, revision);
	assert_int_equal(rig_volume(&rig, id).revision, revision);
	/* None: those that are there go. */
	assert_int_equal(set(&rig, id, 0, revision).code, 0);
	assert_true(rig_in_transition(&rig, id));
	assert_int_equal(rig_controller_retire(&rig, id, "n4").code, 0);
	assert_int_equal(rig_controller_retire(&rig, id, "n3").code, 0);
	assert_int_equal(rig_controller_drop(&rig, id, "n3", 0).code, 0);
	assert_int_equal(rig_controller_drop(&rig, id, "n4", 0).code, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

static void test_set_refused(void **state)
{
	struct rig rig;
	uint64_t id, revision;

	(void)state;
	id = rig_open_pair(&rig, 5);
	revision = rig_volume(&rig, id).revision;
	rig_refused(set(&rig, 9, 1, 0), ERROR_NOT_FOUND, "v9");
	rig_refused(set(&rig, id, 2, revision - 1), ERROR_CONFLICT, "what was accepted was of revision 14");
	/* Two are active, and each has one of 16 colours. */
	rig_refused(set(&rig, id, 15, 0), ERROR_INVALID_ARGUMENT,
		    "standbys: 2 active controllers and 15 standbys of volume \"db1\" exceed the limit of 16 together");
	assert_int_equal(rig_volume(&rig, id).revision, revision);
	assert_int_equal(set(&rig, id, 14, 0).code, 0);
	assert_int_equal(rig_delete(&rig, "db1").code, 0);
	rig_refused(set(&rig, id, 1, 0), ERROR_FAILED_PRECONDITION, "volume \"db1\" is being deleted");
	rig_check(&rig);
	rig_close(&rig);
}

/* One that is not online yet has them when it is. */
static void test_set_early(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 5, 1, 10 * GIB);
	id = rig_create(&rig, &rig_pair);
	assert_int_equal(set(&rig, id, 0, 0).code, 0);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	assert_true(rig_in_transition(&rig, id));
	assert_int_equal(rig_controller_retire(&rig, id, "n3").code, 0);
	assert_int_equal(rig_controller_drop(&rig, id, "n3", 0).code, 0);
	assert_false(rig_in_transition(&rig, id));
	rig_check(&rig);
	rig_close(&rig);
}

/* --- a slot that somebody moves ----------------------------------------------------------------------------------- */

static struct outcome move(struct rig *rig, uint64_t id, uint64_t slot, const char *to)
{
	struct volume volume = rig_volume(rig, id);
	struct command_volume_move move = { id, slot, slot < volume.slots.count ? volume.slots.items[slot].epoch : 1,
					    to, 0 };

	return rig_apply(rig, (struct command){ .volume_move = &move });
}

static struct slot slot_of(struct rig *rig, uint64_t id, uint64_t slot)
{
	return rig_volume(rig, id).slots.items[slot];
}

static void job_is(struct rig *rig, uint64_t job, enum operation_phase phase, enum operation_state state)
{
	assert_int_equal(rig_job(rig, job).phase, phase);
	assert_int_equal(rig_job(rig, job).state, state);
}

/* "db1" with a job that moves slot 0 from n1 to n3, its standby. */
static uint64_t open_moving(struct rig *rig)
{
	uint64_t id = rig_open_pair(rig, 6);
	struct outcome outcome = move(rig, id, 0, "n3");

	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "j1");
	assert_string_equal(slot_of(rig, id, 0).next, "n3");
	job_is(rig, 1, OPERATION_PHASE_PREPARING, OPERATION_STATE_RUNNING);
	rig_check(rig);
	return id;
}

static void test_move(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = open_moving(&rig);
	assert_string_equal(slot_of(&rig, id, 0).holder, "n1");
	assert_int_equal(slot_of(&rig, id, 0).epoch, 1);
	assert_true(rig_in_transition(&rig, id));
	assert_string_equal(rig_job(&rig, 1).move_slot->from, "n1");
	assert_string_equal(rig_job(&rig, 1).move_slot->to, "n3");
	assert_int_equal(rig_job(&rig, 1).move_slot->slot, 0);
	/* One job at a time; and no phase by itself. */
	rig_refused(move(&rig, id, 1, "n4"), ERROR_FAILED_PRECONDITION, "job j1 works on volume \"db1\"");
	rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_MOVING), ERROR_INVALID_ARGUMENT,
		    "no job of kind move-slot");
	rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER), ERROR_INVALID_ARGUMENT, "no job of kind move-slot");
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_ASKED).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_MOVING, OPERATION_STATE_RUNNING);
	assert_null(slot_of(&rig, id, 0).next);
	assert_int_equal(slot_of(&rig, id, 0).reason, MOVE_REASON_ASKED);
	rig_check(&rig);
	rig_refused(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER), ERROR_CONFLICT, "is not served yet");
	rig_refused(rig_job_cancel(&rig, 1), ERROR_FAILED_PRECONDITION, "it cannot be cancelled");
	rig_refused(rig_job_fail(&rig, 1, OPERATION_PHASE_MOVING), ERROR_FAILED_PRECONDITION, "it cannot be undone");
	rig_slot_serve(&rig, id, 0);
	assert_int_equal(rig_job_advance(&rig, 1, OPERATION_PHASE_OVER).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_OVER, OPERATION_STATE_DONE);
	assert_int_equal(rig_volume(&rig, id).operation, 0);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* The node is none of its controllers: it is a standby first, and goes on being one when the job is cancelled. */
static void test_move_to_any(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 6);
	assert_int_equal(move(&rig, id, 1, "n5").code, 0);
	assert_int_equal(rig_volume(&rig, id).controllers.count, 4);
	assert_string_equal(rig_volume(&rig, id).controllers.items[3].node, "n5");
	assert_int_equal(rig_volume(&rig, id).controllers.items[3].role, CONTROLLER_ROLE_STANDBY);
	assert_int_equal(rig_node_of(&rig, "n5").controllers, 1);
	rig_check(&rig);
	assert_int_equal(rig_job_cancel(&rig, 1).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_OVER, OPERATION_STATE_CANCELLED);
	assert_null(slot_of(&rig, id, 1).next);
	assert_int_equal(rig_job_cancel(&rig, 1).code, 0);
	/* What was proposed before it was cancelled. */
	rig_refused(rig_slot_move(&rig, id, 1, "n5", MOVE_REASON_ASKED), ERROR_CONFLICT, "nobody asks any more");
	assert_string_equal(slot_of(&rig, id, 1).holder, "n2");
	assert_true(rig_in_transition(&rig, id));
	rig_check(&rig);
	/* It failed: the same. */
	assert_int_equal(move(&rig, id, 1, "n5").code, 0);
	assert_int_equal(rig_job_fail(&rig, 2, OPERATION_PHASE_PREPARING).code, 0);
	job_is(&rig, 2, OPERATION_PHASE_OVER, OPERATION_STATE_FAILED);
	assert_non_null(rig_job(&rig, 2).error);
	assert_null(slot_of(&rig, id, 1).next);
	/* Not to another node than was asked for. */
	assert_int_equal(move(&rig, id, 1, "n5").code, 0);
	rig_refused(rig_slot_move(&rig, id, 1, "n3", MOVE_REASON_ASKED), ERROR_CONFLICT, "nobody asks any more");
	rig_refused(rig_slot_move(&rig, id, 0, "n5", MOVE_REASON_ASKED), ERROR_CONFLICT, "nobody asks any more");
	assert_int_equal(rig_slot_move(&rig, id, 1, "n5", MOVE_REASON_ASKED).code, 0);
	rig_check(&rig);
	rig_close(&rig);
}

/* Slots that are lost meanwhile come first. */
static void test_move_disturbed(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	/* The slot went elsewhere. */
	id = open_moving(&rig);
	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n5", MOVE_REASON_FAILOVER).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_OVER, OPERATION_STATE_FAILED);
	assert_string_equal(rig_job(&rig, 1).error->message, "slot 0 went to node n5 (failover)");
	assert_null(slot_of(&rig, id, 0).next);
	assert_int_equal(rig_volume(&rig, id).operation, 0);
	rig_check(&rig);
	rig_close(&rig);
	/* It went there, whatever the reason. It begins anew there; then it is lost there. */
	id = open_moving(&rig);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_MOVING, OPERATION_STATE_RUNNING);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_RESTART).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_MOVING, OPERATION_STATE_RUNNING);
	assert_int_equal(rig_job(&rig, 1).attempts, 2);
	rig_check(&rig);
	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n5", MOVE_REASON_FAILOVER).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_OVER, OPERATION_STATE_FAILED);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
	/* It began anew where it is, and another one moved: it goes on. */
	id = open_moving(&rig);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n1", MOVE_REASON_RESTART).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_PREPARING, OPERATION_STATE_RUNNING);
	assert_string_equal(slot_of(&rig, id, 0).next, "n3");
	rig_check(&rig);
	/* The node got another slot: the leader finds that it is no standby any more. */
	assert_int_equal(rig_slot_move(&rig, id, 1, "n3", MOVE_REASON_FAILOVER).code, 0);
	job_is(&rig, 1, OPERATION_PHASE_PREPARING, OPERATION_STATE_RUNNING);
	rig_refused(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_ASKED), ERROR_FAILED_PRECONDITION, "is not a standby");
	rig_check(&rig);
	rig_close(&rig);
}

/* The job goes with its volume, or is forgotten: the slot stays, or goes on by itself. */
static void test_move_ended(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	for (int moving = 0; moving < 2; moving++) {
		id = open_moving(&rig);
		if (moving == 1)
			assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_ASKED).code, 0);
		assert_int_equal(rig_job_forget(&rig, 1, rig_job(&rig, 1).revision).code, 0);
		assert_null(slot_of(&rig, id, 0).next);
		assert_int_equal(rig_volume(&rig, id).operation, 0);
		rig_check(&rig);
		if (moving == 1)
			rig_slot_serve(&rig, id, 0);
		rig_close(&rig);
		id = open_moving(&rig);
		if (moving == 1)
			assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_ASKED).code, 0);
		assert_int_equal(rig_delete(&rig, "db1").code, 0);
		job_is(&rig, 1, OPERATION_PHASE_OVER, OPERATION_STATE_CANCELLED);
		assert_null(slot_of(&rig, id, 0).next);
		rig_check(&rig);
		rig_close(&rig);
	}
}

static void test_move_refused(void **state)
{
	struct command_volume_move stale = { 1, 0, 7, "n3", 0 };
	struct command_node_cordon cordon = { "n3", true, false };
	struct rig rig;
	uint64_t id;

	(void)state;
	id = rig_open_pair(&rig, 6);
	rig_refused(move(&rig, id, 2, "n3"), ERROR_NOT_FOUND, "volume \"db1\" has no slot 2");
	rig_refused(rig_apply(&rig, (struct command){ .volume_move = &stale }), ERROR_CONFLICT, "is in epoch 1, not 7");
	rig_refused(move(&rig, id, 0, "n1"), ERROR_FAILED_PRECONDITION,
		    "node \"n1\" holds slot 0 of volume \"db1\" already");
	rig_refused(move(&rig, id, 0, "n2"), ERROR_FAILED_PRECONDITION, "node \"n2\" holds slot 1");
	rig_refused(move(&rig, id, 0, "n9"), ERROR_NOT_FOUND, "n9");
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	rig_refused(move(&rig, id, 0, "n3"), ERROR_CONFLICT, "node \"n3\" is cordoned");
	cordon = (struct command_node_cordon){ "n4", true, false };
	rig_do(&rig, (struct command){ .node_cordon = &cordon });
	rig_refused(move(&rig, id, 0, "n4"), ERROR_CONFLICT, "node \"n4\" is cordoned");
	assert_int_equal(rig_controller_retire(&rig, id, "n3").code, 0);
	rig_refused(move(&rig, id, 0, "n3"), ERROR_FAILED_PRECONDITION, "has not cleaned up yet");
	assert_int_equal(rig_slot_move(&rig, id, 0, "n1", MOVE_REASON_RESTART).code, 0);
	rig_refused(move(&rig, id, 0, "n5"), ERROR_FAILED_PRECONDITION, "is on its way to node n1, in phase fencing");
	/* A refusal leaves nothing: the first job gets the first number. */
	assert_string_equal(move(&rig, id, 1, "n5").id, "j1");
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),	    cmocka_unit_test(test_set_refused),
		cmocka_unit_test(test_set_early),   cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_to_any), cmocka_unit_test(test_move_disturbed),
		cmocka_unit_test(test_move_ended),  cmocka_unit_test(test_move_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
