/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NVMe over Fabrics between simulated kernels. */
#ifndef DNVME_TESTS_SIM_FABRIC_H
#define DNVME_TESTS_SIM_FABRIC_H

#include "tests/sim/node.h"

void fabric_attach(struct storage *node);

#endif
