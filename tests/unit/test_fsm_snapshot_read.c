/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots that hosts read: who may, what refuses it, and what controllers are told. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>

#include "lib/model/names.h"
#include "tests/unit/test_fsm_text.h"

#define HOST "nqn.2014-08.org.x:h1"
#define OTHER "nqn.2014-08.org.x:h2"

static struct outcome attach(struct rig *rig, const char *volume, const char *name, const char *nqn)
{
	struct command_snapshot_attach command = { volume, name, nqn };

	return rig_apply(rig, (struct command){ .snapshot_attach = &command });
}

static struct outcome detach(struct rig *rig, const char *volume, const char *name, const char *nqn)
{
	struct command_snapshot_detach command = { volume, name, nqn };

	return rig_apply(rig, (struct command){ .snapshot_detach = &command });
}

static struct string_list hosts_of(struct rig *rig, uint64_t volume, size_t index)
{
	return rig_volume(rig, volume).snapshots.items[index].hosts;
}

static uint64_t open_taken(struct rig *rig)
{
	uint64_t id = rig_open_pair(rig, 4);

	assert_int_equal(rig_snapshot(rig, id, "one").code, 0);
	rig_job_until(rig, 1, OPERATION_PHASE_OVER);
	return id;
}

static void test_attach(void **state)
{
	struct outcome outcome;
	struct rig rig;
	uint64_t id = open_taken(&rig), revision;

	(void)state;
	outcome = attach(&rig, "db1", "one", HOST);
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "v1");
	assert_int_equal(attach(&rig, "v1", "one", OTHER).code, 0);
	assert_int_equal(hosts_of(&rig, id, 0).count, 2);
	assert_string_equal(hosts_of(&rig, id, 0).items[1], OTHER);
	/* The volume's own hosts are others. */
	assert_int_equal(rig_volume(&rig, id).hosts.count, 0);
	revision = rig_volume(&rig, id).revision;
	assert_int_equal(attach(&rig, "db1", "one", HOST).code, 0);
	assert_int_equal(rig_volume(&rig, id).revision, revision);
	rig_check(&rig);
	rig_refused(rig_snapshot_delete(&rig, "db1", "one"), ERROR_FAILED_PRECONDITION,
		    "snapshot \"one\" of volume \"db1\" is attached to " HOST " and others");
	rig_refused(rig_delete(&rig, "db1"), ERROR_FAILED_PRECONDITION, "has snapshot \"one\", which would go with it");
	assert_int_equal(detach(&rig, "db1", "one", HOST).code, 0);
	assert_string_equal(hosts_of(&rig, id, 0).items[0], OTHER);
	rig_refused(rig_snapshot_delete(&rig, "db1", "one"), ERROR_FAILED_PRECONDITION, "is attached to " OTHER);
	revision = rig_volume(&rig, id).revision;
	assert_int_equal(detach(&rig, "db1", "one", HOST).code, 0);
	assert_int_equal(rig_volume(&rig, id).revision, revision);
	assert_int_equal(detach(&rig, "db1", "one", OTHER).code, 0);
	assert_int_equal(rig_snapshot_delete(&rig, "db1", "one").code, 0);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_refused(void **state)
{
	char nqn[64];
	struct rig rig;
	uint64_t id = open_taken(&rig);

	(void)state;
	rig_refused(attach(&rig, "db2", "one", HOST), ERROR_NOT_FOUND, "db2");
	rig_refused(attach(&rig, "db1", "two", HOST), ERROR_NOT_FOUND, "volume \"db1\" has no snapshot \"two\"");
	rig_refused(attach(&rig, "db1", "one", "host1"), ERROR_INVALID_ARGUMENT,
		    "the host's NQN \"host1\" is not an NQN");
	rig_refused(detach(&rig, "db1", "two", HOST), ERROR_NOT_FOUND, "volume \"db1\" has no snapshot \"two\"");
	rig_refused(detach(&rig, "db1", "one", "host1"), ERROR_INVALID_ARGUMENT, "is not an NQN");
	assert_int_equal(rig_snapshot(&rig, id, "two").code, 0);
	rig_refused(attach(&rig, "db1", "two", HOST), ERROR_FAILED_PRECONDITION, "is being made by job j2");
	for (unsigned i = 0; i < LIMIT_HOSTS_PER_VOLUME; i++) {
		snprintf(nqn, sizeof(nqn), "nqn.2014-08.org.x:n%u", i);
		assert_int_equal(attach(&rig, "db1", "one", nqn).code, 0);
	}
	rig_refused(attach(&rig, "db1", "one", HOST), ERROR_FAILED_PRECONDITION, "the limit is");
	rig_check(&rig);
	rig_close(&rig);
}

static const struct desired_snapshot *told(struct rig *rig, const char *node)
{
	const struct desired_volume *volume = &text_project(rig, node).volumes.items[0];

	return volume->snapshots.count > 0 ? &volume->snapshots.items[0] : NULL;
}

/* All controllers are told; legs are for those whose slot is served. */
static void test_told(void **state)
{
	const struct desired_snapshot *snapshot;
	char nqn[NAMES_NQN_SIZE];
	struct rig rig;
	uint64_t id = open_taken(&rig);

	(void)state;
	assert_null(told(&rig, "n1"));
	assert_null(told(&rig, "n3"));
	assert_int_equal(attach(&rig, "db1", "one", HOST).code, 0);
	snapshot = told(&rig, "n1");
	assert_non_null(snapshot);
	assert_int_equal(snapshot->thin, 1);
	assert_int_equal(snapshot->size_bytes, rig_volume(&rig, id).size_bytes);
	assert_int_equal(snapshot->hosts.count, 1);
	assert_string_equal(snapshot->hosts.items[0], HOST);
	assert_true(snapshot->served);
	assert_int_equal(snapshot->controllers.count, rig_volume(&rig, id).controllers.count - 1);
	names_node_nqn(text_project(&rig, "n1").cluster, "n2", nqn);
	assert_string_equal(snapshot->controllers.items[0], nqn);
	assert_true(told(&rig, "n2")->served);
	snapshot = told(&rig, "n3");
	assert_false(snapshot->served);
	assert_int_equal(snapshot->hosts.count, 1);
	/* Not before the slot serves: it waits for none of that. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_false(told(&rig, "n3")->served);
	assert_true(told(&rig, "n2")->served);
	rig_slot_serve(&rig, id, 0);
	assert_true(told(&rig, "n3")->served);
	/* The volume may be larger by now. */
	assert_int_equal(rig_extend(&rig, id, rig_volume(&rig, id).size_bytes * 2).code, 0);
	rig_job_until(&rig, 2, OPERATION_PHASE_JOINING);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_RESIZING).code, 0);
	assert_int_equal(rig_job_advance(&rig, 2, OPERATION_PHASE_OVER).code, 0);
	assert_int_equal(told(&rig, "n2")->size_bytes * 2, rig_volume(&rig, id).size_bytes);
	assert_int_equal(detach(&rig, "db1", "one", HOST).code, 0);
	assert_null(told(&rig, "n2"));
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_told),
	};

	return cmocka_run_group_tests_name("fsm_snapshot_read", tests, NULL, NULL);
}
