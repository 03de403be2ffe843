/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many controllers a volume is to have. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_refused),
		cmocka_unit_test(test_set_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
