/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lease_claim.h"

#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"

static int compare(const void *a, const void *b)
{
	const struct kernel_path *x = a, *y = b;
	int order = strcmp(x->nqn, y->nqn);

	if (order == 0)
		order = strcmp(x->address, y->address);
	if (order == 0)
		order = (x->port > y->port) - (x->port < y->port);
	/* The strict one comes first, and stays. */
	return order != 0 ? order : (x->may_lack > y->may_lack) - (x->may_lack < y->may_lack);
}

/* Several LDs share an import. */
static void unique(struct kernel_path_list *paths)
{
	size_t kept = 0;

	if (paths->count > 0)
		qsort(paths->items, paths->count, sizeof(paths->items[0]), compare);
	for (size_t i = 0; i < paths->count; i++) {
		const struct kernel_path *last = kept > 0 ? &paths->items[kept - 1] : NULL;

		if (last == NULL || strcmp(last->nqn, paths->items[i].nqn) != 0 ||
		    strcmp(last->address, paths->items[i].address) != 0 || last->port != paths->items[i].port)
			paths->items[kept++] = paths->items[i];
	}
	paths->count = kept;
}

static int leg_add(const struct desired_leg *leg, struct arena *arena, struct kernel_path_list *paths)
{
	for (size_t i = 0; i < leg->groups.count; i++) {
		/* Nothing is served from one that is not part of the leg. */
		for (size_t j = 0; !leg->groups.items[i].format && j < leg->groups.items[i].members.count; j++) {
			const struct desired_member *member = &leg->groups.items[i].members.items[j];
			struct kernel_path *path;

			if (member->state != LD_STATE_IN_SYNC && member->state != LD_STATE_REBUILDING)
				continue;
			path = LIST_PUSH(arena, paths);
			if (path == NULL)
				return -1;
			*path = (struct kernel_path){ .nqn = member->nqn,
						      .address = member->address,
						      .port = member->port,
						      .may_lack = member->state == LD_STATE_REBUILDING };
		}
	}
	return 0;
}

static bool has_come_to(const struct object_status_list *statuses, const char *id, uint64_t revision,
			enum object_state state)
{
	for (size_t i = 0; i < statuses->count; i++) {
		const struct object_status *status = &statuses->items[i];

		if (status->kind == OBJECT_KIND_VOLUME && status->revision == revision && strcmp(status->id, id) == 0)
			return status->state == state;
	}
	return false;
}

int lease_claim_make(const struct desired *desired, const struct object_status_list *statuses, struct arena *arena,
		     struct lease_claim *ret_claim, struct error *error)
{
	struct lease_claim claim = { 0 };
	char id[NAMES_ID_SIZE];

	if (desired == NULL) {
		*ret_claim = (struct lease_claim){ .refusal = "this agent was not told yet what the node holds" };
		return 0;
	}
	for (size_t i = 0; i < desired->volumes.count; i++) {
		const struct desired_volume *volume = &desired->volumes.items[i];

		names_id_format("v", volume->id, id);
		/* What it held before, and shall no longer, must be gone from the kernel: its members are not known
		 * any more. */
		if (!volume->legs_wanted && !has_come_to(statuses, id, volume->revision, OBJECT_STATE_CONVERGED))
			claim.refusal = "a volume is not yet as the leader wanted it";
		for (size_t j = 0; volume->legs_wanted && j < volume->legs.count; j++) {
			if (volume->legs.items[j].local && leg_add(&volume->legs.items[j], arena, &claim.paths) != 0)
				return error_set_nomem(error);
		}
	}
	for (size_t i = 0; i < desired->removed.count; i++) {
		const struct object_ref *removed = &desired->removed.items[i];

		if (removed->kind == OBJECT_KIND_VOLUME &&
		    !has_come_to(statuses, removed->id, removed->revision, OBJECT_STATE_ABSENT))
			claim.refusal = "a volume that moved away is not gone yet";
	}
	unique(&claim.paths);
	if (claim.refusal == NULL && claim.paths.count == 0)
		claim.refusal = "the node holds nothing";
	*ret_claim = claim;
	return 0;
}
