/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mirror that runs: members that are stale leave it, those to be rebuilt come into it.
 *
 * A change is a reload of the table: suspend, load, resume. The load reads the superblocks of all members and the
 * suspend waits for what is in flight, so neither may begin while a path below is frozen: it would hang, and hold
 * everything above. Suspended first, because the new table goes by what the superblocks say at the load: a write that
 * a member missed between that and the suspend would be forgotten, as the kernel keeps the bits of the bitmap only when
 * the superblocks tell of a failure that is later than the last bit that was cleared.
 *
 *   EMPTY ──► label says "rebuild R", metadata cleared, table with "rebuild N" ──► PRESENT
 *     ▲       or, by bitmap: superblock says that it is behind, table without it  │
 *     │                                  the group says that it is complete, and its superblock too
 *     │                                                                           ▼
 *     └──── the leader says stale ◄─────────────────────────── label says "rebuild R, formatted"
 *
 * That the running member is the one of rebuild R, and not what is left of an earlier time in the group, is what
 * `rebuild N` in the table and R in the label say together. Only when both labels and kernel say that it is complete
 * is it reported as in sync.
 *
 * One that moves to another disk: the new member comes in at the place of the old one, which goes to a place of its own
 * at the end, in one reload. It is then one of more members, until it leaves as any other that is stale; the place that
 * is left empty goes with a last reload. For those who stay the places are the same throughout, as superblocks have
 * them, and with the new member the kernel writes all superblocks anew. A table changes its number of places only
 * while the group copies nothing: otherwise the kernel would take the number of its superblocks.
 *
 * By bitmap (`resync`): the kernel copies the chunks that were written while the member was away, which the others know
 * as long as they remember that it failed. Whether they do is looked at while the group is suspended; when not, the
 * group goes on as it is, and the leader has the member copied as a whole.
 */
#include "agent/group.h"
#include "agent/planner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/label.h"
#include "agent/list.h"
#include "agent/survivor.h"
#include "lib/base/canary.h"

struct adjust {
	struct planner *planner;
	const struct target_dm *wanted;
	const struct target_group *group;
	struct group_table table;   /* that runs */
	struct group_status status; /* of it; count 0: unknown */
	enum group_place place[LIMIT_MEMBERS];
};

static const char *number(char text[32], uint64_t device)
{
	snprintf(text, 32, "%" PRIu64 ":%" PRIu64, device >> 32, device & UINT32_MAX);
	return text;
}

/* Whether the subsystem on which a slice lies is imported on purpose. */
static bool import_is_wanted(const struct planner *planner, uint64_t slice)
{
	const char *nqn = group_subsystem_find(planner->observed, slice);

	for (size_t i = 0; nqn != NULL && i < planner->target->imports.count; i++) {
		if (strcmp(planner->target->imports.items[i].import.nqn, nqn) == 0)
			return true;
	}
	return false;
}

/* Whether the table may be replaced now. */
static int may_reload(struct adjust *this, bool *ret_may)
{
	for (size_t i = 0; i < this->group->count; i++) {
		const struct target_member *member = &this->group->members[i];
		enum group_path path = group_path_find(this->planner->observed, this->table.data[i]);

		if (this->place[i] == GROUP_PLACE_EMPTY)
			continue;
		/* It looks well, but its kernel may take seconds to notice that it is dead; it goes first. The group
		 * sends nothing to one that it has failed. */
		if (path == GROUP_PATH_LIVE && member->state == LD_STATE_STALE && this->status.health[i] != 'D' &&
		    !import_is_wanted(this->planner, this->table.data[i])) {
			*ret_may = false;
			return planner_note(this->planner, PLAN_NOTE_WAITS, &this->wanted->owner, NULL,
					    "%s is not changed before the path to ld%" PRIu64 " is gone",
					    this->wanted->name, member->ld);
		}
		/* A path that is gone fails its I/O at once: nothing of it is in flight. */
		if (path == GROUP_PATH_FROZEN || (path == GROUP_PATH_GONE && member->state == LD_STATE_IN_SYNC)) {
			*ret_may = false;
			return planner_note(this->planner, PLAN_NOTE_WAITS, &this->wanted->owner, NULL,
					    "%s is not changed while the path to ld%" PRIu64 " is lost",
					    this->wanted->name, member->ld);
		}
	}
	*ret_may = true;
	return 0;
}

static struct action *reload(struct adjust *this, const struct observed_target_list *table)
{
	struct action *action = planner_action(this->planner, ACTION_DM_RELOAD, &this->wanted->owner);

	if (action == NULL)
		return NULL;
	action->name = this->wanted->name;
	action->table = *table;
	action->suspend = true;
	return action;
}

/* Append to the table's words. */
static void word(char *params, size_t size, size_t *used, const char *text)
{
	*used += (size_t)snprintf(params + *used, size - *used, "%s%s", *used > 0 ? " " : "", text);
}

/* The table that runs, with so many of the places that it has, of those in sync. */
static int table_remain(struct adjust *this, size_t places, struct observed_target_list *ret_table)
{
	char devices[LIMIT_MEMBERS * 64] = "", text[32];
	size_t used = 0;

	for (size_t p = 0; p < places; p++) {
		size_t i = 0;

		while (i < this->group->count && (this->table.at[i] != p || this->place[i] != GROUP_PLACE_IN_SYNC))
			i++;
		if (i == this->group->count) {
			word(devices, sizeof(devices), &used, "- -");
			continue;
		}
		word(devices, sizeof(devices), &used, number(text, this->table.metadata[i]));
		word(devices, sizeof(devices), &used, number(text, this->table.data[i]));
	}
	return target_table_add(this->planner->arena, ret_table, this->group->sectors, "raid",
				"raid1 3 0 region_size %" PRIu64 " %zu %s", this->group->region_sectors, places,
				devices);
}

/* The table without those that are to leave, and without rebuilds: they begin again from zero. */
static int drop(struct adjust *this, const struct observed_target_list *in_sync)
{
	struct survivor_list survivors = { 0 };
	struct observed_target_list remaining = { 0 };
	/* The number of places is not changed by the way. */
	bool may, any = true, moves = !this->table.exact || this->group->copies != this->group->count;
	struct action *action;

	if (may_reload(this, &may) != 0)
		return -1;
	if (!may)
		return 0;
	for (size_t i = 0; i < this->group->count && any; i++) {
		if (this->place[i] != GROUP_PLACE_OTHER)
			continue;
		if (survivors_find(this->planner->observed, this->wanted, &this->table, &this->status, i,
				   this->planner->arena, &survivors, &any) != 0)
			return -1;
		if (!any && !canary("drop_unvetoed"))
			return planner_note(this->planner, PLAN_NOTE_WAITS, &this->wanted->owner, NULL,
					    "%s does not go on without ld%" PRIu64
					    " while no other copy is reachable and in sync",
					    this->wanted->name, this->group->members[i].ld);
	}
	if (moves && table_remain(this, this->table.running, &remaining) != 0)
		return -1;
	action = reload(this, moves ? &remaining : in_sync);
	if (action == NULL)
		return -1;
	if (!canary("drop_unvetoed"))
		action->survivors = survivors;
	return 0;
}

static int label_write(struct adjust *this, const struct target_member *member, bool formatted)
{
	struct action *action = planner_action(this->planner, ACTION_LABEL_WRITE, &this->wanted->owner);

	if (action == NULL)
		return -1;
	action->name = member->label.device;
	action->uuid = member->label.uuid;
	action->label = member->label.label;
	action->label.formatted = formatted;
	action->label.filled_bytes = planner_group_filled(this->planner, this->group);
	/* What the kernel's status says may be ahead of what it wrote. */
	action->superblock = formatted ? member->raid_metadata : NULL;
	return 0;
}

static int label_read(struct adjust *this, const struct target_member *member)
{
	struct action *action = planner_action(this->planner, ACTION_LABEL_READ, &this->wanted->owner);

	if (action == NULL)
		return -1;
	action->name = member->label.device;
	action->uuid = member->label.uuid;
	return 0;
}

/* Whether a member that is not in the group may be rebuilt now: its slices are there, and its label does not speak
 * against it. */
static int may_add(struct adjust *this, const struct target_member *member, bool *ret_may)
{
	struct planner *planner = this->planner;
	struct planner_dm *label = planner_dm_find(planner, member->label.device),
			  *metadata = planner_dm_find(planner, member->raid_metadata),
			  *data = planner_dm_find(planner, member->raid_data);
	const struct observed_label *found;
	const char *reason = NULL;

	*ret_may = false;
	/* Those that are not there yet say themselves what they wait for. */
	if (label == NULL || !label->ready || metadata == NULL || !metadata->ready || data == NULL || !data->ready)
		return 0;
	if (group_path_find(planner->observed, PLANNER_DEVICE(data->observed->major, data->observed->minor)) !=
	    GROUP_PATH_LIVE)
		return 0; /* its import says so */
	if (member->unlabelled) {
		*ret_may = true;
		return 0;
	}
	found = group_label_find(planner->observed, &member->label);
	if (found == NULL)
		return label_read(this, member);
	if (found->label == NULL)
		reason = found->problem != NULL ? found->problem : "there is no label";
	else if (!label_is_same(found->label, &member->label.label))
		reason = "its label is that of another LD";
	else if (found->label->epoch != member->label.label.epoch)
		reason = "its label has another epoch: it was not fenced";
	*ret_may = reason == NULL;
	return reason == NULL ? 0
			      : planner_note(planner, PLAN_NOTE_FAILS, &this->wanted->owner, NULL,
					     "ld%" PRIu64 " cannot be rebuilt: %s", member->ld, reason);
}

/* The table with some more members, which are rebuilt. */
static int table_make(struct adjust *this, const bool *added, struct observed_target_list *ret_table)
{
	char options[LIMIT_MEMBERS * 24 + 96] = "", devices[LIMIT_MEMBERS * 64] = "", text[32];
	size_t words = 3, options_used = 0, devices_used = 0;
	uint64_t rate = this->group->rebuild_kib;
	size_t places = this->group->count;

	while (places > this->group->copies && this->place[places - 1] == GROUP_PLACE_EMPTY && !added[places - 1])
		places--;
	for (size_t i = 0; i < places; i++) {
		const struct target_member *member = &this->group->members[i];

		if (this->place[i] == GROUP_PLACE_EMPTY && !added[i]) {
			word(devices, sizeof(devices), &devices_used, "- -");
			continue;
		}
		if (added[i] && !member->resync) {
			snprintf(text, sizeof(text), "rebuild %zu", i);
			word(options, sizeof(options), &options_used, text);
			words += 2;
		}
		for (int part = 0; part < 2; part++) {
			const char *name = part == 0 ? member->raid_metadata : member->raid_data;
			const struct observed_dm *dm = planner_dm_find(this->planner, name)->observed;

			word(devices, sizeof(devices), &devices_used,
			     number(text, PLANNER_DEVICE(dm->major, dm->minor)));
		}
	}
	if (rate > 0) {
		snprintf(text, sizeof(text), "max_recovery_rate %" PRIu64, rate < INT32_MAX ? rate : INT32_MAX);
		word(options, sizeof(options), &options_used, text);
		words += 2;
	}
	return target_table_add(this->planner->arena, ret_table, this->group->sectors, "raid",
				"raid1 %zu 0 %s%sregion_size %" PRIu64 " %zu %s", words, options,
				options_used > 0 ? " " : "", this->group->region_sectors, places, devices);
}

/* What the reload needs to do for those that come into the group: by bitmap, or from nothing. */
static int added_prepare(struct adjust *this, const bool *added, struct action *action)
{
	bool resync = false;

	for (size_t i = 0; i < this->group->count; i++) {
		const struct target_member *member = &this->group->members[i];
		struct target_zero *zero;

		if (!added[i])
			continue;
		if (member->resync) {
			resync = true;
			action->returning_mask |= UINT64_C(1) << i;
			if (list_push_string(this->planner->arena, &action->returning, member->raid_metadata) != 0)
				return -1;
			continue;
		}
		zero = list_push(this->planner->arena, &action->zeros, sizeof(*zero));
		if (zero == NULL)
			return -1;
		zero->device = member->raid_metadata;
		zero->length = member->raid_metadata_bytes;
	}
	for (size_t i = 0; i < this->group->count && resync; i++) {
		if (this->place[i] == GROUP_PLACE_IN_SYNC &&
		    list_push_string(this->planner->arena, &action->knowing, this->group->members[i].raid_metadata) !=
			    0)
			return -1;
	}
	return 0;
}

static int add(struct adjust *this)
{
	struct observed_target_list table = { 0 };
	bool added[LIMIT_MEMBERS] = { false }, any = false, resync = false, rebuilt = false, may;
	struct action *action;

	for (size_t i = 0; i < this->group->count; i++) {
		rebuilt = rebuilt || this->place[i] == GROUP_PLACE_REBUILDING;
		if (this->place[i] != GROUP_PLACE_EMPTY || this->group->members[i].state != LD_STATE_REBUILDING)
			continue;
		if (may_add(this, &this->group->members[i], &added[i]) != 0)
			return -1;
		any = any || added[i];
		resync = resync || (added[i] && this->group->members[i].resync);
	}
	if (!any)
		return 0;
	/* With a `rebuild` in the table the kernel copies all of every member that is not in sync. */
	for (size_t i = 0; i < this->group->count && resync; i++)
		added[i] = added[i] && this->group->members[i].resync;
	/* `rebuild` tells the kernel that the others are equal: a resync that runs would end without being done. And a
	 * rebuild that runs would begin again. One that is complete would, too, until the leader calls it in sync: the
	 * new table says "rebuild" of those only that come into it. */
	if (!this->status.idle || rebuilt)
		return planner_note(this->planner, PLAN_NOTE_WAITS, &this->wanted->owner, NULL,
				    "a rebuild in %s waits for the one that is going on, or for its resync",
				    this->wanted->name);
	if (may_reload(this, &may) != 0)
		return -1;
	if (!may)
		return 0;
	for (size_t i = 0; i < this->group->count; i++) {
		if (added[i] && label_write(this, &this->group->members[i], false) != 0)
			return -1;
	}
	if (table_make(this, added, &table) != 0 || (action = reload(this, &table)) == NULL)
		return -1;
	return added_prepare(this, added, action);
}

/* Members that are being rebuilt in the group: when one is complete, its label says so. */
static int complete(struct adjust *this)
{
	for (size_t i = 0; i < this->group->count; i++) {
		const struct target_member *member = &this->group->members[i];

		if (this->place[i] != GROUP_PLACE_REBUILDING)
			continue;
		if (group_label_find(this->planner->observed, &member->label) == NULL) {
			if (group_path_find(this->planner->observed, this->table.data[i]) == GROUP_PATH_LIVE &&
			    label_read(this, member) != 0)
				return -1;
			continue;
		}
		if (this->status.idle && this->status.health[i] == 'A' &&
		    !group_label_is_complete(group_label_find(this->planner->observed, &member->label), member) &&
		    label_write(this, member, true) != 0)
			return -1;
	}
	return 0;
}

/* Whether the table still has the place of one that left. No other one ever gets it: superblocks say that who was there
 * failed. */
static bool has_spare(const struct adjust *this)
{
	for (size_t i = 0; i < this->group->count; i++) {
		if (this->table.at[i] == this->table.running - 1 && this->place[i] != GROUP_PLACE_EMPTY)
			return false;
	}
	return this->table.running > this->group->copies;
}

/* It goes. */
static int shorten(struct adjust *this)
{
	struct observed_target_list table = { 0 };
	bool may;

	for (size_t i = 0; i < this->group->count; i++) {
		/* A new table would begin a rebuild again, also one that is complete and not called so yet. */
		if (this->place[i] == GROUP_PLACE_REBUILDING)
			return 0;
	}
	if (!this->status.idle)
		return planner_note(this->planner, PLAN_NOTE_WAITS, &this->wanted->owner, NULL,
				    "%s keeps a place that is empty until it is in sync", this->wanted->name);
	if (may_reload(this, &may) != 0)
		return -1;
	if (!may)
		return 0;
	return table_remain(this, this->table.running - 1, &table) == 0 && reload(this, &table) != NULL ? 0 : -1;
}

int planner_group_adjust(struct planner *planner, const struct target_dm *wanted, struct planner_dm *dm,
			 const struct observed_target_list *in_sync)
{
	struct adjust this = { .planner = planner, .wanted = wanted, .group = wanted->group };
	bool leaves = false;

	bool parsed = group_table_parse(&dm->observed->targets, &this.table);

	group_status_parse(dm->observed->status, &this.status);
	if (!parsed || !group_align(planner->observed, this.group, &this.table, &this.status) ||
	    this.table.count != this.group->count || this.table.region_sectors != this.group->region_sectors ||
	    dm->observed->targets.items[0].length != this.group->sectors)
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
				    "%s has another table than wanted, and it is not changed while it may be in use",
				    wanted->name);
	for (size_t i = 0; i < this.group->count; i++) {
		const struct target_member *member = &this.group->members[i];

		this.place[i] = group_place_find(planner->observed, &this.table, i, member);
		if (member->state == LD_STATE_IN_SYNC && this.place[i] != GROUP_PLACE_IN_SYNC)
			return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
					    "%s runs without ld%" PRIu64 ", which is said to be in sync", wanted->name,
					    member->ld);
		leaves = leaves || this.place[i] == GROUP_PLACE_OTHER;
	}
	dm->ready = true;
	if (leaves)
		return drop(&this, in_sync);
	if (complete(&this) != 0)
		return -1;
	return has_spare(&this) ? shorten(&this) : add(&this);
}
