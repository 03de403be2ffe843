/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest set of faults with which a seed fails as it does with all of them. */
#ifndef DNVME_TESTS_SIM_SHORTEN_H
#define DNVME_TESTS_SIM_SHORTEN_H

#include "tests/sim/scenario.h"

/* Prints it, and how to run it. Returns an exit status: 0 when it is found, 1 when the seed does not fail. */
int shorten(const struct scenario_options *options, uint64_t seed);

#endif
