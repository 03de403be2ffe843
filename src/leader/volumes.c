/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/leader/volumes.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/canary.h"
#include "lib/base/limits.h"

static bool export_exists(const struct volumes_parts *parts, uint64_t disk, uint64_t slot)
{
	for (size_t i = 0; i < parts->count; i++) {
		const struct volumes_part *part = &parts->items[i];

		if (part->kind == OBJECT_KIND_EXPORT && part->disk == disk && part->slot == slot)
			return true;
	}
	return false;
}

size_t volumes_ld_count(const struct volume *volume)
{
	size_t count = volume->leaving.count;

	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++)
			count += volume->legs.items[l].groups.items[g].members.count;
	}
	return count;
}

static void export_add(struct volumes_parts *parts, const struct volume *volume, const struct ld *ld, uint64_t slot)
{
	struct volumes_part *part;

	if (ld->state == LD_STATE_FREED || export_exists(parts, ld->disk, slot))
		return;
	part = &parts->items[parts->count++];
	part->kind = OBJECT_KIND_EXPORT;
	part->disk = ld->disk;
	part->slot = slot;
	part->health = HEALTH_UNKNOWN;
	names_export_id(ld->disk, volume->id, slot, part->id);
}

int volumes_parts_list(const struct volume *volume, struct arena *arena, struct volumes_parts *ret_parts,
		       struct error *error)
{
	struct volumes_parts parts = { 0 };

	parts.items =
		arena_alloc_array(arena, volume->controllers.count + volumes_ld_count(volume), sizeof(*parts.items));
	if (parts.items == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < volume->controllers.count; i++) {
		struct volumes_part *part = &parts.items[parts.count++];

		part->kind = OBJECT_KIND_VOLUME;
		part->node = volume->controllers.items[i].node;
		part->role = volume->controllers.items[i].role;
		part->slot = volume->controllers.items[i].slot;
		part->health = HEALTH_UNKNOWN;
		names_id_format("v", volume->id, part->id);
	}
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++)
				export_add(&parts, volume, &leg->groups.items[g].members.items[m], leg->slot);
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++)
		export_add(&parts, volume, volume->leaving.items[i].ld, volume->leaving.items[i].slot);
	*ret_parts = parts;
	return 0;
}

static bool is_at(const struct volumes_part *part, enum object_state state, uint64_t revision)
{
	return part->status != NULL && part->status->state == state && part->status->revision >= revision;
}

const char *volumes_part_sentence(const struct volumes_part *part, enum object_state state, uint64_t revision,
				  struct arena *arena)
{
	static const char *const whats[] = { [OBJECT_KIND_DISK] = "disk",
					     [OBJECT_KIND_EXPORT] = "export",
					     [OBJECT_KIND_VOLUME] = "controller",
					     [OBJECT_KIND_CONSUMER] = "consumer export",
					     [OBJECT_KIND_SNAPSHOT] = "snapshot" };
	const char *node = part->node != NULL ? part->node : "?";
	const char *what = whats[part->kind];
	const struct object_status *status = part->status;

	if (part->health == HEALTH_OFFLINE)
		return arena_printf(arena, "%s %s: node %s is offline", what, part->id, node);
	if (status == NULL)
		return arena_printf(arena, "%s %s: node %s has not reported it yet", what, part->id, node);
	if (status->revision < revision)
		return arena_printf(arena, "%s %s: node %s is at revision %llu, wanted is %llu", what, part->id, node,
				    (unsigned long long)status->revision, (unsigned long long)revision);
	return arena_printf(arena, "%s %s: node %s says %s, wanted is %s%s%.*s", what, part->id, node,
			    ENUM_NAME(object_state, status->state), ENUM_NAME(object_state, state),
			    status->message != NULL ? ": " : "", 600, status->message != NULL ? status->message : "");
}

enum selection { SELECT_EXPORTS, SELECT_ACTIVES, SELECT_CONTROLLERS };

static bool is_selected(const struct volumes_part *part, enum selection selection)
{
	switch (selection) {
	case SELECT_EXPORTS:
		return part->kind == OBJECT_KIND_EXPORT;
	case SELECT_ACTIVES:
		return part->kind == OBJECT_KIND_VOLUME && part->role == CONTROLLER_ROLE_ACTIVE;
	case SELECT_CONTROLLERS:
		return part->kind == OBJECT_KIND_VOLUME;
	}
	return false;
}

/* The first selected part that is not at `state`, or NULL. */
static const struct volumes_part *first_missing(const struct volumes_parts *parts, enum selection selection,
						enum object_state state, uint64_t revision, bool offline_counts)
{
	for (size_t i = 0; i < parts->count; i++) {
		const struct volumes_part *part = &parts->items[i];

		if (!is_selected(part, selection) || is_at(part, state, revision))
			continue;
		/* What a retired controller is told is to leave nothing. */
		if (part->role == CONTROLLER_ROLE_RETIRED && is_at(part, OBJECT_STATE_ABSENT, revision))
			continue;
		if (offline_counts && part->health == HEALTH_OFFLINE)
			continue;
		return part;
	}
	return NULL;
}

static const struct phase_rule {
	enum volume_phase from, to;
	enum selection selection;
	enum object_state state;
	bool offline_counts;
} phase_rules[] = {
	{ VOLUME_PHASE_PLACED, VOLUME_PHASE_ASSEMBLING, SELECT_EXPORTS, OBJECT_STATE_CONVERGED, false },
	{ VOLUME_PHASE_ASSEMBLING, VOLUME_PHASE_EXPORTING, SELECT_ACTIVES, OBJECT_STATE_CONVERGED, false },
	{ VOLUME_PHASE_EXPORTING, VOLUME_PHASE_ONLINE, SELECT_CONTROLLERS, OBJECT_STATE_CONVERGED, false },
	{ VOLUME_PHASE_UNEXPORTING, VOLUME_PHASE_DISMANTLING, SELECT_CONTROLLERS, OBJECT_STATE_CONVERGED, true },
	{ VOLUME_PHASE_DISMANTLING, VOLUME_PHASE_RELEASING, SELECT_CONTROLLERS, OBJECT_STATE_ABSENT, true },
};

static int step_phase(const struct volume *volume, const struct volumes_parts *parts, const struct phase_rule *rule,
		      struct arena *arena, struct volumes_step *step, struct error *error)
{
	const struct volumes_part *missing =
		first_missing(parts, rule->selection, rule->state, volume->revision, rule->offline_counts);

	if (missing != NULL) {
		step->waits_for = volumes_part_sentence(missing, rule->state, volume->revision, arena);
		return step->waits_for != NULL ? 0 : error_set_nomem(error);
	}
	step->advance = arena_alloc(arena, sizeof(*step->advance));
	if (step->advance == NULL)
		return error_set_nomem(error);
	*step->advance = (struct command_volume_advance){
		.id = volume->id, .from = rule->from, .to = rule->to, .revision = volume->revision
	};
	return 0;
}

static bool export_is_absent(const struct volumes_parts *parts, uint64_t disk, uint64_t slot, uint64_t revision)
{
	for (size_t i = 0; i < parts->count; i++) {
		const struct volumes_part *part = &parts->items[i];

		if (part->kind == OBJECT_KIND_EXPORT && part->disk == disk && part->slot == slot)
			return part->health != HEALTH_OFFLINE && is_at(part, OBJECT_STATE_ABSENT, revision);
	}
	return false;
}

static int releasable_add(const struct volume *volume, const struct volumes_parts *parts, const struct ld *ld,
			  uint64_t slot, struct arena *arena, struct string_list *lds, struct error *error)
{
	char id[NAMES_ID_SIZE];

	if (ld->state == LD_STATE_FREED || lds->count >= LIMIT_LEGS * LIMIT_COPIES ||
	    (!export_is_absent(parts, ld->disk, slot, volume->revision) && !canary("free_early")))
		return 0;
	names_id_format("ld", ld->id, id);
	lds->items[lds->count] = arena_strdup(arena, id);
	return lds->items[lds->count++] != NULL ? 0 : error_set_nomem(error);
}

static int releasable_collect(const struct volume *volume, const struct volumes_parts *parts, struct arena *arena,
			      struct string_list *lds, struct error *error)
{
	lds->items = arena_alloc_array(arena, volumes_ld_count(volume) + 1, sizeof(*lds->items));
	if (lds->items == NULL)
		return error_set_nomem(error);
	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				if (releasable_add(volume, parts, &leg->groups.items[g].members.items[m], leg->slot,
						   arena, lds, error) != 0)
					return error->code;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (releasable_add(volume, parts, volume->leaving.items[i].ld, volume->leaving.items[i].slot, arena,
				   lds, error) != 0)
			return error->code;
	}
	return 0;
}

static int step_releasing(const struct volume *volume, const struct volumes_parts *parts, struct arena *arena,
			  struct volumes_step *step, struct error *error)
{
	const struct volumes_part *missing;
	struct string_list lds = { 0 };

	if (releasable_collect(volume, parts, arena, &lds, error) != 0)
		return error->code;
	if (lds.count > 0) {
		step->free = arena_alloc(arena, sizeof(*step->free));
		if (step->free == NULL)
			return error_set_nomem(error);
		*step->free = (struct command_lds_free){ .volume = volume->id, .lds = lds };
		return 0;
	}
	missing = first_missing(parts, SELECT_EXPORTS, OBJECT_STATE_ABSENT, volume->revision, false);
	for (size_t i = 0; missing == NULL && i < parts->count; i++) {
		/* It confirmed and went offline: what it says now counts, not what it said then. */
		if (parts->items[i].kind == OBJECT_KIND_EXPORT)
			missing = &parts->items[i];
	}
	if (missing == NULL)
		return 0;
	step->waits_for = volumes_part_sentence(missing, OBJECT_STATE_ABSENT, volume->revision, arena);
	return step->waits_for != NULL ? 0 : error_set_nomem(error);
}

int volumes_step(const struct volume *volume, const struct volumes_parts *parts, struct arena *arena,
		 struct volumes_step *ret_step, struct error *error)
{
	struct volumes_step step = { 0 };
	int rv = 0;

	if (volume->phase == VOLUME_PHASE_RELEASING) {
		rv = step_releasing(volume, parts, arena, &step, error);
	} else {
		for (size_t i = 0; i < sizeof(phase_rules) / sizeof(phase_rules[0]); i++) {
			if (phase_rules[i].from == volume->phase)
				rv = step_phase(volume, parts, &phase_rules[i], arena, &step, error);
		}
	}
	if (rv == 0)
		*ret_step = step;
	return rv;
}

int volumes_converged(const struct volume *volume, const struct volumes_parts *parts, uint64_t revision,
		      struct arena *arena, const char **ret_waits_for, struct error *error)
{
	const struct volumes_part *missing;
	const char *text;

	/* Before its LDs are made no node was told of a controller, so no host is connected. */
	for (size_t i = 0; volume->phase != VOLUME_PHASE_PLACED && i < parts->count; i++) {
		/* A controller that is gone altogether has dropped every host, too. */
		missing = &parts->items[i];
		if (missing->kind != OBJECT_KIND_VOLUME || missing->health == HEALTH_OFFLINE ||
		    is_at(missing, OBJECT_STATE_CONVERGED, revision) || is_at(missing, OBJECT_STATE_ABSENT, revision))
			continue;
		text = volumes_part_sentence(missing, OBJECT_STATE_CONVERGED, revision, arena);
		if (text == NULL)
			return error_set_nomem(error);
		*ret_waits_for = text;
		return 0;
	}
	*ret_waits_for = NULL;
	return 0;
}
