/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/label_look.h"

#include <string.h>

#include "agent/label.h"

#define KEPT 64

static struct kept {
	uint8_t block[LABEL_BLOCK_BYTES];
	bool is_known;
	struct label_said said;
} kept[KEPT];

struct label_said label_look(const struct bytes *block)
{
	struct kept *known = &kept[(uintptr_t)block->data / LABEL_BLOCK_BYTES % KEPT];
	struct arena arena = ARENA_INIT;
	struct ld_label label;

	if (known->is_known && memcmp(known->block, block->data, LABEL_BLOCK_BYTES) == 0)
		return known->said;
	known->said = (struct label_said){ 0 };
	if (label_decode(block->data, &arena, &label, NULL) == 0)
		known->said = (struct label_said){ true, label.ld, label.epoch };
	memcpy(known->block, block->data, LABEL_BLOCK_BYTES);
	known->is_known = true;
	arena_free(&arena);
	return known->said;
}
