/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the protocols that speak to dnvmed have in common. */
#ifndef DNVME_TESTS_BENCH_LOAD_FRAMES_H
#define DNVME_TESTS_BENCH_LOAD_FRAMES_H

#include "tests/bench/load.h"

/* Hand each complete frame to `take`. Returns how much was taken; what is left is looked at anew with what follows. */
size_t load_frames_take(struct load_connection *connection, const uint8_t *data, size_t size,
			void (*take)(struct load_connection *connection, struct bytes frame));

#endif
