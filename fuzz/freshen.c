/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that fit the present state. */
#include <string.h>

#include "fsm/policy/placement.h"
#include "fuzz/words.h"
#include "fuzz/world.h"

/* --- placement ---------------------------------------------------------------------------------------------------- */

static bool view_read(struct world *world, struct arena *arena, struct placement_view *ret_view)
{
	struct placement_view view = { 0 };
	struct cluster cluster;
	bool more;

	if (fsm_cluster_get(world->fsm, arena, &cluster, NULL) != 0 ||
	    fsm_node_list(world->fsm, NULL, 0, arena, &view.nodes, &more, NULL) != 0 ||
	    fsm_disk_list(world->fsm, NULL, 0, 0, arena, &view.disks, &more, NULL) != 0)
		return false;
	view.extent_bytes = cluster.extent_bytes;
	*ret_view = view;
	return true;
}

static void place(struct world *world, struct command_volume_create *create, struct arena *arena)
{
	struct placement_request request = { .name = create->name,
					     .size_bytes = create->size_bytes,
					     .copies = create->copies,
					     .controllers = create->actives.count,
					     .standbys = create->standbys,
					     .legs_per_controller = create->legs_per_controller,
					     .spread = create->spread,
					     .provision = create->provision,
					     .durability = create->durability };
	struct command_volume_create placed;
	struct placement_view view;

	memcpy(request.uuid, create->uuid, sizeof(request.uuid));
	if (view_read(world, arena, &view) && placement_plan(&request, &view, arena, &placed, NULL) == 0)
		*create = placed;
}

static void place_extend(struct world *world, struct command_volume_extend *extend, struct arena *arena)
{
	struct command_volume_extend placed;
	struct placement_view view;
	struct volume volume;

	if (fsm_volume_get(world->fsm, extend->id, arena, &volume, NULL) != 0 || !view_read(world, arena, &view) ||
	    placement_extend(&view, &volume, extend->size_bytes, arena, &placed, NULL) != 0)
		return;
	placed.deadline_ms = extend->deadline_ms;
	*extend = placed;
}

static void place_snapshot(struct world *world, struct command_snapshot_create *create, struct arena *arena)
{
	struct placement_view view;
	struct volume volume;

	if (fsm_volume_get(world->fsm, create->id, arena, &volume, NULL) == 0 && view_read(world, arena, &view))
		placement_snapshot(&view, &volume, arena, &create->legs, NULL);
}

/* --- the present -------------------------------------------------------------------------------------------------- */

static const struct slot *slot_of(const struct volume *volume, uint64_t slot)
{
	return slot < volume->slots.count ? &volume->slots.items[slot] : NULL;
}

static void present(uint64_t *field, uint64_t value)
{
	if (*field == WORDS_PRESENT)
		*field = value;
}

/* The question that is asked of an LD; 1 if none is. */
static uint64_t drain_of(const struct volume *volume, uint64_t id)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (members->items[m].id == id && members->items[m].drain > 0)
					return members->items[m].drain;
			}
		}
	}
	return 1;
}

static void advance_freshen(struct command_slot_advance *advance, const struct slot *slot)
{
	if (slot == NULL || advance->from != advance->to)
		return;
	advance->from = slot->phase;
	advance->to = slot->phase == SLOT_PHASE_EXPORTING ? SLOT_PHASE_SERVING : (enum slot_phase)(slot->phase + 1);
	if (enum_schema_name(enum_schema_slot_phase(), (int)advance->to) == NULL)
		advance->to = slot->phase;
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

static enum operation_phase phase_behind(const struct operation *operation)
{
	switch (operation->phase) {
	case OPERATION_PHASE_MOVING:
		return OPERATION_PHASE_OVER;
	case OPERATION_PHASE_JOINING:
		return operation->kind == JOB_KIND_SNAPSHOT ? OPERATION_PHASE_PAUSING : OPERATION_PHASE_RESIZING;
	case OPERATION_PHASE_RESIZING:
	case OPERATION_PHASE_RESUMING:
		return OPERATION_PHASE_OVER;
	default:
		return operation->phase == OPERATION_PHASE_OVER ? OPERATION_PHASE_OVER
								: (enum operation_phase)(operation->phase + 1);
	}
}

static void job_advance_freshen(struct world *world, struct command_job_advance *advance, struct arena *arena)
{
	struct operation operation;
	struct volume volume;

	if (fsm_operation_get(world->fsm, advance->id, arena, &operation, NULL) != 0)
		return;
	if (fsm_volume_get(world->fsm, operation.volume, arena, &volume, NULL) == 0)
		present(&advance->revision, volume.revision);
	if (advance->from != advance->to)
		return;
	advance->from = operation.phase;
	advance->to = phase_behind(&operation);
}

/* No job is undone, or tries again, when it is over. */
static void phase_freshen(struct world *world, uint64_t job, enum operation_phase *phase, struct arena *arena)
{
	struct operation operation;

	if (*phase == OPERATION_PHASE_OVER && fsm_operation_get(world->fsm, job, arena, &operation, NULL) == 0)
		*phase = operation.phase;
}

static void retry_freshen(struct world *world, struct command_snapshot_retry *retry, struct arena *arena)
{
	struct operation operation;
	struct volume volume;

	phase_freshen(world, retry->id, &retry->from, arena);
	if (retry->thin == LIMIT_THINS && fsm_operation_get(world->fsm, retry->id, arena, &operation, NULL) == 0 &&
	    fsm_volume_get(world->fsm, operation.volume, arena, &volume, NULL) == 0 && volume.snapshots.count > 0)
		retry->thin = volume.snapshots.items[volume.snapshots.count - 1].thin;
}

static void forget_freshen(struct world *world, struct command_job_forget *forget, struct arena *arena)
{
	struct operation operation;

	if (fsm_operation_get(world->fsm, forget->id, arena, &operation, NULL) == 0)
		present(&forget->revision, operation.revision);
}

static void jobs_freshen(struct world *world, struct command *command, struct arena *arena)
{
	if (command->volume_extend != NULL && command->volume_extend->legs.count == 0)
		place_extend(world, command->volume_extend, arena);
	if (command->snapshot_create != NULL && command->snapshot_create->legs.count == 0)
		place_snapshot(world, command->snapshot_create, arena);
	if (command->job_advance != NULL)
		job_advance_freshen(world, command->job_advance, arena);
	if (command->job_fail != NULL)
		phase_freshen(world, command->job_fail->id, &command->job_fail->from, arena);
	if (command->snapshot_retry != NULL)
		retry_freshen(world, command->snapshot_retry, arena);
	if (command->job_forget != NULL)
		forget_freshen(world, command->job_forget, arena);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

#define FRESHEN(name)                                                                                                  \
	if (command->name != NULL && fsm_volume_get(world->fsm, command->name->volume, arena, &volume, NULL) == 0) {   \
		slot = slot_of(&volume, command->name->slot);                                                          \
		present(&command->name->epoch, slot != NULL ? slot->epoch : 1);                                        \
	}

void world_freshen(struct world *world, struct command *command, struct arena *arena)
{
	const struct slot *slot = NULL;
	struct volume volume = { 0 };

	if (command->volume_create != NULL && command->volume_create->legs.count == 0)
		place(world, command->volume_create, arena);
	FRESHEN(slot_move)
	FRESHEN(slot_advance)
	FRESHEN(lds_stale)
	FRESHEN(ld_rebuild)
	FRESHEN(ld_in_sync)
	FRESHEN(ld_settle)
	FRESHEN(ld_drain)
	FRESHEN(ld_excuse)
	FRESHEN(ld_replace)
	FRESHEN(slot_force)
	FRESHEN(ld_move)
	FRESHEN(ld_moved)
	if (command->slot_advance != NULL) {
		advance_freshen(command->slot_advance, slot);
		present(&command->slot_advance->revision, volume.revision);
	}
	if (command->ld_in_sync != NULL)
		present(&command->ld_in_sync->revision, volume.revision);
	if (command->ld_moved != NULL)
		present(&command->ld_moved->revision, volume.revision);
	if (command->ld_settle != NULL)
		present(&command->ld_settle->revision, volume.revision);
	if (command->slot_force != NULL)
		present(&command->slot_force->revision, volume.revision);
	if (command->ld_excuse != NULL)
		present(&command->ld_excuse->drain, drain_of(&volume, command->ld_excuse->ld));
	if (command->volume_advance != NULL &&
	    fsm_volume_get(world->fsm, command->volume_advance->id, arena, &volume, NULL) == 0) {
		struct command_volume_advance *advance = command->volume_advance;

		present(&advance->revision, volume.revision);
		if (advance->from == advance->to) {
			advance->from = volume.phase;
			advance->to = (enum volume_phase)(volume.phase + 1);
			if (enum_schema_name(enum_schema_volume_phase(), (int)advance->to) == NULL)
				advance->to = volume.phase;
		}
	}
	if (command->thins_purge != NULL &&
	    fsm_volume_get(world->fsm, command->thins_purge->id, arena, &volume, NULL) == 0)
		present(&command->thins_purge->revision, volume.revision);
	if (command->volume_release != NULL &&
	    fsm_volume_get(world->fsm, command->volume_release->id, arena, &volume, NULL) == 0)
		present(&command->volume_release->revision, volume.revision);
	if (command->volume_move != NULL &&
	    fsm_volume_get(world->fsm, command->volume_move->id, arena, &volume, NULL) == 0) {
		slot = slot_of(&volume, command->volume_move->slot);
		present(&command->volume_move->epoch, slot != NULL ? slot->epoch : 1);
	}
	if (command->volume_set != NULL &&
	    fsm_volume_get(world->fsm, command->volume_set->id, arena, &volume, NULL) == 0)
		present(&command->volume_set->revision, volume.revision);
	jobs_freshen(world, command, arena);
	if (command->controller_drop != NULL &&
	    fsm_volume_get(world->fsm, command->controller_drop->volume, arena, &volume, NULL) == 0) {
		for (size_t i = 0; i < volume.controllers.count; i++) {
			if (strcmp(volume.controllers.items[i].node, command->controller_drop->node) == 0)
				present(&command->controller_drop->epoch, volume.controllers.items[i].epoch);
		}
	}
}
