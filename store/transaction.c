/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* All zeros but the texts of the failure, which are most of it. */
static struct store_txn *txn_make(struct store *store)
{
	struct store_txn *txn = malloc(sizeof(*txn));

	if (txn == NULL)
		return NULL;
	memset(txn, 0, offsetof(struct store_txn, failure));
	error_clear(&txn->failure);
	txn->store = store;
	return txn;
}

int store_txn_begin(struct store *store, bool write, struct store_txn **ret_txn, struct error *error)
{
	struct store_txn *txn;
	int code;

	/* LMDB's writer lock is not recursive: a second writer on this thread would wait for ever. */
	STORE_CONTRACT(!write || store->writer == NULL);
	if (store->unmapped)
		return error_set(error, ERROR_INTERNAL, "the store \"%s\" lost its map", store->directory);
	txn = txn_make(store);
	if (txn == NULL)
		return error_set_nomem(error);
	code = mdb_txn_begin(store->env, NULL, write ? 0 : MDB_RDONLY, &txn->mdb);
	if (code != 0) {
		free(txn);
		return store_error_set(error, code, "cannot begin a transaction");
	}
	txn->root = txn;
	txn->write = write;
	if (write)
		store->writer = txn;
	store->open_transactions++;
	*ret_txn = txn;
	return 0;
}

int store_txn_begin_nested(struct store_txn *parent, struct store_txn **ret_txn, struct error *error)
{
	struct store_txn *txn;

	STORE_CONTRACT(parent->write && parent->child == NULL);
	txn = txn_make(parent->store);
	if (txn == NULL)
		return error_set_nomem(error);
	txn->parent = parent;
	txn->root = parent->root;
	txn->mdb = parent->mdb;
	txn->write = true;
	parent->child = txn;
	*ret_txn = txn;
	return 0;
}

/* What every call within a transaction checks first. */
static int txn_check(struct store_txn *txn, struct error *error)
{
	STORE_CONTRACT(txn->child == NULL);
	if (txn->root->failure.code == ERROR_NONE)
		return 0;
	if (error != NULL)
		*error = txn->root->failure;
	return (int)txn->root->failure.code;
}

/* LMDB refuses everything but an abort after most failures of a change: remember why. */
static int change_failed(struct store_txn *txn, int mdb_code, const char *verb, enum store_table table,
			 struct error *error)
{
	int code = store_error_set(&txn->root->failure, mdb_code, "cannot %s in table \"%s\"", verb,
				   store_table_name(table));

	if (error != NULL)
		*error = txn->root->failure;
	return code;
}

static void undo_free(struct store_undo *undo)
{
	struct store_undo *next;

	for (; undo != NULL; undo = next) {
		next = undo->next;
		free(undo);
	}
}

/* Room for a change of `key`, and for a value there of so many bytes. */
static struct store_undo *undo_make(struct store_undo *undo, enum store_table table, struct bytes key,
				    size_t value_size, struct error *error)
{
	size_t size;

	if (__builtin_add_overflow(sizeof(*undo) + key.size, value_size, &size)) {
		error_set_nomem(error);
		return NULL;
	}
	undo = realloc(undo, size);
	if (undo == NULL) {
		error_set_nomem(error);
		return NULL;
	}
	*undo = (struct store_undo){ .table = table, .key_size = key.size };
	memcpy(undo->bytes, key.data, key.size);
	return undo;
}

/* What is there before it is changed. */
static void undo_keep(struct store_undo *undo, const MDB_val *old)
{
	undo->existed = true;
	undo->value_size = old->mv_size;
	if (old->mv_size > 0)
		memcpy(undo->bytes + undo->key_size, old->mv_data, old->mv_size);
}

static void undo_push(struct store_txn *txn, struct store_undo *undo)
{
	undo->next = txn->undo;
	txn->undo = undo;
}

/* Before a nested transaction deletes `key`: keep what is there. Sets *ret_existed. */
static int undo_record(struct store_txn *txn, enum store_table table, struct bytes key, bool *ret_existed,
		       struct error *error)
{
	MDB_val mdb_key = store_value(key), old = { 0 };
	struct store_undo *undo;
	int code;

	code = mdb_get(txn->mdb, txn->store->tables[table], &mdb_key, &old);
	if (code != 0 && code != MDB_NOTFOUND)
		return change_failed(txn, code, "read", table, error);
	*ret_existed = code == 0;
	undo = undo_make(NULL, table, key, code == 0 ? old.mv_size : 0, error);
	if (undo == NULL)
		return ERROR_INTERNAL;
	if (code == 0)
		undo_keep(undo, &old);
	undo_push(txn, undo);
	return 0;
}

/* Within a nested transaction. Most keys are new: then LMDB looks for their place once. */
static int put_undoably(struct store_txn *txn, enum store_table table, struct bytes key, struct bytes value,
			struct error *error)
{
	MDB_val mdb_key = store_value(key), mdb_value = store_value(value);
	struct store_undo *undo = undo_make(NULL, table, key, value.size, error), *larger;
	int code;

	if (undo == NULL)
		return ERROR_INTERNAL;
	code = mdb_put(txn->mdb, txn->store->tables[table], &mdb_key, &mdb_value, MDB_NOOVERWRITE);
	if (code == MDB_KEYEXIST) {
		if (mdb_value.mv_size > value.size) {
			larger = undo_make(undo, table, key, mdb_value.mv_size, error);
			if (larger == NULL) {
				free(undo);
				return ERROR_INTERNAL;
			}
			undo = larger;
		}
		undo_keep(undo, &mdb_value);
		mdb_value = store_value(value);
		code = mdb_put(txn->mdb, txn->store->tables[table], &mdb_key, &mdb_value, 0);
	}
	if (code != 0) {
		free(undo);
		return change_failed(txn, code, "write", table, error);
	}
	undo_push(txn, undo);
	return 0;
}

static void undo_forget_last(struct store_txn *txn)
{
	struct store_undo *undo = txn->undo;

	txn->undo = undo->next;
	free(undo);
}

/* Take everything back, the newest change first. */
static void undo_replay(struct store_txn *txn)
{
	const struct store_undo *undo;
	MDB_val key, value;
	int code = 0;

	if (txn->root->failure.code != ERROR_NONE)
		return; /* the outermost transaction can only be aborted */
	for (undo = txn->undo; undo != NULL && code == 0; undo = undo->next) {
		key = (MDB_val){ .mv_size = undo->key_size, .mv_data = (void *)undo->bytes };
		value = (MDB_val){ .mv_size = undo->value_size, .mv_data = (void *)(undo->bytes + undo->key_size) };
		if (undo->existed)
			code = mdb_put(txn->mdb, txn->store->tables[undo->table], &key, &value, 0);
		else
			code = mdb_del(txn->mdb, txn->store->tables[undo->table], &key, NULL);
		if (code != 0)
			change_failed(txn, code, "undo a change", undo->table, NULL);
	}
	txn->root->changes++;
}

static void txn_end(struct store_txn *txn)
{
	if (txn->parent != NULL) {
		txn->parent->child = NULL;
	} else {
		if (txn->write)
			txn->store->writer = NULL;
		txn->store->open_transactions--;
	}
	undo_free(txn->undo);
	free(txn);
}

int store_txn_commit(struct store_txn *txn, struct error *error)
{
	struct store_undo **last;
	int code;

	code = txn_check(txn, error);
	if (code != 0) {
		store_txn_abort(txn);
		return code;
	}
	if (txn->parent != NULL) {
		/* Its changes are now the parent's, which may be nested itself. */
		if (txn->parent->parent != NULL) {
			last = &txn->undo;
			while (*last != NULL)
				last = &(*last)->next;
			*last = txn->parent->undo;
			txn->parent->undo = txn->undo;
			txn->undo = NULL;
		}
		txn_end(txn);
		return 0;
	}
	code = mdb_txn_commit(txn->mdb);
	txn_end(txn);
	return code == 0 ? 0 : store_error_set(error, code, "cannot commit");
}

void store_txn_abort(struct store_txn *txn)
{
	if (txn == NULL)
		return;
	STORE_CONTRACT(txn->child == NULL);
	if (txn->parent != NULL)
		undo_replay(txn);
	else
		mdb_txn_abort(txn->mdb);
	txn_end(txn);
}

static int key_check(struct bytes key, enum store_table table, struct error *error)
{
	STORE_CONTRACT((unsigned)table < STORE_TABLE_COUNT);
	if (key.size > 0 && key.size <= STORE_KEY_MAX)
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT, "a key of table \"%s\" has %zu bytes; 1 to %u are possible",
			 store_table_name(table), key.size, STORE_KEY_MAX);
}

int store_get(struct store_txn *txn, enum store_table table, struct bytes key, struct bytes *ret_value,
	      struct error *error)
{
	MDB_val mdb_key = store_value(key), value;
	int code;

	code = txn_check(txn, error);
	if (code == 0)
		code = key_check(key, table, error);
	if (code != 0)
		return code;
	code = mdb_get(txn->mdb, txn->store->tables[table], &mdb_key, &value);
	if (code == MDB_NOTFOUND && error == NULL)
		return ERROR_NOT_FOUND;
	if (code != 0)
		return store_error_set(error, code, "cannot read from table \"%s\"", store_table_name(table));
	*ret_value = store_bytes(&value);
	return 0;
}

int store_put(struct store_txn *txn, enum store_table table, struct bytes key, struct bytes value, struct error *error)
{
	MDB_val mdb_key = store_value(key), mdb_value = store_value(value);
	int code;

	STORE_CONTRACT(txn->write);
	code = txn_check(txn, error);
	if (code == 0)
		code = key_check(key, table, error);
	if (code == 0 && value.size > UINT32_MAX / 2)
		code = error_set(error, ERROR_TOO_LARGE, "a value of table \"%s\" has %zu bytes",
				 store_table_name(table), value.size);
	if (code != 0)
		return code;
	if (txn->parent != NULL) {
		code = put_undoably(txn, table, key, value, error);
	} else {
		code = mdb_put(txn->mdb, txn->store->tables[table], &mdb_key, &mdb_value, 0);
		if (code != 0)
			code = change_failed(txn, code, "write", table, error);
	}
	txn->root->changes += code == 0;
	return code;
}

void store_change_last(const struct store_txn *txn, struct bytes *ret_key, struct bytes *ret_before)
{
	const struct store_undo *undo = txn->undo;

	STORE_CONTRACT(undo != NULL);
	*ret_key = (struct bytes){ undo->bytes, undo->key_size };
	*ret_before = undo->existed ? (struct bytes){ undo->bytes + undo->key_size, undo->value_size }
				    : (struct bytes){ NULL, 0 };
}

int store_delete(struct store_txn *txn, enum store_table table, struct bytes key, struct error *error)
{
	MDB_val mdb_key = store_value(key);
	bool existed = true;
	int code;

	STORE_CONTRACT(txn->write);
	code = txn_check(txn, error);
	if (code == 0)
		code = key_check(key, table, error);
	if (code == 0 && txn->parent != NULL)
		code = undo_record(txn, table, key, &existed, error);
	if (code != 0)
		return code;
	if (!existed) {
		undo_forget_last(txn);
		code = MDB_NOTFOUND;
	} else {
		code = mdb_del(txn->mdb, txn->store->tables[table], &mdb_key, NULL);
	}
	if (code == MDB_NOTFOUND)
		return store_error_set(error, code, "cannot delete from table \"%s\"", store_table_name(table));
	if (code != 0)
		return change_failed(txn, code, "delete", table, error);
	txn->root->changes++;
	return 0;
}

int store_count(struct store_txn *txn, enum store_table table, uint64_t *ret_count, struct error *error)
{
	MDB_stat stat;
	int code;

	STORE_CONTRACT((unsigned)table < STORE_TABLE_COUNT);
	code = txn_check(txn, error);
	if (code != 0)
		return code;
	code = mdb_stat(txn->mdb, txn->store->tables[table], &stat);
	if (code != 0)
		return store_error_set(error, code, "cannot count table \"%s\"", store_table_name(table));
	*ret_count = stat.ms_entries;
	return 0;
}
