/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions, tables, cursors, and what happens when room or memory run out. */
#include "tests/unit/test_store_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/failing_alloc.h"

static void test_put_get_delete(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn = NULL, *reader = NULL;
	struct error error = { 0 };
	uint64_t count = 99;

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	must_put(txn, STORE_TABLE_NODE, "a", "1");
	must_put(txn, STORE_TABLE_NODE, "b", "");
	must_put(txn, STORE_TABLE_VOLUME, "a", "2");
	must_hold(txn, STORE_TABLE_NODE, "a", "1");
	assert_int_equal(store_txn_begin(store, false, &reader, NULL), 0);
	must_hold(reader, STORE_TABLE_NODE, "a", NULL); /* not committed yet */
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	must_hold(reader, STORE_TABLE_NODE, "a", NULL); /* a reader keeps its view */
	store_txn_abort(reader);
	must_hold_committed(store, STORE_TABLE_NODE, "b", "");
	must_hold_committed(store, STORE_TABLE_VOLUME, "a", "2");

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	must_put(txn, STORE_TABLE_NODE, "a", "other");
	must_delete(txn, STORE_TABLE_NODE, "b");
	assert_int_equal(store_delete(txn, STORE_TABLE_NODE, text("b"), &error), ERROR_NOT_FOUND);
	assert_non_null(strstr(error.message, "\"node\""));
	assert_int_equal(store_count(txn, STORE_TABLE_NODE, &count, NULL), 0);
	assert_int_equal(count, 1);
	store_txn_abort(txn);
	must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
	must_hold_committed(store, STORE_TABLE_NODE, "b", "");
	store_close(store);
}

static void test_key_sizes(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn = NULL;
	struct error error = { 0 };
	struct bytes value;
	uint8_t key[512];

	memset(key, 'k', sizeof(key));
	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	assert_int_equal(store_put(txn, STORE_TABLE_META, (struct bytes){ key, 511 }, text("v"), NULL), 0);
	assert_int_equal(store_get(txn, STORE_TABLE_META, (struct bytes){ key, 511 }, &value, NULL), 0);
	assert_int_equal(store_put(txn, STORE_TABLE_META, (struct bytes){ key, 512 }, text("v"), &error),
			 ERROR_INVALID_ARGUMENT);
	assert_non_null(strstr(error.message, "511"));
	assert_int_equal(store_put(txn, STORE_TABLE_META, (struct bytes){ key, 0 }, text("v"), NULL),
			 ERROR_INVALID_ARGUMENT);
	assert_int_equal(store_get(txn, STORE_TABLE_META, (struct bytes){ key, 512 }, &value, NULL),
			 ERROR_INVALID_ARGUMENT);
	/* A refused key does not end the transaction. */
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	store_close(store);
}

/* Walk; returns the keys one after the other. */
static const char *walk(struct store_txn *txn, const char *from)
{
	struct store_cursor *cursor = NULL;
	static char keys[256];
	struct bytes key, value;
	size_t length = 0;
	int code;

	assert_int_equal(store_cursor_open(txn, STORE_TABLE_FREE, text(from), &cursor, NULL), 0);
	while ((code = store_cursor_next(cursor, &key, &value, NULL)) == 0) {
		memcpy(keys + length, key.data, key.size);
		length += key.size;
	}
	assert_int_equal(code, ERROR_NOT_FOUND);
	assert_int_equal(store_cursor_next(cursor, &key, &value, NULL), ERROR_NOT_FOUND);
	store_cursor_close(cursor);
	keys[length] = '\0';
	return keys;
}

static void test_cursor(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_cursor *cursor = NULL;
	struct store_txn *txn = NULL;
	struct bytes key, value;
	char seen[16] = "";

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	assert_string_equal(walk(txn, ""), "");
	for (const char *letter = "hbdf"; *letter != '\0'; letter++)
		must_put(txn, STORE_TABLE_FREE, (char[]){ *letter, '\0' }, "v");
	assert_string_equal(walk(txn, ""), "bdfh");
	assert_string_equal(walk(txn, "d"), "dfh");
	assert_string_equal(walk(txn, "e"), "fh");
	assert_string_equal(walk(txn, "i"), "");

	/* Each key is deleted when it was given out, others come and go before and behind the cursor. */
	assert_int_equal(store_cursor_open(txn, STORE_TABLE_FREE, text(""), &cursor, NULL), 0);
	while (store_cursor_next(cursor, &key, &value, NULL) == 0) {
		char now[2] = { (char)key.data[0], '\0' };

		strcat(seen, now);
		must_delete(txn, STORE_TABLE_FREE, now);
		if (now[0] == 'b') {
			must_put(txn, STORE_TABLE_FREE, "a", "v");
			must_put(txn, STORE_TABLE_FREE, "c", "v");
			must_delete(txn, STORE_TABLE_FREE, "d");
		}
	}
	store_cursor_close(cursor);
	assert_string_equal(seen, "bcfh");
	assert_string_equal(walk(txn, ""), "a");
	store_txn_abort(txn);
	store_close(store);
}

/* A walk of thousands of keys that deletes each one, over page splits and merges. */
static void test_cursor_many(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_cursor *cursor = NULL;
	struct store_txn *txn = NULL;
	struct bytes key, value;
	uint64_t count = 0;
	unsigned i = 0;
	char name[32];

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%08u", i * 7919 % 5000);
		must_put(txn, STORE_TABLE_DISK, name, "a value of some length");
	}
	assert_int_equal(store_cursor_open(txn, STORE_TABLE_DISK, text(""), &cursor, NULL), 0);
	for (i = 0; store_cursor_next(cursor, &key, &value, NULL) == 0; i++) {
		snprintf(name, sizeof(name), "%08u", i);
		assert_memory_equal(key.data, name, 8);
		if (i % 3 != 0)
			must_delete(txn, STORE_TABLE_DISK, name);
	}
	store_cursor_close(cursor);
	assert_int_equal(i, 5000);
	assert_int_equal(store_count(txn, STORE_TABLE_DISK, &count, NULL), 0);
	assert_int_equal(count, 1667);
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	store_close(store);
}

/* Of the change that was made last. */
static void must_have_held(const struct store_txn *txn, const char *key, const char *before)
{
	struct bytes seen, held;

	store_change_last(txn, &seen, &held);
	assert_int_equal(seen.size, strlen(key));
	assert_memory_equal(seen.data, key, seen.size);
	assert_int_equal(held.data != NULL, before != NULL);
	assert_int_equal(held.size, before != NULL ? strlen(before) : 0);
	if (before != NULL)
		assert_memory_equal(held.data, before, held.size);
}

static void test_nested(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn = NULL, *nested = NULL, *deeper = NULL;
	uint8_t before[16], after[16];

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	must_put(txn, STORE_TABLE_NODE, "kept", "1");
	must_put(txn, STORE_TABLE_NODE, "changed", "1");
	assert_int_equal(store_digest(txn, before, NULL), 0);

	/* Aborted: everything that it did is undone, in the right order, what came before stays. */
	assert_int_equal(store_txn_begin_nested(txn, &nested, NULL), 0);
	must_put(nested, STORE_TABLE_NODE, "changed", "2");
	must_put(nested, STORE_TABLE_NODE, "changed", "3");
	must_have_held(nested, "changed", "2");
	must_put(nested, STORE_TABLE_NODE, "changed", "a value that is longer than the next one");
	must_put(nested, STORE_TABLE_NODE, "changed", "4");
	must_have_held(nested, "changed", "a value that is longer than the next one");
	must_delete(nested, STORE_TABLE_NODE, "changed");
	must_have_held(nested, "changed", "4");
	must_put(nested, STORE_TABLE_NODE, "new", "x");
	must_have_held(nested, "new", NULL);
	must_delete(nested, STORE_TABLE_NODE, "new");
	must_put(nested, STORE_TABLE_NODE, "new", "y");
	must_put(nested, STORE_TABLE_VOLUME, "new", "y");
	assert_int_equal(store_delete(nested, STORE_TABLE_VOLUME, text("none"), NULL), ERROR_NOT_FOUND);
	store_txn_abort(nested);
	assert_int_equal(store_digest(txn, after, NULL), 0);
	assert_memory_equal(before, after, 16);
	must_hold(txn, STORE_TABLE_NODE, "changed", "1");
	must_hold(txn, STORE_TABLE_NODE, "new", NULL);

	/* Committed: the changes are the parent's. */
	assert_int_equal(store_txn_begin_nested(txn, &nested, NULL), 0);
	must_put(nested, STORE_TABLE_NODE, "second", "2");
	assert_int_equal(store_txn_commit(nested, NULL), 0);

	/* A committed one within an aborted one goes with it. */
	assert_int_equal(store_txn_begin_nested(txn, &nested, NULL), 0);
	must_put(nested, STORE_TABLE_NODE, "second", "before");
	assert_int_equal(store_txn_begin_nested(nested, &deeper, NULL), 0);
	must_put(deeper, STORE_TABLE_NODE, "second", "deep");
	must_put(deeper, STORE_TABLE_NODE, "deep", "deep");
	assert_int_equal(store_txn_commit(deeper, NULL), 0);
	must_hold(nested, STORE_TABLE_NODE, "deep", "deep");
	store_txn_abort(nested);
	must_hold(txn, STORE_TABLE_NODE, "deep", NULL);
	must_hold(txn, STORE_TABLE_NODE, "second", "2");
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	must_hold_committed(store, STORE_TABLE_NODE, "second", "2");

	/* What a nested one committed goes when the outermost aborts. */
	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	assert_int_equal(store_txn_begin_nested(txn, &nested, NULL), 0);
	must_put(nested, STORE_TABLE_NODE, "third", "3");
	assert_int_equal(store_txn_commit(nested, NULL), 0);
	store_txn_abort(txn);
	must_hold_committed(store, STORE_TABLE_NODE, "third", NULL);
	store_close(store);
}

/* Random changes in nested transactions, against a plain array. */
static void test_nested_random(void **state)
{
	struct store *store = store_rig_must_open(*state);
	struct store_txn *txn = NULL, *nested = NULL;
	int model[64] = { 0 }, saved[64]; /* length of the value + 1; 0: none */
	static char value[4001];
	uint32_t random = 12345;
	char key[16];

	memset(value, 'v', sizeof(value) - 1);
	/* LMDB uses the pages of a large value that was replaced again only after the commit. */
	assert_int_equal(store_reserve(store, 64 << 20, NULL), 0);
	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	for (unsigned round = 0; round < 400; round++) {
		memcpy(saved, model, sizeof(model));
		assert_int_equal(store_txn_begin_nested(txn, &nested, NULL), 0);
		for (unsigned change = 0; change < 20; change++) {
			random = random * 1664525 + 1013904223;
			unsigned slot = random >> 26, length = (random >> 8) % 4000;

			snprintf(key, sizeof(key), "key%u", slot);
			if ((random >> 5 & 3) != 0) {
				struct bytes bytes = { (uint8_t *)value, length };

				assert_int_equal(store_put(nested, STORE_TABLE_DISK, text(key), bytes, NULL), 0);
				model[slot] = (int)length + 1;
			} else {
				assert_int_equal(store_delete(nested, STORE_TABLE_DISK, text(key), NULL),
						 model[slot] != 0 ? 0 : ERROR_NOT_FOUND);
				model[slot] = 0;
			}
		}
		if ((random >> 20 & 1) != 0) {
			store_txn_abort(nested);
			memcpy(model, saved, sizeof(model));
		} else {
			assert_int_equal(store_txn_commit(nested, NULL), 0);
		}
		for (unsigned slot = 0; slot < 64; slot++) {
			struct bytes found;

			snprintf(key, sizeof(key), "key%u", slot);
			int code = store_get(txn, STORE_TABLE_DISK, text(key), &found, NULL);

			assert_int_equal(code, model[slot] != 0 ? 0 : ERROR_NOT_FOUND);
			if (code == 0)
				assert_int_equal(found.size, model[slot] - 1);
		}
	}
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	store_close(store);
}

/* Put values until something refuses. Returns the code. */
static int fill(struct store *store, bool reserve, unsigned *ret_count, struct error *error)
{
	struct store_txn *txn = NULL;
	static uint8_t value[2000];
	char key[16];
	int code = 0;

	for (*ret_count = 0; *ret_count < 100000; (*ret_count)++) {
		if (reserve && (code = store_reserve(store, 256 << 10, error)) != 0)
			return code;
		assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
		snprintf(key, sizeof(key), "%06u", *ret_count);
		code = store_put(txn, STORE_TABLE_DISK, text(key), (struct bytes){ value, sizeof(value) }, error);
		if (code != 0) {
			/* Nothing else is possible in this transaction, and everything says why. */
			struct error again = { 0 };

			assert_int_equal(store_put(txn, STORE_TABLE_META, text("k"), text("v"), &again), code);
			assert_string_equal(again.message, error->message);
			assert_int_equal(store_txn_commit(txn, &again), code);
			return code;
		}
		code = store_txn_commit(txn, error);
		if (code != 0)
			return code;
	}
	return 0;
}

static void test_map_full(void **state)
{
	struct store_rig *rig = *state;
	uint64_t map_bytes = 0, used_bytes = 0;
	struct error error = { 0 };
	struct store *store;
	unsigned count = 0;

	store = store_rig_must_open(rig);
	assert_int_equal(fill(store, false, &count, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "map of the store is full"));
	assert_in_range(count, 100, 1000);
	store_usage(store, &map_bytes, &used_bytes);
	assert_int_equal(map_bytes, 1 << 20);
	assert_true(used_bytes <= map_bytes && used_bytes > map_bytes / 2);

	/* After a reservation it goes on. */
	assert_int_equal(store_reserve(store, 1 << 20, &error), 0);
	store_usage(store, &map_bytes, &used_bytes);
	assert_true(map_bytes - used_bytes >= 1 << 20);
	must_put_committed(store, STORE_TABLE_NODE, "later", "v");
	must_hold_committed(store, STORE_TABLE_NODE, "later", "v");
	store_close(store);
}

static void test_limit(void **state)
{
	struct store_rig *rig = *state;
	struct error error = { 0 };
	struct store_txn *txn = NULL;
	struct store *store;
	unsigned count = 0, again = 0;
	char key[16];

	rig->limit_bytes = 4 << 20;
	store = store_rig_must_open(rig);
	assert_int_equal(fill(store, true, &count, &error), ERROR_NO_CAPACITY);
	assert_non_null(strstr(error.message, "limit of 4194304 bytes"));
	assert_in_range(count, 800, 2000);
	must_put_committed(store, STORE_TABLE_NODE, "still", "usable");

	/* What is deleted makes room again, without a larger file. */
	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "%06u", i);
		must_delete(txn, STORE_TABLE_DISK, key);
	}
	assert_int_equal(store_txn_commit(txn, NULL), 0);
	must_put_committed(store, STORE_TABLE_NODE, "still", "usable, pages free by now");
	assert_int_equal(fill(store, true, &again, &error), ERROR_NO_CAPACITY);
	assert_true(again > count / 2);
	store_close(store);
}

/* A bound on the size of files stands for a full disk: the kernel answers EFBIG where it would answer ENOSPC. */
static void test_disk_full(void **state)
{
	struct store_rig *rig = *state;
	struct rlimit before, bound;
	struct error error = { 0 };
	uint64_t map_bytes = 0, used_bytes = 0;
	struct store *store;
	unsigned count = 0;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	bound = before;

	/* Not even room to begin with: a clear error, and the next try works. */
	bound.rlim_cur = 512 << 10;
	setrlimit(RLIMIT_FSIZE, &bound);
	assert_int_equal(store_rig_open(rig, &store, &error), ERROR_NO_CAPACITY);
	setrlimit(RLIMIT_FSIZE, &before);
	store = store_rig_must_open(rig);
	assert_false(rig->rebuilt);

	bound.rlim_cur = 3 << 20;
	setrlimit(RLIMIT_FSIZE, &bound);
	assert_int_equal(fill(store, true, &count, &error), ERROR_NO_CAPACITY);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_non_null(strstr(error.message, "disk is full"));
	assert_true(error.hint[0] != '\0');
	store_usage(store, &map_bytes, &used_bytes);
	assert_int_equal(map_bytes, 3 << 20);
	must_put_committed(store, STORE_TABLE_NODE, "still", "usable");

	/* Room again. */
	assert_int_equal(store_reserve(store, 1 << 20, &error), 0);
	must_hold_committed(store, STORE_TABLE_NODE, "still", "usable");
	store_close(store);
	store = store_rig_must_open(rig);
	must_hold_committed(store, STORE_TABLE_NODE, "still", "usable");
	store_close(store);
}

/* The whole map is backed by blocks, else a full disk would be a SIGBUS. */
static void test_blocks(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	uint64_t map_bytes = 0, used_bytes = 0;
	struct stat status;

	assert_int_equal(store_reserve(store, 5 << 20, NULL), 0);
	store_usage(store, &map_bytes, &used_bytes);
	assert_true(map_bytes >= 5 << 20);
	assert_int_equal(stat(store_rig_path(rig, "data.mdb"), &status), 0);
	assert_int_equal(status.st_size, map_bytes);
	assert_true((uint64_t)status.st_blocks * 512 >= map_bytes);
	assert_int_equal(stat(store_rig_path(rig, "data.mdb-lock"), &status), 0);
	assert_true(status.st_blocks * 512 >= status.st_size);
	store_close(store);
}

/* A transaction with one nested transaction in it. Returns the code; the caller aborts nothing. */
static int one_operation(struct store *store)
{
	struct store_txn *txn = NULL, *nested = NULL;
	struct store_cursor *cursor = NULL;
	struct bytes key, value;
	int code;

	code = store_txn_begin(store, true, &txn, NULL);
	if (code == 0)
		code = store_put(txn, STORE_TABLE_NODE, text("outer"), text("1"), NULL);
	if (code == 0)
		code = store_txn_begin_nested(txn, &nested, NULL);
	if (code == 0)
		code = store_put(nested, STORE_TABLE_NODE, text("inner"), text("1"), NULL);
	if (code == 0)
		code = store_delete(nested, STORE_TABLE_NODE, text("old"), NULL);
	if (code == 0)
		code = store_cursor_open(nested, STORE_TABLE_NODE, text(""), &cursor, NULL);
	if (code == 0)
		code = store_cursor_next(cursor, &key, &value, NULL);
	store_cursor_close(cursor);
	if (code == 0) {
		code = store_txn_commit(nested, NULL);
		nested = NULL;
	}
	store_txn_abort(nested);
	if (code == 0)
		return store_txn_commit(txn, NULL);
	store_txn_abort(txn);
	return code;
}

static void test_failing_allocations(void **state)
{
	struct store *store = store_rig_must_open(*state);
	unsigned failures = 0;

	must_put_committed(store, STORE_TABLE_NODE, "old", "1");
	for (unsigned long n = 1;; n++) {
		failing_alloc_arm(n);
		int code = one_operation(store);

		if (!failing_alloc_disarm()) {
			assert_int_equal(code, 0);
			break;
		}
		assert_int_equal(code, ERROR_INTERNAL);
		failures++;
		must_hold_committed(store, STORE_TABLE_NODE, "outer", NULL);
		must_hold_committed(store, STORE_TABLE_NODE, "inner", NULL);
		must_hold_committed(store, STORE_TABLE_NODE, "old", "1");
	}
	assert_true(failures >= 4);
	must_hold_committed(store, STORE_TABLE_NODE, "inner", "1");
	must_hold_committed(store, STORE_TABLE_NODE, "old", NULL);
	store_close(store);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_put_get_delete),
		STORE_TEST(test_key_sizes),
		STORE_TEST(test_cursor),
		STORE_TEST(test_cursor_many),
		STORE_TEST(test_nested),
		STORE_TEST(test_nested_random),
		STORE_TEST(test_map_full),
		STORE_TEST(test_limit),
		STORE_TEST(test_disk_full),
		STORE_TEST(test_blocks),
		STORE_TEST(test_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
