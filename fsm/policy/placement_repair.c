/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where what a volume lost comes to stand again: a standby, a member of a group. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/policy/placement.h"
#include "fsm/policy/placement_internal.h"

#define LINE_SIZE 240u

static bool names_have(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* Mark the domains of these nodes in `domains`, which has room for all. */
static void domains_mark(const struct plan *plan, const char *const *names, size_t count, bool *domains)
{
	for (size_t i = 0; i < plan->site_count; i++) {
		if (names_have(names, count, plan->sites[i].node->name))
			domains[plan->sites[i].domain] = true;
	}
}

/* --- a standby ------------------------------------------------------------------------------------------------ */

struct standby {
	struct plan plan;
	const struct volume *volume;
	const char *members[LIMIT_COLOURS]; /* nodes of its controllers */
	size_t member_count;
	unsigned colours;
};

static const char *standby_obstacle(const struct standby *standby, const struct site *site)
{
	const char *obstacle = placement_site_obstacle(site);

	if (obstacle == NULL && names_have(standby->members, standby->member_count, site->node->name))
		obstacle = "is a controller of it";
	if (obstacle == NULL)
		obstacle = placement_controller_obstacle(site, standby->volume->durability);
	if (obstacle != NULL)
		return obstacle;
	if (standby->colours & 1u << site->node->colour)
		return "has the colour of one of its controllers";
	return NULL;
}

static int standby_explain(const struct standby *standby, struct error *error)
{
	error_set(error, ERROR_NO_CAPACITY, "no node can be a standby of volume \"%s\"", standby->volume->name);
	for (size_t i = 0; i < standby->plan.site_count; i++)
		error_detail(error, "%s %s", standby->plan.sites[i].node->name,
			     standby_obstacle(standby, &standby->plan.sites[i]));
	error_hint(error, "add a node, or uncordon one");
	return ERROR_NO_CAPACITY;
}

/* Join the view with what the volume has. `request` is borrowed. */
static int standby_open(struct standby *standby, const struct placement_request *request,
			const struct placement_view *view, const struct volume *volume, struct arena *arena,
			struct error *error)
{
	int result;

	*standby = (struct standby){ .plan = { .request = request, .view = view, .arena = arena }, .volume = volume };
	result = placement_plan_open(&standby->plan, error);
	if (result != 0)
		return result;
	for (size_t i = 0; i < volume->controllers.count && i < LIMIT_COLOURS; i++)
		standby->members[standby->member_count++] = volume->controllers.items[i].node;
	for (size_t i = 0; i < standby->plan.site_count; i++) {
		const struct site *site = &standby->plan.sites[i];

		if (names_have(standby->members, standby->member_count, site->node->name))
			standby->colours |= 1u << site->node->colour;
	}
	return 0;
}

int placement_standby(const struct placement_view *view, const struct volume *volume, struct arena *arena,
		      const char **ret_node, struct error *error)
{
	const struct placement_request request = { .spread = volume->spread };
	const char *holders[LIMIT_COLOURS];
	const struct site *best = NULL;
	struct standby standby;
	size_t holder_count = 0;
	bool *taken;
	int result = standby_open(&standby, &request, view, volume, arena, error);

	if (result != 0)
		return result;
	taken = arena_alloc_array(arena, standby.plan.site_count, sizeof(*taken));
	if (taken == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < volume->controllers.count && i < LIMIT_COLOURS; i++) {
		if (volume->controllers.items[i].role == CONTROLLER_ROLE_ACTIVE)
			holders[holder_count++] = volume->controllers.items[i].node;
	}
	domains_mark(&standby.plan, holders, holder_count, taken);
	/* Sites are in order of name, so that equal ones keep that order. */
	for (size_t i = 0; i < standby.plan.site_count; i++) {
		const struct site *site = &standby.plan.sites[i];

		if (standby_obstacle(&standby, site) != NULL)
			continue;
		if (best == NULL || taken[site->domain] < taken[best->domain] ||
		    (taken[site->domain] == taken[best->domain] && site->node->controllers < best->node->controllers))
			best = site;
	}
	if (best == NULL)
		return standby_explain(&standby, error);
	*ret_node = best->node->name;
	return 0;
}

/* --- how many standbys there can be --------------------------------------------------------------------------- */

/* Why a node that is a standby is not kept as one (src/leader/standbys.h); NULL when it is. */
static const char *standby_flaw(const struct site *site, enum durability durability)
{
	if (site->health == HEALTH_OFFLINE)
		return "is offline";
	if (site->node->draining)
		return "is drained";
	return durability == DURABILITY_STRICT && !site->node->writethrough
		       ? "has a kernel without the write-through target"
		       : NULL;
}

static const struct controller *controller_of(const struct volume *volume, const char *node)
{
	for (size_t i = 0; i < volume->controllers.count; i++) {
		if (strcmp(volume->controllers.items[i].node, node) == 0)
			return &volume->controllers.items[i];
	}
	return NULL;
}

static void standbys_line(const struct standby *standby, const struct volume *volume, const struct site *site,
			  struct error *error)
{
	const struct controller *controller = controller_of(volume, site->node->name);
	const char *flaw = standby_flaw(site, volume->durability);

	if (controller == NULL)
		error_detail(error, "%s %s", site->node->name,
			     controller_of(standby->volume, site->node->name) != NULL
				     ? "can be a standby of it"
				     : standby_obstacle(standby, site));
	else if (controller->role == CONTROLLER_ROLE_ACTIVE)
		error_detail(error, "%s holds slot %" PRIu64 " of it", site->node->name, controller->slot);
	else if (controller->role == CONTROLLER_ROLE_RETIRED)
		error_detail(error, "%s was a controller of it, and has not cleaned up yet", site->node->name);
	else
		error_detail(error, "%s is a standby of it%s%s", site->node->name,
			     flaw != NULL ? ", which does not count: it " : "", flaw != NULL ? flaw : "");
}

int placement_standbys_check(const struct placement_view *view, const struct volume *volume, uint64_t count,
			     struct arena *arena, struct error *error)
{
	const struct placement_request request = { .spread = volume->spread };
	struct controller controllers[LIMIT_COLOURS];
	struct volume grown = *volume;
	struct standby standby;
	uint64_t found = 0;
	const char *node;
	int result = standby_open(&standby, &request, view, volume, arena, error);

	if (result != 0)
		return result;
	for (size_t i = 0; i < standby.plan.site_count; i++) {
		const struct site *site = &standby.plan.sites[i];
		const struct controller *controller = controller_of(volume, site->node->name);

		found += controller != NULL && controller->role == CONTROLLER_ROLE_STANDBY &&
			 standby_flaw(site, volume->durability) == NULL;
	}
	grown.controllers.items = controllers;
	memcpy(controllers, volume->controllers.items, volume->controllers.count * sizeof(controllers[0]));
	/* Each that is found has a colour of its own, so that there is room for it. */
	for (; found < count; found++) {
		result = placement_standby(view, &grown, arena, &node, error);
		if (result == ERROR_NO_CAPACITY)
			break;
		if (result != 0)
			return result;
		controllers[grown.controllers.count++] =
			(struct controller){ .node = node, .role = CONTROLLER_ROLE_STANDBY };
	}
	if (found >= count)
		return 0;
	result = standby_open(&standby, &request, view, &grown, arena, error);
	if (result != 0)
		return result;
	error_set(error, ERROR_NO_CAPACITY,
		  "volume \"%s\" cannot have %" PRIu64 " standbys: as nodes are now, there are %" PRIu64 " for it",
		  volume->name, count, found);
	for (size_t i = 0; i < standby.plan.site_count; i++)
		standbys_line(&standby, volume, &standby.plan.sites[i], error);
	error_hint(error, "add a node, uncordon one, or ask for fewer standbys");
	return ERROR_NO_CAPACITY;
}

int placement_holder_check(const struct placement_view *view, const struct volume *volume, const char *node,
			   struct arena *arena, struct error *error)
{
	const struct placement_request request = { .spread = volume->spread };
	struct standby standby;
	int result = standby_open(&standby, &request, view, volume, arena, error);

	if (result != 0)
		return result;
	for (size_t i = 0; i < standby.plan.site_count; i++) {
		const struct site *site = &standby.plan.sites[i];
		const char *obstacle;

		if (strcmp(site->node->name, node) != 0)
			continue;
		obstacle = controller_of(volume, node) != NULL ? placement_controller_obstacle(site, volume->durability)
							       : standby_obstacle(&standby, site);
		return obstacle == NULL ? 0
					: error_set(error, ERROR_FAILED_PRECONDITION,
						    "node \"%s\" cannot hold a slot of volume \"%s\": it %s", node,
						    volume->name, obstacle);
	}
	return error_set(error, ERROR_NOT_FOUND, "there is no node \"%s\"", node);
}

/* --- a member of a group ---------------------------------------------------------------------------------------- */

struct replacement {
	struct plan plan;
	const struct volume *volume;
	const struct leg *leg;
	const struct group *group;
	const struct ld *ld;
	uint64_t left;			   /* the disk that one is to leave for it; 0: none */
	const char *others[LIMIT_MEMBERS]; /* nodes of the other members */
	size_t other_count;
	bool *taken; /* the domains of the other members */
	bool strict; /* no domain may be another member's, too */
};

static bool member_find(struct replacement *replacement, uint64_t id)
{
	const struct volume *volume = replacement->volume;

	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct group *group = &volume->legs.items[l].groups.items[g];

			for (size_t m = 0; m < group->members.count; m++) {
				if (group->members.items[m].id != id)
					continue;
				replacement->leg = &volume->legs.items[l];
				replacement->group = group;
				replacement->ld = &group->members.items[m];
				return true;
			}
		}
	}
	return false;
}

static uint64_t wanted_extents(const struct replacement *replacement)
{
	return replacement->group->extents != 0 ? replacement->group->extents : replacement->leg->group_extents;
}

static void others_find(struct replacement *replacement)
{
	const struct disk_list *disks = &replacement->plan.view->disks;

	for (size_t m = 0; m < replacement->group->members.count && m < LIMIT_MEMBERS; m++) {
		const struct ld *ld = &replacement->group->members.items[m];

		if (replacement->ld->moves != 0 && ld->id == replacement->ld->moves)
			replacement->left = ld->disk;
		/* Nor the one that it comes for, which leaves. */
		for (size_t i = 0; ld != replacement->ld && ld->id != replacement->ld->moves && i < disks->count; i++) {
			if (disks->items[i].id == ld->disk)
				replacement->others[replacement->other_count++] = disks->items[i].node;
		}
	}
}

/* Not the disk that it has; nor that of the one that it comes for, which has the same number in the same export. */
static bool is_left(const struct replacement *replacement, const struct disk *disk)
{
	return disk->id == replacement->ld->disk || disk->id == replacement->left;
}

static void replacement_text(const struct replacement *replacement, const struct site *site, char line[LINE_SIZE])
{
	uint64_t wanted = wanted_extents(replacement);

	if (placement_site_obstacle(site) == NULL &&
	    names_have(replacement->others, replacement->other_count, site->node->name))
		snprintf(line, LINE_SIZE, "%s holds another copy", site->node->name);
	else if (placement_site_obstacle(site) == NULL && replacement->strict && replacement->taken[site->domain])
		snprintf(line, LINE_SIZE, "%s shares a failure domain with another copy", site->node->name);
	else if (placement_site_obstacle(site) == NULL && site->disks > site->disks_cordoned && site->free_most == 0)
		snprintf(line, LINE_SIZE, "%s has no other disk", site->node->name);
	else
		placement_site_text(&replacement->plan, site, wanted, line, LINE_SIZE);
}

static int replacement_explain(const struct replacement *replacement, struct error *error)
{
	const struct plan *plan = &replacement->plan;
	char line[LINE_SIZE], amount[SIZE_TEXT_SIZE];
	uint64_t bytes;

	if (__builtin_mul_overflow(wanted_extents(replacement), plan->view->extent_bytes, &bytes))
		bytes = UINT64_MAX;
	error_set(error, ERROR_NO_CAPACITY,
		  "no disk has %s for a copy that takes the place of ld%" PRIu64 " of volume \"%s\"",
		  placement_size_text(bytes, true, amount), replacement->ld->id, replacement->volume->name);
	for (size_t i = 0; i < plan->seat_count; i++) {
		struct site *site = (struct site *)plan->seats[i].site;

		if (!is_left(replacement, plan->seats[i].disk) && plan->seats[i].free > site->free_most)
			site->free_most = plan->seats[i].free;
	}
	for (size_t i = 0; i < plan->site_count; i++) {
		replacement_text(replacement, &plan->sites[i], line);
		error_detail(error, "%s", line);
	}
	error_hint(error, "add a disk on another node, or uncordon one");
	return ERROR_NO_CAPACITY;
}

/* Whether no other member is in its failure domain as it is. */
static bool is_apart(const struct replacement *replacement)
{
	for (size_t i = 0; i < replacement->plan.site_count; i++) {
		const struct site *site = &replacement->plan.sites[i];

		for (size_t d = 0; d < replacement->plan.view->disks.count; d++) {
			const struct disk *disk = &replacement->plan.view->disks.items[d];

			if (disk->id == replacement->ld->disk && strcmp(disk->node, site->node->name) == 0)
				return !replacement->taken[site->domain];
		}
	}
	return false;
}

static int place(const struct placement_view *view, const struct volume *volume, uint64_t ld, bool moves,
		 struct arena *arena, uint64_t *ret_disk, struct error *error)
{
	const struct placement_request request = { .spread = volume->spread };
	struct replacement replacement = { .plan = { .request = &request, .view = view, .arena = arena },
					   .volume = volume };
	const struct seat *best = NULL;
	bool *taken;
	int result;

	if (!member_find(&replacement, ld))
		return error_set(error, ERROR_NOT_FOUND, "ld%" PRIu64 " is no member of volume \"%s\"", ld,
				 volume->name);
	result = placement_plan_open(&replacement.plan, error);
	if (result != 0)
		return result;
	taken = arena_alloc_array(arena, replacement.plan.site_count, sizeof(*taken));
	if (taken == NULL)
		return error_set_nomem(error);
	others_find(&replacement);
	domains_mark(&replacement.plan, replacement.others, replacement.other_count, taken);
	replacement.taken = taken;
	replacement.strict = moves && is_apart(&replacement);
	/* Seats are in order of id, so that equal ones keep that order. */
	for (size_t i = 0; i < replacement.plan.seat_count; i++) {
		const struct seat *seat = &replacement.plan.seats[i];

		if (seat->free < wanted_extents(&replacement) || is_left(&replacement, seat->disk) ||
		    names_have(replacement.others, replacement.other_count, seat->site->node->name) ||
		    (replacement.strict && taken[seat->site->domain]))
			continue;
		if (best == NULL || taken[seat->site->domain] < taken[best->site->domain] ||
		    (taken[seat->site->domain] == taken[best->site->domain] && placement_seat_is_emptier(seat, best)))
			best = seat;
	}
	if (best == NULL)
		return replacement_explain(&replacement, error);
	*ret_disk = best->disk->id;
	return 0;
}

int placement_replacement(const struct placement_view *view, const struct volume *volume, uint64_t ld,
			  struct arena *arena, uint64_t *ret_disk, struct error *error)
{
	return place(view, volume, ld, false, arena, ret_disk, error);
}

int placement_move(const struct placement_view *view, const struct volume *volume, uint64_t ld, struct arena *arena,
		   uint64_t *ret_disk, struct error *error)
{
	return place(view, volume, ld, true, arena, ret_disk, error);
}
