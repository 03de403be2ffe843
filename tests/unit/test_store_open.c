/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening: what may be trusted, what is refused and why, and what a killed process leaves behind. */
#include "tests/unit/test_store_rig.h"

#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/failing_alloc.h"

static void file_write(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
}

static size_t file_read(const char *path, uint8_t *data, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t got;

	assert_true(fd >= 0);
	got = read(fd, data, size);
	assert_true(got >= 0);
	close(fd);
	return (size_t)got;
}

/* Opening is refused with FAILED_PRECONDITION, these words, and a hint. */
static void must_refuse(struct store_rig *rig, const char *words)
{
	struct store *store = NULL;
	struct error error = { 0 };

	rig->rebuilt = false;
	assert_int_equal(store_rig_open(rig, &store, &error), ERROR_FAILED_PRECONDITION);
	if (strstr(error.message, words) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", words, error.message);
	assert_true(error.hint[0] != '\0');
	assert_null(store);
	assert_false(rig->rebuilt);
}

static void test_reopen(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);

	assert_false(rig->rebuilt);
	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);

	/* After a clean close another boot changes nothing. */
	rig->boot_id[0]++;
	store = store_rig_must_open(rig);
	assert_false(rig->rebuilt);
	must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
	store_close(NULL);
}

static void test_kernel_boot_id_and_missing_parent(void **state)
{
	struct store_rig *rig = *state;
	struct store_options options = { .directory = store_rig_path(rig, "none/below") };
	struct store *store = NULL;
	struct error error = { 0 };
	bool rebuilt = true;

	assert_int_equal(store_open(&options, &store, &rebuilt, &error), ERROR_NOT_FOUND);
	options.directory = store_rig_path(rig, ".");
	options.map_step_bytes = 1 << 20;
	assert_int_equal(store_open(&options, &store, &rebuilt, &error), 0);
	assert_false(rebuilt);
	store_close(store);
}

static void test_second_opener(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);

	must_refuse(rig, "in use by another process");
	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
	store = store_rig_must_open(rig);
	must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
}

/* In another process: open, commit, begin another transaction, and die without closing. */
static void die_with_open_store(struct store_rig *rig, const char *key)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store_txn *txn = NULL;
		struct store *store = NULL;

		if (store_rig_open(rig, &store, NULL) != 0 || store_txn_begin(store, true, &txn, NULL) != 0 ||
		    store_put(txn, STORE_TABLE_NODE, text(key), text("1"), NULL) != 0 ||
		    store_txn_commit(txn, NULL) != 0 || store_txn_begin(store, true, &txn, NULL) != 0 ||
		    store_put(txn, STORE_TABLE_NODE, text("never"), text("1"), NULL) != 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_killed(void **state)
{
	struct store_rig *rig = *state;
	struct store *store;

	die_with_open_store(rig, "first");
	die_with_open_store(rig, "second");
	store = store_rig_must_open(rig);
	assert_false(rig->rebuilt);
	must_hold_committed(store, STORE_TABLE_NODE, "first", "1");
	must_hold_committed(store, STORE_TABLE_NODE, "second", "1");
	must_hold_committed(store, STORE_TABLE_NODE, "never", NULL);
	must_put_committed(store, STORE_TABLE_NODE, "third", "1");
	store_close(store);
}

static void test_unclean_stop_of_the_system(void **state)
{
	struct store_rig *rig = *state;
	uint8_t garbage[100000];
	struct store *store;

	die_with_open_store(rig, "first");
	/* Whatever the power cut left: it is not even looked at. */
	memset(garbage, 0xa5, sizeof(garbage));
	file_write(store_rig_path(rig, "data.mdb"), garbage, sizeof(garbage));
	rig->boot_id[3]++;
	store = store_rig_must_open(rig);
	assert_true(rig->rebuilt);
	must_hold_committed(store, STORE_TABLE_NODE, "first", NULL);
	must_put_committed(store, STORE_TABLE_NODE, "second", "1");
	store_close(store);
	store = store_rig_must_open(rig);
	assert_false(rig->rebuilt);
	must_hold_committed(store, STORE_TABLE_NODE, "second", "1");
	store_close(store);
}

static void test_foreign_bytes(void **state)
{
	struct store_rig *rig = *state;
	uint8_t garbage[20000];
	struct store *store;

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)(i * 31 + i / 256);
	file_write(store_rig_path(rig, "data.mdb"), garbage, sizeof(garbage));
	must_refuse(rig, "was not written by dnvme");
	unlink(store_rig_path(rig, "data.mdb"));

	/* The same beside a state of ours. */
	store = store_rig_must_open(rig);
	store_close(store);
	file_write(store_rig_path(rig, "data.mdb"), garbage, sizeof(garbage));
	must_refuse(rig, "was not written by dnvme");
	file_write(store_rig_path(rig, "data.mdb"), garbage, 100);
	must_refuse(rig, "was not written by dnvme");
	file_write(store_rig_path(rig, "data.mdb"), garbage, 0);
	must_refuse(rig, "data file is empty");
	unlink(store_rig_path(rig, "data.mdb"));
	must_refuse(rig, "data file is missing");

	file_write(store_rig_path(rig, "state"), garbage, 64);
	must_refuse(rig, "was not written by dnvme");
}

/* A file that LMDB made for another program, beside our state. */
static void test_foreign_lmdb(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	MDB_val value = { .mv_size = 5, .mv_data = "other" };
	MDB_txn *txn = NULL;
	MDB_env *env = NULL;
	MDB_dbi table;

	store_close(store);
	for (int with_table = 0; with_table < 2; with_table++) {
		unlink(store_rig_path(rig, "data.mdb"));
		assert_int_equal(mdb_env_create(&env), 0);
		assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
		assert_int_equal(mdb_env_open(env, store_rig_path(rig, "data.mdb"), MDB_NOSUBDIR, 0600), 0);
		assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
		/* Once without our table, once with it and other things in it. */
		assert_int_equal(mdb_dbi_open(txn, with_table ? "dnvme-store" : NULL, MDB_CREATE, &table), 0);
		assert_int_equal(mdb_put(txn, table, &value, &value, 0), 0);
		assert_int_equal(mdb_txn_commit(txn), 0);
		mdb_env_close(env);
		must_refuse(rig, "was not written by dnvme");
	}
}

/* Change the identity record of the store's data file. */
static void identity_change(struct store_rig *rig, size_t at, uint8_t change)
{
	MDB_val key = { .mv_size = 8, .mv_data = "identity" }, value;
	MDB_txn *txn = NULL;
	MDB_env *env = NULL;
	uint8_t bytes[32];
	MDB_dbi table;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
	assert_int_equal(mdb_env_open(env, store_rig_path(rig, "data.mdb"), MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "dnvme-store", 0, &table), 0);
	assert_int_equal(mdb_get(txn, table, &key, &value), 0);
	assert_int_equal(value.mv_size, sizeof(bytes));
	memcpy(bytes, value.mv_data, sizeof(bytes));
	bytes[at] ^= change;
	value.mv_data = bytes;
	assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void test_identity(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);

	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
	identity_change(rig, 0, 1);
	must_refuse(rig, "was not written by dnvme");
	identity_change(rig, 0, 1);
	identity_change(rig, 8, 2);
	must_refuse(rig, "another format version");
	identity_change(rig, 8, 2);
	identity_change(rig, 20, 1);
	must_refuse(rig, "belongs to another store");
	identity_change(rig, 20, 1);
	store = store_rig_must_open(rig);
	must_hold_committed(store, STORE_TABLE_NODE, "a", "1");
	store_close(store);
}

static void test_state_file(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	uint8_t good[64], bad[64];

	store_close(store);
	assert_int_equal(file_read(store_rig_path(rig, "state"), good, sizeof(good)), sizeof(good));
	/* Each single flipped bit is noticed. */
	for (unsigned bit = 0; bit < 64 * 8; bit++) {
		memcpy(bad, good, sizeof(bad));
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		file_write(store_rig_path(rig, "state"), bad, sizeof(bad));
		must_refuse(rig, bit < 64 ? "was not written by dnvme" : bit < 96 ? "format version" : "is damaged");
	}
	for (size_t size = 0; size < 64; size++) {
		file_write(store_rig_path(rig, "state"), good, size);
		must_refuse(rig, size < 8 ? "was not written by dnvme" : "is damaged");
	}
	file_write(store_rig_path(rig, "state"), good, sizeof(good));
	store_close(store_rig_must_open(rig));
}

/* A data file that was cut short is refused, and stays as it is. */
static void test_cut_data_file(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	uint64_t map_bytes = 0, used_bytes = 0;
	struct stat status;

	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_usage(store, &map_bytes, &used_bytes);
	store_close(store);
	assert_int_equal(truncate(store_rig_path(rig, "data.mdb"), (off_t)used_bytes - 1), 0);
	must_refuse(rig, "shorter than what it holds");
	must_refuse(rig, "shorter than what it holds");
	assert_int_equal(stat(store_rig_path(rig, "data.mdb"), &status), 0);
	assert_int_equal(status.st_size, used_bytes - 1);
}

/* What an interrupted creation leaves is thrown away, but a rebuild stays a rebuild. */
static void test_interrupted(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = NULL;
	uint8_t garbage[5000] = { 1 };
	unsigned failures = 0;

	for (unsigned long n = 1;; n++) {
		failing_alloc_arm(n);
		int code = store_rig_open(rig, &store, NULL);

		if (!failing_alloc_disarm()) {
			assert_int_equal(code, 0);
			break;
		}
		assert_int_equal(code, ERROR_INTERNAL);
		failures++;
		/* When it got so far, half a data file. */
		if (access(store_rig_path(rig, "state"), F_OK) == 0)
			file_write(store_rig_path(rig, "data.mdb"), garbage, sizeof(garbage));
	}
	assert_true(failures >= 2);
	assert_false(rig->rebuilt);
	store_close(store);

	die_with_open_store(rig, "a");
	rig->boot_id[0]++;
	failures = 0;
	for (unsigned long n = 1;; n++) {
		failing_alloc_arm(n);
		rig->rebuilt = false;
		int code = store_rig_open(rig, &store, NULL);

		if (!failing_alloc_disarm()) {
			assert_int_equal(code, 0);
			break;
		}
		assert_int_equal(code, ERROR_INTERNAL);
		assert_false(rig->rebuilt);
		failures++;
	}
	assert_true(failures >= 2);
	assert_true(rig->rebuilt);
	must_hold_committed(store, STORE_TABLE_NODE, "a", NULL);
	store_close(store);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_reopen),
		STORE_TEST(test_kernel_boot_id_and_missing_parent),
		STORE_TEST(test_second_opener),
		STORE_TEST(test_killed),
		STORE_TEST(test_unclean_stop_of_the_system),
		STORE_TEST(test_foreign_bytes),
		STORE_TEST(test_foreign_lmdb),
		STORE_TEST(test_identity),
		STORE_TEST(test_state_file),
		STORE_TEST(test_cut_data_file),
		STORE_TEST(test_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
