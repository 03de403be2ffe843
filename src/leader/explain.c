/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/model/moving.h"
#include "src/leader/explain_internal.h"
#include "src/leader/force.h"
#include "src/leader/members.h"

/* --- texts and lists ------------------------------------------------------------------------------------------------
 */

const char *explain_say(struct explaining *this, const char *format, ...)
{
	char text[LIMIT_TEXT + 1];
	va_list arguments;
	size_t length;
	int wanted;
	char *copy;

	va_start(arguments, format);
	wanted = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	length = strlen(text);
	/* What was cut off must not be half a character: the receiver would refuse all of it. */
	if (wanted > (int)length) {
		while (length > 0 && ((unsigned char)text[length - 1] & 0xc0) == 0x80)
			length--;
		length -= length > 0;
	}
	copy = arena_strndup(this->arena, text, length);
	this->failed = this->failed || copy == NULL;
	return copy != NULL ? copy : "";
}

void *explain_room(struct explaining *this, struct any_list *list, size_t size, size_t limit)
{
	if (list->items == NULL)
		list->items = arena_alloc_array(this->arena, limit, size);
	this->failed = this->failed || list->items == NULL;
	return list->items != NULL && list->count < limit ? (char *)list->items + size * list->count++ : NULL;
}

void explain_finding(struct explaining *this, const char *object, const char *seen, uint64_t since_ms,
		     const char *meaning)
{
	struct finding *finding =
		explain_room(this, (struct any_list *)&this->out->findings, sizeof(*finding), LIMIT_EXPLAINED);

	this->out->finding_count++;
	if (finding != NULL)
		*finding = (struct finding){ .object = object, .seen = seen, .since_ms = since_ms, .meaning = meaning };
}

void explain_prospect(struct explaining *this, const struct prospect *prospect)
{
	struct prospect *room;

	for (size_t i = 0; i < this->out->prospects.count; i++) {
		if (strcmp(this->out->prospects.items[i].text, prospect->text) == 0)
			return;
	}
	room = explain_room(this, (struct any_list *)&this->out->prospects, sizeof(*room), LIMIT_EXPLAINED);
	if (room != NULL)
		*room = *prospect;
}

void explain_advice(struct explaining *this, const char *text, const char *command)
{
	struct advice *room;

	for (size_t i = 0; i < this->out->advice.count; i++) {
		if (strcmp(this->out->advice.items[i].text, text) == 0)
			return;
	}
	room = explain_room(this, (struct any_list *)&this->out->advice, sizeof(*room), LIMIT_EXPLAINED);
	if (room != NULL)
		*room = (struct advice){ .text = text, .command = command };
}

uint64_t explain_ago(const struct explaining *this, uint64_t ms)
{
	return this->view->wall_ms > ms ? this->view->wall_ms - ms : 0;
}

const char *explain_group_text(struct explaining *this, const struct explained_group *group)
{
	if (this->volume->legs.items[group->leg].groups.count == 1)
		return explain_say(this, "leg %zu", group->leg);
	return explain_say(this, "group %zu of leg %zu", group->index, group->leg);
}

/* --- what there is --------------------------------------------------------------------------------------------------
 */

static void ld_look(struct explaining *this, struct explained_group *group, const struct ld *ld,
		    struct explained_ld *seen)
{
	const struct slot *slot = &this->volume->slots.items[group->slot];
	const struct reported_health *health = online_health(this->view, slot->holder);
	const struct online_node *node;
	size_t index = 0;

	*seen = (struct explained_ld){ .group = group,
				       .ld = ld,
				       .disk = ld->state != LD_STATE_FREED ? online_disk(this->view, ld->disk) : NULL,
				       .status = reported_member(health, ld->id, slot->epoch, &index),
				       .well = members_is_well(this->view, group->slot, group->group, ld),
				       .leaves = ld == moving_ld(this->volume, group->group) };
	node = seen->disk != NULL ? seen->disk->node : NULL;
	if (seen->status != NULL && seen->status->path_lost)
		seen->path_lost_ms = seen->status->path_lost_ms + (this->view->now_ms - health->received_ms) + 1;
	if (seen->status != NULL && ld->state == LD_STATE_REBUILDING)
		seen->rate_bytes = health->rates[index];
	/* Of a node that was not heard of for a moment nothing is known. */
	seen->counts = seen->well ||
		       (ld->state == LD_STATE_IN_SYNC && !ld->withheld && node != NULL &&
			(node->health == HEALTH_UNKNOWN || node->health == HEALTH_SUSPECT) && seen->path_lost_ms == 0);
	if (seen->disk != NULL && seen->disk->gone)
		seen->counts = false;
}

uint64_t explain_missing_since(const struct explaining *this, const struct explained_ld *seen)
{
	if (seen->ld->state != LD_STATE_IN_SYNC)
		return seen->ld->since_ms;
	if (seen->disk != NULL && online_is(seen->disk->node, HEALTH_OFFLINE))
		return explain_ago(this, this->view->now_ms - seen->disk->node->heard_ms);
	return seen->path_lost_ms > 0 ? explain_ago(this, seen->path_lost_ms) : 0;
}

static void group_look(struct explaining *this, struct explained_group *group)
{
	uint64_t since_ms;

	for (size_t m = 0; m < group->group->members.count; m++) {
		struct explained_ld *seen = &this->lds[this->ld_count++];

		ld_look(this, group, &group->group->members.items[m], seen);
		group->served = group->served || (seen->ld->state == LD_STATE_IN_SYNC &&
						  force_is_served(this->view, group->slot, seen->ld));
		if (seen->counts) {
			group->last = group->copies == 0 ? seen : NULL;
			group->copies++;
			continue;
		}
		since_ms = explain_missing_since(this, seen);
		if (since_ms > 0 && (group->since_ms == 0 || since_ms < group->since_ms))
			group->since_ms = since_ms;
	}
}

static int all_look(struct explaining *this, struct error *error)
{
	const struct volume *volume = this->volume;
	size_t groups = 0;

	for (size_t l = 0; l < volume->legs.count; l++)
		groups += volume->legs.items[l].groups.count;
	this->groups = arena_alloc_array(this->arena, groups + 1, sizeof(*this->groups));
	this->lds = arena_alloc_array(this->arena, volumes_ld_count(volume) + 1, sizeof(*this->lds));
	if (this->groups == NULL || this->lds == NULL)
		return error_set_nomem(error);
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			struct explained_group *group = &this->groups[this->group_count++];

			group->leg = l;
			group->index = g;
			group->slot = leg->slot;
			group->group = &leg->groups.items[g];
			group_look(this, group);
		}
	}
	return 0;
}

/* --- how it is ------------------------------------------------------------------------------------------------------
 */

static void condition_set(struct explaining *this, enum volume_condition condition, uint64_t since_ms,
			  const char *sentence)
{
	this->out->condition = condition;
	this->out->since_ms = since_ms;
	this->out->sentence = sentence;
}

/* Whether what hosts send to some slot waits. */
static bool waits(struct explaining *this)
{
	const struct volume *volume = this->volume;

	for (size_t i = 0; i < volume->slots.count; i++) {
		const struct slot *slot = &volume->slots.items[i];
		const struct online_node *holder = online_node(this->view, slot->holder);

		if (slot->phase != SLOT_PHASE_SERVING) {
			condition_set(this, VOLUME_CONDITION_WAITING, slot->since_ms,
				      explain_say(this, "slot %zu is not served, it is %s at node %s%s%s; hosts wait",
						  i, ENUM_NAME(slot_phase, slot->phase), slot->holder,
						  slot->reason != 0 ? " after " : "",
						  slot->reason != 0 ? ENUM_NAME(move_reason, slot->reason) : ""));
			return true;
		}
		if (online_is(holder, HEALTH_OFFLINE)) {
			condition_set(this, VOLUME_CONDITION_WAITING,
				      explain_ago(this, this->view->now_ms - holder->heard_ms),
				      explain_say(this,
						  "node %s, which holds slot %zu, is offline; hosts wait, unless it is "
						  "only cut off from "
						  "the servers",
						  slot->holder, i));
			return true;
		}
	}
	for (size_t i = 0; i < this->group_count; i++) {
		struct explained_group *group = &this->groups[i];

		if (group->copies == 0 && !group->served) {
			condition_set(this, VOLUME_CONDITION_WAITING, group->since_ms,
				      explain_say(this, "no copy of %s can be relied on; hosts wait",
						  explain_group_text(this, group)));
			return true;
		}
	}
	return false;
}

static const char *copies_text(struct explaining *this, size_t count)
{
	return explain_say(this, "%zu %s", count, count == 1 ? "copy" : "copies");
}

/* Whether copies are missing. */
static bool lacks_copies(struct explaining *this)
{
	const struct explained_group *worst = NULL;
	uint64_t since_ms = 0;
	size_t count = 0;

	for (size_t i = 0; i < this->group_count; i++) {
		const struct explained_group *group = &this->groups[i];

		if (group->copies >= this->volume->copies)
			continue;
		count++;
		if (worst == NULL || group->copies < worst->copies)
			worst = group;
		if (group->since_ms > 0 && (since_ms == 0 || group->since_ms < since_ms))
			since_ms = group->since_ms;
	}
	if (worst == NULL)
		return false;
	if (worst->copies == 0) {
		condition_set(
			this, VOLUME_CONDITION_DEGRADED, since_ms,
			explain_say(this,
				    "no copy of %s can be relied on, but its holder says that it goes on with one",
				    explain_group_text(this, worst)));
		return true;
	}
	condition_set(this, VOLUME_CONDITION_DEGRADED, since_ms,
		      explain_say(this, "every write has %s instead of %llu on %s%s", copies_text(this, worst->copies),
				  (unsigned long long)this->volume->copies, explain_group_text(this, worst),
				  count > 1 ? explain_say(this, ", and fewer than wanted on %zu of %zu groups in all",
							  count, this->group_count)
					    : ""));
	return true;
}

/* Standbys that are there, ready or about to be. */
static size_t standbys_count(const struct explaining *this)
{
	size_t count = 0;

	for (size_t i = 0; i < this->volume->controllers.count; i++) {
		const struct controller *controller = &this->volume->controllers.items[i];
		const struct object_status *status = online_controller(this->view, controller->node);
		const struct online_node *node = online_node(this->view, controller->node);

		count += controller->role == CONTROLLER_ROLE_STANDBY && node != NULL && !node->unable &&
			 node->health != HEALTH_OFFLINE && (status == NULL || status->state != OBJECT_STATE_FAILED);
	}
	return count;
}

static void condition_online(struct explaining *this)
{
	const struct volume *volume = this->volume;
	size_t standbys = standbys_count(this);

	if (waits(this) || lacks_copies(this))
		return;
	if (standbys < volume->standbys)
		condition_set(this, VOLUME_CONDITION_DEGRADED, 0,
			      explain_say(this, "every write has %s, but of %llu standbys %zu can take a slot over",
					  copies_text(this, volume->copies), (unsigned long long)volume->standbys,
					  standbys));
	else
		condition_set(this, VOLUME_CONDITION_WELL, 0,
			      explain_say(this, "every slot is served, and every write has %s%s%s",
					  copies_text(this, volume->copies),
					  this->input->operation != NULL ? "; a job works on it" : "",
					  this->out->finding_count > 0 ? "; what is found does no harm now" : ""));
}

static void condition_tell(struct explaining *this)
{
	const struct volume *volume = this->volume;
	const char *phase = ENUM_NAME(volume_phase, volume->phase);

	if (volume->hold != NULL)
		condition_set(this, VOLUME_CONDITION_HELD, volume->hold->time_ms,
			      "nothing is done with it until its operator releases it: the servers lost their majority "
			      "for good, and what the state says of it may be too old");
	else if (volume->phase == VOLUME_PHASE_ONLINE)
		condition_online(this);
	else if (volume->phase >= VOLUME_PHASE_UNEXPORTING)
		condition_set(this, VOLUME_CONDITION_BEING_DELETED, 0, explain_say(this, "it is in phase %s", phase));
	else
		condition_set(this, VOLUME_CONDITION_BEING_MADE, volume->created_ms,
			      explain_say(this, "it is in phase %s, and not usable yet", phase));
}

bool explain_needs_placement(const struct online_step *step, const struct online_outlook *outlook)
{
	for (size_t i = 0; i < outlook->count; i++) {
		if (outlook->items[i].replace_ld != 0)
			return true;
	}
	return step->add_standby || step->replace_ld != 0 || step->move_ld != 0;
}

int explain_volume(const struct explain_input *input, struct arena *arena, struct volume_explanation *ret_explanation,
		   struct error *error)
{
	struct volume_explanation out = { .id = input->view->volume->id,
					  .name = input->view->volume->name,
					  .time_ms = input->view->wall_ms,
					  .revision = input->view->volume->revision,
					  .job = input->operation != NULL ? input->operation->id : 0,
					  .events = input->events };
	struct explaining this = {
		.input = input, .view = input->view, .volume = input->view->volume, .arena = arena, .out = &out
	};

	if (all_look(&this, error) != 0)
		return error_set_nomem(error);
	explain_held(&this);
	explain_found(&this);
	condition_tell(&this);
	explain_next(&this);
	explain_help(&this);
	if (this.failed)
		return error_set_nomem(error);
	*ret_explanation = out;
	return 0;
}
