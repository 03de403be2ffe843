/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a placement failed, for people: a sentence, a line per domain, a hint. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/policy/placement_internal.h"

#define LINE_SIZE 240u

const char *placement_size_text(uint64_t bytes, bool up, char text[SIZE_TEXT_SIZE])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit = sizeof(units) / sizeof(units[0]) - 1;
	uint64_t scale, value;

	for (; unit > 0; unit--) {
		scale = UINT64_C(1) << (10 * unit);
		if (bytes >= scale && (bytes % scale == 0 || bytes / scale >= 10))
			break;
	}
	scale = UINT64_C(1) << (10 * unit);
	value = bytes / scale + (up && bytes % scale != 0);
	snprintf(text, SIZE_TEXT_SIZE, "%" PRIu64 " %s", value, units[unit]);
	return text;
}

/* --- a node ------------------------------------------------------------------------------------------------- */

const char *placement_site_obstacle(const struct site *site)
{
	if (site->health == HEALTH_UNKNOWN)
		return "was not heard of yet";
	if (site->health != HEALTH_ONLINE)
		return site->health == HEALTH_SUSPECT ? "misses heartbeats" : "is offline";
	return site->node->cordoned ? "is cordoned" : NULL;
}

const char *placement_controller_obstacle(const struct site *site, enum durability durability)
{
	const char *obstacle = placement_site_obstacle(site);

	if (obstacle != NULL)
		return obstacle;
	if (site->node->storage_only)
		return "holds no controllers";
	return durability == DURABILITY_STRICT && !site->node->writethrough
		       ? "has a kernel without the write-through target"
		       : NULL;
}

static uint64_t extents_size(const struct plan *plan, uint64_t extents)
{
	uint64_t bytes;

	return __builtin_mul_overflow(extents, plan->view->extent_bytes, &bytes) ? UINT64_MAX : bytes;
}

void placement_site_text(const struct plan *plan, const struct site *site, uint64_t wanted, char *text, size_t size)
{
	const char *obstacle = placement_site_obstacle(site);
	char amount[SIZE_TEXT_SIZE];

	if (obstacle != NULL)
		snprintf(text, size, "%s %s", site->node->name, obstacle);
	else if (site->disks == 0)
		snprintf(text, size, "%s has no disk", site->node->name);
	else if (site->disks == site->disks_held)
		snprintf(text, size, "%s has only disks that are held since a restore (dnvme disk release)",
			 site->node->name);
	else if (site->disks == site->disks_cordoned)
		snprintf(text, size, "%s has only cordoned disks", site->node->name);
	else if (site->free_most >= wanted)
		snprintf(text, size, "%s has %s free", site->node->name,
			 placement_size_text(extents_size(plan, site->free_most), false, amount));
	else
		snprintf(text, size, "%s is %s short", site->node->name,
			 placement_size_text(extents_size(plan, wanted - site->free_most), true, amount));
}

/* --- controllers -------------------------------------------------------------------------------------------- */

int placement_explain_controllers(const struct plan *plan, size_t found, struct error *error)
{
	uint64_t wanted = plan->request->controllers + plan->request->standbys;
	bool strict = plan->request->durability == DURABILITY_STRICT;
	const struct node *cordoned = NULL, *lacking = NULL;
	uint64_t colours = 0;

	error_set(error, ERROR_NO_CAPACITY,
		  "cannot create volume \"%s\": %" PRIu64 " controllers%s need as many nodes of different colours%s, "
		  "there are %zu",
		  plan->request->name, wanted, plan->request->standbys > 0 ? " and standbys" : "",
		  strict ? " with the write-through target (durability is strict)" : "", found);
	for (size_t i = 0; i < plan->site_count; i++) {
		const struct site *site = &plan->sites[i];
		const char *obstacle = placement_controller_obstacle(site, plan->request->durability);

		if (lacking == NULL && obstacle != NULL &&
		    placement_controller_obstacle(site, DURABILITY_FLUSH) == NULL)
			lacking = site->node;
		if (obstacle == NULL && colours & 1u << site->node->colour)
			obstacle = "has the colour of another node";
		if (obstacle != NULL)
			error_detail(error, "%s %s", site->node->name, obstacle);
		else
			colours |= 1u << site->node->colour;
		if (cordoned == NULL && site->health == HEALTH_ONLINE && site->node->cordoned)
			cordoned = site->node;
	}
	if (lacking != NULL)
		error_hint(error,
			   "load dm-writethrough on %s (kmod/README.md) and restart its agent, or ask for durability "
			   "flush",
			   lacking->name);
	else if (cordoned != NULL)
		error_hint(error, "uncordon %s, add a node, or ask for fewer controllers", cordoned->name);
	else
		error_hint(error, "add a node, or ask for fewer controllers");
	return ERROR_NO_CAPACITY;
}

/* --- space ---------------------------------------------------------------------------------------------------- */

static int domain_compare(const void *a, const void *b)
{
	const struct site *x = *(const struct site *const *)a, *y = *(const struct site *const *)b;

	if (x->domain != y->domain) {
		/* By name; domains without a label bear their node's. */
		int order = strcmp(x->label != NULL ? x->label : x->node->name,
				   y->label != NULL ? y->label : y->node->name);

		return order != 0 ? order : (x->domain < y->domain ? -1 : 1);
	}
	return strcmp(x->node->name, y->node->name);
}

static void domain_line(const struct plan *plan, const struct site *const *sites, size_t count, uint64_t wanted,
			struct error *error)
{
	const char *spread = ENUM_NAME(spread, plan->request->spread);
	char line[LINE_SIZE] = "", part[LINE_SIZE / 2];
	size_t used;

	if (sites[0]->label != NULL)
		snprintf(line, sizeof(line), "%s %s: ", spread, sites[0]->label);
	else if (plan->request->spread != SPREAD_NODE)
		snprintf(line, sizeof(line), "no %s: ", spread);
	for (size_t i = 0; i < count; i++) {
		placement_site_text(plan, sites[i], wanted, part, sizeof(part));
		used = strlen(line);
		if (used + strlen(part) + sizeof(", …") > sizeof(line)) {
			snprintf(line + used, sizeof(line) - used, ", …");
			break;
		}
		snprintf(line + used, sizeof(line) - used, "%s%s", i > 0 ? ", " : "", part);
	}
	error_detail(error, "%s", line);
}

static bool site_has_room(const struct site *site, uint64_t wanted)
{
	return placement_site_obstacle(site) == NULL && site->free_most >= wanted;
}

/* What would help most: room in a domain that has none, a cordoned node there, domains that are smaller. */
static void space_hint(const struct plan *plan, const struct site *const *sites, uint64_t wanted, struct error *error)
{
	const struct site *cordoned = NULL, *without = NULL;
	char uncordon[LIMIT_NAME + 16] = "", where[LIMIT_NAME + 16] = "on another node";
	size_t nodes_with_room = 0;

	for (size_t i = 0, last; i < plan->site_count; i = last) {
		bool room = false;

		for (last = i; last < plan->site_count && sites[last]->domain == sites[i]->domain; last++) {
			room |= site_has_room(sites[last], wanted);
			nodes_with_room += site_has_room(sites[last], wanted);
			if (cordoned == NULL && sites[last]->health == HEALTH_ONLINE && sites[last]->node->cordoned)
				cordoned = sites[last];
		}
		if (!room && without == NULL)
			without = sites[i];
	}
	if (cordoned != NULL)
		snprintf(uncordon, sizeof(uncordon), ", uncordon %s", cordoned->node->name);
	if (without != NULL && without->label != NULL)
		snprintf(where, sizeof(where), "in %s", without->label);
	else if (without != NULL)
		snprintf(where, sizeof(where), "on %s", without->node->name);
	error_hint(error, "add a disk %s%s%s", where, uncordon,
		   plan->request->spread != SPREAD_NODE && nodes_with_room >= plan->request->copies
			   ? ", or use --spread node"
			   : "");
}

int placement_explain_space(const struct plan *plan, uint64_t wanted_extents, struct error *error)
{
	const struct placement_request *request = plan->request;
	uint64_t legs = request->controllers * request->legs_per_controller;
	const struct site **sites = arena_alloc_array(plan->arena, plan->site_count, sizeof(*sites));
	char amount[SIZE_TEXT_SIZE], what[64] = "", where[64] = "";

	if (sites == NULL)
		return error_set_nomem(error);
	if (legs > 1)
		snprintf(what, sizeof(what), "each of %" PRIu64 " legs of ", legs);
	if (request->copies > 1)
		snprintf(where, sizeof(where), " %s different %ss", request->spread == SPREAD_NODE ? "on" : "in",
			 ENUM_NAME(spread, request->spread));
	placement_size_text(plan->leg_bytes, true, amount);
	if (request->copies > 1)
		error_set(error, ERROR_NO_CAPACITY, "not enough space for %" PRIu64 " copies of %s%s%s",
			  request->copies, what, amount, where);
	else
		error_set(error, ERROR_NO_CAPACITY, "not enough space for %s%s", what, amount);
	placement_prefix(plan, ERROR_NO_CAPACITY, error);
	for (size_t i = 0; i < plan->site_count; i++)
		sites[i] = &plan->sites[i];
	if (plan->site_count > 0)
		qsort(sites, plan->site_count, sizeof(*sites), domain_compare);
	for (size_t i = 0, last; i < plan->site_count; i = last) {
		for (last = i; last < plan->site_count && sites[last]->domain == sites[i]->domain;)
			last++;
		domain_line(plan, &sites[i], last - i, wanted_extents, error);
	}
	space_hint(plan, sites, wanted_extents, error);
	return ERROR_NO_CAPACITY;
}
