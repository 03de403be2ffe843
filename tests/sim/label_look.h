/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a block of a medium says as a label. The same blocks are looked at again and again: what one said is remembered
 * with its bytes. */
#ifndef DNVME_TESTS_SIM_LABEL_LOOK_H
#define DNVME_TESTS_SIM_LABEL_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"

struct label_said {
	bool is_label;
	uint64_t ld, epoch; /* 0 when it is none */
};

struct label_said label_look(const struct bytes *block);

#endif
