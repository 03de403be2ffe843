/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Allocation failures on demand: the n-th allocation from now on fails.
 * A test runs an operation with n = 1, 2, 3 … until it succeeds, and checks each failure.
 */
#ifndef DNVME_TESTS_UNIT_FAILING_ALLOC_H
#define DNVME_TESTS_UNIT_FAILING_ALLOC_H

#include <stdbool.h>

/* Let the `n`-th allocation fail (1 is the next one), once; 0 switches off. */
void failing_alloc_arm(unsigned long n);

/* Whether the armed failure has happened. Switches off. */
bool failing_alloc_disarm(void);

#endif
