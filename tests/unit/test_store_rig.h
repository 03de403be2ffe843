/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory for each test of the store, and short words for what the tests do all the time. */
#ifndef DNVME_TESTS_UNIT_TEST_STORE_RIG_H
#define DNVME_TESTS_UNIT_TEST_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store.h"

struct store_rig {
	char directory[64];
	uint8_t boot_id[16];
	uint64_t step_bytes;
	uint64_t limit_bytes;
	bool rebuilt; /* by the last open */
};

/* cmocka's setup and teardown; *state is a struct store_rig. */
int store_rig_setup(void **state);
int store_rig_teardown(void **state);

int store_rig_open(struct store_rig *rig, struct store **ret_store, struct error *error);

/* Open, and fail the test if that fails. */
struct store *store_rig_must_open(struct store_rig *rig);

/* The path of a file of the store; static memory. */
const char *store_rig_path(const struct store_rig *rig, const char *name);

struct bytes text(const char *string);

void must_put(struct store_txn *txn, enum store_table table, const char *key, const char *value);
void must_delete(struct store_txn *txn, enum store_table table, const char *key);

/* Fail the test unless `key` holds `value`; NULL: unless there is no such key. */
void must_hold(struct store_txn *txn, enum store_table table, const char *key, const char *value);

/* One transaction of its own each. */
void must_put_committed(struct store *store, enum store_table table, const char *key, const char *value);
void must_hold_committed(struct store *store, enum store_table table, const char *key, const char *value);

void must_digest(struct store *store, uint8_t ret_digest[16]);

#endif
