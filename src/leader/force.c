/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/force.h"

#include <string.h>

#include "lib/model/names.h"
#include "src/leader/worth.h"

#define NOTES_MAX 16

struct planning {
	const struct online_view *view;
	uint64_t slot;
	struct arena *arena;
	struct volume_force_plan *plan;
	struct string_list away;	   /* nodes of members in sync that are given up */
	bool stale, errors, choice, cache; /* what those that would be served lack, or may */
};

static const struct online_node *node_of(const struct online_view *view, const struct ld *ld)
{
	const struct online_disk *disk = online_disk(view, ld->disk);

	return disk != NULL ? disk->node : NULL;
}

static const char *name_of(const struct online_node *node)
{
	return node != NULL ? node->name : "unknown";
}

/* By now the leader knows whether it lives. */
static bool is_known(const struct online_node *node)
{
	return node == NULL || node->health == HEALTH_ONLINE || node->health == HEALTH_OFFLINE;
}

static bool disk_is_gone(const struct online_view *view, const struct ld *ld)
{
	const struct online_disk *disk = online_disk(view, ld->disk);

	return disk == NULL || disk->gone;
}

bool force_is_served(const struct online_view *view, size_t slot, const struct ld *ld)
{
	const struct slot *record = &view->volume->slots.items[slot];
	const struct member_status *member =
		reported_member(online_health(view, record->holder), ld->id, record->epoch, NULL);

	return online_is(online_node(view, record->holder), HEALTH_ONLINE) && member != NULL &&
	       member->health == MEMBER_HEALTH_IN_SYNC && !member->path_lost;
}

static bool is_there(const struct online_view *view, const struct ld *ld)
{
	return !online_is(node_of(view, ld), HEALTH_OFFLINE) && !disk_is_gone(view, ld);
}

static bool is_reachable(const struct online_view *view, size_t slot, const struct ld *ld)
{
	return is_there(view, ld) || force_is_served(view, slot, ld);
}

/* Whether it is in sync and fenced, but the fence waits for a better one: it may have missed writes. */
static bool is_poor(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld)
{
	enum worth best;

	return view->volume->slots.items[slot].phase == SLOT_PHASE_FENCING && ld->state == LD_STATE_IN_SYNC &&
	       !worth_best(view, slot, group, &best) && worth_of(view, slot, group, ld) != WORTH_UNFENCED;
}

static bool is_good(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld)
{
	return ld->state == LD_STATE_IN_SYNC && is_reachable(view, slot, ld) && !is_poor(view, slot, group, ld);
}

static bool is_candidate(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld)
{
	return ((ld->state == LD_STATE_STALE && ld->whole) || is_poor(view, slot, group, ld)) &&
	       online_is(node_of(view, ld), HEALTH_ONLINE) && !disk_is_gone(view, ld);
}

/* Of two that returned errors. Nobody told which one the group dropped first. It drops one for a write that failed, not
 * for a read that it could repair; and one that it dropped returns no more. */
static bool errors_are_better(const struct ld_errors *errors, const struct ld_errors *best)
{
	if ((errors->writes > 0) != (best->writes > 0))
		return errors->writes == 0;
	if (errors->missed != best->missed)
		return !errors->missed;
	return errors->writes != best->writes ? errors->writes > best->writes : errors->reads < best->reads;
}

/* Which one missed less. One that is in sync had everything at a time when the stale ones lacked something already. Of
 * stale ones it is the one that went stale last. */
static bool is_better(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld,
		      const struct ld *best)
{
	enum worth worth, other;

	if (best == NULL || ld->state != best->state)
		return best == NULL || ld->state == LD_STATE_IN_SYNC;
	if (ld->state == LD_STATE_STALE)
		return ld->since_ms > best->since_ms;
	worth = worth_of(view, slot, group, ld);
	other = worth_of(view, slot, group, best);
	if (worth != other)
		return worth > other;
	return worth == WORTH_ERRORS &&
	       errors_are_better(online_errors(view, ld, slot), online_errors(view, best, slot));
}

static const struct ld *candidate(const struct online_view *view, size_t slot, const struct group *group)
{
	const struct ld *best = NULL;

	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];

		if (is_candidate(view, slot, group, ld) && is_better(view, slot, group, ld, best))
			best = ld;
	}
	return best;
}

/* Whether no member that is sure to have everything can be reached. */
static bool is_stuck(const struct online_view *view, size_t slot, const struct group *group)
{
	for (size_t m = 0; m < group->members.count; m++) {
		if (is_good(view, slot, group, &group->members.items[m]))
			return false;
	}
	return true;
}

bool force_may_help(const struct online_view *view, size_t slot, const struct group *group)
{
	return is_stuck(view, slot, group) && candidate(view, slot, group) != NULL;
}

/* --- lists of the plan ------------------------------------------------------------------------------------------ */

static int nomem(struct error *error)
{
	return error_set_nomem(error);
}

static int string_add(struct planning *this, struct string_list *list, const char *text, size_t max,
		      struct error *error)
{
	const char **items;

	if (text == NULL)
		return nomem(error);
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return 0;
	}
	if (list->count == max)
		return 0;
	items = arena_alloc_array(this->arena, list->count + 1, sizeof(*items));
	if (items == NULL)
		return nomem(error);
	if (list->count > 0)
		memcpy(items, list->items, list->count * sizeof(*items));
	items[list->count] = text;
	*list = (struct string_list){ list->count + 1, items };
	return 0;
}

static int note_add(struct planning *this, const char *text, struct error *error)
{
	return string_add(this, &this->plan->notes, text, NOTES_MAX, error);
}

/* What becomes of a member, or why it cannot be taken. */
static const char *member_note(const struct planning *this, const struct group *group, const struct ld *ld,
			       const struct ld *taken)
{
	const struct online_view *view = this->view;
	const struct online_node *node = node_of(view, ld);
	const char *away = disk_is_gone(view, ld) ? "its node has no such disk any more" : "its node is offline";

	if (ld == taken && ld->state == LD_STATE_IN_SYNC && (ld->doubtful || ld->withheld) &&
	    online_errors(view, ld, this->slot) == NULL)
		return "would be served; it may lack what the cache of its disk held";
	if (ld == taken && ld->state == LD_STATE_IN_SYNC)
		return "would be served; its group may have dropped it at an error, and gone on without it";
	if (ld == taken && ld->stale_reason == STALE_REASON_MEDIUM)
		return "would be served; its disk returned an error, and may again";
	if (ld == taken)
		return "would be served";
	if (ld->state == LD_STATE_IN_SYNC && is_candidate(view, this->slot, group, ld))
		return "it is not known which of them lacks less; given up, it is rebuilt from the one that is served";
	if (ld->state == LD_STATE_IN_SYNC)
		return arena_printf(this->arena, "holds everything, but %s; given up, it comes back by a rebuild only",
				    away);
	if (ld->state == LD_STATE_FREED)
		return "lost: its node was forgotten";
	if (ld->state == LD_STATE_REBUILDING || !ld->whole)
		return "was being rebuilt and holds only a part; rebuilt again from the one that is served";
	if (is_candidate(view, this->slot, group, ld))
		return "missed more than the one that would be served; rebuilt from that one";
	if (!is_known(node))
		return "it is not known yet whether its node lives";
	return arena_printf(this->arena, "stale, and %s", away);
}

/* What makes a member that is in sync and fenced less than sure. */
static int doubts_add(struct planning *this, const struct group *group, const struct ld *ld,
		      struct force_member *member, struct error *error)
{
	if (!is_poor(this->view, this->slot, group, ld))
		return 0;
	member->doubtful = ld->doubtful || ld->withheld;
	if (online_errors(this->view, ld, this->slot) == NULL)
		return 0;
	member->errors = arena_alloc(this->arena, sizeof(*member->errors));
	if (member->errors == NULL)
		return nomem(error);
	*member->errors = *online_errors(this->view, ld, this->slot);
	return 0;
}

static int group_add(struct planning *this, size_t leg, size_t index, const struct group *group, const struct ld *taken,
		     struct error *error)
{
	size_t count = this->plan->groups.count;
	struct force_group *groups = arena_alloc_array(this->arena, count + 1, sizeof(*groups));
	struct force_member *members = arena_alloc_array(this->arena, group->members.count, sizeof(*members));

	if (groups == NULL || members == NULL)
		return nomem(error);
	if (count > 0)
		memcpy(groups, this->plan->groups.items, count * sizeof(*groups));
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];

		members[m] = (struct force_member){ .ld = ld->id,
						    .disk = ld->disk,
						    .node = name_of(node_of(this->view, ld)),
						    .state = ld->state,
						    .taken = ld == taken,
						    .note = member_note(this, group, ld, taken) };
		if (members[m].note == NULL)
			return nomem(error);
		if (doubts_add(this, group, ld, &members[m], error) != 0)
			return error->code;
		this->choice |=
			ld != taken && ld->state == LD_STATE_IN_SYNC && is_candidate(this->view, this->slot, group, ld);
		this->stale |= ld == taken && ld->state == LD_STATE_STALE;
		this->errors |= ld == taken && members[m].errors != NULL;
		this->cache |= ld == taken && members[m].doubtful;
		if (ld->state != LD_STATE_STALE)
			continue;
		members[m].reason = ld->stale_reason;
		members[m].since_ms = ld->since_ms;
	}
	groups[count] =
		(struct force_group){ .leg = leg, .group = index, .members = { group->members.count, members } };
	this->plan->groups = (struct force_group_list){ count + 1, groups };
	return 0;
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static int refuse_unknown(const struct online_node *node, struct error *error)
{
	error_set(error, ERROR_FAILED_PRECONDITION, "it is not known yet whether node %s lives", node->name);
	return error_hint(error, "ask again in a few seconds");
}

/* Everybody whose absence the decision is about must have been judged. */
static int known_check(const struct planning *this, struct error *error)
{
	const struct online_view *view = this->view;
	const struct volume *volume = view->volume;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];
		const struct online_node *node = online_node(view, controller->node);

		if (controller->role != CONTROLLER_ROLE_STANDBY && controller->slot == this->slot && !is_known(node))
			return refuse_unknown(node, error);
	}
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == this->slot && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];

				if (ld->state == LD_STATE_IN_SYNC && !is_known(node_of(view, ld)))
					return refuse_unknown(node_of(view, ld), error);
			}
		}
	}
	return 0;
}

/* What a good member is that is not fenced yet is not known: it may turn out to be poor. */
static bool is_undecided(const struct online_view *view, size_t slot, const struct group *group, const struct ld *ld)
{
	return view->volume->slots.items[slot].phase == SLOT_PHASE_FENCING && is_good(view, slot, group, ld) &&
	       worth_of(view, slot, group, ld) == WORTH_UNFENCED;
}

static void good_tell(const struct planning *this, const struct group *group, const struct ld *ld, struct error *error)
{
	const char *where = is_there(this->view, ld) ? "the node is online" : "the slot's holder reaches it";

	error_detail(error, "ld%llu of node %s is in sync, and %s%s", (unsigned long long)ld->id,
		     name_of(node_of(this->view, ld)), where,
		     is_undecided(this->view, this->slot, group, ld) ? "; it is not fenced yet" : "");
}

static int refuse_not_needed(const struct planning *this, struct error *error)
{
	const struct volume *volume = this->view->volume;
	bool undecided = false;

	error_set(error, ERROR_FAILED_PRECONDITION,
		  "slot %llu of volume %s needs no force: each of its groups has a copy in sync that can be reached",
		  (unsigned long long)this->slot, volume->name);
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == this->slot && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct group *group = &leg->groups.items[g];
				const struct ld *ld = &group->members.items[m];

				if (!is_good(this->view, this->slot, group, ld))
					continue;
				undecided = undecided || is_undecided(this->view, this->slot, group, ld);
				good_tell(this, group, ld, error);
			}
		}
	}
	if (undecided)
		return error_hint(error,
				  "once they are fenced it is known what they are worth: ask again in a few seconds; "
				  "dnvme volume explain %s says what it waits for; a node whose disk does not work has "
				  "to be taken down first",
				  volume->name);
	return error_hint(error,
			  "dnvme volume explain %s says what it waits for; a node whose disk does not work has to be "
			  "taken down first",
			  volume->name);
}

static int refuse_no_candidate(const struct planning *this, size_t leg, size_t index, const struct group *group,
			       struct error *error)
{
	bool any_away = false;

	error_set(error, ERROR_FAILED_PRECONDITION,
		  "group %zu of leg %zu of volume %s has no copy that could be served: none that is complete is on a "
		  "node that is online",
		  index, leg, this->view->volume->name);
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const char *note = member_note(this, group, ld, NULL);

		if (note == NULL)
			return nomem(error);
		any_away = any_away || ld->state == LD_STATE_IN_SYNC || ld->whole;
		error_detail(error, "ld%llu of node %s, %s: %s", (unsigned long long)ld->id,
			     name_of(node_of(this->view, ld)), ENUM_NAME(ld_state, ld->state), note);
	}
	return error_hint(error, any_away ? "bring back the node of a copy that is in sync, or of one that is stale"
					  : "what this group held is lost");
}

/* --- the plan ----------------------------------------------------------------------------------------------------- */

/* Holders of the slot that may serve without a lease, for all that the leader knows. */
static int holders_add(struct planning *this, struct error *error)
{
	const struct online_view *view = this->view;

	for (size_t i = 0; i < view->volume->controllers.count; i++) {
		const struct controller *controller = &view->volume->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_STANDBY || controller->slot != this->slot ||
		    (controller->role == CONTROLLER_ROLE_RETIRED && controller->epoch == 0))
			continue;
		/* One that is online does what it is told, and is waited for. */
		if (online_is(online_node(view, controller->node), HEALTH_OFFLINE) &&
		    string_add(this, &this->plan->off_holders, controller->node, LIMIT_COLOURS, error) != 0)
			return error->code;
	}
	return 0;
}

/* Where one in sync is taken, that is fenced: an old holder sees that not all its members answer, as in any move. */
static int disks_add(struct planning *this, const struct group *group, const struct ld *taken, struct error *error)
{
	for (size_t m = 0; m < group->members.count; m++) {
		const struct ld *ld = &group->members.items[m];
		const struct online_node *node = node_of(this->view, ld);

		if (ld->state != LD_STATE_IN_SYNC || !online_is(node, HEALTH_OFFLINE))
			continue;
		if (string_add(this, &this->away, node->name, LIMIT_LEGS * LIMIT_COPIES, error) != 0 ||
		    (taken->state == LD_STATE_STALE &&
		     string_add(this, &this->plan->off_disks, node->name, LIMIT_LEGS * LIMIT_COPIES, error) != 0))
			return error->code;
	}
	return 0;
}

static int groups_add(struct planning *this, size_t *ret_others, struct error *error)
{
	const struct volume *volume = this->view->volume;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			const struct group *group = &leg->groups.items[g];
			const struct ld *taken;

			if (leg->slot != this->slot || !is_stuck(this->view, this->slot, group)) {
				(*ret_others)++;
				continue;
			}
			taken = candidate(this->view, this->slot, group);
			if (taken == NULL)
				return refuse_no_candidate(this, l, g, group, error);
			if (group_add(this, l, g, group, taken, error) != 0 ||
			    disks_add(this, group, taken, error) != 0)
				return error->code;
		}
	}
	return this->plan->groups.count > 0 ? 0 : refuse_not_needed(this, error);
}

static const char *names_join(struct planning *this, const struct string_list *names)
{
	const char *text = "";

	for (size_t i = 0; text != NULL && i < names->count && strlen(text) < LIMIT_TEXT / 4; i++)
		text = arena_printf(this->arena, "%s%s%s", text, i == 0 ? "" : ", ", names->items[i]);
	return text;
}

static int losses_add(struct planning *this, struct error *error)
{
	if (this->stale &&
	    note_add(this, "lost: every write since the members to be served went stale, acknowledged ones included",
		     error) != 0)
		return error->code;
	if (this->errors &&
	    note_add(this,
		     "not known: whether the members that returned errors were dropped by their group; of those that "
		     "were, every write since is lost, acknowledged ones included",
		     error) != 0)
		return error->code;
	if (this->cache &&
	    note_add(this,
		     "not known: whether the cache of the disk had all that was acknowledged written out when its node "
		     "began anew; what it had not is lost",
		     error) != 0)
		return error->code;
	if (this->choice &&
	    note_add(
		    this,
		    "not known: which of the members in sync that can be reached lacks less; what those that are given "
		    "up alone hold is lost",
		    error) != 0)
		return error->code;
	return 0;
}

static int notes_add(struct planning *this, size_t others, struct error *error)
{
	struct volume_force_plan *plan = this->plan;
	const char *away = names_join(this, &this->away), *disks = names_join(this, &plan->off_disks);
	const char *holders = names_join(this, &plan->off_holders);

	if (away == NULL || disks == NULL || holders == NULL)
		return nomem(error);
	if (losses_add(this, error) != 0)
		return error->code;
	if ((others > 0 || plan->groups.count > 1) &&
	    note_add(this,
		     "the parts of the volume are then of different times: a filesystem has to be checked, a database "
		     "restored or repaired",
		     error) != 0)
		return error->code;
	if (note_add(this,
		     "hosts that have the volume in use hold newer blocks in their caches: unmount it there first, and "
		     "check what is on it before it is used again",
		     error) != 0)
		return error->code;
	if (away[0] != '\0' &&
	    (note_add(this,
		      arena_printf(this->arena, "nothing is lost if node %s comes back%s: wait for it if it can", away,
				   this->errors ? ", unless its disk returned errors, too" : ""),
		      error) != 0 ||
	     note_add(this,
		      arena_printf(this->arena,
				   "if node %s comes back afterwards, what it holds of this is wiped and rebuilt",
				   away),
		      error) != 0))
		return error->code;
	if (plan->off_holders.count > 0 && plan->off_disks.count > 0 &&
	    note_add(this,
		     arena_printf(
			     this->arena,
			     "it is not known whether node %s still serves hosts from node %s: one or the other has "
			     "to be off for certain, or there are two volumes with one name",
			     holders, disks),
		     error) != 0)
		return error->code;
	return 0;
}

int force_plan(const struct online_view *view, uint64_t slot, struct arena *arena, struct volume_force_plan *ret_plan,
	       struct error *error)
{
	const struct volume *volume = view->volume;
	struct volume_force_plan plan = {
		.id = volume->id, .name = volume->name, .slot = slot, .revision = volume->revision
	};
	struct planning this = { .view = view, .slot = slot, .arena = arena, .plan = &plan };
	size_t others = 0;

	if (slot >= volume->slots.count)
		return error_set(error, ERROR_NOT_FOUND, "slot: volume %s has no slot %llu", volume->name,
				 (unsigned long long)slot);
	if (volume->phase != VOLUME_PHASE_ONLINE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume %s is in phase %s, not online", volume->name,
				 ENUM_NAME(volume_phase, volume->phase));
	plan.epoch = volume->slots.items[slot].epoch;
	if (known_check(&this, error) != 0 || groups_add(&this, &others, error) != 0 ||
	    holders_add(&this, error) != 0 || notes_add(&this, others, error) != 0)
		return error->code;
	*ret_plan = plan;
	return 0;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static bool all_named(const struct string_list *wanted, const struct string_list *named)
{
	for (size_t i = 0; i < wanted->count; i++) {
		bool found = false;

		for (size_t j = 0; !found && j < named->count; j++)
			found = strcmp(wanted->items[i], named->items[j]) == 0;
		if (!found)
			return false;
	}
	return true;
}

static int promise_check(struct planning *this, const struct string_list *powered_off, struct error *error)
{
	const struct volume_force_plan *plan = this->plan;

	if (plan->off_disks.count == 0 || plan->off_holders.count == 0 || all_named(&plan->off_disks, powered_off) ||
	    all_named(&plan->off_holders, powered_off))
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "powered_off: node %s may still serve hosts from node %s; nobody but you can know that it does not",
		  names_join(this, &plan->off_holders), names_join(this, &plan->off_disks));
	return error_hint(error,
			  "switch off all of one kind, or make sure that they are, and name them: --powered-off %s",
			  names_join(this, &plan->off_disks));
}

int force_command(const struct online_view *view, const struct volume_force_request *request, struct arena *arena,
		  struct command_slot_force *ret_command, struct error *error)
{
	struct volume_force_plan plan;
	struct planning this = { .view = view, .slot = request->slot, .arena = arena, .plan = &plan };
	struct command_slot_force command = { .volume = view->volume->id,
					      .slot = request->slot,
					      .revision = request->revision,
					      .by = request->by,
					      .powered_off = request->powered_off };

	if (force_plan(view, request->slot, arena, &plan, error) != 0)
		return error->code;
	if (request->revision != plan.revision) {
		error_set(error, ERROR_CONFLICT,
			  "revision: volume %s changed since: it is at revision %llu, the plan was of revision %llu",
			  plan.name, (unsigned long long)plan.revision, (unsigned long long)request->revision);
		return error_hint(error, "look at the plan again: dnvme volume force %s --slot %llu", plan.name,
				  (unsigned long long)plan.slot);
	}
	if (promise_check(&this, &request->powered_off, error) != 0)
		return error->code;
	command.epoch = plan.epoch;
	command.lds.items = arena_alloc_array(arena, plan.groups.count, sizeof(*command.lds.items));
	if (command.lds.items == NULL)
		return nomem(error);
	for (size_t g = 0; g < plan.groups.count; g++) {
		const struct force_member_list *members = &plan.groups.items[g].members;

		for (size_t m = 0; m < members->count; m++) {
			const char *id;

			if (!members->items[m].taken)
				continue;
			id = arena_printf(arena, "ld%llu", (unsigned long long)members->items[m].ld);
			if (id == NULL)
				return nomem(error);
			command.lds.items[command.lds.count++] = id;
		}
	}
	*ret_command = command;
	return 0;
}
