/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of LMDB that fail on demand, as the ones of failing_call.h do. */
#ifndef DNVME_TESTS_UNIT_FAILING_MDB_H
#define DNVME_TESTS_UNIT_FAILING_MDB_H

#include <lmdb.h>

/* Let the `n`-th call of the function `name` answer `mdb_code`, once; of any function for NULL. */
void failing_mdb_arm(const char *name, unsigned long n, int mdb_code);

/* The name of the function that failed, NULL when none did. Switches off. */
const char *failing_mdb_disarm(void);

#endif
