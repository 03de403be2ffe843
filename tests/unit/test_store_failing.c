/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk, the kernel or LMDB says no: what is told, and that what was there before is there still. */
#include "tests/unit/test_store_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/internal.h"
#include "tests/unit/failing_call.h"
#include "tests/unit/failing_mdb.h"

/* Opens with the n-th call failing for n = 1, 2, 3 … until none fails; `prepare` comes before each. Each failure is an
 * error with words, and the next opening works; *ret_failures counts them. */
static struct store *open_through_failures(struct store_rig *rig, int problem, enum error_code code,
					   void (*prepare)(struct store_rig *), unsigned *ret_failures)
{
	struct store *store = NULL;

	*ret_failures = 0;
	for (unsigned long n = 1;; n++) {
		struct error error = { 0 };
		const char *name;
		int rv;

		if (prepare != NULL)
			prepare(rig);
		rig->rebuilt = false;
		failing_call_arm(NULL, n, problem);
		rv = store_rig_open(rig, &store, &error);
		name = failing_call_disarm();
		if (name == NULL) {
			assert_int_equal(rv, 0);
			return store;
		}
		if (rv != (int)code || error.code != code || error.message[0] == '\0')
			fail_msg("%s failed, call %lu: %d \"%s\"", name, n, rv, error.message);
		assert_null(store);
		assert_false(rig->rebuilt);
		++*ret_failures;
	}
}

static void test_open_new(void **state)
{
	struct store_rig *rig = *state;
	struct store *store;
	unsigned failures;

	store = open_through_failures(rig, EIO, ERROR_INTERNAL, NULL, &failures);
	assert_true(failures > 15);
	assert_false(rig->rebuilt);
	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
}

static void remove_all(struct store_rig *rig)
{
	static const char *const names[] = { "state", "state.new", "data.mdb", "data.mdb-lock", "lock" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(store_rig_path(rig, names[i]));
	assert_true(rmdir(rig->directory) == 0 || errno == ENOENT);
}

static void test_open_new_on_a_full_disk(void **state)
{
	struct store_rig *rig = *state;
	unsigned failures;

	store_close(open_through_failures(rig, ENOSPC, ERROR_NO_CAPACITY, remove_all, &failures));
	assert_true(failures > 15);
}

/* What cannot be looked at may be somebody's: it is not written over. */
static void test_unknown_data_file(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = NULL;
	struct error error = { 0 };
	FILE *file = fopen(store_rig_path(rig, "data.mdb"), "w");
	struct stat status;

	assert_non_null(file);
	fputs("somebody's", file);
	fclose(file);
	failing_call_arm("fstatat", 1, EIO);
	assert_int_equal(store_rig_open(rig, &store, &error), ERROR_INTERNAL);
	assert_non_null(failing_call_disarm());
	assert_int_equal(stat(store_rig_path(rig, "data.mdb"), &status), 0);
	assert_int_equal(status.st_size, 10);
	assert_int_equal(access(store_rig_path(rig, "state"), F_OK), -1);
}

static void leave_clean(struct store_rig *rig)
{
	struct store *store = store_rig_must_open(rig);

	assert_false(rig->rebuilt);
	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
}

/* No failure makes a store forget what it holds. */
static void test_open_again(void **state)
{
	struct store_rig *rig = *state;
	struct store *store;
	unsigned failures;

	store = open_through_failures(rig, EIO, ERROR_INTERNAL, leave_clean, &failures);
	assert_true(failures > 10);
	must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
}

/* LMDB's own refusals, one after the other. */
static void test_open_without_lmdb(void **state)
{
	struct store_rig *rig = *state;
	unsigned failures = 0;

	for (unsigned long n = 1;; n++) {
		struct store *store = NULL;
		struct error error = { 0 };
		int rv;

		leave_clean(rig);
		failing_mdb_arm(NULL, n, MDB_PANIC);
		rv = store_rig_open(rig, &store, &error);
		if (failing_mdb_disarm() == NULL) {
			assert_int_equal(rv, 0);
			must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
			store_close(store);
			break;
		}
		assert_int_equal(rv, ERROR_FAILED_PRECONDITION);
		assert_non_null(strstr(error.message, rig->directory));
		assert_true(error.hint[0] != '\0');
		failures++;
	}
	assert_true(failures > 8);
}

/* A close that could not make it durable is an unclean stop for the next boot, and for this one it is none. */
static void test_close(void **state)
{
	static const struct {
		const char *call;
		unsigned long n;
	} failures[] = { { "fdatasync", 1 }, { "openat", 1 },	{ "write", 1 },
			 { "fsync", 1 },     { "renameat", 1 }, { "fsync", 2 } };
	struct store_rig *rig = *state;

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct store *store = store_rig_must_open(rig);
		/* The last one: the new state is there, but may not be on the medium. */
		bool doubted = i == sizeof(failures) / sizeof(failures[0]) - 1;

		must_put_committed(store, STORE_TABLE_NODE, "a", "1");
		failing_call_arm(failures[i].call, failures[i].n, EIO);
		store_close(store);
		assert_string_equal(failing_call_disarm(), failures[i].call);
		store = store_rig_must_open(rig);
		assert_false(rig->rebuilt);
		must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
		failing_call_arm(failures[i].call, failures[i].n, EIO);
		store_close(store);
		assert_non_null(failing_call_disarm());
		rig->boot_id[0]++;
		store = store_rig_must_open(rig);
		assert_int_equal(rig->rebuilt, !doubted);
		must_hold_committed(store, STORE_TABLE_NODE, "a", doubted ? "1" : NULL);
		store_close(store);
	}
}

static void test_sync(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct error error = { 0 };

	failing_call_arm("fdatasync", 1, EIO);
	assert_int_equal(store_sync(store, &error), ERROR_INTERNAL);
	failing_call_arm("fdatasync", 1, ENOSPC);
	assert_int_equal(store_sync(store, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "disk is full"));
	failing_call_disarm();
	assert_int_equal(store_sync(store, &error), 0);
	store_close(store);
}

static void must_still_work(struct store *store)
{
	must_put_committed(store, STORE_TABLE_NODE, "still", "usable");
	must_hold_committed(store, STORE_TABLE_NODE, "still", "usable");
}

static void test_reserve(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	uint64_t map_bytes = 0, used_bytes = 0;
	struct error error = { 0 };
	struct store_txn *txn = NULL;
	struct stat status;

	failing_call_arm("posix_fallocate", 1, ENOSPC);
	assert_int_equal(store_reserve(store, 8 << 20, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "disk is full"));
	failing_call_arm("posix_fallocate", 1, EIO);
	assert_int_equal(store_reserve(store, 8 << 20, &error), ERROR_INTERNAL);
	failing_call_disarm();
	store_usage(store, &map_bytes, &used_bytes);
	assert_int_equal(map_bytes, 1 << 20);
	assert_int_equal(stat(store_rig_path(rig, "data.mdb"), &status), 0);
	assert_int_equal(status.st_size, map_bytes);
	must_still_work(store);

	/* LMDB lets the old map go first: it must not come to that without room for the new one. */
	failing_call_arm("mmap", 1, ENOMEM);
	assert_int_equal(store_reserve(store, 8 << 20, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "cannot map"));
	assert_non_null(failing_call_disarm());
	must_still_work(store);
	assert_int_equal(store_reserve(store, UINT64_MAX - 10, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "cannot reserve"));
	must_still_work(store);

	/* When it does, nothing works any more, and everything says so. */
	failing_mdb_arm("mdb_env_set_mapsize", 1, ENOMEM);
	assert_int_equal(store_reserve(store, 8 << 20, &error), ERROR_INTERNAL);
	assert_non_null(failing_mdb_disarm());
	assert_int_equal(store_reserve(store, 8 << 20, &error), ERROR_INTERNAL);
	assert_non_null(strstr(error.message, "lost its map"));
	assert_int_equal(store_txn_begin(store, false, &txn, &error), ERROR_INTERNAL);
	assert_non_null(strstr(error.message, "lost its map"));
	store_usage(store, &map_bytes, &used_bytes);
	assert_int_equal(used_bytes, 0);
	store_close(store);
	store = store_rig_must_open(rig);
	assert_false(rig->rebuilt);
	must_hold_committed(store, STORE_TABLE_NODE, "still", "usable");
	store_close(store);
}

/* A transaction in which LMDB refused a change says why to everything that follows, and leaves nothing. */
static void change_fails(struct store *store, const char *call, unsigned long n, const char *words)
{
	struct store_txn *txn = NULL, *nested = NULL;
	struct store_cursor *cursor = NULL;
	struct error error = { 0 };
	uint64_t count = 99;
	struct bytes value;
	int rv = 0;

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	must_put(txn, STORE_TABLE_NODE, "outer", "1");
	assert_int_equal(store_txn_begin_nested(txn, &nested, NULL), 0);
	must_put(nested, STORE_TABLE_NODE, "inner", "1");
	failing_mdb_arm(call, n, EIO);
	rv = store_put(nested, STORE_TABLE_NODE, text("old"), text("2"), &error);
	if (rv == 0)
		rv = store_delete(nested, STORE_TABLE_NODE, text("old"), &error);
	if (rv == 0) {
		store_txn_abort(nested);
		nested = NULL;
		rv = store_get(txn, STORE_TABLE_NODE, text("old"), &value, &error);
	}
	assert_non_null(failing_mdb_disarm());
	assert_int_equal(rv, ERROR_INTERNAL);
	assert_non_null(strstr(error.message, words));
	if (nested != NULL) {
		assert_int_equal(store_get(nested, STORE_TABLE_NODE, text("old"), &value, &error), ERROR_INTERNAL);
		assert_non_null(strstr(error.message, words));
		assert_int_equal(store_count(nested, STORE_TABLE_NODE, &count, &error), ERROR_INTERNAL);
		assert_int_equal(count, 99);
		assert_int_equal(store_cursor_open(nested, STORE_TABLE_NODE, text(""), &cursor, &error),
				 ERROR_INTERNAL);
		assert_null(cursor);
		assert_int_equal(store_txn_commit(nested, &error), ERROR_INTERNAL);
	}
	assert_int_equal(store_put(txn, STORE_TABLE_NODE, text("later"), text("1"), &error), ERROR_INTERNAL);
	assert_int_equal(store_delete(txn, STORE_TABLE_NODE, text("old"), &error), ERROR_INTERNAL);
	assert_int_equal(store_txn_commit(txn, &error), ERROR_INTERNAL);
	assert_non_null(strstr(error.message, words));
	must_hold_committed(store, STORE_TABLE_NODE, "old", "1");
	must_hold_committed(store, STORE_TABLE_NODE, "outer", NULL);
	must_hold_committed(store, STORE_TABLE_NODE, "inner", NULL);
}

static void test_changes(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn = NULL;
	struct error error = { 0 };

	must_put_committed(store, STORE_TABLE_NODE, "old", "1");
	change_fails(store, "mdb_get", 1, "cannot read in table \"node\"");
	change_fails(store, "mdb_put", 1, "cannot write in table \"node\"");
	change_fails(store, "mdb_put", 2,
		     "cannot write in table \"node\""); /* the first one found that "old" is there */
	change_fails(store, "mdb_del", 1, "cannot delete in table \"node\"");
	/* In the abort of the nested one: of "old" twice, then of "inner". */
	change_fails(store, "mdb_put", 3, "cannot undo a change in table \"node\"");
	change_fails(store, "mdb_del", 2, "cannot undo a change in table \"node\"");

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	must_put(txn, STORE_TABLE_NODE, "old", "2");
	failing_mdb_arm("mdb_txn_commit", 1, ENOSPC);
	assert_int_equal(store_txn_commit(txn, &error), ERROR_NO_CAPACITY);
	assert_non_null(failing_mdb_disarm());
	must_hold_committed(store, STORE_TABLE_NODE, "old", "1");
	store_close(store);
}

static void test_reads(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_cursor *cursor = NULL;
	struct store_txn *txn = NULL;
	struct error error = { 0 };
	struct bytes key, value;
	uint64_t count = 99;

	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	failing_mdb_arm("mdb_txn_begin", 1, MDB_READERS_FULL);
	assert_int_equal(store_txn_begin(store, false, &txn, &error), ERROR_NO_CAPACITY);
	assert_null(txn);
	assert_int_equal(store_txn_begin(store, false, &txn, &error), 0);
	failing_mdb_arm("mdb_stat", 1, MDB_CORRUPTED);
	assert_int_equal(store_count(txn, STORE_TABLE_NODE, &count, &error), ERROR_FAILED_PRECONDITION);
	assert_int_equal(count, 99);
	failing_mdb_arm("mdb_cursor_open", 1, EIO);
	assert_int_equal(store_cursor_open(txn, STORE_TABLE_NODE, text(""), &cursor, &error), ERROR_INTERNAL);
	assert_null(cursor);
	assert_int_equal(store_cursor_open(txn, STORE_TABLE_NODE, text(""), &cursor, &error), 0);
	failing_mdb_arm("mdb_cursor_get", 1, EIO);
	assert_int_equal(store_cursor_next(cursor, &key, &value, &error), ERROR_INTERNAL);
	assert_non_null(strstr(error.message, "cannot walk table \"node\""));
	/* A failed read spoils nothing. */
	assert_int_equal(store_cursor_next(cursor, &key, &value, &error), 0);
	store_cursor_close(cursor);
	must_hold(txn, STORE_TABLE_NODE, "a", "1");
	store_txn_abort(txn);
	failing_mdb_disarm();
	store_close(store);
}

/* A dump, a digest and a load for each call of LMDB that fails; the state is the one before. */
static void test_dump(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct buffer dump = BUFFER_INIT, output = BUFFER_INIT;
	uint8_t digest[16], again[16];
	struct store_txn *txn = NULL;
	unsigned failures = 0;

	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	must_put_committed(store, STORE_TABLE_DISK, "b", "2");
	assert_int_equal(store_txn_begin(store, false, &txn, NULL), 0);
	assert_int_equal(store_dump(txn, &dump, NULL), 0);
	buffer_append(&output, "before", 6);
	for (unsigned long n = 1;; n++) {
		struct error error = { 0 };
		int rv;

		memset(again, 0x55, sizeof(again));
		failing_mdb_arm(NULL, n, EIO);
		rv = store_dump(txn, &output, &error);
		assert_true(rv == 0 || output.size == 6);
		output.size = 6;
		if (rv == 0)
			rv = store_digest(txn, again, &error);
		if (failing_mdb_disarm() == NULL) {
			assert_int_equal(rv, 0);
			break;
		}
		failures++;
		assert_int_equal(rv, ERROR_INTERNAL);
		for (size_t i = 0; i < sizeof(again); i++)
			assert_int_equal(again[i], 0x55);
	}
	assert_true(failures > 3 * STORE_TABLE_COUNT);
	store_txn_abort(txn);

	must_put_committed(store, STORE_TABLE_NODE, "later", "3");
	must_digest(store, digest);
	failures = 0;
	for (unsigned long n = 1;; n++) {
		struct error error = { 0 };
		int rv;

		failing_mdb_arm(NULL, n, EIO);
		rv = store_load(store, buffer_bytes(&dump), &error);
		if (failing_mdb_disarm() == NULL) {
			assert_int_equal(rv, 0);
			break;
		}
		failures++;
		assert_int_equal(rv, ERROR_INTERNAL);
		must_digest(store, again);
		assert_memory_equal(again, digest, sizeof(digest));
	}
	assert_true(failures > STORE_TABLE_COUNT);
	must_hold_committed(store, STORE_TABLE_NODE, "later", NULL);
	must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
	buffer_free(&dump);
	buffer_free(&output);
	store_close(store);
}

/* What an operator reads for each code of LMDB. */
static void test_codes(void **state)
{
	static const struct {
		int mdb_code;
		enum error_code code;
		const char *words;
		bool hint;
	} codes[] = {
		{ MDB_NOTFOUND, ERROR_NOT_FOUND, "no such key", false },
		{ MDB_MAP_FULL, ERROR_NO_CAPACITY, "map of the store is full", true },
		{ MDB_READERS_FULL, ERROR_NO_CAPACITY, "too many read transactions", false },
		{ MDB_TXN_FULL, ERROR_TOO_LARGE, "changes too much", false },
		{ MDB_VERSION_MISMATCH, ERROR_FAILED_PRECONDITION, "another version", true },
		{ MDB_INVALID, ERROR_FAILED_PRECONDITION, "not written by dnvme", true },
		{ MDB_CORRUPTED, ERROR_FAILED_PRECONDITION, "damaged", true },
		{ MDB_PAGE_NOTFOUND, ERROR_FAILED_PRECONDITION, "damaged", true },
		{ MDB_PANIC, ERROR_FAILED_PRECONDITION, "damaged", true },
		{ MDB_BAD_DBI, ERROR_INTERNAL, "MDB_BAD_DBI", false },
		{ ENOMEM, ERROR_INTERNAL, "out of memory", false },
		{ EDQUOT, ERROR_NO_CAPACITY, "disk is full", true },
		{ EACCES, ERROR_PERMISSION_DENIED, "Permission denied", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct error error = { 0 };

		assert_int_equal(store_error_set(&error, codes[i].mdb_code, "cannot %s", "do it"), codes[i].code);
		assert_int_equal(error.code, codes[i].code);
		if (strstr(error.message, codes[i].words) == NULL)
			fail_msg("%s", error.message);
		assert_int_equal(error.hint[0] != '\0', codes[i].hint);
		assert_int_equal(store_error_set(NULL, codes[i].mdb_code, "nobody listens"), codes[i].code);
	}
}

/* What only a wrong program does ends it. */
static void test_contract(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn = NULL, *other = NULL;

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	ASSERT_ABORTS(store_txn_begin(store, true, &other, NULL));
	ASSERT_ABORTS(store_reserve(store, 1, NULL));
	ASSERT_ABORTS(store_close(store));
	ASSERT_ABORTS(store_put(txn, STORE_TABLE_COUNT, text("a"), text("1"), NULL));
	store_txn_abort(txn);
	assert_int_equal(store_txn_begin(store, false, &txn, NULL), 0);
	ASSERT_ABORTS(store_put(txn, STORE_TABLE_NODE, text("a"), text("1"), NULL));
	ASSERT_ABORTS(store_txn_begin_nested(txn, &other, NULL));
	store_txn_abort(txn);
	store_close(store);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_open_new),
		STORE_TEST(test_open_new_on_a_full_disk),
		STORE_TEST(test_unknown_data_file),
		STORE_TEST(test_open_again),
		STORE_TEST(test_open_without_lmdb),
		STORE_TEST(test_close),
		STORE_TEST(test_sync),
		STORE_TEST(test_reserve),
		STORE_TEST(test_changes),
		STORE_TEST(test_reads),
		STORE_TEST(test_dump),
		STORE_TEST(test_codes),
		STORE_TEST(test_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
