/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine: entries, outcomes, request ids, restarts. */
#include "tests/unit/test_fsm_rig.h"

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
	assert_false(rig_node_of(&rig, "n1").cordoned);
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
	rig_heard(&rig, "disk n12 r4: n1\nnode n10 r5:\n");
	rig_check(&rig);

	/* Entries that were applied are skipped and give no outcome. */
	for (size_t i = 0; i < COUNT; i++)
		buffer_clear(&outcomes[i]);
	assert_int_equal(fsm_apply(rig.fsm, rig.index, bytes, COUNT, outcomes, &error), 0);
	assert_int_equal(outcomes[0].size, 0);
	rig_heard(&rig, "");
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
	struct outcome first, second, found, refusal = { 0 };
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
	rig_heard(&rig, "");
	assert_string_equal(second.id, first.id);
	assert_int_equal(second.revision, first.revision);
	assert_int_equal(fsm_revision(rig.fsm), first.revision);
	rig_refused(rig_disk_add(&rig, "n1", "/dev/z", GIB), ERROR_ALREADY_EXISTS, first.id);
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

	/* Unless it is to be, as an earlier attempt may come yet: that is refused as well, whatever it says. */
	refusal.message = "a disk is in use";
	refusal.details = "outcome=none";
	refusal.code = ERROR_FAILED_PRECONDITION;
	command = (struct command){ .request_id = request_id(memory, 3), .refuse = &refusal };
	buffer_clear(&rig.changes);
	for (int attempt = 0; attempt < 3; attempt++) {
		first = rig_apply(&rig, command);
		rig_refused(first, ERROR_FAILED_PRECONDITION, refusal.message);
		assert_string_equal(first.details, refusal.details);
		assert_int_equal(fsm_request_get(rig.fsm, command.request_id, &rig.arena, &found, &error), 0);
		assert_int_equal(found.code, ERROR_FAILED_PRECONDITION);
		command.refuse = NULL;
		command.disk_add = &disk;
	}
	rig_heard(&rig, "");
	/* What took effect before it stands. */
	command = (struct command){ .request_id = request_id(memory, 2), .refuse = &refusal };
	first = rig_do(&rig, command);
	command.request_id = (struct bytes){ NULL, 0 };
	rig_refused(rig_apply(&rig, command), ERROR_INVALID_ARGUMENT, "a refusal without");
	command.request_id = request_id(memory, 4);
	refusal.code = 0;
	rig_refused(rig_apply(&rig, command), ERROR_INVALID_ARGUMENT, "a refusal without");
	command = (struct command){ .request_id = request_id(memory, 2), .disk_remove = &gone };

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_commands), cmocka_unit_test(test_packed_entry),
		cmocka_unit_test(test_restart),	     cmocka_unit_test(test_load),
		cmocka_unit_test(test_requests),     cmocka_unit_test(test_requests_expire),
		cmocka_unit_test(test_full_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
