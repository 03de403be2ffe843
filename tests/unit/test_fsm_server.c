/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control-plane servers that are wanted. */
#include <stdio.h>

#include "tests/unit/test_fsm_rig.h"

static struct outcome add(struct rig *rig, uint64_t id, const char *name, const char *raft, const char *api)
{
	struct command_server_add server = { .id = id, .name = name, .raft_address = raft, .api_address = api };

	return rig_apply(rig, (struct command){ .server_add = &server });
}

static struct outcome leave(struct rig *rig, uint64_t id)
{
	struct command_server_remove server = { .id = id };

	return rig_apply(rig, (struct command){ .server_remove = &server });
}

static struct outcome gone(struct rig *rig, uint64_t id)
{
	struct command_server_remove server = { .id = id, .gone = true };

	return rig_apply(rig, (struct command){ .server_remove = &server });
}

/* Both. */
static struct outcome drop(struct rig *rig, uint64_t id)
{
	struct outcome outcome = leave(rig, id);

	return outcome.code != 0 ? outcome : gone(rig, id);
}

static struct cluster cluster_of(struct rig *rig)
{
	struct cluster cluster;

	assert_int_equal(fsm_cluster_get(rig->fsm, &rig->arena, &cluster, NULL), 0);
	return cluster;
}

static void test_add_and_remove(void **state)
{
	struct cluster cluster;
	struct outcome outcome;
	struct rig rig;
	uint64_t revision;

	(void)state;
	rig_open(&rig);
	rig_refused(add(&rig, 0, "b", "10.0.0.2:7401", "10.0.0.2:7400"), ERROR_FAILED_PRECONDITION, "no cluster");
	rig_cluster(&rig);
	outcome = add(&rig, 0, "b", "10.0.0.2:7401", "10.0.0.2:7400");
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "s2");
	/* Asked again. */
	revision = fsm_revision(rig.fsm);
	outcome = add(&rig, 0, "b", "10.0.0.2:7401", "10.0.0.2:7400");
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.id, "s2");
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_refused(add(&rig, 0, "b", "10.0.0.3:7401", "10.0.0.3:7400"), ERROR_ALREADY_EXISTS, "name: ");
	rig_refused(add(&rig, 0, "c", "10.0.0.2:7401", "10.0.0.3:7400"), ERROR_ALREADY_EXISTS, "raft_address: ");
	rig_refused(add(&rig, 0, "c", "10.0.0.3:7401", "10.0.0.2:7400"), ERROR_ALREADY_EXISTS, "api_address: ");
	rig_refused(add(&rig, 0, "s9", "10.0.0.3:7401", "10.0.0.3:7400"), ERROR_INVALID_ARGUMENT, "name: ");
	rig_refused(add(&rig, 2, "c", "10.0.0.3:7401", "10.0.0.3:7400"), ERROR_FAILED_PRECONDITION, "id: ");
	outcome = add(&rig, 7, "c", "10.0.0.3:7401", "10.0.0.3:7400");
	assert_string_equal(outcome.id, "s7");
	cluster = cluster_of(&rig);
	assert_int_equal(cluster.servers.count, 3);
	assert_string_equal(cluster.servers.items[2].name, "c");

	rig_refused(gone(&rig, 7), ERROR_CONFLICT, "is wanted");
	assert_int_equal(leave(&rig, 7).code, 0);
	assert_true(cluster_of(&rig).servers.items[2].leaving);
	revision = fsm_revision(rig.fsm);
	assert_int_equal(leave(&rig, 7).code, 0);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_refused(add(&rig, 0, "c", "10.0.0.3:7401", "10.0.0.3:7400"), ERROR_ALREADY_EXISTS, "name: ");
	assert_int_equal(gone(&rig, 7).code, 0);
	rig_refused(drop(&rig, 7), ERROR_NOT_FOUND, "no server s7");
	/* A number is never used again. */
	rig_refused(add(&rig, 7, "c", "10.0.0.3:7401", "10.0.0.3:7400"), ERROR_FAILED_PRECONDITION,
		    "id: a server had the number 7");
	assert_string_equal(add(&rig, 0, "c", "10.0.0.3:7401", "10.0.0.3:7400").id, "s8");
	assert_int_equal(drop(&rig, 8).code, 0);
	assert_int_equal(drop(&rig, 1).code, 0);
	rig_refused(drop(&rig, 2), ERROR_FAILED_PRECONDITION, "only one");
	cluster = cluster_of(&rig);
	assert_int_equal(cluster.servers.count, 1);
	assert_int_equal(cluster.next_server, 9);
	rig_check(&rig);
	rig_close(&rig);
}

static void test_limits(void **state)
{
	char name[16], raft[32], api[32];
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	for (unsigned i = 2; i <= LIMIT_SERVERS + 1; i++) {
		struct outcome outcome;

		snprintf(name, sizeof(name), "n%u", i);
		snprintf(raft, sizeof(raft), "10.0.0.%u:7401", i);
		snprintf(api, sizeof(api), "10.0.0.%u:7400", i);
		outcome = add(&rig, 0, name, raft, api);
		assert_int_equal(outcome.code, i <= LIMIT_SERVERS ? 0 : ERROR_NO_CAPACITY);
	}
	assert_int_equal(drop(&rig, 3).code, 0);
	assert_int_equal(add(&rig, UINT32_MAX, "last", "10.1.0.1:1", "10.1.0.1:2").code, 0);
	assert_int_equal(drop(&rig, 4).code, 0);
	rig_refused(add(&rig, 0, "none", "10.1.0.2:1", "10.1.0.2:2"), ERROR_NO_CAPACITY, "id: ");
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_remove),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("fsm_server", tests, NULL, NULL);
}
