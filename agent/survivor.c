/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/survivor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/list.h"
#include "agent/planner.h"
#include "lib/model/names.h"

bool survivor_is_in_sync(const struct group_status *status, size_t index)
{
	if (index >= status->count)
		return false;
	return status->health[index] == 'A' ||
	       (status->health[index] == 'a' && !status->rebuilding && strchr(status->health, 'A') == NULL);
}

/* Whether the place in the table is the member's: another LD may have been there before. */
static bool is_of(const struct observed *observed, uint64_t device, uint64_t ld)
{
	char name[sizeof(NAMES_DM_PREFIX) + 48];

	snprintf(name, sizeof(name), NAMES_DM_PREFIX "raiddata-ld%" PRIu64, ld);
	for (size_t i = 0; i < observed->dms.count; i++) {
		const struct observed_dm *dm = &observed->dms.items[i];

		if (PLANNER_DEVICE(dm->major, dm->minor) == device)
			return strcmp(dm->name, name) == 0;
	}
	return false;
}

struct survivor_verdict survivor_judge(const struct observed *observed, const struct target_group *group,
				       const struct group_table *table, const struct group_status *status, size_t index)
{
	struct survivor_verdict verdict = { 0 };
	bool usable = false, withheld = false, gone;

	if (status->count == 0 || table->count != group->count || index >= table->count)
		return verdict;
	if (table->data[index] == 0 || !is_of(observed, table->data[index], group->members[index].ld) ||
	    !survivor_is_in_sync(status, index)) {
		verdict.left = true;
		return verdict;
	}
	for (size_t i = 0; i < group->count; i++) {
		const struct target_member *other = &group->members[i];

		if (i == index || table->data[i] == 0 || other->state != LD_STATE_IN_SYNC ||
		    !survivor_is_in_sync(status, i))
			continue;
		withheld = withheld || other->withheld;
		usable = usable || !other->withheld;
	}
	gone = group_path_find(observed, table->data[index]) == GROUP_PATH_GONE;
	/* What took its path away made sure of the others before. But for one that failed a write since: what that one
	 * lacks was acknowledged to nobody. */
	verdict.left = gone && withheld && !usable;
	verdict.kept = !usable && !verdict.left;
	return verdict;
}

int survivors_find(const struct observed *observed, const struct target_dm *mirror, const struct group_table *table,
		   const struct group_status *status, size_t leaving, struct arena *arena, struct survivor_list *list,
		   bool *ret_any)
{
	const struct target_group *group = mirror->group;
	bool any = status->count > 0 && !survivor_is_in_sync(status, leaving);

	for (size_t i = 0; i < group->count && i < table->count; i++) {
		const struct target_member *member = &group->members[i];
		struct survivor *survivor;

		if (i == leaving || member->state != LD_STATE_IN_SYNC || member->withheld ||
		    group_place_find(observed, table, i, member) != GROUP_PLACE_IN_SYNC ||
		    !survivor_is_in_sync(status, i) || group_path_find(observed, table->data[i]) != GROUP_PATH_LIVE)
			continue;
		any = true;
		survivor = LIST_PUSH(arena, list);
		if (survivor == NULL)
			return -1;
		*survivor =
			(struct survivor){ .mirror = mirror->name, .place = table->at[i], .device = member->raid_data };
	}
	*ret_any = any;
	return 0;
}

int survivors_check(const struct survivor_list *list, struct kernel *kernel, struct error *error)
{
	const struct kernel_operations *operations = kernel->operations;
	int code = 0;

	for (size_t i = 0; i < list->count && code == 0; i++) {
		bool again = false;

		for (size_t j = 0; j < i; j++)
			again = again || strcmp(list->items[j].device, list->items[i].device) == 0;
		if (!again)
			code = operations->block_flush(kernel, list->items[i].device, KERNEL_FLUSH_MS, error);
	}
	/* Last, so that none of them failed a write before it was flushed. */
	for (size_t i = 0; i < list->count && code == 0; i++) {
		struct arena arena = ARENA_INIT;
		struct group_status status;
		const char *text = NULL;

		code = operations->dm_status(kernel, list->items[i].mirror, &arena, &text, error);
		group_status_parse(text, &status);
		if (code == 0 && !survivor_is_in_sync(&status, list->items[i].place))
			code = error_set(error, ERROR_CONFLICT, "%s does not have %s in sync any more",
					 list->items[i].mirror, list->items[i].device);
		arena_free(&arena);
	}
	return code;
}
