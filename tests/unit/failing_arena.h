/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that ends at any place. Arenas and buffers take it in blocks, so that of a hundred calls one allocates, and an
 * allocation that fails finds few of them; here the call itself fails.
 */
#ifndef DNVME_TESTS_UNIT_FAILING_ARENA_H
#define DNVME_TESTS_UNIT_FAILING_ARENA_H

#include <stdbool.h>

/* Let the `n`-th call (1 is the next one) on an arena, a buffer or a list of one fail, and all that follow it: memory
 * that is exhausted stays so. */
void failing_arena_arm(unsigned long n);

/* How many calls there were since then. Switches off. */
unsigned long failing_arena_disarm(void);

#endif
