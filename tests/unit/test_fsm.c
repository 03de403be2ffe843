/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine: entries, outcomes, request ids, restarts; cluster, nodes, disks; reads. */
#include "tests/unit/test_fsm_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/model/names.h"
#include "lib/wire/codec.h"

static struct outcome register_node(struct rig *rig, const char *name, const char *address, uint64_t port)
{
	struct command_node_register node = { .name = name, .address = address, .port = port, .version = "1" };

	memset(node.boot_id, 7, sizeof(node.boot_id));
	return rig_apply(rig, (struct command){ .node_register = &node });
}

static struct outcome add_disk(struct rig *rig, const char *node, const char *path, uint64_t size)
{
	struct command_disk_add disk = { .node = node, .path = path, .size_bytes = size };

	return rig_apply(rig, (struct command){ .disk_add = &disk });
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

static struct node node_of(struct rig *rig, const char *name)
{
	struct node node;

	assert_int_equal(fsm_node_get(rig->fsm, name, &rig->arena, &node, NULL), 0);
	return node;
}

static struct disk disk_of(struct rig *rig, uint64_t id)
{
	struct disk disk;

	assert_int_equal(fsm_disk_get(rig->fsm, id, &rig->arena, &disk, NULL), 0);
	return disk;
}

static void heard(struct rig *rig, const char *text)
{
	assert_int_equal(buffer_append(&rig->changes, "", 1), 0);
	assert_string_equal((const char *)rig->changes.data, text);
	buffer_clear(&rig->changes);
}

/* --- cluster, nodes, disks -------------------------------------------------------------------------------- */

static void test_cluster(void **state)
{
	struct server servers[] = { { 1, "10.0.0.201:7001", "10.0.0.201:7000" } };
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
	heard(&rig, "cluster 0 r1:\n");
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
		assert_int_equal(node_of(&rig, name).colour, i % 16);
		assert_int_equal(node_of(&rig, name).revision, outcome.revision);
	}
	/* The colour that is used least now: n05's. */
	assert_int_equal(forget(&rig, "n05").code, 0);
	rig_refused(forget(&rig, "n05"), ERROR_NOT_FOUND, "\"n05\"");
	register_node(&rig, "late", "10.0.0.99", 4420);
	assert_int_equal(node_of(&rig, "late").colour, 5);

	/* Nothing new: no revision. Something new: one. */
	buffer_clear(&rig.changes);
	revision = fsm_revision(rig.fsm);
	outcome = register_node(&rig, "late", "10.0.0.99", 4420);
	assert_int_equal(outcome.revision, revision);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	heard(&rig, "");
	outcome = register_node(&rig, "late", "fd00::1", 4421);
	assert_int_equal(outcome.revision, revision + 1);
	assert_string_equal(node_of(&rig, "late").address, "fd00::1");
	assert_int_equal(node_of(&rig, "late").colour, 5);

	rig_refused(register_node(&rig, "late", "10.0.0.1:4420", 1), ERROR_INVALID_ARGUMENT, "numeric IP address");

	cordon(&rig, "n01", true);
	assert_true(node_of(&rig, "n01").cordoned);
	revision = fsm_revision(rig.fsm);
	assert_int_equal(cordon(&rig, "n01", true).revision, revision);
	assert_int_equal(fsm_revision(rig.fsm), revision);
	/* A node that says hello stays cordoned. */
	register_node(&rig, "n01", "10.0.0.7", 4420);
	assert_true(node_of(&rig, "n01").cordoned);
	assert_int_equal(cordon(&rig, "n01", false).code, 0);
	assert_false(node_of(&rig, "n01").cordoned);
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
	rig_refused(add_disk(&rig, "n1", "/dev/a", GIB), ERROR_NOT_FOUND, "\"n1\"");
	register_node(&rig, "n1", "10.0.0.1", 4501);
	buffer_clear(&rig.changes);
	d1 = rig_disk(&rig, "n1", "/dev/a", 3 * GIB + 5);
	heard(&rig, "disk n11 r3: n1\n");
	assert_int_equal(disk_of(&rig, d1).port, 4500);
	assert_int_equal(disk_of(&rig, d1).extents_total, 3 * 256 - 1);
	assert_int_equal(disk_of(&rig, d1).extents_free, 3 * 256 - 1);
	assert_int_equal(disk_of(&rig, rig_disk(&rig, "n1", "/dev/b", GIB)).port, 4502); /* 4501 is the node's */
	rig_refused(add_disk(&rig, "n1", "/dev/a", GIB), ERROR_ALREADY_EXISTS, "disk d1 already");
	rig_refused(add_disk(&rig, "n1", "dev/c", GIB), ERROR_INVALID_ARGUMENT, "absolute path");
	rig_refused(register_node(&rig, "n1", "10.0.0.1", 4500), ERROR_FAILED_PRECONDITION, "disk d1");
	outcome = forget(&rig, "n1");
	rig_refused(outcome, ERROR_FAILED_PRECONDITION, "2 disks");
	assert_string_equal(outcome.hint,
			    "run: dnvme disk remove d1; if the machine never comes back: dnvme node forget n1 "
			    "--yes");

	/* Ids and ports are not used again at once. */
	buffer_clear(&rig.changes);
	assert_int_equal(remove_disk(&rig, d1).code, 0);
	heard(&rig, "disk n11 removed r5: n1\n");
	rig_refused(remove_disk(&rig, d1), ERROR_NOT_FOUND, "d1");
	assert_int_equal(rig_disk(&rig, "n1", "/dev/a", GIB), 3);
	assert_int_equal(disk_of(&rig, 3).port, 4503);
	rig_check(&rig);

	for (unsigned i = 2; i < LIMIT_DISKS_PER_NODE; i++) {
		snprintf(path, sizeof(path), "/dev/x%u", i);
		rig_disk(&rig, "n1", path, LIMIT_DISK_BYTES_MIN);
	}
	rig_refused(add_disk(&rig, "n1", "/dev/one-more", GIB), ERROR_NO_CAPACITY, "limit is 64");
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* A disk of fewer than two extents has none to give. */
static void test_small_disk(void **state)
{
	struct server servers[] = { { 1, "10.0.0.201:7001", "10.0.0.201:7000" } };
	struct cluster cluster = {
		.id = "c0ffee", .name = "lab", .extent_bytes = GIB, .servers = { 1, servers }, .created_ms = 5
	};
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_do(&rig, (struct command){ .cluster_create = &cluster });
	register_node(&rig, "n1", "10.0.0.1", 4420);
	rig_refused(add_disk(&rig, "n1", "/dev/a", 2 * GIB - 1), ERROR_INVALID_ARGUMENT, "less than two extents");
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
	assert_int_equal(node_of(&rig, "n1").next_port, 4501 + LEG_PORTS + id);
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

/* --- entries and outcomes --------------------------------------------------------------------------------- */

static void test_bad_commands(void **state)
{
	struct command_node_cordon cordoned = { .name = "n1", .cordoned = true };
	struct command_node_forget forgotten = { .name = "n1" };
	struct command both = { .node_cordon = &cordoned, .node_forget = &forgotten };
	static const uint8_t garbage[] = { 0xc1, 0xff, 0x00, 0x17 };
	uint8_t before[16], after[16];
	struct outcome outcome;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, GIB);
	rig_digest(&rig, before);
	outcome = rig_apply_bytes(&rig, (struct bytes){ garbage, sizeof(garbage) });
	assert_int_equal(outcome.code, ERROR_INVALID_ARGUMENT);
	outcome = rig_apply_bytes(&rig, (struct bytes){ garbage, 0 });
	assert_int_equal(outcome.code, ERROR_INVALID_ARGUMENT);
	rig_refused(rig_apply(&rig, both), ERROR_INVALID_ARGUMENT, "2 commands");
	rig_refused(rig_apply(&rig, (struct command){ 0 }), ERROR_INVALID_ARGUMENT, "0 commands");
	both.node_forget = NULL;
	both.request_id = (struct bytes){ (const uint8_t *)"short", 5 };
	rig_refused(rig_apply(&rig, both), ERROR_INVALID_ARGUMENT, "request id has 5 bytes");
	assert_false(node_of(&rig, "n1").cordoned);
	/* Only the index moved, and it is no part of the digest. */
	rig_digest(&rig, after);
	assert_memory_equal(before, after, sizeof(before));
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

/* Many commands in one entry: each sees what the ones before did, a refused one disturbs no other. */
static void test_packed_entry(void **state)
{
	struct command_node_cordon cordoned = { .name = "n1", .cordoned = true },
				   unknown = { .name = "n9", .cordoned = true };
	struct command_disk_add disk = { .node = "n1", .path = "/dev/z", .size_bytes = GIB };
	struct command commands[] = { { .disk_add = &disk },
				      { .disk_add = &disk },
				      { .node_cordon = &unknown },
				      { .node_cordon = &cordoned },
				      { .node_cordon = &cordoned } };
	enum { COUNT = sizeof(commands) / sizeof(commands[0]) };
	struct buffer encoded[COUNT], outcomes[COUNT];
	struct bytes bytes[COUNT];
	struct outcome outcome;
	struct error error;
	uint64_t revision;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, GIB);
	revision = fsm_revision(rig.fsm);
	for (size_t i = 0; i < COUNT; i++) {
		encoded[i] = outcomes[i] = (struct buffer)BUFFER_INIT;
		rig_encode(&commands[i], &encoded[i]);
		bytes[i] = buffer_bytes(&encoded[i]);
	}
	buffer_clear(&rig.changes);
	assert_int_equal(fsm_apply(rig.fsm, ++rig.index, bytes, COUNT, outcomes, &error), 0);
	outcome = rig_outcome(&rig, buffer_bytes(&outcomes[0]));
	assert_int_equal(outcome.code, 0);
	assert_int_equal(outcome.revision, revision + 1);
	assert_string_equal(outcome.id, "d2");
	rig_refused(rig_outcome(&rig, buffer_bytes(&outcomes[1])), ERROR_ALREADY_EXISTS, "d2");
	rig_refused(rig_outcome(&rig, buffer_bytes(&outcomes[2])), ERROR_NOT_FOUND, "n9");
	assert_int_equal(rig_outcome(&rig, buffer_bytes(&outcomes[3])).revision, revision + 2);
	assert_int_equal(rig_outcome(&rig, buffer_bytes(&outcomes[4])).revision, revision + 2);
	assert_int_equal(fsm_revision(rig.fsm), revision + 2);
	heard(&rig, "disk n12 r4: n1\nnode n10 r5:\n");
	rig_check(&rig);

	/* Entries that were applied are skipped and give no outcome. */
	for (size_t i = 0; i < COUNT; i++)
		buffer_clear(&outcomes[i]);
	assert_int_equal(fsm_apply(rig.fsm, rig.index, bytes, COUNT, outcomes, &error), 0);
	assert_int_equal(outcomes[0].size, 0);
	heard(&rig, "");
	assert_int_equal(fsm_revision(rig.fsm), revision + 2);
	for (size_t i = 0; i < COUNT; i++) {
		buffer_free(&encoded[i]);
		buffer_free(&outcomes[i]);
	}
	rig_close(&rig);
}

static void test_restart(void **state)
{
	uint8_t before[16], after[16];
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 3, 1, GIB);
	assert_int_equal(fsm_skip(rig.fsm, rig.index + 5, &error), 0);
	rig.index += 5;
	rig_digest(&rig, before);
	rig_reopen(&rig);
	rig_digest(&rig, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(fsm_applied_index(rig.fsm), rig.index);
	assert_int_equal(fsm_revision(rig.fsm), 7);
	assert_int_equal(fsm_skip(rig.fsm, rig.index - 1, &error), 0);
	assert_int_equal(fsm_applied_index(rig.fsm), rig.index);
	rig_compare_replay(&rig);
	rig_close(&rig);
}

static void test_load(void **state)
{
	struct buffer dump = BUFFER_INIT;
	uint8_t before[16], after[16];
	struct rig rig, other;
	struct error error;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 3, 1, GIB);
	assert_int_equal(fsm_dump(rig.fsm, &dump, &error), 0);
	rig_digest(&rig, before);

	/* What holds the index already is left alone. */
	rig_open(&other);
	rig_rack(&other, 5, 2, GIB);
	rig_digest(&other, before);
	assert_int_equal(fsm_load(other.fsm, rig.index, buffer_bytes(&dump), &error), 0);
	rig_digest(&other, after);
	assert_memory_equal(before, after, sizeof(before));

	/* Anything else is replaced as a whole; the index of the snapshot counts. */
	assert_int_equal(fsm_load(other.fsm, 1000, buffer_bytes(&dump), &error), 0);
	assert_int_equal(fsm_applied_index(other.fsm), 1000);
	assert_int_equal(fsm_revision(other.fsm), fsm_revision(rig.fsm));
	rig_check(&other);

	/* A damaged one changes nothing. */
	dump.data[dump.size / 2] ^= 1;
	rig_digest(&other, before);
	assert_int_not_equal(fsm_load(other.fsm, 2000, buffer_bytes(&dump), &error), 0);
	rig_digest(&other, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(fsm_applied_index(other.fsm), 1000);
	buffer_free(&dump);
	rig_close(&other);
	rig_close(&rig);
}

/* --- request ids -------------------------------------------------------------------------------------------- */

static struct bytes request_id(uint8_t memory[16], uint64_t number)
{
	memset(memory, 0, 16);
	memcpy(memory, &number, sizeof(number));
	return (struct bytes){ memory, 16 };
}

static void test_requests(void **state)
{
	struct command_disk_add disk = { .node = "n1", .path = "/dev/z", .size_bytes = GIB };
	struct command_disk_remove gone = { 7 };
	struct command command = { .disk_add = &disk };
	struct outcome first, second, found;
	uint8_t memory[16];
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, GIB);
	command.request_id = request_id(memory, 1);
	first = rig_do(&rig, command);
	/* Again, and even with another command: the first outcome, and nothing happens. */
	buffer_clear(&rig.changes);
	disk.path = "/dev/other";
	second = rig_do(&rig, command);
	heard(&rig, "");
	assert_string_equal(second.id, first.id);
	assert_int_equal(second.revision, first.revision);
	assert_int_equal(fsm_revision(rig.fsm), first.revision);
	rig_refused(add_disk(&rig, "n1", "/dev/z", GIB), ERROR_ALREADY_EXISTS, first.id);
	assert_int_equal(fsm_request_get(rig.fsm, command.request_id, &rig.arena, &found, &error), 0);
	assert_string_equal(found.id, first.id);
	assert_int_equal(fsm_request_get(rig.fsm, (struct bytes){ memory, 5 }, &rig.arena, &found, &error),
			 ERROR_NOT_FOUND);

	/* A refusal is not remembered. */
	command = (struct command){ .request_id = request_id(memory, 2), .disk_remove = &gone };
	rig_refused(rig_apply(&rig, command), ERROR_NOT_FOUND, "d7");
	assert_int_equal(fsm_request_get(rig.fsm, command.request_id, &rig.arena, &found, &error), ERROR_NOT_FOUND);
	gone.id = 1;
	first = rig_do(&rig, command);
	assert_int_equal(rig_do(&rig, command).revision, first.revision);

	/* Outcomes survive a restart and travel with a dump. */
	rig_reopen(&rig);
	assert_int_equal(rig_do(&rig, command).revision, first.revision);
	rig_check(&rig);
	rig_compare_replay(&rig);
	rig_compare_dump(&rig);
	rig_close(&rig);
}

/* The oldest are forgotten first, and only as many as the limit asks for. */
static void test_requests_expire(void **state)
{
	enum { BATCH = 1000 };
	struct command_node_cordon cordoned = { .name = "n1", .cordoned = false };
	struct command command = { .node_cordon = &cordoned };
	static struct buffer encoded[BATCH];
	static struct bytes bytes[BATCH];
	struct outcome outcome;
	uint8_t memory[16];
	struct error error;
	uint64_t next = 1;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 0, GIB);
	while (next <= LIMIT_DEDUPE_ENTRIES) {
		for (size_t i = 0; i < BATCH; i++, next++) {
			cordoned.cordoned = !cordoned.cordoned;
			command.request_id = request_id(memory, next);
			buffer_clear(&encoded[i]);
			rig_encode(&command, &encoded[i]);
			bytes[i] = buffer_bytes(&encoded[i]);
		}
		assert_int_equal(fsm_apply(rig.fsm, ++rig.index, bytes, BATCH, NULL, &error), 0);
	}
	assert_int_equal(fsm_request_get(rig.fsm, request_id(memory, 1), &rig.arena, &outcome, &error), 0);
	for (; next <= LIMIT_DEDUPE_ENTRIES + 3; next++) {
		command.request_id = request_id(memory, next);
		rig_do(&rig, command);
	}
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(fsm_request_get(rig.fsm, request_id(memory, i), &rig.arena, &outcome, &error),
				 ERROR_NOT_FOUND);
	assert_int_equal(fsm_request_get(rig.fsm, request_id(memory, 4), &rig.arena, &outcome, &error), 0);
	assert_int_equal(
		fsm_request_get(rig.fsm, request_id(memory, LIMIT_DEDUPE_ENTRIES + 3), &rig.arena, &outcome, &error),
		0);
	rig_check(&rig);
	for (size_t i = 0; i < BATCH; i++)
		buffer_free(&encoded[i]);
	rig_close(&rig);
}

/* A store that cannot grow: the entry is refused as a whole, and applied once there is room. */
static void test_full_store(void **state)
{
	enum { BATCH = 500 };
	struct command_node_cordon cordoned = { .name = "n1", .cordoned = false };
	struct command command = { .node_cordon = &cordoned };
	static struct buffer encoded[BATCH];
	static struct bytes bytes[BATCH];
	static const uint8_t boot_id[16] = "one and the same";
	struct store_options options = { .map_step_bytes = 1 << 20, .map_limit_bytes = 8 << 20, .boot_id = boot_id };
	uint8_t memory[16], before[16], after[16];
	struct error error;
	uint64_t next = 0, revision;
	struct rig rig;
	bool rebuilt;
	int result;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 0, GIB);
	options.directory = rig.directory;
	fsm_close(rig.fsm);
	store_close(rig.store);
	assert_int_equal(store_open(&options, &rig.store, &rebuilt, &error), 0);
	assert_int_equal(fsm_open(rig.store, NULL, NULL, &rig.fsm, &error), 0);
	do {
		assert_true(next < LIMIT_DEDUPE_ENTRIES);
		for (size_t i = 0; i < BATCH; i++) {
			cordoned.cordoned = !cordoned.cordoned;
			command.request_id = request_id(memory, ++next);
			buffer_clear(&encoded[i]);
			rig_encode(&command, &encoded[i]);
			bytes[i] = buffer_bytes(&encoded[i]);
		}
		rig_digest(&rig, before);
		revision = fsm_revision(rig.fsm);
		result = fsm_apply(rig.fsm, ++rig.index, bytes, BATCH, NULL, &error);
	} while (result == 0);
	assert_int_equal(result, ERROR_NO_CAPACITY);
	assert_int_equal(error.code, ERROR_NO_CAPACITY);
	rig_digest(&rig, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(fsm_revision(rig.fsm), revision);
	assert_int_equal(fsm_applied_index(rig.fsm), rig.index - 1);
	rig_reopen(&rig); /* with the usual limit */
	assert_int_equal(fsm_apply(rig.fsm, rig.index, bytes, BATCH, NULL, &error), 0);
	assert_int_equal(fsm_revision(rig.fsm), revision + BATCH);
	rig_check(&rig);
	for (size_t i = 0; i < BATCH; i++)
		buffer_free(&encoded[i]);
	rig_close(&rig);
}

/* --- reads -------------------------------------------------------------------------------------------------- */

static void test_lists(void **state)
{
	struct rig_shape shape = { .name = "a", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct volume_list volumes;
	struct node_list nodes;
	struct disk_list disks;
	struct host_list hosts;
	struct volume volume;
	struct error error;
	struct node node;
	struct rig rig;
	uint64_t *ids, node_count, disk_count, volume_count;
	size_t count;
	bool more;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 4, 2, 10 * GIB);
	for (const char *names[] = { "d", "a", "c", "b" }, **name = names; name < names + 4; name++) {
		shape.name = *name;
		rig_create(&rig, &shape);
	}
	assert_int_equal(fsm_node_list(rig.fsm, NULL, 3, &rig.arena, &nodes, &more, &error), 0);
	assert_int_equal(nodes.count, 3);
	assert_true(more);
	assert_int_equal(fsm_node_list(rig.fsm, "n3", 3, &rig.arena, &nodes, &more, &error), 0);
	assert_int_equal(nodes.count, 1);
	assert_false(more);
	assert_string_equal(nodes.items[0].name, "n4");
	/* `after` need not exist; a page may be exactly full. */
	assert_int_equal(fsm_node_list(rig.fsm, "n10", 3, &rig.arena, &nodes, &more, &error), 0);
	assert_int_equal(nodes.count, 3);
	assert_false(more);
	assert_string_equal(nodes.items[0].name, "n2");

	assert_int_equal(fsm_disk_list(rig.fsm, NULL, 5, 0, &rig.arena, &disks, &more, &error), 0);
	assert_int_equal(disks.count, 3);
	assert_int_equal(disks.items[0].id, 6);
	assert_int_equal(fsm_disk_list(rig.fsm, "n2", 0, 1, &rig.arena, &disks, &more, &error), 0);
	assert_int_equal(disks.items[0].id, 3);
	assert_true(more);
	assert_int_equal(fsm_disk_list(rig.fsm, "n2", 3, 1, &rig.arena, &disks, &more, &error), 0);
	assert_int_equal(disks.items[0].id, 4);
	assert_false(more);
	assert_int_equal(fsm_disk_list(rig.fsm, "n7", 0, 1, &rig.arena, &disks, &more, &error), ERROR_NOT_FOUND);

	assert_int_equal(fsm_volume_list(rig.fsm, "a", 2, &rig.arena, &volumes, &more, &error), 0);
	assert_int_equal(volumes.count, 2);
	assert_string_equal(volumes.items[0].name, "b");
	assert_string_equal(volumes.items[1].name, "c");
	assert_true(more);

	rig_advance_until(&rig, 2, VOLUME_PHASE_ONLINE);
	assert_int_equal(fsm_transition_list(rig.fsm, 0, 2, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], 1);
	assert_int_equal(ids[1], 3);
	assert_int_equal(fsm_transition_list(rig.fsm, 3, 2, &rig.arena, &ids, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 4);

	/* One NQN is the beginning of another. */
	rig_attach(&rig, "a", "nqn.2014-08.org.x:h10");
	rig_attach(&rig, "b", "nqn.2014-08.org.x:h1");
	rig_attach(&rig, "c", "nqn.2014-08.org.x:h1");
	rig_attach(&rig, "d", "nqn.2014-08.org.x:h2");
	assert_int_equal(fsm_host_list(rig.fsm, NULL, NULL, 2, &rig.arena, &hosts, &more, &error), 0);
	assert_int_equal(hosts.count, 2);
	assert_true(more);
	assert_string_equal(hosts.items[0].nqn, "nqn.2014-08.org.x:h1");
	assert_int_equal(hosts.items[0].volumes.count, 2);
	assert_string_equal(hosts.items[0].volumes.items[0], "c");
	assert_string_equal(hosts.items[0].volumes.items[1], "b");
	assert_string_equal(hosts.items[1].nqn, "nqn.2014-08.org.x:h10");
	assert_int_equal(fsm_host_list(rig.fsm, NULL, "nqn.2014-08.org.x:h1", 9, &rig.arena, &hosts, &more, &error), 0);
	assert_int_equal(hosts.count, 2);
	assert_string_equal(hosts.items[0].nqn, "nqn.2014-08.org.x:h10");
	assert_false(more);
	/* One alone, wherever the page begins. */
	for (const char *afters[] = { NULL, "nqn.2014-08.org.x:h0" }, **after = afters; after < afters + 2; after++) {
		assert_int_equal(
			fsm_host_list(rig.fsm, "nqn.2014-08.org.x:h1", *after, 9, &rig.arena, &hosts, &more, &error),
			0);
		assert_int_equal(hosts.count, 1);
		assert_string_equal(hosts.items[0].nqn, "nqn.2014-08.org.x:h1");
		assert_int_equal(hosts.items[0].volumes.count, 2);
		assert_false(more);
	}
	assert_int_equal(fsm_host_list(rig.fsm, "nqn.2014-08.org.x:h1", "nqn.2014-08.org.x:h1", 9, &rig.arena, &hosts,
				       &more, &error),
			 0);
	assert_int_equal(hosts.count, 0);
	assert_int_equal(fsm_host_list(rig.fsm, "nqn.2014-08.org.x:h", NULL, 9, &rig.arena, &hosts, &more, &error), 0);
	assert_int_equal(hosts.count, 0);

	assert_int_equal(fsm_volume_find(rig.fsm, "v3", &rig.arena, &volume, &error), 0);
	assert_string_equal(volume.name, "c");
	assert_int_equal(fsm_volume_find(rig.fsm, "c", &rig.arena, &volume, &error), 0);
	assert_int_equal(volume.id, 3);
	assert_int_equal(fsm_volume_find(rig.fsm, "v9", &rig.arena, &volume, &error), ERROR_NOT_FOUND);
	assert_int_equal(fsm_volume_find(rig.fsm, "", &rig.arena, &volume, &error), ERROR_NOT_FOUND);
	assert_int_equal(fsm_node_get(rig.fsm,
				      "a-name-that-is-longer-than-any-name-may-be-a-name-that-is-longer-than-any-name",
				      &rig.arena, &node, &error),
			 ERROR_NOT_FOUND);
	assert_int_equal(fsm_counts(rig.fsm, &node_count, &disk_count, &volume_count, &error), 0);
	assert_int_equal(node_count, 4);
	assert_int_equal(disk_count, 8);
	assert_int_equal(volume_count, 4);
	rig_check(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_small_disk),
		cmocka_unit_test(test_disk_ports_wrap),
		cmocka_unit_test(test_bad_commands),
		cmocka_unit_test(test_packed_entry),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_requests_expire),
		cmocka_unit_test(test_full_store),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
