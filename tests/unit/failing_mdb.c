/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/failing_mdb.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const char *wanted;
static unsigned long countdown;
static int code_wanted;
static const char *failed;

void failing_mdb_arm(const char *name, unsigned long n, int mdb_code)
{
	wanted = name;
	countdown = n;
	code_wanted = mdb_code;
	failed = NULL;
}

const char *failing_mdb_disarm(void)
{
	countdown = 0;
	return failed;
}

static bool fails_now(const char *name)
{
	if (countdown == 0 || (wanted != NULL && strcmp(name, wanted) != 0) || --countdown > 0)
		return false;
	failed = name;
	return true;
}

#define CALL(name, parameters, arguments)                                                                              \
	int __real_##name parameters;                                                                                  \
	int __wrap_##name parameters;                                                                                  \
	int __wrap_##name parameters                                                                                   \
	{                                                                                                              \
		return fails_now(#name) ? code_wanted : __real_##name arguments;                                       \
	}

CALL(mdb_env_create, (MDB_env * *ret_env), (ret_env))
CALL(mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode), (env, path, flags, mode))
CALL(mdb_env_set_mapsize, (MDB_env * env, size_t size), (env, size))
CALL(mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **ret_txn), (env, parent, flags, ret_txn))
CALL(mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *ret_dbi), (txn, name, flags, ret_dbi))
CALL(mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value), (txn, dbi, key, value))
CALL(mdb_put, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags), (txn, dbi, key, value, flags))
CALL(mdb_del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value), (txn, dbi, key, value))
CALL(mdb_drop, (MDB_txn * txn, MDB_dbi dbi, int remove), (txn, dbi, remove))
CALL(mdb_stat, (MDB_txn * txn, MDB_dbi dbi, MDB_stat *stat), (txn, dbi, stat))
CALL(mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **ret_cursor), (txn, dbi, ret_cursor))
CALL(mdb_cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op operation),
     (cursor, key, value, operation))

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn)
{
	if (!fails_now("mdb_txn_commit"))
		return __real_mdb_txn_commit(txn);
	mdb_txn_abort(txn); /* a commit ends the transaction, whatever comes of it */
	return code_wanted;
}
