/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store of a stopped server is read without changing a byte of it; and a store that was made for a moment goes. */
#include "tests/unit/test_store_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 5

/* What a change would show in: names, sizes, and when data and names changed last. */
struct sight {
	size_t count;
	struct stat files[FILES], directory;
};

static struct sight look(const struct store_rig *rig)
{
	static const char *const names[FILES] = { "data.mdb", "data.mdb-lock", "lock", "state", "state.new" };
	struct sight sight = { 0 };

	for (size_t i = 0; i < FILES; i++) {
		if (stat(store_rig_path(rig, names[i]), &sight.files[i]) == 0)
			sight.count++;
		else
			memset(&sight.files[i], 0, sizeof(sight.files[i]));
	}
	assert_int_equal(stat(store_rig_path(rig, "."), &sight.directory), 0);
	return sight;
}

static void must_be_untouched(const struct store_rig *rig, const struct sight *before)
{
	struct sight now = look(rig);

	assert_int_equal(now.count, before->count);
	assert_memory_equal(&now.directory.st_mtim, &before->directory.st_mtim, sizeof(now.directory.st_mtim));
	for (size_t i = 0; i < FILES; i++) {
		assert_int_equal(now.files[i].st_size, before->files[i].st_size);
		assert_int_equal(now.files[i].st_ino, before->files[i].st_ino);
		assert_memory_equal(&now.files[i].st_mtim, &before->files[i].st_mtim, sizeof(now.files[i].st_mtim));
		assert_memory_equal(&now.files[i].st_ctim, &before->files[i].st_ctim, sizeof(now.files[i].st_ctim));
	}
}

static struct store *must_read(struct store_rig *rig)
{
	struct store *store = NULL;
	struct error error = { 0 };

	if (store_open_read(store_rig_path(rig, "."), rig->boot_id, &store, &error) != 0)
		fail_msg("cannot read: %s", error.message);
	return store;
}

static void must_refuse(struct store_rig *rig, enum error_code code, const char *words)
{
	struct store *store = NULL;
	struct error error = { 0 };

	assert_int_equal(store_open_read(store_rig_path(rig, "."), rig->boot_id, &store, &error), code);
	if (strstr(error.message, words) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", words, error.message);
	assert_null(store);
}

static void test_read(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig), *reader, *other;
	struct store_txn *txn = NULL;
	struct sight before;

	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	must_refuse(rig, ERROR_FAILED_PRECONDITION, "in use by another process");
	store_close(store);
	rig->boot_id[0]++; /* it was closed: another boot changes nothing */
	before = look(rig);
	reader = must_read(rig);
	must_hold_committed(reader, STORE_TABLE_NODE, "a", "1");
	must_hold_committed(reader, STORE_TABLE_NODE, "b", NULL);
	assert_int_not_equal(store_txn_begin(reader, true, &txn, NULL), 0);
	/* Several may read, nobody may write. */
	other = must_read(rig);
	assert_int_equal(store_rig_open(rig, &store, NULL), ERROR_FAILED_PRECONDITION);
	must_hold_committed(other, STORE_TABLE_NODE, "a", "1");
	store_close(other);
	store_close(reader);
	must_be_untouched(rig, &before);
	store = store_rig_must_open(rig);
	assert_false(rig->rebuilt);
	store_close(store);
}

static void die_with_open_store(struct store_rig *rig)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *store = NULL;

		if (store_rig_open(rig, &store, NULL) != 0)
			_exit(1);
		must_put_committed(store, STORE_TABLE_NODE, "a", "1");
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_killed(void **state)
{
	struct store_rig *rig = *state;
	struct store *reader;
	struct sight before;

	die_with_open_store(rig);
	before = look(rig);
	reader = must_read(rig);
	must_hold_committed(reader, STORE_TABLE_NODE, "a", "1");
	store_close(reader);
	must_be_untouched(rig, &before);
	/* Of another boot nothing is known of what reached the disk. */
	rig->boot_id[0]++;
	must_refuse(rig, ERROR_FAILED_PRECONDITION, "did not survive an unclean stop");
	must_be_untouched(rig, &before);
}

static void test_none(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = NULL;
	struct error error;

	must_refuse(rig, ERROR_NOT_FOUND, "there is no store");
	assert_int_equal(store_open_read(store_rig_path(rig, "none"), rig->boot_id, &store, &error), ERROR_NOT_FOUND);
	assert_int_not_equal(access(store_rig_path(rig, "none"), F_OK), 0);
}

static void test_damaged(void **state)
{
	struct store_rig *rig = *state;
	struct store *store = store_rig_must_open(rig);
	int fd;

	store_close(store);
	fd = open(store_rig_path(rig, "data.mdb"), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\0\0\0\0\0\0\0\0", 8, 4096), 8);
	assert_int_equal(ftruncate(fd, 8192), 0);
	close(fd);
	must_refuse(rig, ERROR_FAILED_PRECONDITION, "damaged");
}

static void test_discard(void **state)
{
	struct store_rig *rig = *state;
	struct store_options options = { .map_step_bytes = 1 << 20 };
	struct store *store = NULL;
	bool rebuilt;
	char directory[96];
	int fd;

	snprintf(directory, sizeof(directory), "%s/moment", rig->directory);
	options.directory = directory;
	store_discard(NULL);
	store_remove(directory);
	assert_int_equal(store_open(&options, &store, &rebuilt, NULL), 0);
	must_put_committed(store, STORE_TABLE_NODE, "a", "1");
	store_discard(store);
	assert_int_not_equal(access(directory, F_OK), 0);
	/* What is not the store's stays. */
	assert_int_equal(store_open(&options, &store, &rebuilt, NULL), 0);
	fd = open(store_rig_path(rig, "moment/mine"), O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	store_discard(store);
	assert_int_equal(access(store_rig_path(rig, "moment/mine"), F_OK), 0);
	assert_int_not_equal(access(store_rig_path(rig, "moment/data.mdb"), F_OK), 0);
	unlink(store_rig_path(rig, "moment/mine"));
	assert_int_equal(rmdir(directory), 0);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_read),	  STORE_TEST(test_killed),  STORE_TEST(test_none),
		STORE_TEST(test_damaged), STORE_TEST(test_discard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
