/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_store_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int store_rig_setup(void **state)
{
	struct store_rig *rig = calloc(1, sizeof(*rig));

	if (rig == NULL)
		return -1;
	strcpy(rig->directory, "/tmp/dnvme-store-XXXXXX");
	if (mkdtemp(rig->directory) == NULL) {
		free(rig);
		return -1;
	}
	memset(rig->boot_id, 7, sizeof(rig->boot_id));
	rig->step_bytes = 1 << 20;
	*state = rig;
	return 0;
}

int store_rig_teardown(void **state)
{
	struct store_rig *rig = *state;
	DIR *directory = opendir(rig->directory);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	if (directory != NULL)
		closedir(directory);
	rmdir(rig->directory);
	free(rig);
	return 0;
}

int store_rig_open(struct store_rig *rig, struct store **ret_store, struct error *error)
{
	const struct store_options options = {
		.directory = rig->directory,
		.map_step_bytes = rig->step_bytes,
		.map_limit_bytes = rig->limit_bytes,
		.boot_id = rig->boot_id,
	};

	return store_open(&options, ret_store, &rig->rebuilt, error);
}

struct store *store_rig_must_open(struct store_rig *rig)
{
	struct store *store = NULL;
	struct error error = { 0 };

	if (store_rig_open(rig, &store, &error) != 0)
		fail_msg("store_open: %s", error.message);
	return store;
}

const char *store_rig_path(const struct store_rig *rig, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", rig->directory, name);
	return path;
}

struct bytes text(const char *string)
{
	return (struct bytes){ .data = (const uint8_t *)string, .size = strlen(string) };
}

void must_put(struct store_txn *txn, enum store_table table, const char *key, const char *value)
{
	struct error error = { 0 };

	if (store_put(txn, table, text(key), text(value), &error) != 0)
		fail_msg("store_put: %s", error.message);
}

void must_delete(struct store_txn *txn, enum store_table table, const char *key)
{
	struct error error = { 0 };

	if (store_delete(txn, table, text(key), &error) != 0)
		fail_msg("store_delete: %s", error.message);
}

void must_hold(struct store_txn *txn, enum store_table table, const char *key, const char *value)
{
	struct error error = { 0 };
	struct bytes found;
	int code = store_get(txn, table, text(key), &found, &error);

	if (value == NULL) {
		assert_int_equal(code, ERROR_NOT_FOUND);
		assert_non_null(strstr(error.message, store_table_name(table)));
		return;
	}
	if (code != 0)
		fail_msg("store_get(%s): %s", key, error.message);
	assert_int_equal(found.size, strlen(value));
	assert_memory_equal(found.data, value, found.size);
}

void must_put_committed(struct store *store, enum store_table table, const char *key, const char *value)
{
	struct store_txn *txn = NULL;

	assert_int_equal(store_txn_begin(store, true, &txn, NULL), 0);
	must_put(txn, table, key, value);
	assert_int_equal(store_txn_commit(txn, NULL), 0);
}

void must_hold_committed(struct store *store, enum store_table table, const char *key, const char *value)
{
	struct store_txn *txn = NULL;

	assert_int_equal(store_txn_begin(store, false, &txn, NULL), 0);
	must_hold(txn, table, key, value);
	store_txn_abort(txn);
}

void must_digest(struct store *store, uint8_t ret_digest[16])
{
	struct store_txn *txn = NULL;

	assert_int_equal(store_txn_begin(store, false, &txn, NULL), 0);
	assert_int_equal(store_digest(txn, ret_digest, NULL), 0);
	store_txn_abort(txn);
}
