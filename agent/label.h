/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The label of an LD: one block of 4096 bytes at its start, little-endian, with a checksum.
 * It is written last, when a leg was formatted, and tells from then on that there is something of value.
 * While a member is rebuilt, its label says which rebuild it is and not "formatted": no holder takes it for in sync.
 */
#ifndef DNVME_AGENT_LABEL_H
#define DNVME_AGENT_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

#define LABEL_BLOCK_BYTES 4096

/* Fill a whole block. The label must satisfy its schema. */
void label_encode(const struct ld_label *label, uint8_t ret_block[LABEL_BLOCK_BYTES]);

/* NOT_FOUND when the block holds no label of ours, UNSUPPORTED for a version that this agent does not know,
 * INVALID_ARGUMENT when it is damaged. Strings live in `arena`. */
int label_decode(const uint8_t block[LABEL_BLOCK_BYTES], struct arena *arena, struct ld_label *ret_label,
		 struct error *error);

/* Whether both name the same LD at the same place. Epoch, `formatted` and `rebuild_ms` are not compared. */
bool label_is_same(const struct ld_label *a, const struct ld_label *b);

/* Whether an LD may be exported whose label was found so: 0, or CONFLICT. `wanted` has the cluster, the LD, its volume,
 * the epoch of the export, and `formatted`: there must be a label. */
int label_judge(const struct observed_label *found, const struct ld_label *wanted, struct error *error);

/* Why a member with that label is not one that has everything of its group, in that epoch; NULL: it is. */
const char *label_complaint(const struct observed_label *found, const struct ld_label *wanted);

#endif
