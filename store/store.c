/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/canary.h"
#include "lib/base/log.h"
#include "store/internal.h"
#include "store/state_file.h"

static const char *const table_names[STORE_TABLE_COUNT] = {
	[STORE_TABLE_META] = "meta",
	[STORE_TABLE_NODE] = "node",
	[STORE_TABLE_DISK] = "disk",
	[STORE_TABLE_DISK_PATH] = "disk-path",
	[STORE_TABLE_FREE] = "free",
	[STORE_TABLE_VOLUME] = "volume",
	[STORE_TABLE_VOLUME_NAME] = "volume-name",
	[STORE_TABLE_NODE_VOLUME] = "node-volume",
	[STORE_TABLE_DISK_VOLUME] = "disk-volume",
	[STORE_TABLE_HOST_VOLUME] = "host-volume",
	[STORE_TABLE_TRANSITION] = "transition",
	[STORE_TABLE_REQUEST] = "request",
	[STORE_TABLE_REQUEST_AGE] = "request-age",
	[STORE_TABLE_LEG_PORT] = "leg-port",
	[STORE_TABLE_JOB] = "job",
	[STORE_TABLE_JOB_AGE] = "job-age",
	[STORE_TABLE_EVENT] = "event",
};

const char *store_table_name(enum store_table table)
{
	return (unsigned)table < STORE_TABLE_COUNT ? table_names[table] : "unknown";
}

int store_phase_write(struct store *store, enum store_phase phase, struct error *error)
{
	struct store_state state = { .phase = phase };

	memcpy(state.boot_id, store->boot_id, 16);
	memcpy(state.store_id, store->store_id, 16);
	return store_state_write(store->directory_fd, store->directory, &state, error);
}

void store_free(struct store *store)
{
	if (store->env != NULL)
		mdb_env_close(store->env);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	if (store->directory_fd >= 0)
		close(store->directory_fd);
	free(store->directory);
	free(store);
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	STORE_CONTRACT(store->open_transactions == 0);
	if (store->read_only) {
		store_free(store);
		return;
	}
	/* If either fails, the next boot of the system starts empty, which is safe. */
	if (store_sync(store, NULL) == 0)
		store_phase_write(store, STORE_PHASE_CLEAN, NULL);
	store_free(store);
}

int store_sync(struct store *store, struct error *error)
{
	if (canary("skip_store_sync"))
		return 0;
	/* On Linux this writes the pages changed through the map as well; unlike mdb_env_sync() it needs no map, which
	 * the loop's thread may be replacing. */
	if (fdatasync(store->data_fd) != 0)
		return store_errno_set(error, errno, "cannot sync the store \"%s\"", store->directory);
	return 0;
}

void store_usage(const struct store *store, uint64_t *ret_map_bytes, uint64_t *ret_used_bytes)
{
	MDB_envinfo info;

	*ret_map_bytes = store->map_bytes;
	*ret_used_bytes = 0;
	if (store->unmapped)
		return;
	mdb_env_info(store->env, &info);
	*ret_used_bytes = ((uint64_t)info.me_last_pgno + 1) * store->page_bytes;
}

int store_free_list_bytes(struct store *store, uint64_t *ret_bytes, struct error *error)
{
	const MDB_dbi free_list = 0; /* LMDB keeps its list of free pages in table 0: txn id -> count, pages */
	MDB_cursor *cursor = NULL;
	MDB_txn *txn = NULL;
	uint64_t pages = 0;
	MDB_val key, value;
	size_t count;
	int code;

	code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (code == 0)
		code = mdb_cursor_open(txn, free_list, &cursor);
	while (code == 0) {
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		if (code == 0) {
			memcpy(&count, value.mv_data, sizeof(count));
			pages += count;
		}
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	if (code != MDB_NOTFOUND)
		return store_error_set(error, code, "cannot read the list of free pages");
	*ret_bytes = pages * store->page_bytes;
	return 0;
}

/* Make the map `map_bytes` long, with all its blocks. */
static int map_grow(struct store *store, uint64_t map_bytes, struct error *error)
{
	void *probe;
	int code;

	code = posix_fallocate(store->data_fd, (off_t)store->map_bytes, (off_t)(map_bytes - store->map_bytes));
	if (code != 0) {
		/* Give back what was allocated before the disk was full. */
		if (ftruncate(store->data_fd, (off_t)store->map_bytes) != 0)
			log_warning("cannot shorten the store's data file", "error=%s", strerror(errno));
		return store_errno_set(error, code, "cannot grow the store \"%s\" to %llu bytes", store->directory,
				       (unsigned long long)map_bytes);
	}
	/* LMDB unmaps the old map first and cannot go back: see that the new one will fit. */
	probe = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, store->data_fd, 0);
	if (probe == MAP_FAILED)
		return error_set(error, ERROR_NO_CAPACITY, "cannot map %llu bytes for the store \"%s\": %s",
				 (unsigned long long)map_bytes, store->directory, strerror(errno));
	munmap(probe, map_bytes);
	code = mdb_env_set_mapsize(store->env, map_bytes);
	if (code != 0) {
		store->unmapped = true;
		return store_error_set(error, code, "cannot map %llu bytes for the store \"%s\"",
				       (unsigned long long)map_bytes, store->directory);
	}
	store->map_bytes = map_bytes;
	return 0;
}

int store_reserve(struct store *store, uint64_t bytes, struct error *error)
{
	uint64_t map_bytes, used_bytes, wanted, stepped, free_bytes = 0;
	int code;

	STORE_CONTRACT(store->open_transactions == 0);
	if (store->unmapped)
		return error_set(error, ERROR_INTERNAL, "the store \"%s\" lost its map", store->directory);
	store_usage(store, &map_bytes, &used_bytes);
	if (used_bytes < map_bytes && map_bytes - used_bytes >= bytes)
		return 0;
	if (__builtin_add_overflow(used_bytes, bytes, &wanted) ||
	    __builtin_add_overflow(wanted, store->map_step_bytes - 1, &stepped))
		return error_set(error, ERROR_NO_CAPACITY, "cannot reserve %llu bytes", (unsigned long long)bytes);
	stepped -= stepped % store->map_step_bytes;
	if (stepped > store->map_limit_bytes)
		stepped = store->map_limit_bytes;
	if (stepped >= wanted && stepped > map_bytes) {
		code = map_grow(store, stepped, error);
		if (code != ERROR_NO_CAPACITY)
			return code;
	} else {
		code = error_set(error, ERROR_NO_CAPACITY, "the store \"%s\" has reached its limit of %llu bytes",
				 store->directory, (unsigned long long)store->map_limit_bytes);
		error_hint(error, "raise the limit");
	}
	/* No room behind the last page; pages that were freed do as well. */
	if (store_free_list_bytes(store, &free_bytes, NULL) == 0 && free_bytes + (map_bytes - used_bytes) >= bytes) {
		error_clear(error);
		return 0;
	}
	return code;
}
