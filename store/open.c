/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening: whose file it is, and whether it may be trusted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "store/internal.h"
#include "store/state_file.h"
#include "store/verify.h"

#define MAP_STEP_BYTES (UINT64_C(64) << 20)
#define MAP_LIMIT_BYTES (UINT64_C(64) << 30)
#define MAP_MIN_BYTES (UINT64_C(256) << 10) /* room for the empty tables */
#define READERS_BYTES 65536		    /* about 1,000 read transactions at once */

/* The table that says whose file it is; neither dumped nor part of the digest. */
#define IDENTITY_TABLE "dnvme-store"

struct store_identity {
	uint8_t magic[8];
	uint8_t version[4]; /* little endian */
	uint8_t zero[4];
	uint8_t store_id[16];
};

static const uint8_t identity_magic[8] = "DNVMEDB\n";

/* Create `path` and make its name durable. */
static int make_directory(const char *path, struct error *error)
{
	char *parent, *slash;
	int fd, saved_errno;

	if (mkdir(path, 0700) != 0)
		return errno == EEXIST ? 0 : store_errno_set(error, errno, "cannot create \"%s\"", path);
	parent = strdup(path);
	if (parent == NULL)
		return error_set_nomem(error);
	for (size_t length = strlen(parent); length > 1 && parent[length - 1] == '/'; length--)
		parent[length - 1] = '\0';
	slash = strrchr(parent, '/');
	if (slash != NULL)
		slash[slash == parent] = '\0';
	fd = open(slash != NULL ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	if (fd < 0 || fsync(fd) != 0) {
		saved_errno = errno;
		if (fd >= 0)
			close(fd);
		return store_errno_set(error, saved_errno, "cannot sync the directory above \"%s\"", path);
	}
	close(fd);
	return 0;
}

int store_lock(struct store *store, int flags, int operation, struct error *error)
{
	store->lock_fd = openat(store->directory_fd, LOCK_NAME, flags | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return store_errno_set(error, errno, "cannot open \"%s/" LOCK_NAME "\"", store->directory);
	if (flock(store->lock_fd, operation | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return error_set_errno(error, errno, "cannot lock \"%s/" LOCK_NAME "\"", store->directory);
	error_set(error, ERROR_FAILED_PRECONDITION, "the store \"%s\" is in use by another process", store->directory);
	error_hint(error, "is dnvmed already running? (fuser \"%s/" LOCK_NAME "\")", store->directory);
	return ERROR_FAILED_PRECONDITION;
}

static int unlink_if_there(struct store *store, const char *name, struct error *error)
{
	if (unlinkat(store->directory_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return error_set_errno(error, errno, "cannot remove \"%s/%s\"", store->directory, name);
}

/* LMDB maps its table of readers sparse: without blocks a full disk would end the process. */
static int readers_preallocate(struct store *store, struct error *error)
{
	int fd, code;

	fd = openat(store->directory_fd, READERS_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return store_errno_set(error, errno, "cannot create \"%s/" READERS_NAME "\"", store->directory);
	code = posix_fallocate(fd, 0, READERS_BYTES);
	close(fd);
	if (code != 0)
		return store_errno_set(error, code, "cannot allocate \"%s/" READERS_NAME "\"", store->directory);
	return 0;
}

static int foreign(struct store *store, struct error *error)
{
	error_set(error, ERROR_FAILED_PRECONDITION, "\"%s/" DATA_NAME "\" was not written by dnvme", store->directory);
	error_hint(error, "give dnvme a directory of its own");
	return ERROR_FAILED_PRECONDITION;
}

int store_damaged(struct store *store, struct error *error, const char *why)
{
	error_set(error, ERROR_FAILED_PRECONDITION, "the store \"%s\" is damaged: %s", store->directory, why);
	error_hint(error, "remove the directory \"%s\": snapshot and log rebuild the state", store->directory);
	return ERROR_FAILED_PRECONDITION;
}

int store_data_path(struct store *store, char **ret_path, struct error *error)
{
	size_t size = strlen(store->directory) + sizeof("/" DATA_NAME);
	char *path = malloc(size);

	if (path == NULL)
		return error_set_nomem(error);
	snprintf(path, size, "%s/" DATA_NAME, store->directory);
	*ret_path = path;
	return 0;
}

/* LMDB believes what stands in its file: see that it may. */
static int data_verify(struct store *store, uint64_t file_bytes, struct error *error)
{
	int fd = openat(store->directory_fd, DATA_NAME, O_RDONLY | O_CLOEXEC), code;
	struct store_verified verified;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open \"%s/" DATA_NAME "\"", store->directory);
	code = store_verify(fd, file_bytes, IDENTITY_TABLE, &verified, error);
	close(fd);
	if (code != 0)
		return error_prefix(error, "cannot look through the store \"%s\"", store->directory), code;
	switch (verified.verdict) {
	case STORE_VERDICT_DAMAGED:
		return store_damaged(store, error, verified.why);
	case STORE_VERDICT_FOREIGN:
		return foreign(store, error);
	case STORE_VERDICT_UNKNOWN: /* it tells why when it is asked to open it */
	case STORE_VERDICT_SOUND:
		break;
	}
	return 0;
}

/* (Opened for writing, LMDB would lengthen one that was cut short.) */
int store_probe(struct store *store, uint64_t *ret_map_bytes, struct error *error)
{
	MDB_env *env = NULL;
	char *path = NULL;
	struct stat status;
	MDB_envinfo info;
	MDB_stat stat;
	uint64_t file_bytes, used_bytes;
	int code;

	if (fstatat(store->directory_fd, DATA_NAME, &status, 0) != 0) {
		if (errno == ENOENT)
			return store_damaged(store, error, "the data file is missing");
		return error_set_errno(error, errno, "cannot look at \"%s/" DATA_NAME "\"", store->directory);
	}
	if (status.st_size <= 0)
		return store_damaged(store, error, "the data file is empty");
	file_bytes = (uint64_t)status.st_size;
	code = data_verify(store, file_bytes, error);
	if (code == 0)
		code = store_data_path(store, &path, error);
	if (code != 0)
		return code;
	code = mdb_env_create(&env);
	if (code == 0)
		code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600);
	free(path);
	if (code != 0) {
		code = store_error_set(error, code, "cannot open the store \"%s\"", store->directory);
		mdb_env_close(env);
		return code;
	}
	mdb_env_info(env, &info);
	mdb_env_stat(env, &stat);
	mdb_env_close(env);
	if (__builtin_mul_overflow((uint64_t)info.me_last_pgno + 1, (uint64_t)stat.ms_psize, &used_bytes) ||
	    used_bytes > file_bytes)
		return store_damaged(store, error, "the data file is shorter than what it holds");
	*ret_map_bytes = file_bytes - file_bytes % stat.ms_psize;
	return 0;
}

/* Open LMDB on `map_bytes`; every block of the map exists when this returns 0. */
static int environment_open(struct store *store, uint64_t map_bytes, struct error *error)
{
	const unsigned flags = MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC | MDB_NOTLS;
	char *path = NULL;
	MDB_envinfo info;
	MDB_stat stat;
	int code;

	code = readers_preallocate(store, error);
	if (code == 0)
		code = store_data_path(store, &path, error);
	if (code != 0)
		return code;
	code = mdb_env_create(&store->env);
	if (code == 0)
		code = mdb_env_set_maxdbs(store->env, STORE_TABLE_COUNT + 1);
	if (code == 0)
		code = mdb_env_set_mapsize(store->env, map_bytes);
	if (code == 0)
		code = mdb_env_open(store->env, path, flags, 0600);
	free(path);
	if (code != 0)
		return store_error_set(error, code, "cannot open the store \"%s\"", store->directory);

	mdb_env_info(store->env, &info);
	mdb_env_stat(store->env, &stat);
	mdb_env_get_fd(store->env, &store->data_fd);
	store->page_bytes = stat.ms_psize;
	store->map_bytes = info.me_mapsize;
	code = posix_fallocate(store->data_fd, 0, (off_t)store->map_bytes);
	if (code != 0)
		return store_errno_set(error, code, "cannot allocate %llu bytes for the store \"%s\"",
				       (unsigned long long)store->map_bytes, store->directory);
	return 0;
}

/* Make the tables, and in a new file its identity. */
static int tables_open(struct store *store, bool new_file, struct error *error)
{
	struct store_identity identity = { .version = { STORE_FORMAT_VERSION } };
	MDB_val key = { .mv_size = 8, .mv_data = "identity" };
	MDB_val value = { .mv_size = sizeof(identity), .mv_data = &identity };
	MDB_txn *txn = NULL;
	MDB_dbi table;
	int code;

	code = mdb_txn_begin(store->env, NULL, 0, &txn);
	for (unsigned i = 0; code == 0 && i < STORE_TABLE_COUNT; i++)
		code = mdb_dbi_open(txn, store_table_name((enum store_table)i), MDB_CREATE, &store->tables[i]);
	if (code == 0 && new_file) {
		memcpy(identity.magic, identity_magic, sizeof(identity.magic));
		memcpy(identity.store_id, store->store_id, sizeof(identity.store_id));
		code = mdb_dbi_open(txn, IDENTITY_TABLE, MDB_CREATE, &table);
		if (code == 0)
			code = mdb_put(txn, table, &key, &value, 0);
	}
	if (code == 0) {
		code = mdb_txn_commit(txn);
		txn = NULL;
	}
	mdb_txn_abort(txn);
	return code == 0 ? 0 : store_error_set(error, code, "cannot make the tables of \"%s\"", store->directory);
}

int store_identify(struct store *store, struct error *error)
{
	MDB_val key = { .mv_size = 8, .mv_data = "identity" };
	struct store_identity identity;
	MDB_txn *txn = NULL;
	MDB_dbi table;
	MDB_val value;
	int code;

	code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (code == 0)
		code = mdb_dbi_open(txn, IDENTITY_TABLE, 0, &table);
	if (code == 0)
		code = mdb_get(txn, table, &key, &value);
	if (code == 0 && value.mv_size == sizeof(identity))
		memcpy(&identity, value.mv_data, sizeof(identity));
	else if (code == 0)
		code = MDB_NOTFOUND;
	mdb_txn_abort(txn);
	/* Another program's LMDB file lacks the table, or uses its main table in another way. */
	if (code == MDB_NOTFOUND || code == MDB_INCOMPATIBLE || code == MDB_BAD_VALSIZE)
		return foreign(store, error);
	if (code != 0)
		return store_error_set(error, code, "cannot read the store \"%s\"", store->directory);
	if (memcmp(identity.magic, identity_magic, sizeof(identity.magic)) != 0)
		return foreign(store, error);
	if (identity.version[0] != STORE_FORMAT_VERSION || identity.version[1] != 0 || identity.version[2] != 0 ||
	    identity.version[3] != 0) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "the data file of \"%s\" has another format version than %u", store->directory,
			  STORE_FORMAT_VERSION);
		error_hint(error, "start the version of dnvme that wrote it");
		return ERROR_FAILED_PRECONDITION;
	}
	if (memcmp(identity.store_id, store->store_id, sizeof(identity.store_id)) != 0)
		return store_damaged(store, error, "the data file belongs to another store");
	return 0;
}

/* Start empty; `phase` (CREATING or REBUILDING) is what a reader finds if this is interrupted. */
static int open_empty(struct store *store, enum store_phase phase, struct error *error)
{
	uint64_t map_bytes = store->map_step_bytes;
	int code;

	if (map_bytes > store->map_limit_bytes)
		map_bytes = store->map_limit_bytes;
	if (map_bytes < MAP_MIN_BYTES)
		map_bytes = MAP_MIN_BYTES;
	random_bytes(store->store_id, sizeof(store->store_id));
	code = store_phase_write(store, phase, error);
	if (code == 0)
		code = unlink_if_there(store, DATA_NAME, error);
	if (code == 0)
		code = unlink_if_there(store, READERS_NAME, error);
	if (code == 0)
		code = environment_open(store, map_bytes, error);
	if (code == 0)
		code = tables_open(store, true, error);
	if (code == 0)
		code = store_sync(store, error);
	if (code == 0 && fsync(store->directory_fd) != 0)
		code = store_errno_set(error, errno, "cannot sync \"%s\"", store->directory);
	if (code == 0)
		code = store_phase_write(store, STORE_PHASE_IN_USE, error);
	return code;
}

static int open_existing(struct store *store, const struct store_state *state, struct error *error)
{
	uint64_t map_bytes = 0;
	int code;

	memcpy(store->store_id, state->store_id, 16);
	code = store_probe(store, &map_bytes, error);
	if (code == 0)
		code = environment_open(store, map_bytes, error);
	if (code == 0)
		code = store_identify(store, error);
	/* "Clean" must be gone from the medium before the first change can reach it. */
	if (code == 0 && state->phase == STORE_PHASE_CLEAN)
		code = store_phase_write(store, STORE_PHASE_IN_USE, error);
	if (code == 0)
		code = tables_open(store, false, error);
	return code;
}

static int open_any(struct store *store, bool *ret_rebuilt, struct error *error)
{
	struct store_state state = { .phase = STORE_PHASE_CREATING };
	struct stat status;
	bool found = false;
	int code;

	code = store_state_read(store->directory_fd, store->directory, &state, &found, error);
	if (code != 0)
		return code;
	if (!found) {
		/* We write our state before any data. */
		if (fstatat(store->directory_fd, DATA_NAME, &status, 0) == 0)
			return foreign(store, error);
		if (errno != ENOENT)
			return error_set_errno(error, errno, "cannot look at \"%s/" DATA_NAME "\"", store->directory);
		return open_empty(store, STORE_PHASE_CREATING, error);
	}
	switch (state.phase) {
	case STORE_PHASE_CREATING:
		return open_empty(store, STORE_PHASE_CREATING, error);
	case STORE_PHASE_IN_USE:
		if (memcmp(state.boot_id, store->boot_id, 16) == 0)
			return open_existing(store, &state, error);
		break;
	case STORE_PHASE_CLEAN:
		return open_existing(store, &state, error);
	case STORE_PHASE_REBUILDING:
		break;
	}
	code = open_empty(store, STORE_PHASE_REBUILDING, error);
	if (code == 0)
		*ret_rebuilt = true;
	return code;
}

int store_open(const struct store_options *options, struct store **ret_store, bool *ret_rebuilt, struct error *error)
{
	const uint64_t granularity = 65536; /* a multiple of every page size */
	bool rebuilt = false;
	struct store *store;
	int code;

	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return error_set_nomem(error);
	store->lock_fd = store->directory_fd = store->data_fd = -1;
	store->map_step_bytes = options->map_step_bytes != 0 ? options->map_step_bytes : MAP_STEP_BYTES;
	store->map_limit_bytes = options->map_limit_bytes != 0 ? options->map_limit_bytes : MAP_LIMIT_BYTES;
	store->map_step_bytes += granularity - 1;
	store->map_step_bytes -= store->map_step_bytes % granularity;
	store->map_limit_bytes -= store->map_limit_bytes % granularity;
	store->directory = strdup(options->directory);
	if (store->directory == NULL) {
		code = error_set_nomem(error);
		goto cleanup;
	}
	if (options->boot_id != NULL) {
		memcpy(store->boot_id, options->boot_id, 16);
	} else if (boot_id_read(store->boot_id) != 0) {
		code = error_set(error, ERROR_INTERNAL, "cannot read the kernel's boot id");
		goto cleanup;
	}
	code = make_directory(store->directory, error);
	if (code != 0)
		goto cleanup;
	store->directory_fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory_fd < 0) {
		code = error_set_errno(error, errno, "cannot open \"%s\"", store->directory);
		goto cleanup;
	}
	code = store_lock(store, O_RDWR | O_CREAT, LOCK_EX, error);
	if (code == 0)
		code = open_any(store, &rebuilt, error);
	if (code != 0)
		goto cleanup;
	*ret_store = store;
	*ret_rebuilt = rebuilt;
	return 0;

cleanup:
	store_free(store);
	return code;
}
