/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds what of a volume. */
#include <string.h>

#include "lib/base/limits.h"
#include "src/leader/explain_internal.h"

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
			explain_room(this, (struct any_list *)&this->out->slots, sizeof(*told), LIMIT_CONTROLLERS);

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
		explain_room(this, (struct any_list *)&this->out->controllers, sizeof(*told), LIMIT_COLOURS);
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
		explain_room(this, (struct any_list *)&this->out->members, sizeof(*told), LIMIT_EXPLAINED_MEMBERS);
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
		explain_room(this, (struct any_list *)&this->out->hosts, sizeof(*told), LIMIT_HOSTS_PER_VOLUME);

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
			name = explain_room(this, (struct any_list *)list, sizeof(*name), LIMIT_COLOURS);
			if (name != NULL)
				*name = node;
		}
	}
}

void explain_held(struct explaining *this)
{
	slots_tell(this);
	controllers_tell(this);
	members_tell(this);
	for (size_t i = 0; i < this->volume->hosts.count; i++)
		host_tell(this, this->volume->hosts.items[i]);
}
