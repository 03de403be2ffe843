/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/model/moving.h"
#include "src/leader/explain_internal.h"
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

/* Room for one more in a list of at most `limit`; NULL: there is none. */
static void *list_room(struct explaining *this, struct any_list *list, size_t size, size_t limit)
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
		list_room(this, (struct any_list *)&this->out->findings, sizeof(*finding), LIMIT_EXPLAINED);

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
	room = list_room(this, (struct any_list *)&this->out->prospects, sizeof(*room), LIMIT_EXPLAINED);
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
	room = list_room(this, (struct any_list *)&this->out->advice, sizeof(*room), LIMIT_EXPLAINED);
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

/* --- who holds what -------------------------------------------------------------------------------------------------
 */

static enum health health_of(const struct explaining *this, const char *name)
{
	const struct online_node *node = online_node(this->view, name);

	return node != NULL ? node->health : HEALTH_UNKNOWN;
}

static void slots_tell(struct explaining *this)
{
	for (size_t i = 0; i < this->volume->slots.count; i++) {
		const struct slot *slot = &this->volume->slots.items[i];
		struct explained_slot *told =
			list_room(this, (struct any_list *)&this->out->slots, sizeof(*told), LIMIT_CONTROLLERS);

		if (told != NULL)
			*told = (struct explained_slot){ .slot = i,
							 .holder = slot->holder,
							 .health = health_of(this, slot->holder),
							 .epoch = slot->epoch,
							 .phase = slot->phase,
							 .reason = slot->reason,
							 .since_ms = slot->since_ms };
	}
}

static void controller_tell(struct explaining *this, const struct controller *controller)
{
	const struct object_status *status = online_controller(this->view, controller->node);
	const struct online_node *node = online_node(this->view, controller->node);
	enum object_state wanted =
		controller->role == CONTROLLER_ROLE_RETIRED ? OBJECT_STATE_ABSENT : OBJECT_STATE_CONVERGED;
	struct explained_controller *told =
		list_room(this, (struct any_list *)&this->out->controllers, sizeof(*told), LIMIT_COLOURS);
	struct online_step step = ONLINE_STEP_INIT;

	if (told == NULL)
		return;
	*told = (struct explained_controller){ .node = controller->node,
					       .role = controller->role,
					       .health = health_of(this, controller->node) };
	if (node != NULL && node->unable) {
		told->note = "its kernel lacks the write-through target, which the volume's durability needs";
	} else if (told->health != HEALTH_OFFLINE && online_at(this->view, status, wanted)) {
		told->ready = true;
	} else if (online_wait_controller(this->view, controller->node, wanted, this->arena, &step, NULL) != 0) {
		this->failed = true;
	} else {
		told->note = explain_say(this, "%s", step.waits_for);
	}
}

static void controllers_tell(struct explaining *this)
{
	for (size_t i = 0; i < this->volume->controllers.count; i++) {
		if (this->volume->controllers.items[i].role != CONTROLLER_ROLE_ACTIVE)
			controller_tell(this, &this->volume->controllers.items[i]);
	}
}

static void member_tell(struct explaining *this, const struct explained_ld *seen)
{
	struct explained_member *told =
		list_room(this, (struct any_list *)&this->out->members, sizeof(*told), LIMIT_EXPLAINED_MEMBERS);
	const struct online_node *node = seen->disk != NULL ? seen->disk->node : NULL;

	if (told == NULL)
		return;
	*told = (struct explained_member){ .leg = seen->group->leg,
					   .group = seen->group->index,
					   .slot = seen->group->slot,
					   .ld = seen->ld->id,
					   .disk = seen->ld->disk,
					   .node = node != NULL ? node->name : NULL,
					   .health = node != NULL ? node->health : 0,
					   .state = seen->ld->state,
					   .since_ms = seen->ld->since_ms,
					   .well = seen->well,
					   .leaves = seen->leaves };
	if (seen->ld->state != LD_STATE_IN_SYNC)
		told->reason = seen->ld->stale_reason;
	if (seen->ld->state == LD_STATE_REBUILDING && seen->status != NULL) {
		told->done_bytes = seen->status->done_bytes;
		told->total_bytes = seen->status->total_bytes;
		told->rate_bytes = seen->rate_bytes;
	}
}

static void members_tell(struct explaining *this)
{
	size_t bad = 0, room;

	for (size_t i = 0; i < this->ld_count; i++)
		bad += !this->lds[i].well;
	room = bad < LIMIT_EXPLAINED_MEMBERS ? LIMIT_EXPLAINED_MEMBERS - bad : 0;
	for (size_t i = 0; i < this->ld_count; i++) {
		if (!this->lds[i].well || room > 0)
			member_tell(this, &this->lds[i]);
		if (this->lds[i].well && room > 0)
			room--;
	}
	this->out->member_count = this->ld_count;
}

static void host_tell(struct explaining *this, const char *nqn)
{
	const struct reach *reach = this->view->reach;
	struct explained_host *told =
		list_room(this, (struct any_list *)&this->out->hosts, sizeof(*told), LIMIT_HOSTS_PER_VOLUME);

	if (told == NULL)
		return;
	*told = (struct explained_host){ .nqn = nqn };
	for (size_t h = 0; reach != NULL && h < reach->count; h++) {
		const struct reach_host *host = reach->hosts[h];

		for (size_t i = 0; strcmp(host->nqn, nqn) == 0 && i < this->volume->controllers.count; i++) {
			const char *node = this->volume->controllers.items[i].node;
			enum reach_state state = reach_of(host, node, this->view->now_ms, NULL);
			struct string_list *list = state == REACH_LIVE ? &told->live : &told->lost;
			const char **name;

			if (state == REACH_UNSAID)
				continue;
			told->tells = true;
			name = list_room(this, (struct any_list *)list, sizeof(*name), LIMIT_COLOURS);
			if (name != NULL)
				*name = node;
		}
	}
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
				      explain_say(this, "node %s, which holds slot %zu, is offline; hosts wait",
						  slot->holder, i));
			return true;
		}
	}
	for (size_t i = 0; i < this->group_count; i++) {
		struct explained_group *group = &this->groups[i];

		if (group->copies == 0) {
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
	slots_tell(&this);
	controllers_tell(&this);
	members_tell(&this);
	for (size_t i = 0; i < this.volume->hosts.count; i++)
		host_tell(&this, this.volume->hosts.items[i]);
	explain_found(&this);
	condition_tell(&this);
	explain_next(&this);
	explain_help(&this);
	if (this.failed)
		return error_set_nomem(error);
	*ret_explanation = out;
	return 0;
}
