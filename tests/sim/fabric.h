/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NVMe over Fabrics between simulated kernels. */
#ifndef DNVME_TESTS_SIM_FABRIC_H
#define DNVME_TESTS_SIM_FABRIC_H

#include "tests/sim/node.h"

void fabric_attach(struct storage *node);

/* The thin devices that pools have: those of snapshots end in '#' and their number. NULL behind the last. */
const char *fabric_thin(size_t index);

/* Whether the import has a connection that stands, as its kernel sees it, and which one: the number changes each time.
 */
bool fabric_path_generation(const struct storage *node, uint64_t instance, uint64_t *ret_generation);

#endif
