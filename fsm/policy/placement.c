/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsm/policy/placement.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/policy/placement_internal.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"

__extension__ typedef unsigned __int128 wide; /* products of extents */

/* --- domains ------------------------------------------------------------------------------------------------ */

const char *placement_domain_label(const struct node *node, enum spread spread)
{
	if (spread == SPREAD_NODE)
		return NULL;
	for (size_t i = 0; i < node->labels.count; i++) {
		if (strcmp(node->labels.items[i].key, ENUM_NAME(spread, spread)) == 0)
			return node->labels.items[i].value;
	}
	return NULL;
}

bool placement_domains_equal(const struct node *a, const struct node *b, enum spread spread)
{
	const char *x = placement_domain_label(a, spread), *y = placement_domain_label(b, spread);

	if (x == NULL || y == NULL)
		return strcmp(a->name, b->name) == 0;
	return strcmp(x, y) == 0;
}

/* --- the view, sorted and joined -------------------------------------------------------------------------- */

static int site_compare(const void *a, const void *b)
{
	return strcmp(((const struct site *)a)->node->name, ((const struct site *)b)->node->name);
}

static int site_find(const void *name, const void *site)
{
	return strcmp(name, ((const struct site *)site)->node->name);
}

static int seat_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct seat *)a)->disk->id, y = ((const struct seat *)b)->disk->id;

	return x < y ? -1 : x > y;
}

static int label_compare(const void *a, const void *b)
{
	const struct site *x = *(const struct site *const *)a, *y = *(const struct site *const *)b;

	return strcmp(x->label, y->label);
}

/* A view comes in order, mostly. */
static void sort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	for (size_t i = 1; i < count; i++) {
		if (compare((char *)items + (i - 1) * size, (char *)items + i * size) > 0) {
			qsort(items, count, size, compare);
			return;
		}
	}
}

/* The disks of a node follow each other, mostly: `last` is the site of the one before, or NULL. */
static struct site *disk_site(const struct plan *plan, const struct disk *disk, struct site *last)
{
	if (last != NULL && strcmp(last->node->name, disk->node) == 0)
		return last;
	return bsearch(disk->node, plan->sites, plan->site_count, sizeof(*plan->sites), site_find);
}

/* Number the domains. */
static int domains_make(struct plan *plan, struct error *error)
{
	struct site **labelled = arena_alloc_array(plan->arena, plan->site_count, sizeof(struct site *));
	size_t count = 0, next = 0;

	if (labelled == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < plan->site_count; i++) {
		if (plan->sites[i].label != NULL)
			labelled[count++] = &plan->sites[i];
		else
			plan->sites[i].domain = next++;
	}
	if (count > 0)
		qsort(labelled, count, sizeof(*labelled), label_compare);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || strcmp(labelled[i]->label, labelled[i - 1]->label) != 0)
			next++;
		labelled[i]->domain = next - 1;
	}
	return 0;
}

static bool site_takes_data(const struct site *site)
{
	return site->health == HEALTH_ONLINE && !site->node->cordoned;
}

int placement_plan_open(struct plan *plan, struct error *error)
{
	const struct placement_view *view = plan->view;
	struct site *site = NULL;
	int result;

	plan->sites = arena_alloc_array(plan->arena, view->nodes.count, sizeof(*plan->sites));
	plan->seats = arena_alloc_array(plan->arena, view->disks.count, sizeof(*plan->seats));
	if (plan->sites == NULL || plan->seats == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < view->nodes.count; i++)
		plan->sites[plan->site_count++] = (struct site){
			.node = &view->nodes.items[i],
			.health = view->health != NULL ? view->health[i] : HEALTH_ONLINE,
			.label = placement_domain_label(&view->nodes.items[i], plan->request->spread),
		};
	sort(plan->sites, plan->site_count, sizeof(*plan->sites), site_compare);
	result = domains_make(plan, error);
	if (result != 0)
		return result;
	for (size_t i = 0; i < view->disks.count; i++) {
		const struct disk *disk = &view->disks.items[i];

		site = disk_site(plan, disk, site);
		if (site == NULL)
			continue;
		site->disks++;
		site->disks_cordoned += disk->cordoned || disk->held;
		site->disks_held += disk->held;
		if (!disk->cordoned && !disk->held && site_takes_data(site))
			plan->seats[plan->seat_count++] = (struct seat){ disk, site, disk->extents_free, 0 };
	}
	sort(plan->seats, plan->seat_count, sizeof(*plan->seats), seat_compare);
	return 0;
}

/* --- what can never fit ----------------------------------------------------------------------------------- */

static int range_check(const struct placement_request *request, const char *what, uint64_t value, uint64_t min,
		       uint64_t max, struct error *error)
{
	if (value >= min && value <= max)
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT,
			 "cannot create volume \"%s\": %" PRIu64 " %s, from %" PRIu64 " to %" PRIu64 " are possible",
			 request->name, value, what, min, max);
}

static int request_check(const struct placement_request *request, struct error *error)
{
	int result = range_check(request, "bytes", request->size_bytes, LIMIT_VOLUME_BYTES_MIN, LIMIT_VOLUME_BYTES_MAX,
				 error);

	if (result == 0)
		result = range_check(request, "copies", request->copies, 1, LIMIT_COPIES, error);
	if (result == 0)
		result = range_check(request, "controllers", request->controllers, 1, LIMIT_CONTROLLERS, error);
	if (result == 0)
		result = range_check(request, "standbys", request->standbys, 0, LIMIT_STANDBYS, error);
	if (result == 0)
		result = range_check(request, "legs per controller", request->legs_per_controller, 1,
				     LIMIT_LEGS_PER_CONTROLLER, error);
	if (result != 0)
		return result;
	if (request->size_bytes % 4096 != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "cannot create volume \"%s\": %" PRIu64 " bytes are not a multiple of 4096",
				 request->name, request->size_bytes);
	if (request->controllers * request->legs_per_controller > LIMIT_LEGS)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "cannot create volume \"%s\": %" PRIu64 " controllers with %" PRIu64
				 " legs each make %" PRIu64 " legs, the limit is %u",
				 request->name, request->controllers, request->legs_per_controller,
				 request->controllers * request->legs_per_controller, LIMIT_LEGS);
	if (request->controllers + request->standbys > LIMIT_COLOURS)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "cannot create volume \"%s\": %" PRIu64 " controllers and %" PRIu64
				 " standbys exceed the limit of %u together",
				 request->name, request->controllers, request->standbys, LIMIT_COLOURS);
	return 0;
}

/* --- controllers ------------------------------------------------------------------------------------------ */

static int load_compare(const void *a, const void *b)
{
	const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;

	if (x->controllers != y->controllers)
		return x->controllers < y->controllers ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int controllers_choose(const struct plan *plan, struct command_volume_create *command, struct error *error)
{
	uint64_t actives = plan->request->controllers, wanted = actives + plan->request->standbys;
	const struct node **nodes = arena_alloc_array(plan->arena, plan->site_count, sizeof(*nodes));
	const char **names = arena_alloc_array(plan->arena, wanted, sizeof(*names));
	size_t count = 0, found = 0;
	unsigned colours = 0;

	if (nodes == NULL || names == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < plan->site_count; i++) {
		if (placement_controller_obstacle(&plan->sites[i], plan->request->durability) == NULL)
			nodes[count++] = plan->sites[i].node;
	}
	if (count > 0)
		qsort(nodes, count, sizeof(*nodes), load_compare);
	/* Of each colour the least loaded node: no choice finds more colours. */
	for (size_t i = 0; i < count && found < wanted; i++) {
		if (colours & 1u << nodes[i]->colour)
			continue;
		colours |= 1u << nodes[i]->colour;
		names[found++] = nodes[i]->name;
	}
	if (found < wanted)
		return placement_explain_controllers(plan, found, error);
	command->actives = (struct string_list){ actives, names };
	command->standby_nodes = (struct string_list){ wanted - actives, names + actives };
	return 0;
}

/* --- groups ----------------------------------------------------------------------------------------------- */

bool placement_seat_is_emptier(const struct seat *a, const struct seat *b)
{
	return (wide)a->free * b->disk->extents_total > (wide)b->free * a->disk->extents_total;
}

/* Whether `a` is the better seat for a leg. Both lists are in order of id, so that equal ones keep that order. */
static bool seat_is_better(const struct seat *a, const struct seat *b, size_t leg)
{
	if ((a->leg == leg) != (b->leg == leg))
		return b->leg == leg;
	return placement_seat_is_emptier(a, b);
}

/* One seat per copy, in different domains; NULLs are left where there is none. Returns how many were found. Nodes are
 * never shared, because a node lies in one domain only. */
static size_t seats_choose(struct plan *plan, uint64_t extents, size_t leg, struct seat **ret_seats)
{
	size_t found = 0;

	while (found < plan->request->copies) {
		struct seat *best = NULL;

		for (size_t i = 0; i < plan->seat_count; i++) {
			struct seat *seat = &plan->seats[i];
			bool taken = seat->free < extents;

			for (size_t j = 0; !taken && j < found; j++)
				taken = ret_seats[j]->site->domain == seat->site->domain;
			if (!taken && (best == NULL || seat_is_better(seat, best, leg)))
				best = seat;
		}
		if (best == NULL)
			break;
		ret_seats[found++] = best;
	}
	return found;
}

/* Place a leg as `count` groups; on failure nothing is taken. */
static bool groups_choose(struct plan *plan, uint64_t extents, size_t count, size_t leg, struct seat **seats)
{
	size_t copies = plan->request->copies, taken = 0;

	for (size_t g = 0; g < count; g++) {
		struct seat **group = seats + taken;

		if (seats_choose(plan, extents, leg, group) < copies)
			break;
		for (size_t i = 0; i < copies; i++) {
			group[i]->free -= extents;
			group[i]->leg = leg;
		}
		taken += copies;
	}
	if (taken == count * copies)
		return true;
	for (size_t i = 0; i < taken; i++) {
		seats[i]->free += extents;
		seats[i]->leg = 0;
	}
	return false;
}

static bool space_suffices(const struct plan *plan, uint64_t extents, size_t count)
{
	wide sum = 0;

	for (size_t i = 0; i < plan->seat_count; i++)
		sum += plan->seats[i].free / extents;
	return sum >= (wide)count * plan->request->copies;
}

static int leg_write(const struct plan *plan, struct seat *const *seats, uint64_t extents, size_t count,
		     struct place_leg *ret_leg, struct error *error)
{
	size_t copies = plan->request->copies;
	struct place_group *groups = arena_alloc_array(plan->arena, count, sizeof(*groups));
	struct place_ld *lds = arena_alloc_array(plan->arena, count * copies, sizeof(*lds));

	if (groups == NULL || lds == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < count * copies; i++)
		lds[i].disk = seats[i]->disk->id;
	for (size_t g = 0; g < count; g++)
		groups[g].members = (struct place_ld_list){ copies, lds + g * copies };
	ret_leg->group_extents = extents;
	ret_leg->groups = (struct place_group_list){ count, groups };
	return 0;
}

int placement_prefix(const struct plan *plan, int code, struct error *error)
{
	error_prefix(error, "cannot %s volume \"%s\"", plan->what != NULL ? plan->what : "create", plan->request->name);
	return code;
}

int placement_leg_choose(struct plan *plan, size_t leg, struct place_leg *ret_leg, struct error *error)
{
	struct seat *seats[LIMIT_GROUPS_PER_LEG * LIMIT_COPIES];
	size_t most = plan->groups_max != 0 ? plan->groups_max : LIMIT_GROUPS_PER_LEG;
	uint64_t extents, last = 0, wanted = 0;
	int result = 0;

	for (size_t count = 1; count <= most; count++) {
		/* One LD of this size may be more than a disk can ever be, and more groups still fit. */
		result = layout_ld_extents((plan->leg_bytes - 1) / count + 1, plan->block_bytes,
					   plan->view->extent_bytes, &extents, error);
		if (result != 0 || extents == last)
			continue;
		last = extents;
		if (wanted == 0)
			wanted = extents;
		if (space_suffices(plan, extents, count) && groups_choose(plan, extents, count, leg + 1, seats))
			return leg_write(plan, seats, extents, count, ret_leg, error);
	}
	if (wanted == 0)
		return placement_prefix(plan, result, error);
	for (size_t i = 0; i < plan->seat_count; i++) {
		struct site *site = (struct site *)plan->seats[i].site;

		if (plan->seats[i].free > site->free_most)
			site->free_most = plan->seats[i].free;
	}
	return placement_explain_space(plan, wanted, error);
}

/* --- the plan --------------------------------------------------------------------------------------------- */

int placement_plan(const struct placement_request *request, const struct placement_view *view, struct arena *arena,
		   struct command_volume_create *ret_command, struct error *error)
{
	struct plan plan = { .request = request, .view = view, .arena = arena };
	struct command_volume_create command = {
		.name = request->name,
		.copies = request->copies,
		.standbys = request->standbys,
		.legs_per_controller = request->legs_per_controller,
		.spread = request->spread,
		.provision = request->provision,
		.durability = request->durability,
		.stripe_bytes = LAYOUT_STRIPE_BYTES,
	};
	size_t legs;
	int result = request_check(request, error);

	if (result != 0)
		return result;
	legs = request->controllers * request->legs_per_controller;
	result = layout_leg_bytes(request->size_bytes, legs, LAYOUT_STRIPE_BYTES, &plan.leg_bytes, &plan.volume_bytes,
				  error);
	if (result != 0)
		return error_prefix(error, "cannot create volume \"%s\"", request->name), result;
	plan.block_bytes = layout_thin_block_bytes(plan.leg_bytes);
	result = placement_plan_open(&plan, error);
	if (result == 0)
		result = controllers_choose(&plan, &command, error);
	if (result != 0)
		return result;
	memcpy(command.uuid, request->uuid, sizeof(command.uuid));
	command.size_bytes = plan.volume_bytes;
	command.legs.items = arena_alloc_array(arena, legs, sizeof(*command.legs.items));
	if (command.legs.items == NULL)
		return error_set_nomem(error);
	for (; command.legs.count < legs; command.legs.count++) {
		struct place_leg *leg = &command.legs.items[command.legs.count];

		leg->slot = command.legs.count / request->legs_per_controller;
		leg->size_bytes = plan.leg_bytes;
		result = placement_leg_choose(&plan, command.legs.count, leg, error);
		if (result != 0)
			return result;
	}
	*ret_command = command;
	return 0;
}
