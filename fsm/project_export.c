/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Projection of the exports of a Disk Node. */
#include <string.h>

#include "fsm/project_internal.h"
#include "lib/model/moving.h"
#include "lib/model/names.h"

/* Where an LD stands in its volume. */
struct exported {
	const struct volume *volume;
	const struct leg *leg;	   /* NULL: it leaves */
	const struct group *group; /* NULL: the same */
	const struct ld *ld;
	uint64_t nsid;
	uint64_t slot;
};

static int ranges_project(struct projection *projection, const struct ld *ld, struct byte_range_list *ret_list,
			  struct error *error)
{
	uint64_t extent_bytes = projection->cluster.extent_bytes;
	struct byte_range_list list = { ld->ranges.count, NULL };

	list.items = arena_alloc_array(projection->state.arena, list.count, sizeof(*list.items));
	if (list.items == NULL)
		return state_nomem(&projection->state, error);
	for (size_t i = 0; i < list.count; i++)
		list.items[i] = (struct byte_range){ ld->ranges.items[i].start * extent_bytes,
						     ld->ranges.items[i].length * extent_bytes };
	*ret_list = list;
	return 0;
}

/* The export of (disk, slot) among those of the volume, which begin at `first`; NULL when it is not there. */
static struct desired_export *export_find(struct projection *projection, const struct exported *place, size_t first)
{
	struct desired *desired = &projection->desired;

	for (size_t i = first; i < desired->exports.count; i++) {
		if (desired->exports.items[i].disk == place->ld->disk && desired->exports.items[i].slot == place->slot)
			return &desired->exports.items[i];
	}
	return NULL;
}

static int parked_make(struct projection *projection, const struct exported *place, struct desired_export *export,
		       const char *node, uint64_t epoch, struct error *error)
{
	struct desired_parked *parked = list_add(projection->state.arena, &export->parked, sizeof(*parked));
	char nqn[NAMES_NQN_SIZE], host_nqn[NAMES_NQN_SIZE];

	if (parked == NULL)
		return state_nomem(&projection->state, error);
	names_export_nqn(projection->cluster.id, place->ld->disk, place->volume->id, place->slot, epoch, nqn);
	names_node_nqn(projection->cluster.id, node, host_nqn);
	*parked = (struct desired_parked){
		.nqn = projection_text(projection, nqn),
		.host_nqn = projection_text(projection, host_nqn),
		.epoch = epoch,
	};
	return parked->nqn != NULL && parked->host_nqn != NULL ? 0 : state_nomem(&projection->state, error);
}

/* The older epochs, `first` to `last`, in which a controller held the slot, and of which it may not be clean. */
static bool held_before(const struct controller *controller, const struct volume *volume, uint64_t index,
			uint64_t *ret_first, uint64_t *ret_last)
{
	const struct slot *slot = &volume->slots.items[index];

	if (controller->role == CONTROLLER_ROLE_STANDBY || controller->slot != index)
		return false;
	*ret_first = slot->earliest;
	*ret_last = slot->epoch - 1;
	if (controller->role == CONTROLLER_ROLE_RETIRED) {
		*ret_first = controller->earliest > 0 ? controller->earliest : controller->epoch;
		*ret_last = controller->epoch;
	}
	if (*ret_first == 0 || *ret_first > *ret_last)
		return false;
	/* Only behind a recovery there are more, which never were. */
	if (*ret_last - *ret_first >= LIMIT_EPOCHS_PARKED)
		*ret_last = *ret_first + LIMIT_EPOCHS_PARKED - 1;
	return true;
}

/* One for each older epoch whose holder has not said yet that it is clean of it: of its kernel, from Linux 6.10 on,
 * what waits for an export that is gone would fail, as an error at a host. */
static int parked_add(struct projection *projection, const struct exported *place, struct desired_export *export,
		      struct error *error)
{
	const struct controller_list *controllers = &place->volume->controllers;
	uint64_t first, last;
	int result = 0;

	for (size_t i = 0; i < controllers->count; i++) {
		if (!held_before(&controllers->items[i], place->volume, place->slot, &first, &last))
			continue;
		/* The last one may be the largest number that there is. */
		for (uint64_t n = 0; n <= last - first && result == 0; n++)
			result = parked_make(projection, place, export, controllers->items[i].node, first + n, error);
	}
	return result;
}

/* The same, made when it is not there yet. */
static int export_make(struct projection *projection, const struct exported *place, size_t first,
		       struct desired_export **ret_export, struct error *error)
{
	struct desired_export *export;
	char id[NAMES_ID_SIZE * 3], nqn[NAMES_NQN_SIZE], host_nqn[NAMES_NQN_SIZE];
	const struct slot *slot = &place->volume->slots.items[place->slot];
	const char *cluster = projection->cluster.id;

	export = export_find(projection, place, first);
	if (export != NULL) {
		*ret_export = export;
		return 0;
	}
	export = list_add(projection->state.arena, &projection->desired.exports, sizeof(*export));
	if (export == NULL)
		return state_nomem(&projection->state, error);
	names_export_id(place->ld->disk, place->volume->id, place->slot, id);
	names_export_nqn(cluster, place->ld->disk, place->volume->id, place->slot, slot->epoch, nqn);
	names_node_nqn(cluster, slot->holder, host_nqn);
	*export = (struct desired_export){
		.id = projection_text(projection, id),
		.disk = place->ld->disk,
		.volume = place->volume->id,
		.slot = place->slot,
		.epoch = slot->epoch,
		.nqn = projection_text(projection, nqn),
		.host_nqn = projection_text(projection, host_nqn),
		.revision = place->volume->revision,
	};
	if (export->id == NULL || export->nqn == NULL || export->host_nqn == NULL)
		return state_nomem(&projection->state, error);
	*ret_export = export;
	return parked_add(projection, place, export, error);
}

static int export_remove(struct projection *projection, const struct exported *place, size_t first, struct error *error)
{
	char id[NAMES_ID_SIZE * 3];

	names_export_id(place->ld->disk, place->volume->id, place->slot, id);
	for (size_t i = first; i < projection->desired.removed.count; i++) {
		if (strcmp(projection->desired.removed.items[i].id, id) == 0)
			return 0;
	}
	return projection_remove(projection, OBJECT_KIND_EXPORT, id, place->volume->revision, error);
}

/* All LDs of an export, when one is: a path tells of all that it leads to whether it is accessible. */
static bool ld_is_withheld(const struct exported *place)
{
	const struct volume *volume = place->volume;
	bool withheld = false;

	if ((volume->phase != VOLUME_PHASE_ONLINE && volume->phase != VOLUME_PHASE_EXPORTING) ||
	    !volume_slot_is_served(volume, place->slot))
		return false;
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; leg->slot == place->slot && g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];

				withheld = withheld || (ld->withheld && ld->disk == place->ld->disk);
			}
		}
	}
	return withheld;
}

static int export_ld(struct projection *projection, const struct exported *place, size_t first, struct error *error)
{
	struct desired_export *export = NULL;
	struct desired_ld *ld;
	int result = export_make(projection, place, first, &export, error);

	if (result != 0)
		return result;
	ld = list_add(projection->state.arena, &export->lds, sizeof(*ld));
	if (ld == NULL)
		return state_nomem(&projection->state, error);
	ld->id = place->ld->id;
	ld->nsid = place->nsid;
	ld->withheld = ld_is_withheld(place);
	/* What is copied as a whole has the label of an epoch that does not matter any more, or none. */
	ld->formatted = place->leg->state == LEG_STATE_READY && place->group->state == 0 &&
			(place->ld->state == LD_STATE_IN_SYNC || place->ld->resync);
	if (place->ld->state == LD_STATE_REBUILDING || place->ld->forced)
		ld->rebuild_ms = place->ld->since_ms;
	names_ld_uuid(projection->cluster.id, place->ld->id, export->epoch, ld->uuid);
	for (size_t i = 0; i < export->parked.count; i++) {
		struct desired_parked *parked = &export->parked.items[i];
		struct desired_parked_ld *namespace =
			list_add(projection->state.arena, &parked->lds, sizeof(*namespace));

		if (namespace == NULL)
			return state_nomem(&projection->state, error);
		namespace->nsid = place->nsid;
		namespace->size_bytes = group_extents(place->leg, place->group) * projection->cluster.extent_bytes;
		names_ld_uuid(projection->cluster.id, place->ld->id, parked->epoch, namespace->uuid);
	}
	return ranges_project(projection, place->ld, &ld->ranges, error);
}

/* Namespace numbers run through the slot group by group, leg by leg, member by member: the first group of every leg
 * before the second of any. Groups that are added to every leg later leave the numbers of the others as they are. One
 * that is moved to another disk keeps its number, and the new one has the same, in another subsystem. */
static uint64_t nsid_of(const struct volume *volume, size_t leg_in_slot, size_t group, size_t place)
{
	return 1 + (group * volume->legs_per_controller + leg_in_slot) * volume->copies + place;
}

/* Which LDs a pass is about: first those that are exported, then the others, which leave nothing where the first pass
 * made an export. */
enum pass { PASS_WANTED, PASS_UNWANTED };

static bool ld_is_wanted(const struct exported *place)
{
	return place->leg != NULL && place->volume->phase != VOLUME_PHASE_RELEASING &&
	       (place->ld->state == LD_STATE_IN_SYNC || place->ld->state == LD_STATE_REBUILDING);
}

static int ld_project(struct projection *projection, const struct exported *place, enum pass pass, size_t first_export,
		      size_t first_removed, struct error *error)
{
	const struct disk_entry *entry;
	int result;

	if (place->ld->state == LD_STATE_FREED || ld_is_wanted(place) != (pass == PASS_WANTED))
		return 0;
	result = projection_disk(projection, place->ld->disk, &entry, error);
	if (result != 0)
		return result;
	if (strcmp(entry->disk.node, projection->node->name) != 0)
		return 0;
	if (pass == PASS_WANTED)
		return export_ld(projection, place, first_export, error);
	if (export_find(projection, place, first_export) != NULL)
		return 0;
	return export_remove(projection, place, first_removed, error);
}

static int pass_project(struct projection *projection, const struct volume *volume, enum pass pass, size_t first_export,
			size_t first_removed, struct error *error)
{
	size_t legs_of_slot[LIMIT_CONTROLLERS] = { 0 };
	int result = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];
		size_t leg_in_slot = legs_of_slot[leg->slot]++;

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; result == 0 && m < leg->groups.items[g].members.count; m++) {
				struct exported place = {
					.volume = volume,
					.leg = leg,
					.group = &leg->groups.items[g],
					.ld = &leg->groups.items[g].members.items[m],
					.nsid = nsid_of(volume, leg_in_slot, g,
							moving_place(volume, &leg->groups.items[g], m)),
					.slot = leg->slot,
				};

				result = ld_project(projection, &place, pass, first_export, first_removed, error);
			}
		}
	}
	for (size_t i = 0; result == 0 && i < volume->leaving.count; i++) {
		struct exported place = {
			.volume = volume,
			.ld = volume->leaving.items[i].ld,
			.slot = volume->leaving.items[i].slot,
		};

		result = ld_project(projection, &place, pass, first_export, first_removed, error);
	}
	return result;
}

int projection_exports(struct projection *projection, const struct volume *volume, struct error *error)
{
	size_t first_export = projection->desired.exports.count, first_removed = projection->desired.removed.count;
	int result = pass_project(projection, volume, PASS_WANTED, first_export, first_removed, error);

	if (result == 0)
		result = pass_project(projection, volume, PASS_UNWANTED, first_export, first_removed, error);
	return result;
}
