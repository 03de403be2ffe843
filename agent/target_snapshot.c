/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a controller does for the snapshots of its volume: it holds up its hosts, and makes and deletes thin devices. */
#include "agent/target.h"

#include <inttypes.h>
#include <stdio.h>

#include "agent/list.h"
#include "lib/model/names.h"

static const char *device_name(struct target_builder *builder, const char *kind, uint64_t volume, uint64_t leg)
{
	return arena_printf(builder->arena, NAMES_DM_PREFIX "%s-v%" PRIu64 ".l%" PRIu64, kind, volume, leg);
}

static int pause_add(struct target_builder *builder, const struct desired_volume *volume, const struct owner *owner)
{
	struct target_pause *made = LIST_PUSH(builder->arena, &builder->target->pauses);

	if (made == NULL)
		return -1;
	made->owner = *owner;
	made->phase = volume->pause->phase;
	made->pause.volume = volume->id;
	made->pause.number = volume->pause->number;
	made->pause.limit_ms = volume->pause->limit_ms;
	made->pause.top = arena_printf(builder->arena, NAMES_DM_PREFIX "volume-v%" PRIu64, volume->id);
	if (made->pause.top == NULL)
		return -1;
	for (size_t i = 0; i < volume->legs.count; i++) {
		struct kernel_pause_leg *leg;

		if (!volume->legs.items[i].local)
			continue;
		leg = LIST_PUSH(builder->arena, &made->pause.legs);
		if (leg == NULL)
			return -1;
		leg->pool = device_name(builder, "pool", volume->id, volume->legs.items[i].index);
		leg->thin = device_name(builder, "thin", volume->id, volume->legs.items[i].index);
		if (leg->pool == NULL || leg->thin == NULL)
			return -1;
	}
	return 0;
}

static int drops_add(struct target_builder *builder, const struct desired_volume *volume, const struct owner *owner,
		     const struct desired_leg *leg)
{
	for (size_t i = 0; leg->local && i < volume->dropped_thins.count; i++) {
		struct target_drop *drop = LIST_PUSH(builder->arena, &builder->target->drops);

		if (drop == NULL)
			return -1;
		*drop = (struct target_drop){ .owner = *owner,
					      .pool = device_name(builder, "pool", volume->id, leg->index),
					      .device = arena_printf(
						      builder->arena,
						      NAMES_DM_PREFIX "snapthin-v%" PRIu64 ".l%" PRIu64 ".t%" PRIu64,
						      volume->id, leg->index, volume->dropped_thins.items[i].thin),
					      .volume = volume->id,
					      .number = volume->dropped_thins.items[i].thin };
		if (drop->pool == NULL || drop->device == NULL)
			return -1;
	}
	return 0;
}

int target_snapshots_add(struct target_builder *builder, const struct desired_volume *volume)
{
	struct owner owner;

	if (volume->role != CONTROLLER_ROLE_ACTIVE || !volume->legs_wanted || !volume->top_wanted)
		return 0;
	owner_snapshots_make(volume->id, &owner);
	for (size_t i = 0; i < volume->legs.count; i++) {
		if (drops_add(builder, volume, &owner, &volume->legs.items[i]) != 0)
			return -1;
	}
	return volume->pause != NULL ? pause_add(builder, volume, &owner) : 0;
}
