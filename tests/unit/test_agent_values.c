/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels, owners of names, names and their places, the desired state in parts, options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/desired_store.h"
#include "agent/label.h"
#include "agent/name_index.h"
#include "agent/options.h"
#include "agent/owner.h"
#include "lib/model/names.h"
#include "tests/unit/failing_alloc.h"
#include "tests/unit/test_agent_rig.h"

/* --- labels --- */

static const struct ld_label some_label = { .cluster = "0123456789abcdef",
					    .volume = UINT64_MAX,
					    .leg = 63,
					    .group = 2,
					    .member = 3,
					    .ld = 7,
					    .epoch = UINT64_C(1) << 40,
					    .size_bytes = LIMIT_DISK_BYTES_MAX,
					    .formatted = true };

static void test_label_round_trip(void **state)
{
	uint8_t block[LABEL_BLOCK_BYTES];
	struct arena arena = ARENA_INIT;
	struct ld_label label;
	struct error error = { 0 };

	(void)state;
	label_encode(&some_label, block);
	assert_int_equal(label_decode(block, &arena, &label, &error), 0);
	assert_true(label_is_same(&label, &some_label));
	assert_true(label.formatted);
	assert_int_equal(label.epoch, some_label.epoch);
	label.member = 2;
	assert_false(label_is_same(&label, &some_label));
	arena_free(&arena);
}

/* As the first version wrote it: its bytes, and those of the checksum at the end of the block. Disks are full of such.
 */
static void test_label_recorded(void **state)
{
	static const char begin[] = "646e766d654c440a010000000100000030313233343536373839616263646566"
				    "0000000000000000121100000000000003000000000000000400000000000000"
				    "0100000000000000222100000000000031000000000000000000000002000000"
				    "434241000000000000000080";
	static const char end[] = "c191b9bb15b06b54";
	static const struct ld_label then = { .cluster = "0123456789abcdef",
					      .volume = 0x1112,
					      .leg = 3,
					      .group = 4,
					      .member = 1,
					      .ld = 0x2122,
					      .epoch = 0x31,
					      .size_bytes = UINT64_C(1) << 33,
					      .formatted = true,
					      .rebuild_ms = 0x414243,
					      .filled_bytes = UINT64_C(1) << 31 };
	uint8_t block[LABEL_BLOCK_BYTES] = { 0 }, now[LABEL_BLOCK_BYTES];
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct ld_label label;
	unsigned byte;

	(void)state;
	for (size_t i = 0; i < strlen(begin) / 2; i++) {
		assert_int_equal(sscanf(begin + 2 * i, "%2x", &byte), 1);
		block[i] = (uint8_t)byte;
	}
	for (size_t i = 0; i < strlen(end) / 2; i++) {
		assert_int_equal(sscanf(end + 2 * i, "%2x", &byte), 1);
		block[sizeof(block) - strlen(end) / 2 + i] = (uint8_t)byte;
	}
	assert_int_equal(label_decode(block, &arena, &label, &error), 0);
	assert_true(label_is_same(&label, &then));
	assert_int_equal(label.epoch, then.epoch);
	assert_int_equal(label.rebuild_ms, then.rebuild_ms);
	assert_int_equal(label.filled_bytes, then.filled_bytes);
	assert_true(label.formatted);
	/* An earlier agent that takes the node over reads what this one writes. */
	label_encode(&then, now);
	assert_memory_equal(now, block, sizeof(now));
	arena_free(&arena);
}

static void test_label_damaged(void **state)
{
	uint8_t block[LABEL_BLOCK_BYTES];
	struct arena arena = ARENA_INIT;
	struct ld_label label;
	struct error error = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(block); i++) {
		label_encode(&some_label, block);
		block[i] ^= 0x10;
		assert_int_not_equal(label_decode(block, &arena, &label, &error), 0);
	}
	memset(block, 0, sizeof(block));
	assert_int_equal(label_decode(block, &arena, &label, &error), ERROR_NOT_FOUND);
	label_encode(&some_label, block);
	block[8] = 2;
	assert_int_equal(label_decode(block, &arena, &label, &error), ERROR_UNSUPPORTED);
	label_encode(&some_label, block);
	failing_alloc_arm(1);
	assert_int_equal(label_decode(block, &arena, &label, &error), ERROR_INTERNAL);
	failing_alloc_disarm();
	arena_free(&arena);
}

/* A label whose checksum is right, and whose content breaks the schema. */
static void test_label_impossible(void **state)
{
	const struct ld_label impossible[] = {
		{ .cluster = "c\n", .volume = 1, .ld = 7, .epoch = 1, .size_bytes = 4096 },
		{ .cluster = "c", .volume = 0, .ld = 7, .epoch = 1, .size_bytes = 4096 },
		{ .cluster = "c", .volume = 1, .leg = LIMIT_LEGS, .ld = 7, .epoch = 1, .size_bytes = 4096 },
		{ .cluster = "c", .volume = 1, .ld = 7, .epoch = 0, .size_bytes = 4096 },
		{ .cluster = "c", .volume = 1, .ld = 7, .epoch = 1, .size_bytes = 1 },
	};
	uint8_t block[LABEL_BLOCK_BYTES];
	struct arena arena = ARENA_INIT;
	struct ld_label label;
	struct error error = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		label_encode(&impossible[i], block);
		assert_int_equal(label_decode(block, &arena, &label, &error), ERROR_INVALID_ARGUMENT);
		assert_non_null(strstr(error.message, "the label is damaged"));
	}
	arena_free(&arena);
}

/* --- owners --- */

static void check_dm(const char *uuid, enum object_kind kind, const char *id, const char *lane)
{
	struct owner owner;

	assert_true(owner_of_dm("c1", uuid, &owner));
	assert_int_equal(owner.kind, kind);
	assert_string_equal(owner.id, id);
	assert_string_equal(owner.lane, lane);
}

static void test_owner_of_dm(void **state)
{
	static const char *const foreign[] = { "LVM-x",
					       "",
					       "DNVME-c1",
					       "DNVME-c1-",
					       "DNVME-c2-volume-v1-e0",
					       "DNVME-c1-volume-v1",
					       "DNVME-c1-volume-v1-e",
					       "DNVME-c1-volume-v1-e1x",
					       "DNVME-c1-volume--e1",
					       "DNVME-c1-other-v1-e1",
					       "DNVME-c1-leg-e1",
					       "DNVME-c1-ld-d1.v2-e1",
					       "DNVME-c1-snapshot-v2-e0",
					       "DNVME-c1-snapshot-.t7-e0",
					       "DNVME-c1-snapthin--e1",
					       "DNVME-c1-snapread-e1" };
	struct owner owner;

	(void)state;
	check_dm("DNVME-c1-ld-d1.v2.s0.ld7-e3", OBJECT_KIND_EXPORT, "d1.v2.s0", "d1.v2.s0");
	check_dm("DNVME-c1-volume-v12-e0", OBJECT_KIND_VOLUME, "v12", "v12");
	check_dm("DNVME-c1-raiddata-v2.l0.g1.ld7-e3", OBJECT_KIND_VOLUME, "v2", "v2.l0");
	check_dm("DNVME-c1-durable-v2.l1-e3", OBJECT_KIND_VOLUME, "v2", "v2.l1");
	check_dm("DNVME-c1-raid-v2.l10.g1-e3", OBJECT_KIND_VOLUME, "v2", "v2.l10");
	check_dm("DNVME-c1-leg-v2.l0.s1.node-e1-e3", OBJECT_KIND_CONSUMER, "v2.s1.node-e1", "v2.l0");
	check_dm("DNVME-c1-parked-v2.l0.s1.node-e1-e0", OBJECT_KIND_CONSUMER, "v2.s1.node-e1", "v2.s1.node-e1");
	check_dm("DNVME-c1-parked-d1.v2.s1.n3-e7", OBJECT_KIND_EXPORT, "d1.v2.s1", "d1.v2.s1");
	check_dm("DNVME-c1-snapthin-v2.l10.t7-e3", OBJECT_KIND_SNAPSHOT, "v2.t7", "v2.t7");
	check_dm("DNVME-c1-snapread-v2.l10.t7-e3", OBJECT_KIND_SNAPSHOT, "v2.t7", "v2.t7");
	check_dm("DNVME-c1-snaperror-v2.t7-e0", OBJECT_KIND_SNAPSHOT, "v2.t7", "v2.t7");
	check_dm("DNVME-c1-snapshot-v2.t7-e0", OBJECT_KIND_SNAPSHOT, "v2.t7", "v2.t7");
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_false(owner_of_dm("c1", foreign[i], &owner));
}

static void test_owner_of_nqn(void **state)
{
	const char *slot = NAMES_NQN_PREFIX "c1:slot:d1.v2.s0:e7", *leg = NAMES_NQN_PREFIX "c1:leg:v2.s1.node-b";
	const char *volume = NAMES_NQN_PREFIX "c1:volume:v2", *snapshot = NAMES_NQN_PREFIX "c1:snapshot:v2.t7";
	const char *snapleg = NAMES_NQN_PREFIX "c1:snapleg:v2.s1.t7";
	struct owner owner, out;
	char mark[OWNER_ID_SIZE];

	(void)state;
	assert_true(owner_of_subsystem("c1", slot, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_EXPORT, "d1.v2.s0"));
	assert_true(owner_of_import("c1", slot, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_VOLUME, "v2"));
	assert_string_equal(owner.lane, "import d1.v2.s0");
	assert_true(owner_of_subsystem("c1", leg, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_CONSUMER, "v2.s1.node-b"));
	assert_string_equal(owner.lane, "v2.s1.node-b");
	assert_true(owner_is_within(&owner, OBJECT_KIND_VOLUME, "v2"));
	assert_false(owner_is_within(&owner, OBJECT_KIND_VOLUME, "v"));
	assert_true(owner_of_import("c1", leg, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_VOLUME, "v2"));
	assert_true(owner_of_subsystem("c1", volume, &owner));
	assert_string_equal(owner.lane, "v2");
	owner_out_make(&owner, &out);
	assert_true(owner_is(&out, OBJECT_KIND_VOLUME, "v2"));
	assert_string_equal(out.lane, "out v2");
	assert_false(owner_of_import("c1", volume, &owner));
	assert_true(owner_of_subsystem("c1", snapshot, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_SNAPSHOT, "v2.t7"));
	assert_string_equal(owner.lane, "v2.t7");
	assert_true(owner_is_within(&owner, OBJECT_KIND_VOLUME, "v2"));
	assert_false(owner_is_within(&owner, OBJECT_KIND_VOLUME, "v20"));
	assert_false(owner_of_import("c1", snapshot, &owner));
	assert_true(owner_of_subsystem("c1", snapleg, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_SNAPSHOT, "v2.t7"));
	assert_string_equal(owner.lane, "v2.t7");
	assert_true(owner_of_import("c1", snapleg, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_SNAPSHOT, "v2.t7"));
	assert_string_equal(owner.lane, "import v2.s1.t7");
	assert_false(owner_of_subsystem("c2", volume, &owner));
	assert_false(owner_of_subsystem("c1", NAMES_NQN_PREFIX "c1:slot:d1.v2.s0", &owner));
	assert_false(owner_of_subsystem("c1", NAMES_NQN_PREFIX "c1:node:x", &owner));
	assert_true(owner_of_port("c1", "dnvme-c1-d5", 4421, &owner));
	assert_true(owner_is(&owner, OBJECT_KIND_DISK, "d5"));
	assert_true(owner_of_port("c1", "dnvme-c1-cn", 4420, &owner));
	assert_int_equal(owner.kind, 0);
	assert_false(owner_mark_is_leg("dnvme-c1-cn"));
	owner_leg_port_make(7, 20007, &owner);
	owner_port_mark("c1", &owner, mark);
	assert_string_equal(mark, "dnvme-c1-leg");
	assert_true(owner_mark_is_leg(mark));
	assert_true(owner_of_port("c1", mark, 20007, &owner));
	assert_int_equal(owner.kind, 0);
	assert_string_equal(owner.lane, "port 20007");
	assert_false(owner_of_port("c1", "dnvme-c2-cn", 4420, &owner));
	assert_false(owner_of_port("c1", "dnvme-c1-x", 4420, &owner));
	assert_false(owner_of_port("c1", NULL, 4420, &owner));
}

/* --- names and their places --- */

static void test_name_index(void **state)
{
	static char names[300][24];
	struct arena arena = ARENA_INIT;
	struct name_index index = { 0 };
	char same[24];

	(void)state;
	assert_int_equal(name_index_find(&index, "x"), NAME_INDEX_NONE);
	/* One more than fits into half of a power of two; none at all. */
	assert_int_equal(name_index_make(&arena, 0, &index), 0);
	assert_int_equal(name_index_find(&index, ""), NAME_INDEX_NONE);
	assert_int_equal(name_index_make(&arena, 257, &index), 0);
	for (size_t i = 0; i < 257; i++) {
		snprintf(names[i], sizeof(names[i]), "dnvme-ld-%zu", i);
		name_index_add(&index, names[i], i);
	}
	name_index_add(&index, "dnvme-ld-7", 1000); /* again: the first one stays */
	for (size_t i = 0; i < 257; i++) {
		snprintf(same, sizeof(same), "dnvme-ld-%zu", i);
		assert_int_equal(name_index_find(&index, same), i);
	}
	assert_int_equal(name_index_find(&index, "dnvme-ld-257"), NAME_INDEX_NONE);
	assert_int_equal(name_index_find(&index, "dnvme-ld-"), NAME_INDEX_NONE);
	assert_int_equal(name_index_find(&index, ""), NAME_INDEX_NONE);
	arena_free(&arena);
}

/* --- the desired state in parts --- */

static void test_desired_store(void **state)
{
	struct desired_store *store = desired_store_make();
	struct rig_volume volume = rig_volume_default();
	struct arena arena = ARENA_INIT;
	struct desired whole = rig_desired_disk(&arena, &volume, 1), part = whole, got;
	struct object_ref removed = { .kind = OBJECT_KIND_EXPORT, .id = "d1.v1.s1", .revision = 12 };
	struct error error = { 0 };
	bool complete;

	(void)state;
	assert_false(desired_store_is_complete(store));
	part.reset = false;
	assert_int_equal(desired_store_take(store, &part, &complete, &error), ERROR_INVALID_ARGUMENT);
	/* In two parts; nothing counts before the second, nor when the first is repeated. */
	for (int i = 0; i < 2; i++) {
		part = whole;
		part.complete = false;
		part.exports.count = 0;
		assert_int_equal(desired_store_take(store, &part, &complete, &error), 0);
		assert_false(complete);
		assert_false(desired_store_is_complete(store));
	}
	part = whole;
	part.reset = false;
	part.disks.count = 0;
	assert_int_equal(desired_store_take(store, &part, &complete, &error), 0);
	assert_true(complete);
	assert_int_equal(desired_store_get(store, &arena, &got, &error), 0);
	assert_int_equal(got.disks.count, 1);
	assert_int_equal(got.exports.count, 2);
	assert_string_equal(got.exports.items[1].lds.items[0].ranges.count == 2 ? got.exports.items[1].id : "",
			    "d1.v1.s1");
	/* A change takes one away. */
	part.exports.count = 0;
	part.removed.count = 1;
	part.removed.items = &removed;
	assert_int_equal(desired_store_take(store, &part, &complete, &error), 0);
	assert_true(complete);
	assert_int_equal(desired_store_get(store, &arena, &got, &error), 0);
	assert_int_equal(got.exports.count, 1);
	assert_int_equal(got.removed.count, 1);
	desired_store_forget_removed(store, OBJECT_KIND_EXPORT, "d1.v1.s1", 11);
	desired_store_forget_removed(store, OBJECT_KIND_EXPORT, "d1.v1.s0", 12);
	assert_int_equal(desired_store_get(store, &arena, &got, &error), 0);
	assert_int_equal(got.removed.count, 1);
	desired_store_forget_removed(store, OBJECT_KIND_EXPORT, "d1.v1.s1", 12);
	assert_int_equal(desired_store_get(store, &arena, &got, &error), 0);
	assert_int_equal(got.removed.count, 0);
	assert_int_equal(got.exports.count, 1);
	/* A whole state that never ended, of a session that is gone, changes nothing. */
	part = whole;
	part.complete = false;
	assert_int_equal(desired_store_take(store, &part, &complete, &error), 0);
	desired_store_abort(store);
	assert_int_equal(desired_store_get(store, &arena, &got, &error), 0);
	assert_int_equal(got.exports.count, 1);
	part = whole;
	part.cluster = "other";
	assert_int_equal(desired_store_take(store, &part, &complete, &error), ERROR_INVALID_ARGUMENT);
	desired_store_free(store);
	arena_free(&arena);
}

static void test_desired_store_out_of_memory(void **state)
{
	struct rig_volume volume = rig_volume_default();
	struct arena arena = ARENA_INIT;
	struct desired whole = rig_desired_controller(&arena, &volume, 1), got;
	unsigned long n = 0;
	bool failed;

	(void)state;
	do {
		struct desired_store *store = desired_store_make();
		struct arena result = ARENA_INIT;
		struct error error = { 0 };
		bool complete = false;
		int code;

		failing_alloc_arm(++n);
		code = desired_store_take(store, &whole, &complete, &error);
		if (code == 0)
			code = desired_store_get(store, &result, &got, &error);
		failed = failing_alloc_disarm();
		if (failed)
			assert_int_not_equal(code, 0);
		else
			assert_true(code == 0 && complete && got.volumes.count == 1);
		arena_free(&result);
		desired_store_free(store);
	} while (failed);
	assert_true(n > 3);
	arena_free(&arena);
}

/* --- options --- */

static int parse(struct options *options, struct error *error, ...)
{
	char *arguments[16] = { (char *)"dnvme-agent" };
	int count = 1;
	va_list list;

	va_start(list, error);
	while ((arguments[count] = va_arg(list, char *)) != NULL)
		count++;
	va_end(list);
	return options_parse(count, arguments, options, error);
}

static void test_options(void **state)
{
	struct options options;
	struct error error = { 0 };

	(void)state;
	assert_int_equal(parse(&options, &error, "--node", "n1", "--address", "10.0.0.1", "--server",
			       "10.0.0.9:7000,10.0.0.8:7000", "--label", "rack=r1", "--label", "zone=z", "--sim-disk",
			       "/dev/sim0=1TiB", "--backend", "sim", NULL),
			 0);
	assert_int_equal(options.port, 4420);
	assert_int_equal(options.servers.count, 2);
	assert_string_equal(options.servers.items[1], "10.0.0.8:7000");
	assert_int_equal(options.labels.count, 2);
	assert_string_equal(options.labels.items[0].value, "r1");
	options_free(&options);
	assert_int_equal(parse(&options, &error, "--node", "n1", "--address", "10.0.0.1", NULL),
			 ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "--server is missing"));
	assert_int_equal(parse(&options, &error, "--node", "N1", NULL), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "--node"));
	assert_int_equal(parse(&options, &error, "--address", "host", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--port", "0", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--port", "4420x", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--server", "a:1", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--server", "10.0.0.1", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--label", "rack", NULL), ERROR_INVALID_ARGUMENT);
	/* What no message can carry would only be noticed when the agent says hello, again and again. */
	assert_int_equal(parse(&options, &error, "--label", "rack=\xff", NULL), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "--label: value: not valid UTF-8"));
	assert_int_equal(parse(&options, &error, "--label", "rack=a\tb", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--backend", "x", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--sim-state", "x", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "plan", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "nonsense", NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "plan", "--desired", "x", NULL), 0);
	assert_int_equal(options.command, OPTIONS_PLAN);
	options_free(&options);
}

static void write_file(const char *path, const char *text)
{
	FILE *stream = fopen(path, "w");

	assert_non_null(stream);
	assert_true(fputs(text, stream) >= 0);
	fclose(stream);
}

static void test_options_file(void **state)
{
	char path[] = "/tmp/dnvme-agent-test-XXXXXX";
	struct options options;
	struct error error = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, "# a node\nnode = n1\naddress = 10.0.0.1\nserver = 10.0.0.9:7000\nstorage-only = yes\n"
			 "label = rack=r1\nlabel = zone=z1\n");
	assert_int_equal(parse(&options, &error, "--config", path, "--node", "n2", NULL), 0);
	assert_string_equal(options.node, "n2");
	assert_string_equal(options.address, "10.0.0.1");
	assert_true(options.storage_only);
	assert_int_equal(options.labels.count, 2);
	options_free(&options);
	/* What the command line has instead has to be right all the same; a repeated one counts once more. */
	write_file(path, "node = N1\naddress = 10.0.0.1\nserver = 10.0.0.9:7000\n");
	assert_int_equal(parse(&options, &error, "--config", path, "--node", "n2", NULL), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, ":1: node"));
	write_file(path, "node = n1\njson = yes\n");
	assert_int_equal(parse(&options, &error, "--config", path, NULL), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, ":2: unknown key \"json\""));
	write_file(path, "node = n1\nadress = 10.0.0.1\n");
	assert_int_equal(parse(&options, &error, "--config", path, NULL), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, ":2: unknown key \"adress\""));
	assert_non_null(strstr(error.message, path));
	write_file(path, "node = n1\nnode = n2\n");
	assert_int_equal(parse(&options, &error, "--config", path, NULL), ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, ":2: node: given twice"));
	write_file(path, "[x]\nnode = n1\n");
	assert_int_equal(parse(&options, &error, "--config", path, NULL), ERROR_INVALID_ARGUMENT);
	write_file(path, "node\n");
	assert_int_equal(parse(&options, &error, "--config", path, NULL), ERROR_INVALID_ARGUMENT);
	write_file(path, "storage-only = maybe\n");
	assert_int_equal(parse(&options, &error, "--config", path, NULL), ERROR_INVALID_ARGUMENT);
	assert_int_equal(parse(&options, &error, "--config", "/nonexistent/file", NULL), ERROR_NOT_FOUND);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_label_round_trip), cmocka_unit_test(test_label_recorded),
		cmocka_unit_test(test_label_damaged),	 cmocka_unit_test(test_label_impossible),
		cmocka_unit_test(test_owner_of_dm),	 cmocka_unit_test(test_owner_of_nqn),
		cmocka_unit_test(test_desired_store),	 cmocka_unit_test(test_desired_store_out_of_memory),
		cmocka_unit_test(test_options),		 cmocka_unit_test(test_options_file),
		cmocka_unit_test(test_name_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
