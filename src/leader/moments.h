/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Since when this leader has seen the slots and LDs of a volume as they are. What a rule waits for counts from here,
 * on the leader's boot clock, and not from the wall clock of the record: so a new leader waits the whole time again.
 */
#ifndef DNVME_SRC_LEADER_MOMENTS_H
#define DNVME_SRC_LEADER_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/limits.h"
#include "lib/model/records.h"

struct moment_slot {
	uint64_t epoch; /* 0: not seen yet */
	enum slot_phase phase;
	uint64_t since_ms;
};

struct moment_ld {
	uint64_t ld;
	enum ld_state state;
	uint64_t since_ms;
};

struct moments {
	struct moment_slot slots[LIMIT_CONTROLLERS];
	struct moment_ld *lds; /* those that are not in sync; owned */
	size_t ld_count;
};

/* Take the volume in as it is now. Returns 0, or -1 when memory is exhausted: LDs then count as seen just now. */
int moments_update(struct moments *moments, const struct volume *volume, uint64_t now_ms);

/* `now_ms` for what was not seen yet. */
uint64_t moments_slot_since(const struct moments *moments, const struct slot *slot, size_t index, uint64_t now_ms);
uint64_t moments_ld_since(const struct moments *moments, const struct ld *ld, uint64_t now_ms);

/* Whether there is anything that time may be counted for. */
bool moments_are_quiet(const struct moments *moments);

void moments_clear(struct moments *moments);

#endif
