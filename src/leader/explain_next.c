/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a volume: what the rules say that they do and wait for, where placement would put it, and what its
 * operator can do meanwhile. */
#include <string.h>

#include "lib/base/limits.h"
#include "src/leader/explain_internal.h"
#include "src/leader/force.h"

/* Disks that are named for an LD, and LDs for which that is done: looking for them is not for nothing. */
#define CANDIDATES 3u
#define CANDIDATES_LDS 8u

static void prospect(struct explaining *this, enum prospect_kind kind, const char *text)
{
	explain_prospect(this, &(struct prospect){ .kind = kind, .text = text });
}

/* --- the command that the rules propose -----------------------------------------------------------------------------
 */

static const char *slot_command(struct explaining *this, const struct command *command)
{
	if (command->slot_move != NULL)
		return explain_say(this, "the leader gives slot %llu to node %s (%s)",
				   (unsigned long long)command->slot_move->slot, command->slot_move->to,
				   ENUM_NAME(move_reason, command->slot_move->reason));
	if (command->slot_advance != NULL)
		return explain_say(this, "slot %llu goes on to %s", (unsigned long long)command->slot_advance->slot,
				   ENUM_NAME(slot_phase, command->slot_advance->to));
	if (command->controller_add != NULL)
		return explain_say(this, "the leader makes node %s a standby", command->controller_add->node);
	if (command->controller_retire != NULL)
		return explain_say(this, "the leader takes the standby at node %s away",
				   command->controller_retire->node);
	if (command->controller_drop != NULL)
		return explain_say(this, "the leader forgets node %s, which has nothing of the volume any more",
				   command->controller_drop->node);
	return NULL;
}

static const char *member_command(struct explaining *this, const struct command *command)
{
	if (command->lds_stale != NULL)
		return explain_say(this, "the leader gives %s%s up (%s)", command->lds_stale->lds.items[0],
				   command->lds_stale->lds.count > 1 ? " and others" : "",
				   ENUM_NAME(stale_reason, command->lds_stale->reason));
	if (command->ld_rebuild != NULL)
		return explain_say(this, "ld%llu is rebuilt where it is", (unsigned long long)command->ld_rebuild->ld);
	if (command->ld_in_sync != NULL)
		return explain_say(this, "ld%llu is in sync again", (unsigned long long)command->ld_in_sync->ld);
	if (command->ld_moved != NULL)
		return explain_say(this, "ld%llu leaves: its copy is on another disk now",
				   (unsigned long long)command->ld_moved->ld);
	if (command->ld_drain != NULL || command->ld_excuse != NULL || command->ld_settle != NULL)
		return "the leader makes sure which copies have everything";
	if (command->lds_free != NULL)
		return explain_say(this, "the room of %s%s is given back", command->lds_free->lds.items[0],
				   command->lds_free->lds.count > 1 ? " and others" : "");
	return NULL;
}

static void command_tell(struct explaining *this, const struct command *command)
{
	const char *text = slot_command(this, command);

	if (text == NULL)
		text = member_command(this, command);
	prospect(this, PROSPECT_KIND_NOW, text != NULL ? text : "the leader takes the next step");
}

/* --- placement ------------------------------------------------------------------------------------------------------
 */

/* Nothing fits: what is missing, and what helps. */
static void blocked(struct explaining *this, const char *what, const struct error *reason)
{
	const char *text = explain_say(this, "%s: %s", what, reason->message);
	const char *details = reason->details[0] != '\0' ? arena_strdup(this->arena, reason->details) : NULL;

	this->failed = this->failed || (reason->details[0] != '\0' && details == NULL);
	explain_prospect(this, &(struct prospect){ .kind = PROSPECT_KIND_BLOCKED, .text = text, .details = details });
	if (reason->hint[0] != '\0')
		explain_advice(this, explain_say(this, "%s", reason->hint), NULL);
}

typedef int (*placement_choice)(const struct placement_view *view, const struct volume *volume, uint64_t ld,
				struct arena *arena, uint64_t *ret_disk, struct error *error);

static struct disk *disk_of(const struct disk_list *disks, uint64_t id)
{
	for (size_t i = 0; i < disks->count; i++) {
		if (disks->items[i].id == id)
			return &disks->items[i];
	}
	return NULL;
}

/* Placement works on a copy, as disks that were named are to be passed over. */
static bool placement_open(struct explaining *this)
{
	const struct disk_list *disks = &this->input->placement->disks;

	if (this->placement.disks.items != NULL)
		return true;
	this->placement = *this->input->placement;
	this->placement.disks.items = arena_alloc_array(this->arena, disks->count + 1, sizeof(*disks->items));
	if (this->placement.disks.items == NULL) {
		this->failed = true;
		return false;
	}
	if (disks->count > 0)
		memcpy(this->placement.disks.items, disks->items, disks->count * sizeof(*disks->items));
	return true;
}

/* "d5 of node n4, or else d9 of node n6": what placement would choose, and what if it had not that; "" when that is not
 * looked for, as it was for enough LDs; NULL with the reason when there is none. */
static const char *candidates(struct explaining *this, uint64_t ld, placement_choice choose, struct error *ret_reason)
{
	struct disk *named[CANDIDATES];
	const char *text = NULL;
	struct error reason;
	size_t count = 0;

	if (this->placed++ >= CANDIDATES_LDS || !placement_open(this))
		return "";
	for (size_t i = 0; i < CANDIDATES; i++) {
		uint64_t id;
		int rv = choose(&this->placement, this->volume, ld, this->arena, &id, &reason);

		this->failed = this->failed || rv == ERROR_INTERNAL;
		named[count] = rv == 0 ? disk_of(&this->placement.disks, id) : NULL;
		/* One that is cordoned anyway is never chosen. */
		if (named[count] == NULL)
			break;
		text = explain_say(this, "%s%sd%llu of node %s", text != NULL ? text : "",
				   text != NULL ? ", or else " : "", (unsigned long long)id, named[count]->node);
		named[count++]->cordoned = true;
	}
	while (count > 0)
		named[--count]->cordoned = false;
	if (text == NULL)
		*ret_reason = reason;
	return text;
}

static void placed(struct explaining *this, uint64_t ld, placement_choice choose, const char *found,
		   const char *not_found)
{
	struct error reason;
	const char *disks = candidates(this, ld, choose, &reason);

	if (disks == NULL)
		blocked(this, explain_say(this, "ld%llu %s", (unsigned long long)ld, not_found), &reason);
	else if (disks[0] != '\0')
		prospect(this, PROSPECT_KIND_NOW,
			 explain_say(this, "ld%llu %s %s", (unsigned long long)ld, found, disks));
}

static void standby_tell(struct explaining *this)
{
	struct error reason;
	const char *node;
	int rv = placement_standby(this->input->placement, this->volume, this->arena, &node, &reason);

	if (rv == 0)
		prospect(this, PROSPECT_KIND_NOW, explain_say(this, "the leader makes node %s a standby", node));
	else if (rv == ERROR_INTERNAL)
		this->failed = true;
	else
		blocked(this, "a standby finds no node", &reason);
}

/* --- what the rules foresee -----------------------------------------------------------------------------------------
 */

static void foreseen_tell(struct explaining *this, const struct online_prospect *foreseen)
{
	struct prospect told = { .kind = PROSPECT_KIND_WAITS };
	struct error reason;
	const char *disks;

	if (foreseen->after_ms == ONLINE_LOOK_NEVER) {
		told.text = explain_say(this, "%s", foreseen->text);
		explain_prospect(this, &told);
		return;
	}
	told.kind = PROSPECT_KIND_THEN;
	told.at_ms = this->view->wall_ms + foreseen->after_ms;
	disks = foreseen->replace_ld != 0 ? candidates(this, foreseen->replace_ld, placement_replacement, &reason) : "";
	if (disks == NULL)
		blocked(this,
			explain_say(this, "ld%llu finds no other disk then, as things are now",
				    (unsigned long long)foreseen->replace_ld),
			&reason);
	told.text = explain_say(this, "%s%s%s", foreseen->text, disks != NULL && disks[0] != '\0' ? ": " : "",
				disks != NULL ? disks : "");
	explain_prospect(this, &told);
}

static void rebuilds_tell(struct explaining *this)
{
	for (size_t i = 0; i < this->ld_count; i++) {
		const struct explained_ld *seen = &this->lds[i];
		const char *holder = this->volume->slots.items[seen->group->slot].holder;
		struct prospect told = { .kind = PROSPECT_KIND_THEN };

		if (seen->ld->state != LD_STATE_REBUILDING || seen->status == NULL || seen->rate_bytes == 0 ||
		    seen->status->total_bytes <= seen->status->done_bytes)
			continue;
		told.at_ms = this->view->wall_ms +
			     (seen->status->total_bytes - seen->status->done_bytes) / (seen->rate_bytes / 1000 + 1);
		told.text = explain_say(this, "node %s has rebuilt ld%llu about then, if it goes on as of late", holder,
					(unsigned long long)seen->ld->id);
		explain_prospect(this, &told);
	}
}

static void online_tell(struct explaining *this)
{
	const struct online_step *step = this->input->step;

	if (step->command != NULL) {
		command_tell(this, step->command);
	} else {
		if (step->add_standby)
			standby_tell(this);
		if (step->replace_ld != 0)
			placed(this, step->replace_ld, placement_replacement, "is replaced by another one on",
			       "finds no other disk");
		if (step->move_ld != 0)
			placed(this, step->move_ld, placement_move, "moves to",
			       "is on a disk that is drained, and finds no other one");
	}
	for (size_t i = 0; i < this->input->outlook->count; i++)
		foreseen_tell(this, &this->input->outlook->items[i]);
	rebuilds_tell(this);
}

static void job_tell(struct explaining *this)
{
	const struct operation *job = this->input->operation;
	const char *waits_for = this->input->operation_waits_for;

	if (job == NULL) {
		if (waits_for != NULL)
			prospect(this, PROSPECT_KIND_WAITS, explain_say(this, "%s", waits_for));
		return;
	}
	prospect(this, waits_for != NULL ? PROSPECT_KIND_WAITS : PROSPECT_KIND_NOW,
		 explain_say(this, "job j%llu (%s) is in phase %s%s%s", (unsigned long long)job->id,
			     ENUM_NAME(job_kind, job->kind), ENUM_NAME(operation_phase, job->phase),
			     waits_for != NULL ? ": " : "", waits_for != NULL ? waits_for : ""));
	if (job->deadline_ms > this->view->wall_ms)
		explain_prospect(
			this, &(struct prospect){ .kind = PROSPECT_KIND_THEN,
						  .at_ms = job->deadline_ms,
						  .text = explain_say(this,
								      "the leader undoes job j%llu, if it has not come "
								      "too far for that by then",
								      (unsigned long long)job->id) });
}

void explain_next(struct explaining *this)
{
	const struct volumes_step *phase = this->input->phase_step;

	if (this->volume->hold != NULL)
		prospect(this, PROSPECT_KIND_WAITS, "its operator, who releases or deletes it");
	else if (phase != NULL && phase->waits_for != NULL)
		prospect(this, PROSPECT_KIND_WAITS, explain_say(this, "%s", phase->waits_for));
	else if (phase != NULL)
		prospect(this, PROSPECT_KIND_NOW, "the leader takes the next step");
	else if (this->input->step != NULL)
		online_tell(this);
	job_tell(this);
}

/* --- what can be done -----------------------------------------------------------------------------------------------
 */

/* By the plan's own rules: whether there is another copy that could be served. */
static void force_help(struct explaining *this)
{
	for (size_t i = 0; this->input->step != NULL && i < this->volume->slots.count; i++) {
		struct volume_force_plan plan;
		struct error reason;
		int rv = force_plan(this->view, i, this->arena, &plan, &reason);

		this->failed = this->failed || rv == ERROR_INTERNAL;
		if (rv == 0)
			explain_advice(
				this,
				explain_say(this,
					    "if the copies that slot %zu waits for will not come back: look what "
					    "serving older ones would lose (the command changes nothing yet)",
					    i),
				explain_say(this, "dnvme volume force %s --slot %zu", this->volume->name, i));
	}
}

static void nodes_help(struct explaining *this)
{
	for (size_t i = 0; i < this->view->node_count; i++) {
		const struct online_node *node = &this->view->nodes[i];

		if (node->health != HEALTH_OFFLINE)
			continue;
		explain_advice(
			this,
			explain_say(this, "bring node %s back: its machine, its network, or its agent", node->name),
			explain_say(this, "dnvme node get %s", node->name));
		explain_advice(this,
			       explain_say(this,
					   "if node %s never comes back: look what forgetting it means (the command "
					   "changes nothing yet)",
					   node->name),
			       explain_say(this, "dnvme node forget %s", node->name));
	}
}

static void disks_help(struct explaining *this)
{
	for (size_t i = 0; i < this->ld_count; i++) {
		const struct explained_ld *seen = &this->lds[i];
		unsigned long long disk = (unsigned long long)seen->ld->disk;

		if (seen->disk == NULL || seen->disk->draining || this->out->advice.count == LIMIT_EXPLAINED)
			continue;
		if (seen->disk->gone)
			explain_advice(this,
				       explain_say(this, "put disk d%llu of node %s back, or see why it is not there",
						   disk, seen->disk->node->name),
				       explain_say(this, "dnvme node get %s", seen->disk->node->name));
		else if (seen->ld->stale_reason == STALE_REASON_MEDIUM ||
			 online_errors(this->view, seen->ld, seen->group->slot) != NULL)
			explain_advice(this,
				       explain_say(this,
						   "disk d%llu returned errors: once all copies are in sync, have what "
						   "is on it moved away, and replace it",
						   disk),
				       explain_say(this, "dnvme disk drain d%llu", disk));
	}
}

static void waits_help(struct explaining *this)
{
	for (size_t i = 0; this->input->outlook != NULL && i < this->input->outlook->count; i++) {
		if (this->input->outlook->items[i].replace_ld != 0)
			explain_advice(this,
				       "to have lost copies replaced sooner or later than that, in all of the cluster",
				       "dnvme cluster set --rebuild-after TIME");
	}
	if (this->input->operation != NULL)
		explain_advice(
			this, "see how far the job came; dnvme job cancel undoes it as long as that is possible",
			explain_say(this, "dnvme job get j%llu", (unsigned long long)this->input->operation->id));
}

static void agents_help(struct explaining *this)
{
	for (size_t i = 0; i < this->view->node_count; i++) {
		const struct online_node *node = &this->view->nodes[i];
		struct object_status_list problems = { 0 };

		if (node->reported == NULL || node->health == HEALTH_OFFLINE)
			continue;
		if (reported_problems(node->reported, this->volume->id, this->arena, &problems, NULL) != 0)
			this->failed = true;
		if (problems.count > 0)
			explain_advice(this,
				       explain_say(this,
						   "if node %s does not get on: look at what its agent says, there and "
						   "in its journal",
						   node->name),
				       explain_say(this, "dnvme node get %s", node->name));
	}
}

void explain_help(struct explaining *this)
{
	if (this->volume->hold != NULL)
		explain_advice(this,
			       "release it, once all nodes that may have had a part of it are back, or off for good "
			       "(without --yes the command says what that means)",
			       explain_say(this, "dnvme volume release %s", this->volume->name));
	nodes_help(this);
	force_help(this);
	disks_help(this);
	agents_help(this);
	waits_help(this);
}
