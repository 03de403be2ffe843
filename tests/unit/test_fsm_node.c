/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cluster, nodes, disks. */
#include "tests/unit/test_fsm_rig.h"

#include <stdio.h>

static struct outcome register_node(struct rig *rig, const char *name, const char *address, uint64_t port)
{
	struct command_node_register node = { .name = name, .address = address, .port = port, .version = "1" };

	memset(node.boot_id, 7, sizeof(node.boot_id));
	return rig_apply(rig, (struct command){ .node_register = &node });
}

static struct outcome remove_disk(struct rig *rig, uint64_t id)
{
	struct command_disk_remove disk = { id };

	return rig_apply(rig, (struct command){ .disk_remove = &disk });
}

static struct outcome cordon(struct rig *rig, const char *name, bool cordoned)
{
	struct command_node_cordon command = { .name = name, .cordoned = cordoned };

	return rig_apply(rig, (struct command){ .node_cordon = &command });
}

static struct outcome forget(struct rig *rig, const char *name)
{
	struct command_node_forget command = { .name = name };

	return rig_apply(rig, (struct command){ .node_forget = &command });
}

static struct disk disk_of(struct rig *rig, uint64_t id)
{
	struct disk disk;

	assert_int_equal(fsm_disk_get(rig->fsm, id, &rig->arena, &disk, NULL), 0);
	return disk;
}

static void test_cluster(void **state)
{
	struct server servers[] = { { 1, "10.0.0.201:7001", "10.0.0.201:7000", NULL, false } };
	struct cluster cluster = { .id = "c0ffee",
				   .name = "lab",
				   .extent_bytes = RIG_EXTENT_BYTES,
				   .servers = { 1, servers },
				   .created_ms = 5 };
	struct cluster found;
	struct outcome outcome;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	outcome = register_node(&rig, "n1", "10.0.0.1", 4420);
	rig_refused(outcome, ERROR_FAILED_PRECONDITION, "no cluster yet");
	assert_string_equal(outcome.hint, "run: dnvme cluster init --name NAME");
	assert_int_equal(fsm_cluster_get(rig.fsm, &rig.arena, &found, &error), ERROR_FAILED_PRECONDITION);
	cluster.extent_bytes = 4097;
	rig_refused(rig_apply(&rig, (struct command){ .cluster_create = &cluster }), ERROR_INVALID_ARGUMENT, "4097");
	cluster.extent_bytes = RIG_EXTENT_BYTES;
	assert_int_equal(fsm_revision(rig.fsm), 0);
	outcome = rig_do(&rig, (struct command){ .cluster_create = &cluster });
	assert_int_equal(outcome.revision, 1);
	rig_heard(&rig, "cluster 0 r1:\n");
	rig_do(&rig, (struct command){ .cluster_create = &cluster });
	assert_int_equal(fsm_revision(rig.fsm), 1);
	cluster.id = "beef";
	rig_refused(rig_apply(&rig, (struct command){ .cluster_create = &cluster }), ERROR_ALREADY_EXISTS, "c0ffee");
	assert_int_equal(fsm_cluster_get(rig.fsm, &rig.arena, &found, &error), 0);
	assert_string_equal(found.id, "c0ffee");
	assert_string_equal(found.servers.items[0].api_address, "10.0.0.201:7000");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_nodes(void **state)
{
	struct outcome outcome;
	char name[16];
	struct rig rig;
	uint64_t revision;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	for (unsigned i = 0; i < 18; i++) {
		snprintf(name, sizeof(name), "n%02u", i);
		outcome = register_node(&rig, name, "10.0.0.1", 4420);
		assert_string_equal(outcome.id, name);
		assert_int_equal(rig_node_of(&rig, name).colour, i % 16);
		assert_int_equal(rig_node_of(&rig, name).revision, outcome.revision);
	}
	/* The colour that is used least now: n05's. */
	assert_int_equal(forget(&rig, "n05").code, 0);
	rig_refused(forget(&rig, "n05"), ERROR_NOT_FOUND, "\"n05\"");
	register_node(&rig, "late", "10.0.0.99", 4420);
	assert_int_equal(rig_node_of(&rig, "late").colour, 5);

	/* Nothing new: no revision. Something new: one. */
	buffer_clear(&rig.changes);
	revision = fsm_revision(rig.fsm);
	outcome = register_node(&rig, "late", "10.0.0.99", 4420);
	assert_int_equal(outcome.revision, revision);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	rig_heard(&rig, "");
	outcome = register_node(&rig, "late", "fd00::1", 4421);
	assert_int_equal(outcome.revision, revision + 1);
	assert_string_equal(rig_node_of(&rig, "late").address, "fd00::1");
	assert_int_equal(rig_node_of(&rig, "late").colour, 5);

	rig_refused(register_node(&rig, "late", "10.0.0.1:4420", 1), ERROR_INVALID_ARGUMENT, "numeric IP address");

	cordon(&rig, "n01", true);
	assert_true(rig_node_of(&rig, "n01").cordoned);
	revision = fsm_revision(rig.fsm);
	assert_int_equal(cordon(&rig, "n01", true).revision, revision);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	/* A node that says hello stays cordoned. */
	register_node(&rig, "n01", "10.0.0.7", 4420);
	assert_true(rig_node_of(&rig, "n01").cordoned);
	assert_int_equal(cordon(&rig, "n01", false).code, 0);
	assert_false(rig_node_of(&rig, "n01").cordoned);
	rig_refused(cordon(&rig, "n77", true), ERROR_NOT_FOUND, "\"n77\"");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

static void test_disks(void **state)
{
	struct outcome outcome;
	char path[32];
	struct rig rig;
	uint64_t d1;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	rig_refused(rig_disk_add(&rig, "n1", "/dev/a", GIB), ERROR_NOT_FOUND, "\"n1\"");
	register_node(&rig, "n1", "10.0.0.1", 4501);
	buffer_clear(&rig.changes);
	d1 = rig_disk(&rig, "n1", "/dev/a", 3 * GIB + 5);
	rig_heard(&rig, "disk n11 r3: n1\n");
	assert_int_equal(disk_of(&rig, d1).port, 4500);
	assert_int_equal(disk_of(&rig, d1).extents_total, 3 * 256 - 1);
	assert_int_equal(disk_of(&rig, d1).extents_free, 3 * 256 - 1);
	assert_int_equal(disk_of(&rig, rig_disk(&rig, "n1", "/dev/b", GIB)).port, 4502); /* 4501 is the node's */
	rig_refused(rig_disk_add(&rig, "n1", "/dev/a", GIB), ERROR_ALREADY_EXISTS, "disk d1 already");
	rig_refused(rig_disk_add(&rig, "n1", "dev/c", GIB), ERROR_INVALID_ARGUMENT, "absolute path");
	rig_refused(register_node(&rig, "n1", "10.0.0.1", 4500), ERROR_FAILED_PRECONDITION, "disk d1");
	outcome = forget(&rig, "n1");
	rig_refused(outcome, ERROR_FAILED_PRECONDITION, "2 disks");
	assert_string_equal(outcome.hint,
			    "run: dnvme disk remove d1; if the machine never comes back: dnvme node forget n1 "
			    "--yes");

	/* Ids and ports are not used again at once. */
	buffer_clear(&rig.changes);
	assert_int_equal(remove_disk(&rig, d1).code, 0);
	rig_heard(&rig, "disk n11 removed r5: n1\n");
	rig_refused(remove_disk(&rig, d1), ERROR_NOT_FOUND, "d1");
	assert_int_equal(rig_disk(&rig, "n1", "/dev/a", GIB), 3);
	assert_int_equal(disk_of(&rig, 3).port, 4503);
	rig_check(&rig);

	for (unsigned i = 2; i < LIMIT_DISKS_PER_NODE; i++) {
		snprintf(path, sizeof(path), "/dev/x%u", i);
		rig_disk(&rig, "n1", path, LIMIT_DISK_BYTES_MIN);
	}
	rig_refused(rig_disk_add(&rig, "n1", "/dev/one-more", GIB), ERROR_NO_CAPACITY, "limit is 64");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* A disk of fewer than two extents has none to give. */
static void test_small_disk(void **state)
{
	struct server servers[] = { { 1, "10.0.0.201:7001", "10.0.0.201:7000", NULL, false } };
	struct cluster cluster = {
		.id = "c0ffee", .name = "lab", .extent_bytes = GIB, .servers = { 1, servers }, .created_ms = 5
	};
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_do(&rig, (struct command){ .cluster_create = &cluster });
	register_node(&rig, "n1", "10.0.0.1", 4420);
	rig_refused(rig_disk_add(&rig, "n1", "/dev/a", 2 * GIB - 1), ERROR_INVALID_ARGUMENT, "less than two extents");
	rig_disk(&rig, "n1", "/dev/a", 2 * GIB);
	assert_int_equal(disk_of(&rig, 1).extents_total, 1);
	rig_check(&rig);
	rig_close(&rig);
}

/* Ports wrap around and step over those in use. */
static void test_disk_ports_wrap(void **state)
{
	enum { PAIRS = 500, LEG_PORTS = LIMIT_LEG_PORT_LAST - LIMIT_LEG_PORT_FIRST + 1 };
	static struct buffer encoded[2 * PAIRS];
	static struct bytes bytes[2 * PAIRS];
	struct command_disk_add add = { .node = "n1", .path = "/dev/goes", .size_bytes = GIB };
	struct command_disk_remove removal;
	struct command commands[2] = { { .disk_add = &add }, { .disk_remove = &removal } };
	struct error error;
	struct rig rig;
	uint64_t id = 1;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	register_node(&rig, "n1", "10.0.0.1", 4502);
	rig_disk(&rig, "n1", "/dev/stays", 4 * GIB);
	/* 4501, 4503, 4504 … 19999, 30000 … 65001 come and go. */
	while (id < 60500 - LEG_PORTS) {
		for (size_t i = 0; i < 2 * PAIRS; i++) {
			removal.id = i % 2 == 0 ? ++id : id;
			buffer_clear(&encoded[i]);
			rig_encode(&commands[i % 2], &encoded[i]);
			bytes[i] = buffer_bytes(&encoded[i]);
		}
		assert_int_equal(fsm_apply(rig.fsm, ++rig.index, bytes, 2 * PAIRS, NULL, &error), 0);
	}
	assert_int_equal(rig_node_of(&rig, "n1").next_port, 4501 + LEG_PORTS + id);
	while (disk_of(&rig, rig_disk(&rig, "n1", "/dev/goes", GIB)).port < 65535)
		assert_int_equal(remove_disk(&rig, ++id).code, 0);
	assert_int_equal(remove_disk(&rig, ++id).code, 0);
	/* 4500 is taken, 4502 is the node's. */
	assert_int_equal(disk_of(&rig, rig_disk(&rig, "n1", "/dev/goes", GIB)).port, 4501);
	assert_int_equal(disk_of(&rig, rig_disk(&rig, "n1", "/dev/next", GIB)).port, 4503);
	rig_check(&rig);
	for (size_t i = 0; i < 2 * PAIRS; i++)
		buffer_free(&encoded[i]);
	rig_close(&rig);
}

/* What an agent tells of a write cache counts as long as its node has not begun anew. */
static void test_disk_cache(void **state)
{
	struct command_node_register node = { .name = "n1", .address = "10.0.0.1", .port = 4420, .version = "1" };
	struct command_disk_add add = {
		.node = "n1", .path = "/dev/a", .size_bytes = GIB, .volatile_cache = true, .cache_accepted = true
	};
	struct command_disk_cache cache = { .id = 1 };
	struct desired desired;
	struct outcome outcome;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	memset(node.boot_id, 1, sizeof(node.boot_id));
	memset(cache.boot_id, 1, sizeof(cache.boot_id));
	rig_do(&rig, (struct command){ .node_register = &node });
	rig_do(&rig, (struct command){ .disk_add = &add });
	assert_true(disk_of(&rig, 1).volatile_cache && disk_of(&rig, 1).cache_accepted);
	assert_int_equal(fsm_project_node(rig.fsm, "n1", &rig.arena, &desired, &error), 0);
	assert_true(desired.disks.items[0].volatile_cache);

	/* The node is told, by a new revision of the disk. */
	buffer_clear(&rig.changes);
	outcome = rig_do(&rig, (struct command){ .disk_cache = &cache });
	assert_string_equal(outcome.id, "d1");
	assert_int_equal(disk_of(&rig, 1).revision, outcome.revision);
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_non_null(strstr((const char *)rig.changes.data, "disk n11 r"));
	assert_true(!disk_of(&rig, 1).volatile_cache && disk_of(&rig, 1).cache_accepted);
	assert_int_equal(fsm_project_node(rig.fsm, "n1", &rig.arena, &desired, &error), 0);
	assert_false(desired.disks.items[0].volatile_cache);
	/* The same once more is no change. */
	outcome.revision = fsm_revision(rig.fsm);
	rig_do(&rig, (struct command){ .disk_cache = &cache });
	assert_int_equal(fsm_revision(rig.fsm), outcome.revision);

	memset(node.boot_id, 2, sizeof(node.boot_id));
	rig_do(&rig, (struct command){ .node_register = &node });
	cache.volatile_cache = true;
	rig_refused(rig_apply(&rig, (struct command){ .disk_cache = &cache }), ERROR_CONFLICT, "began anew");
	assert_false(disk_of(&rig, 1).volatile_cache);
	memset(cache.boot_id, 2, sizeof(cache.boot_id));
	rig_do(&rig, (struct command){ .disk_cache = &cache });
	assert_true(disk_of(&rig, 1).volatile_cache);
	cache.id = 2;
	rig_refused(rig_apply(&rig, (struct command){ .disk_cache = &cache }), ERROR_NOT_FOUND, "d2");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* Who leads looks at a node again only when it is told that it is reached elsewhere. */
static void test_told_when_moved(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_cluster(&rig);
	buffer_clear(&rig.changes);
	register_node(&rig, "n1", "10.0.0.1", 4420);
	cordon(&rig, "n1", true);
	register_node(&rig, "n1", "10.0.0.9", 4420);
	cordon(&rig, "n1", false);
	register_node(&rig, "n1", "10.0.0.9", 4421);
	forget(&rig, "n1");
	assert_int_equal(buffer_append(&rig.changes, "", 1), 0);
	assert_string_equal((const char *)rig.changes.data, "node n10 moved r2:\n"
							    "node n10 r3:\n"
							    "node n10 moved r4:\n"
							    "node n10 r5:\n"
							    "node n10 moved r6:\n"
							    "node n10 removed r7:\n");
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster),		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_disks),		cmocka_unit_test(test_small_disk),
		cmocka_unit_test(test_disk_ports_wrap), cmocka_unit_test(test_disk_cache),
		cmocka_unit_test(test_told_when_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
