/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_drain.h"

#include <string.h>

#include "fsm/policy/placement.h"
#include "lib/model/moving.h"
#include "lib/model/names.h"
#include "src/dnvmed.h"
#include "src/list.h"
#include "src/page.h"
#include "src/request.h"
#include "src/view.h"

#define CHUNK 64u

/* --- what would move where ------------------------------------------------------------------------------------------
 */

struct planning {
	struct request *request;
	struct placement_view view; /* with the disks that are drained cordoned, and with what was placed so far */
	const uint64_t *disks;
	size_t disk_count;
	struct disk_drain_plan plan;
};

static struct disk *disk_find(struct planning *this, uint64_t id)
{
	for (size_t i = 0; i < this->view.disks.count; i++) {
		if (this->view.disks.items[i].id == id)
			return &this->view.disks.items[i];
	}
	return NULL;
}

static bool is_drained(const struct planning *this, uint64_t disk)
{
	for (size_t i = 0; i < this->disk_count; i++) {
		if (this->disks[i] == disk)
			return true;
	}
	return false;
}

static int cannot(struct planning *this, struct drain_item *item, const char *why, struct error *error)
{
	item->why = why;
	this->plan.blocking++;
	return why != NULL ? 0 : error_set_nomem(error);
}

/* Those that are placed already take their room from those that come behind. */
static int place(struct planning *this, const struct volume *volume, const struct ld *ld, uint64_t extents,
		 struct drain_item *item, struct error *error)
{
	struct arena *arena = &this->request->arena;
	struct error reason;
	struct disk *found;
	uint64_t disk;
	int rv;

	if (volume->copies < 2)
		return cannot(this, item,
			      "its volume has one copy, which has no mirror that another one could come into", error);
	rv = placement_move(&this->view, volume, ld->id, arena, &disk, &reason);
	if (rv == ERROR_NO_CAPACITY)
		return cannot(this, item,
			      arena_printf(arena, "%.300s%s%.600s", reason.message,
					   reason.details[0] != '\0' ? ": " : "", reason.details),
			      error);
	if (rv != 0) {
		*error = reason;
		return rv;
	}
	found = disk_find(this, disk);
	item->to = disk;
	if (found != NULL) {
		item->node = found->node;
		found->extents_free -= extents < found->extents_free ? extents : found->extents_free;
	}
	return 0;
}

static int ld_plan(struct planning *this, const struct volume *volume, const struct leg *leg, const struct group *group,
		   const struct ld *ld, struct error *error)
{
	uint64_t extents = group->extents != 0 ? group->extents : leg->group_extents, bytes;
	struct drain_item *item;

	if (__builtin_mul_overflow(extents, this->view.extent_bytes, &bytes) ||
	    __builtin_add_overflow(this->plan.size_bytes, bytes, &this->plan.size_bytes))
		this->plan.size_bytes = bytes = UINT64_MAX;
	this->plan.count++;
	if (this->plan.items.count == LIMIT_DRAIN_ITEMS)
		return 0;
	item = list_grow(&this->request->arena, (struct any_list *)&this->plan.items, sizeof(*item));
	if (item == NULL)
		return error_set_nomem(error);
	*item = (struct drain_item){ .ld = ld->id, .volume = volume->name, .disk = ld->disk, .size_bytes = bytes };
	return place(this, volume, ld, extents, item, error);
}

static int volume_plan(struct planning *this, uint64_t id, struct error *error)
{
	struct volume *volume = arena_alloc(&this->request->arena, sizeof(*volume));

	if (volume == NULL)
		return error_set_nomem(error);
	if (fsm_volume_get(this->request->dnvmed->fsm, id, &this->request->arena, volume, error) != 0)
		return error->code;
	/* What is being deleted leaves by itself. */
	if (volume->phase == VOLUME_PHASE_UNEXPORTING || volume->phase == VOLUME_PHASE_DISMANTLING ||
	    volume->phase == VOLUME_PHASE_RELEASING)
		return 0;
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			const struct group *group = &leg->groups.items[g];

			for (size_t m = 0; m < group->members.count; m++) {
				const struct ld *ld = &group->members.items[m];

				/* One that is on its way has a place. */
				if (ld->state == LD_STATE_FREED || !is_drained(this, ld->disk) ||
				    ld == moving_ld(volume, group))
					continue;
				if (ld_plan(this, volume, leg, group, ld, error) != 0)
					return error->code;
			}
		}
	}
	return 0;
}

static int node_plan(struct planning *this, const char *node, struct error *error)
{
	struct fsm *fsm = this->request->dnvmed->fsm;
	uint64_t after = 0, *ids;
	size_t count = CHUNK;

	while (count == CHUNK) {
		if (fsm_node_volume_list(fsm, node, after, CHUNK, &this->request->arena, &ids, &count, error) != 0)
			return error->code;
		for (size_t i = 0; i < count; i++) {
			if (volume_plan(this, after = ids[i], error) != 0)
				return error->code;
		}
	}
	return 0;
}

static int disks_parse(struct request *request, uint64_t *disks, struct error *error)
{
	const struct disk_drain_request *params = request->params;

	for (size_t i = 0; i < params->disks.count; i++) {
		if (names_id_parse("d", params->disks.items[i], &disks[i]) == 0)
			continue;
		error_set(error, ERROR_INVALID_ARGUMENT, "disks: \"%s\" is not the id of a disk",
			  params->disks.items[i]);
		return error_hint(error, "ids of disks are like d1; run: dnvme disk list");
	}
	if (params->disks.count == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "disks: none is given");
	return 0;
}

/* The disks of one node after those of another one. */
static int plan_make(struct request *request, struct disk_drain_plan *ret_plan, struct error *error)
{
	const struct disk_drain_request *params = request->params;
	uint64_t disks[LIMIT_DISKS_PER_NODE];
	struct planning this = { .request = request, .disks = disks, .disk_count = params->disks.count };

	if (disks_parse(request, disks, error) != 0 ||
	    view_fill(request->dnvmed, &request->arena, &this.view, error) != 0)
		return error->code;
	for (size_t i = 0; i < params->disks.count; i++) {
		struct disk *disk = disk_find(&this, disks[i]);

		if (disk == NULL)
			return error_set(error, ERROR_NOT_FOUND, "there is no disk d%llu",
					 (unsigned long long)disks[i]);
		disk->cordoned = true;
	}
	for (size_t i = 0; i < params->disks.count; i++) {
		const char *node = disk_find(&this, disks[i])->node;
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen = seen || strcmp(disk_find(&this, disks[j])->node, node) == 0;
		if (!seen && node_plan(&this, node, error) != 0)
			return error->code;
	}
	*ret_plan = this.plan;
	return 0;
}

int disk_drain_plan_answer(struct request *request, struct error *error)
{
	struct disk_drain_plan plan;

	if (plan_make(request, &plan, error) != 0)
		return error->code;
	request_reply(request, &plan);
	return 0;
}

/* --- doing it -------------------------------------------------------------------------------------------------------
 */

static int refuse(const struct disk_drain_plan *plan, struct error *error)
{
	error_set(error, ERROR_NO_CAPACITY, "%llu of %llu LDs cannot move to another disk; nothing was changed",
		  (unsigned long long)plan->blocking, (unsigned long long)plan->count);
	for (size_t i = 0; i < plan->items.count; i++) {
		const struct drain_item *item = &plan->items.items[i];

		if (item->to == 0)
			error_detail(error, "ld%llu of volume %s: %s", (unsigned long long)item->ld, item->volume,
				     item->why);
	}
	return error_hint(error,
			  "add a disk on another node, or uncordon one; a volume with one copy has to be deleted, "
			  "or its data copied to another one by a host");
}

static int drain(struct request *request, bool draining, struct command *command, struct error *error)
{
	const struct disk_drain_request *params = request->params;

	command->disk_drain = arena_alloc(&request->arena, sizeof(*command->disk_drain));
	if (command->disk_drain == NULL)
		return error_set_nomem(error);
	*command->disk_drain = (struct command_disk_drain){ .disks = params->disks, .draining = draining };
	return 0;
}

int disk_drain_prepare(struct request *request, struct command *command, struct error *error)
{
	struct disk_drain_plan plan;

	if (plan_make(request, &plan, error) != 0)
		return error->code;
	return plan.blocking > 0 ? refuse(&plan, error) : drain(request, true, command, error);
}

int disk_undrain_prepare(struct request *request, struct command *command, struct error *error)
{
	uint64_t disks[LIMIT_DISKS_PER_NODE];

	return disks_parse(request, disks, error) != 0 ? (int)error->code : drain(request, false, command, error);
}
