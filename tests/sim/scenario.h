/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run: a cluster and volumes as a seed chooses them, faults, then peace, in which all must come right.
 *
 * Seeds come in families: all of one begin with the same cluster, which is set up once; memory.c puts it back behind
 * each.
 */
#ifndef DNVME_TESTS_SIM_SCENARIO_H
#define DNVME_TESTS_SIM_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/fault.h"

#define SCENARIO_FAMILY 16 /* seeds 16 n … 16 n + 15 */

enum scenario_size { SCENARIO_TINY, SCENARIO_SMALL, SCENARIO_NORMAL };

const char *scenario_size_name(enum scenario_size size);
/* false: there is no such size. */
bool scenario_size_parse(const char *name, enum scenario_size *ret_size);

struct scenario_options {
	enum scenario_size size;
	uint64_t fault_seconds; /* virtual; 0: as usual for the size */
	bool verbose, tell;	/* tell: print faults */
	bool quiet;		/* the client makes and deletes nothing while there are faults */
	uint64_t chance;	/* another than 0: the same faults and calls, other delays */
};

/* Both end the program when something is wrong. */
void scenario_set_up(const struct scenario_options *options, uint64_t family);
/* `only`, `turns`: as in struct fault_options. */
void scenario_run(const struct scenario_options *options, uint64_t seed, const bool *only, uint64_t *turns);

#endif
