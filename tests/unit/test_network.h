/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A /24 of loopback addresses for one test. A port that was free a moment ago need not be so any more: the kernel gives
 * it to the next connection of anybody on 127.0.0.1. */
#ifndef DNVME_TESTS_UNIT_TEST_NETWORK_H
#define DNVME_TESTS_UNIT_TEST_NETWORK_H

#include <stdint.h>
#include <stdio.h>

#include "lib/base/clock.h"

/* "127.x.y" */
static inline void test_network(char network[16])
{
	uint8_t random[2];

	random_bytes(random, sizeof(random));
	snprintf(network, 16, "127.%u.%u", 1 + random[0] % 254, random[1]);
}

#endif
