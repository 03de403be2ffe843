/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/able.h"

#include "fsm/fsm.h"
#include "src/dnvmed.h"

int able_volume_check(const struct volume *volume, struct error *error)
{
	if (volume->phase != VOLUME_PHASE_ONLINE)
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" is in phase %s, not online",
				 volume->name, ENUM_NAME(volume_phase, volume->phase));
	if (fsm_volume_hold_check(volume, error) != 0)
		return ERROR_FAILED_PRECONDITION;
	if (volume->operation == 0)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "job j%llu works on volume \"%s\"",
		  (unsigned long long)volume->operation, volume->name);
	return error_hint(error, "run: dnvme job wait j%llu, or: dnvme job cancel j%llu",
			  (unsigned long long)volume->operation, (unsigned long long)volume->operation);
}

int able_controllers_check(struct dnvmed *dnvmed, const struct able *able, const struct volume *volume,
			   struct arena *arena, struct error *error)
{
	struct node node;

	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_RETIRED)
			continue;
		if (fsm_node_get(dnvmed->fsm, controller->node, arena, &node, error) != 0)
			return error->code;
		if (able->knows(&node))
			continue;
		error_set(error, ERROR_UNSUPPORTED,
			  "cannot %s volume \"%s\": the agent of node %s, a controller of it, cannot %s", able->verb,
			  volume->name, node.name, able->cannot);
		return error_hint(error, "run a version of dnvme-agent there that can");
	}
	return 0;
}

static int disk_check(struct dnvmed *dnvmed, const struct able *able, const struct volume *volume, uint64_t id,
		      struct arena *arena, struct error *error)
{
	struct disk disk;
	struct node node;

	if (fsm_disk_get(dnvmed->fsm, id, arena, &disk, error) != 0 ||
	    fsm_node_get(dnvmed->fsm, disk.node, arena, &node, error) != 0)
		return error->code;
	if (node.grows)
		return 0;
	error_set(
		error, ERROR_UNSUPPORTED,
		"cannot %s volume \"%s\": the agent of node %s, a disk of which would be part of it, knows nothing of "
		"volumes that grow",
		able->verb, volume->name, node.name);
	return error_hint(error, "run a version of dnvme-agent there that does");
}

int able_disks_check(struct dnvmed *dnvmed, const struct able *able, const struct volume *volume,
		     const struct place_growth_list *legs, struct arena *arena, struct error *error)
{
	for (size_t l = 0; l < legs->count; l++) {
		for (size_t g = 0; g < legs->items[l].groups.count; g++) {
			const struct place_ld_list *members = &legs->items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (disk_check(dnvmed, able, volume, members->items[m].disk, arena, error) != 0)
					return error->code;
			}
		}
	}
	return 0;
}
