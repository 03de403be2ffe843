/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_forget.h"

#include <string.h>

#include "lib/base/log.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/page.h"
#include "src/request.h"

#define CHUNK 64u

/* --- what it holds ------------------------------------------------------------------------------------------------ */

struct listing {
	struct request *request;
	const char *node;
	struct disk_list disks; /* of the node */
	struct node_forget_plan plan;
};

static int item_add(struct listing *this, bool blocks, const char *what, struct error *error)
{
	struct forget_item *item;

	if (what == NULL)
		return error_set_nomem(error);
	this->plan.count++;
	this->plan.blocking += blocks;
	if (this->plan.items.count == LIMIT_FORGET_ITEMS)
		return 0;
	item = list_grow(&this->request->arena, (struct any_list *)&this->plan.items, sizeof(*item));
	if (item == NULL)
		return error_set_nomem(error);
	*item = (struct forget_item){ .what = what, .blocks = blocks };
	return 0;
}

static bool is_on_node(const struct listing *this, const struct ld *ld)
{
	for (size_t i = 0; i < this->disks.count; i++) {
		if (this->disks.items[i].id == ld->disk)
			return ld->state != LD_STATE_FREED;
	}
	return false;
}

static int member_list(struct listing *this, const struct volume *volume, const struct group *group,
		       const struct ld *ld, struct error *error)
{
	struct arena *arena = &this->request->arena;
	unsigned long long id = ld->id, disk = ld->disk;

	if (volume->phase == VOLUME_PHASE_RELEASING)
		return item_add(this, false,
				arena_printf(arena,
					     "ld%llu on disk d%llu, volume %s, which is being deleted: counts as gone",
					     id, disk, volume->name),
				error);
	if (group->state != 0)
		return item_add(
			this, false,
			arena_printf(arena,
				     "ld%llu on disk d%llu, which is to make volume %s larger: its job is undone", id,
				     disk, volume->name),
			error);
	if (ld->state == LD_STATE_IN_SYNC)
		return item_add(
			this, true,
			arena_printf(arena,
				     "ld%llu on disk d%llu, volume %s, is in sync: bring the node back, wait until "
				     "another copy takes over, delete the volume, or dnvme volume force %s",
				     id, disk, volume->name, volume->name),
			error);
	return item_add(
		this, false,
		arena_printf(arena,
			     "ld%llu on disk d%llu, volume %s, is %s: it is lost, and another disk takes its place", id,
			     disk, volume->name, ENUM_NAME(ld_state, ld->state)),
		error);
}

static int lds_list(struct listing *this, const struct volume *volume, struct error *error)
{
	struct arena *arena = &this->request->arena;

	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct group *group = &volume->legs.items[l].groups.items[g];
			const struct ld_list *members = &group->members;

			for (size_t m = 0; m < members->count; m++) {
				if (is_on_node(this, &members->items[m]) &&
				    member_list(this, volume, group, &members->items[m], error) != 0)
					return error->code;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		const struct ld *ld = volume->leaving.items[i].ld;

		if (is_on_node(this, ld) &&
		    item_add(this, false,
			     arena_printf(
				     arena,
				     "ld%llu on disk d%llu, volume %s, of which another one took the place: counts as "
				     "gone",
				     (unsigned long long)ld->id, (unsigned long long)ld->disk, volume->name),
			     error) != 0)
			return error->code;
	}
	return 0;
}

static int controller_list(struct listing *this, const struct volume *volume, const struct controller *controller,
			   struct error *error)
{
	struct arena *arena = &this->request->arena;
	unsigned long long slot = controller->slot;

	switch (controller->role) {
	case CONTROLLER_ROLE_ACTIVE:
		return item_add(
			this, true,
			arena_printf(arena,
				     "slot %llu of volume %s, %s: it has to move to another node first; dnvme volume "
				     "get %s says what it waits for",
				     slot, volume->name, ENUM_NAME(volume_phase, volume->phase), volume->name),
			error);
	case CONTROLLER_ROLE_STANDBY:
		return item_add(this, false,
				arena_printf(arena, "a standby of volume %s: dropped, another node takes its place",
					     volume->name),
				error);
	case CONTROLLER_ROLE_RETIRED:
		break;
	}
	return item_add(
		this, false,
		arena_printf(arena,
			     "what it may have left of volume %s in its kernel, slot %llu in epoch %llu: nobody "
			     "waits any more until it is taken down",
			     volume->name, slot, (unsigned long long)controller->epoch),
		error);
}

static int volume_list(struct listing *this, uint64_t id, struct error *error)
{
	struct volume volume;

	if (fsm_volume_get(this->request->dnvmed->fsm, id, &this->request->arena, &volume, error) != 0)
		return error->code;
	for (size_t i = 0; i < volume.controllers.count; i++) {
		if (strcmp(volume.controllers.items[i].node, this->node) == 0 &&
		    controller_list(this, &volume, &volume.controllers.items[i], error) != 0)
			return error->code;
	}
	return lds_list(this, &volume, error);
}

static int disks_list(struct listing *this, struct error *error)
{
	for (size_t i = 0; i < this->disks.count; i++) {
		const struct disk *disk = &this->disks.items[i];

		if (item_add(this, false,
			     arena_printf(&this->request->arena, "disk d%llu, %s: removed",
					  (unsigned long long)disk->id, disk->path),
			     error) != 0)
			return error->code;
	}
	return 0;
}

int node_forget_plan_answer(struct request *request, struct error *error)
{
	const struct node_forget_request *params = request->params;
	const struct agent *agent = agents_get(request->dnvmed, params->name);
	struct listing this = { .request = request, .node = params->name };
	struct fsm *fsm = request->dnvmed->fsm;
	struct node node;
	uint64_t after = 0, *ids;
	size_t count = CHUNK;
	bool more;

	if (fsm_node_get(fsm, params->name, &request->arena, &node, error) != 0)
		return error->code;
	this.plan.name = node.name;
	this.plan.health = agent != NULL ? agent->health.state : HEALTH_UNKNOWN;
	this.plan.heartbeat_age_ms = agent != NULL ? agents_age_ms(agent) : 0;
	if (fsm_disk_list(fsm, node.name, 0, LIMIT_DISKS_PER_NODE, &request->arena, &this.disks, &more, error) != 0 ||
	    disks_list(&this, error) != 0)
		return error->code;
	while (count == CHUNK) {
		if (fsm_node_volume_list(fsm, node.name, after, CHUNK, &request->arena, &ids, &count, error) != 0)
			return error->code;
		for (size_t i = 0; i < count; i++) {
			if (volume_list(&this, after = ids[i], error) != 0)
				return error->code;
		}
	}
	request_reply(request, &this.plan);
	return 0;
}

/* --- doing it ----------------------------------------------------------------------------------------------------- */

/* Whoever may come back with its next heartbeat is not dead. */
static int offline_check(struct dnvmed *dnvmed, const char *name, struct error *error)
{
	const struct agent *agent = agents_get(dnvmed, name);
	enum health health = agent != NULL ? agent->health.state : HEALTH_UNKNOWN;

	if (health == HEALTH_OFFLINE)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "node %s is %s, not offline", name, ENUM_NAME(health, health));
	return error_hint(error, "ask again in a few seconds");
}

int node_forget_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct node_forget_request *params = request->params;
	const struct agent *agent = agents_get(request->dnvmed, params->name);
	struct node node;

	if (fsm_node_get(request->dnvmed->fsm, params->name, &request->arena, &node, error) != 0)
		return error->code;
	/* It would be back with its next hello. */
	if (agent != NULL && agent->session != NULL) {
		error_set(error, ERROR_FAILED_PRECONDITION, "the agent of node %s is connected", params->name);
		return error_hint(error, "stop dnvme-agent on the node first");
	}
	if (params->dead && offline_check(request->dnvmed, params->name, error) != 0)
		return error->code;
	command->node_forget = arena_alloc(&request->arena, sizeof(*command->node_forget));
	if (command->node_forget == NULL)
		return error_set_nomem(error);
	*command->node_forget = (struct command_node_forget){ .name = params->name, .dead = params->dead };
	return 0;
}

void node_forget_committed(struct request *request, const struct outcome *outcome)
{
	const struct node_forget_request *params = request->params;
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };

	if (params->dead)
		log_warning(
			"a node is forgotten with what it held: it must never come back with the kernel that it had",
			"node=%s revision=%llu by=\"%s\"", params->name, (unsigned long long)outcome->revision,
			params->by != NULL ? params->by : "");
	request_reply(request, &reply);
}
