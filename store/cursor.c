/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A cursor keeps the key where it stands, so that the table may change under it, also at that key. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

struct store_cursor {
	struct store_txn *txn;
	enum store_table table;
	MDB_cursor *mdb;
	uint64_t changes; /* of the transaction when the cursor was placed */
	bool started;	  /* `key` was given out already */
	bool ended;
	size_t key_size; /* 0: before the first key */
	uint8_t key[STORE_KEY_MAX];
};

int store_cursor_open(struct store_txn *txn, enum store_table table, struct bytes from,
		      struct store_cursor **ret_cursor, struct error *error)
{
	struct store_cursor *cursor;
	int code;

	STORE_CONTRACT((unsigned)table < STORE_TABLE_COUNT && txn->child == NULL);
	if (txn->root->failure.code != ERROR_NONE) {
		if (error != NULL)
			*error = txn->root->failure;
		return (int)txn->root->failure.code;
	}
	if (from.size > STORE_KEY_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "a key of table \"%s\" has %zu bytes; at most %u are possible",
				 store_table_name(table), from.size, STORE_KEY_MAX);
	cursor = malloc(sizeof(*cursor));
	if (cursor == NULL)
		return error_set_nomem(error);
	memset(cursor, 0, offsetof(struct store_cursor, key));
	code = mdb_cursor_open(txn->mdb, txn->store->tables[table], &cursor->mdb);
	if (code != 0) {
		free(cursor);
		return store_error_set(error, code, "cannot walk table \"%s\"", store_table_name(table));
	}
	cursor->txn = txn;
	cursor->table = table;
	cursor->key_size = from.size;
	if (from.size > 0)
		memcpy(cursor->key, from.data, from.size);
	*ret_cursor = cursor;
	return 0;
}

/* Place the cursor at the first pair behind what was given out. */
static int cursor_move(struct store_cursor *cursor, MDB_val *key, MDB_val *value)
{
	int code;

	if (cursor->started && cursor->changes == cursor->txn->root->changes)
		return mdb_cursor_get(cursor->mdb, key, value, MDB_NEXT);
	if (cursor->key_size == 0)
		return mdb_cursor_get(cursor->mdb, key, value, MDB_FIRST);
	*key = (MDB_val){ .mv_size = cursor->key_size, .mv_data = cursor->key };
	code = mdb_cursor_get(cursor->mdb, key, value, MDB_SET_RANGE);
	if (code == 0 && cursor->started && key->mv_size == cursor->key_size &&
	    memcmp(key->mv_data, cursor->key, cursor->key_size) == 0)
		code = mdb_cursor_get(cursor->mdb, key, value, MDB_NEXT);
	return code;
}

int store_cursor_next(struct store_cursor *cursor, struct bytes *ret_key, struct bytes *ret_value, struct error *error)
{
	struct store_txn *root = cursor->txn->root;
	MDB_val key, value;
	int code;

	if (root->failure.code != ERROR_NONE) {
		if (error != NULL)
			*error = root->failure;
		return (int)root->failure.code;
	}
	code = cursor->ended ? MDB_NOTFOUND : cursor_move(cursor, &key, &value);
	if (code == MDB_NOTFOUND) {
		cursor->ended = true;
		return error_set_text(error, ERROR_NOT_FOUND, "the table has no further key");
	}
	if (code != 0)
		return store_error_set(error, code, "cannot walk table \"%s\"", store_table_name(cursor->table));
	STORE_CONTRACT(key.mv_size > 0 && key.mv_size <= STORE_KEY_MAX);
	cursor->started = true;
	cursor->changes = root->changes;
	cursor->key_size = key.mv_size;
	memcpy(cursor->key, key.mv_data, key.mv_size);
	*ret_key = store_bytes(&key);
	*ret_value = store_bytes(&value);
	return 0;
}

void store_cursor_close(struct store_cursor *cursor)
{
	if (cursor == NULL)
		return;
	mdb_cursor_close(cursor->mdb);
	free(cursor);
}
