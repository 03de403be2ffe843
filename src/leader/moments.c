/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/moments.h"

#include <stdlib.h>
#include <string.h>

uint64_t moments_slot_since(const struct moments *moments, const struct slot *slot, size_t index, uint64_t now_ms)
{
	const struct moment_slot *seen = &moments->slots[index];

	return seen->epoch == slot->epoch && seen->phase == slot->phase ? seen->since_ms : now_ms;
}

uint64_t moments_ld_since(const struct moments *moments, const struct ld *ld, uint64_t now_ms)
{
	for (size_t i = 0; i < moments->ld_count; i++) {
		if (moments->lds[i].ld == ld->id)
			return moments->lds[i].state == ld->state ? moments->lds[i].since_ms : now_ms;
	}
	return now_ms;
}

static bool is_counted(const struct ld *ld)
{
	return ld->state == LD_STATE_STALE || ld->state == LD_STATE_REBUILDING;
}

/* Fill in `lds` unless it is NULL; returns how many there are. */
static size_t lds_collect(const struct moments *moments, const struct volume *volume, uint64_t now_ms,
			  struct moment_ld *lds)
{
	size_t count = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				const struct ld *ld = &members->items[m];

				if (!is_counted(ld))
					continue;
				if (lds != NULL)
					lds[count] =
						(struct moment_ld){ .ld = ld->id,
								    .state = ld->state,
								    .since_ms = moments_ld_since(moments, ld, now_ms) };
				count++;
			}
		}
	}
	return count;
}

int moments_update(struct moments *moments, const struct volume *volume, uint64_t now_ms)
{
	size_t count = lds_collect(moments, volume, now_ms, NULL);
	struct moment_ld *lds = NULL;
	int rv = 0;

	for (size_t i = 0; i < LIMIT_CONTROLLERS; i++) {
		const struct slot *slot = &volume->slots.items[i];

		if (i >= volume->slots.count)
			moments->slots[i] = (struct moment_slot){ 0 };
		else
			moments->slots[i] = (struct moment_slot){ slot->epoch, slot->phase,
								  moments_slot_since(moments, slot, i, now_ms) };
	}
	if (count > 0) {
		lds = calloc(count, sizeof(*lds));
		if (lds != NULL)
			lds_collect(moments, volume, now_ms, lds);
		else
			rv = -1;
	}
	free(moments->lds);
	moments->lds = lds;
	moments->ld_count = lds != NULL ? count : 0;
	return rv;
}

bool moments_are_quiet(const struct moments *moments)
{
	for (size_t i = 0; i < LIMIT_CONTROLLERS; i++) {
		if (moments->slots[i].epoch > 0 && moments->slots[i].phase != SLOT_PHASE_SERVING)
			return false;
	}
	return moments->ld_count == 0;
}

void moments_clear(struct moments *moments)
{
	free(moments->lds);
	memset(moments, 0, sizeof(*moments));
}
