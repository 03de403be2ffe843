/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold always, and what must come to hold in peace. */
#ifndef DNVME_TESTS_SIM_CHECK_H
#define DNVME_TESTS_SIM_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Looks at kernels and media; ends the run when something is wrong. */
void check_always(void);
/* No extent of the node is two LDs'. */
struct storage;
void check_extents(const struct storage *node);
/* A write stays in the volatile cache of a disk: the state must know that it may. */
void check_cached_write(const struct storage *node, uint64_t minor);

/* Whether everything has come right; if not, `ret_why` says the first thing that has not. */
bool check_converged(char *ret_why, size_t size);
/* After every volume was deleted: nothing is left anywhere. */
bool check_empty(char *ret_why, size_t size);

#endif
