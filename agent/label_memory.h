/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels that were read. They are part of what is observed, but read once and not in every pass. */
#ifndef DNVME_AGENT_LABEL_MEMORY_H
#define DNVME_AGENT_LABEL_MEMORY_H

#include "agent/plan.h"

struct label_memory {
	struct known_label *labels;
	uint64_t looks; /* that have begun */
};

/* An observation begins. Returns its number. */
uint64_t label_memory_look(struct label_memory *memory);

/* Copied; it replaces what was known of the device. Without memory nothing is known of it, and it is read again. */
void label_memory_keep(struct label_memory *memory, const struct observed_label *label);

/* It is written, cleared, or made again. */
void label_memory_forget(struct label_memory *memory, const char *device);

/* Add what is known to what the look of this number observed, and forget the labels of devices that are gone or were
 * made again; a label that was read since that look began may be of a device that it did not see yet. The copies
 * live in `arena`: a label may be forgotten while somebody looks at the observation. INTERNAL when memory is
 * exhausted. */
int label_memory_add(struct label_memory *memory, uint64_t look, struct observed *observed, struct arena *arena,
		     struct error *error);

void label_memory_free(struct label_memory *memory);

#endif
