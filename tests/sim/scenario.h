/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run: a cluster and volumes as a seed chooses them, faults, then peace, in which all must come right. */
#ifndef DNVME_TESTS_SIM_SCENARIO_H
#define DNVME_TESTS_SIM_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

struct scenario_options {
	uint64_t seed;
	uint64_t fault_seconds; /* virtual */
	bool verbose;
	const char *directory; /* for the servers' stores */
};

/* Ends the program when something is wrong. */
void scenario_run(const struct scenario_options *options);

#endif
