/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the store of a stopped server without changing a byte of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "store/internal.h"
#include "store/state_file.h"

static int none(const char *directory, struct error *error)
{
	return error_set(error, ERROR_NOT_FOUND, "there is no store in \"%s\"", directory);
}

/* Whether the next start would use what is there. */
static int trust_check(struct store *store, struct error *error)
{
	struct store_state state;
	bool found = false;
	int code = store_state_read(store->directory_fd, store->directory, &state, &found, error);

	if (code != 0)
		return code;
	if (!found)
		return none(store->directory, error);
	memcpy(store->store_id, state.store_id, sizeof(store->store_id));
	if (state.phase == STORE_PHASE_CLEAN ||
	    (state.phase == STORE_PHASE_IN_USE && memcmp(state.boot_id, store->boot_id, sizeof(state.boot_id)) == 0))
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "the store \"%s\" did not survive an unclean stop of the system: there is nothing in it to be read",
		  store->directory);
	return error_hint(error, "start the server, which rebuilds it from snapshot and log");
}

static int environment_open(struct store *store, struct error *error)
{
	char *path = NULL;
	MDB_stat stat;
	int code = store_data_path(store, &path, error);

	if (code != 0)
		return code;
	code = mdb_env_create(&store->env);
	if (code == 0)
		code = mdb_env_set_maxdbs(store->env, STORE_TABLE_COUNT + 1);
	/* Whoever could write is kept out by our own lock. */
	if (code == 0)
		code = mdb_env_open(store->env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
	free(path);
	if (code != 0)
		return store_error_set(error, code, "cannot open the store \"%s\"", store->directory);
	mdb_env_stat(store->env, &stat);
	store->page_bytes = stat.ms_psize;
	return 0;
}

static int tables_open(struct store *store, struct error *error)
{
	MDB_txn *txn = NULL;
	int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

	for (unsigned i = 0; code == 0 && i < STORE_TABLE_COUNT; i++)
		code = mdb_dbi_open(txn, store_table_name((enum store_table)i), 0, &store->tables[i]);
	if (code == 0)
		return mdb_txn_commit(txn) == 0 ? 0 : error_set_nomem(error);
	mdb_txn_abort(txn);
	if (code != MDB_NOTFOUND)
		return store_error_set(error, code, "cannot open the tables of \"%s\"", store->directory);
	error_set(error, ERROR_FAILED_PRECONDITION, "the store \"%s\" was written by an earlier version of dnvme",
		  store->directory);
	return error_hint(error, "start the server with this version once");
}

static int store_begin(struct store *store, const char *directory, const uint8_t *boot_id, struct error *error)
{
	store->directory = strdup(directory);
	if (store->directory == NULL)
		return error_set_nomem(error);
	if (boot_id != NULL)
		memcpy(store->boot_id, boot_id, sizeof(store->boot_id));
	else if (boot_id_read(store->boot_id) != 0)
		return error_set(error, ERROR_INTERNAL, "cannot read the kernel's boot id");
	store->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory_fd < 0 && errno == ENOENT)
		return none(directory, error);
	if (store->directory_fd < 0)
		return error_set_errno(error, errno, "cannot open \"%s\"", directory);
	if (faccessat(store->directory_fd, LOCK_NAME, F_OK, 0) != 0 && errno == ENOENT)
		return none(directory, error);
	return store_lock(store, O_RDONLY, LOCK_SH, error);
}

int store_open_read(const char *directory, const uint8_t *boot_id, struct store **ret_store, struct error *error)
{
	struct store *store = calloc(1, sizeof(*store));
	uint64_t map_bytes = 0;
	int code;

	if (store == NULL)
		return error_set_nomem(error);
	store->lock_fd = store->directory_fd = store->data_fd = -1;
	store->read_only = true;
	code = store_begin(store, directory, boot_id, error);
	if (code == 0)
		code = trust_check(store, error);
	if (code == 0)
		code = store_probe(store, &map_bytes, error);
	if (code == 0)
		code = environment_open(store, error);
	if (code == 0)
		code = store_identify(store, error);
	if (code == 0)
		code = tables_open(store, error);
	if (code != 0) {
		store_free(store);
		return code;
	}
	store->map_bytes = map_bytes;
	*ret_store = store;
	return 0;
}
