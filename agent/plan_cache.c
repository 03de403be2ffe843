/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volatile write caches of disks: each is switched off that can be. What lies on a disk is exported only when its cache
 * is off, or when the cluster knows that it is not: then it counts on what the cache holds being lost.
 */
#include "agent/planner.h"

#include <string.h>

#include "lib/base/canary.h"

static const struct observed_disk *disk_find(const struct planner *planner, const struct target_disk *wanted)
{
	for (size_t i = 0; i < planner->observed->disks.count; i++) {
		if (strcmp(planner->observed->disks.items[i].path, wanted->path) == 0)
			return &planner->observed->disks.items[i];
	}
	return NULL;
}

int planner_build_caches(struct planner *planner)
{
	for (size_t i = 0; i < planner->target->disks.count; i++) {
		const struct target_disk *wanted = &planner->target->disks.items[i];
		const struct observed_disk *disk = disk_find(planner, wanted);
		struct action *action;

		if (disk == NULL || !disk->volatile_cache || !disk->cache_switchable)
			continue;
		action = planner_action(planner, ACTION_CACHE_OFF, &wanted->owner);
		if (action == NULL)
			return -1;
		action->name = wanted->path;
	}
	return 0;
}

int planner_cache_hold(struct planner *planner, const struct target_dm *ld, bool *held)
{
	const struct target_disk *wanted = ld->guard->disk;
	const struct observed_disk *disk = disk_find(planner, wanted);

	/* One that is not there is told of elsewhere. */
	if (disk == NULL || !disk->volatile_cache || wanted->volatile_cache || canary("cache_unknown"))
		return 0;
	*held = true;
	return planner_note(planner, PLAN_NOTE_WAITS, &ld->owner, wanted->owner.lane,
			    disk->cache_switchable
				    ? "%s waits until the volatile write cache of %s is off"
				    : "%s waits until the cluster knows that the volatile write cache of %s stays on",
			    ld->name, wanted->path);
}
