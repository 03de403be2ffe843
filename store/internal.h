/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the store share. */
#ifndef DNVME_STORE_INTERNAL_H
#define DNVME_STORE_INTERNAL_H

#include <lmdb.h>

#include "store/state_file.h"
#include "store/store.h"

#define STORE_FORMAT_VERSION 1u
#define STORE_KEY_MAX 511u /* LMDB's own bound */

/* Files of a store, beside those of state_file.h. */
#define DATA_NAME "data.mdb"
#define READERS_NAME DATA_NAME "-lock" /* LMDB chooses the name */
#define LOCK_NAME "lock"

struct store {
	MDB_env *env;
	MDB_dbi tables[STORE_TABLE_COUNT];
	char *directory;
	int directory_fd;
	int lock_fd; /* flock()ed: one process at a time */
	int data_fd; /* LMDB's, borrowed */
	uint8_t boot_id[16];
	uint8_t store_id[16];
	uint64_t map_bytes;
	uint64_t map_step_bytes;
	uint64_t map_limit_bytes;
	size_t page_bytes;
	unsigned open_transactions;
	struct store_txn *writer; /* the outermost write transaction */
	bool read_only;		  /* open_read.c: nothing is ever written */
	bool unmapped;		  /* growing the map failed half-way: nothing works any more */
};

/* How to take back one change of a nested transaction. */
struct store_undo {
	struct store_undo *next; /* the change before */
	enum store_table table;
	bool existed;
	size_t key_size;
	size_t value_size;
	uint8_t bytes[]; /* key, old value */
};

/*
 * LMDB cannot nest transactions on a writable map, so a nested transaction writes into the outermost one and keeps
 * what it overwrote.
 */
struct store_txn {
	struct store *store;
	struct store_txn *parent; /* NULL for the outermost one */
	struct store_txn *root;
	struct store_txn *child; /* the open nested transaction */
	struct store_undo *undo;
	MDB_txn *mdb;
	bool write;
	/* Of the outermost one only: */
	uint64_t changes;     /* so that cursors notice that they must look again */
	struct error failure; /* set when the transaction can only be aborted */
};

/* A broken contract ends the program, in release builds too. */
#define STORE_CONTRACT(condition)                                                                                      \
	((condition) ? (void)0 : store_contract_broken(#condition, __FILE__, __LINE__, __func__))
void store_contract_broken(const char *condition, const char *file, int line, const char *function)
	__attribute__((noreturn));

/* Fill `error` from an LMDB or errno code: "<text>: <reason>". */
int store_error_set(struct error *error, int mdb_code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for errno values; "disk full" is told apart from other failures. */
int store_errno_set(struct error *error, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Durable when it returns 0: how far the data file may be trusted from now on. */
int store_phase_write(struct store *store, enum store_phase phase, struct error *error);

/* One that may be half opened. */
void store_free(struct store *store);

/* For opening. The lock goes with the process: `flags` of open(), `operation` of flock(). */
int store_lock(struct store *store, int flags, int operation, struct error *error);
int store_data_path(struct store *store, char **ret_path, struct error *error);
/* Look at an existing data file without changing it; *ret_map_bytes is the map that it needs. */
int store_probe(struct store *store, uint64_t *ret_map_bytes, struct error *error);
/* Whose file is it? */
int store_identify(struct store *store, struct error *error);
int store_damaged(struct store *store, struct error *error, const char *why);

/* Bytes of pages that LMDB has freed and may use again. */
int store_free_list_bytes(struct store *store, uint64_t *ret_bytes, struct error *error);

static inline MDB_val store_value(struct bytes bytes)
{
	return (MDB_val){ .mv_size = bytes.size, .mv_data = (void *)bytes.data };
}

static inline struct bytes store_bytes(const MDB_val *value)
{
	return (struct bytes){ .data = value->mv_data, .size = value->mv_size };
}

#endif
