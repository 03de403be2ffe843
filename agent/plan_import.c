/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Imports: connected where they are wanted, and given up in the right order where they are not.
 *
 * A path that does not answer freezes all that lies on it, so it goes before what is above; but an error that reaches
 * an export is final for its host, so it goes only when no linked export stands above. A path that works goes last:
 * what is above is flushed through it.
 */
#include "agent/planner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/group.h"
#include "agent/survivor.h"
#include "lib/base/canary.h"

size_t planner_edge_find(const struct planner *planner, uint64_t device)
{
	size_t low = 0, high = planner->edge_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (planner->edges[middle].device < device)
			low = middle + 1;
		else
			high = middle;
	}
	return low < planner->edge_count && planner->edges[low].device == device ? low : planner->edge_count;
}

static uint64_t dm_device(const struct planner_dm *dm)
{
	return PLANNER_DEVICE(dm->observed->major, dm->observed->minor);
}

bool planner_import_is_healthy(const struct observed_import *import)
{
	return strcmp(import->state, "live") == 0 &&
	       (import->ana == NULL ||
		(strcmp(import->ana, "inaccessible") != 0 && strcmp(import->ana, "persistent-loss") != 0));
}

bool planner_import_is_ours(const struct planner *planner, const struct observed_import *import)
{
	return import->host_nqn != NULL && strcmp(import->host_nqn, planner->target->host_nqn) == 0;
}

static bool subsystem_answers(const struct planner *planner, const char *nqn)
{
	for (size_t i = 0; i < planner->observed->imports.count; i++) {
		const struct observed_import *import = &planner->observed->imports.items[i];

		if (strcmp(import->nqn, nqn) == 0 && planner_import_is_healthy(import))
			return true;
	}
	return false;
}

/* As deep as the stack of devices. */
static void freeze_above(struct planner *planner, uint64_t device)
{
	for (size_t i = planner_edge_find(planner, device);
	     i < planner->edge_count && planner->edges[i].device == device; i++) {
		struct planner_dm *dm = &planner->dms[planner->edges[i].holder];

		if (dm->frozen)
			continue;
		dm->frozen = true;
		freeze_above(planner, dm_device(dm));
	}
}

static bool is_error(const struct observed_target_list *table)
{
	return table->count > 0 && strcmp(table->items[0].type, "error") == 0;
}

/* The top of a volume shall be a standby's; or it lies on devices of an older epoch, which go before those of the new
 * one are made under the same names. */
static void let_go(struct planner *planner)
{
	for (size_t i = 0; i < planner->observed->dms.count; i++) {
		struct planner_dm *dm = &planner->dms[i];

		if (dm->wanted != NULL && dm->wanted->role == TARGET_DM_VOLUME && is_error(&dm->wanted->table) &&
		    dm->observed->targets.count > 0 && !is_error(&dm->observed->targets))
			dm->lets_go = true;
		for (size_t j = planner_edge_find(planner, dm_device(dm));
		     dm->wanted == NULL && j < planner->edge_count && planner->edges[j].device == dm_device(dm); j++) {
			struct planner_dm *above = &planner->dms[planner->edges[j].holder];

			if (above->wanted != NULL && above->wanted->role == TARGET_DM_VOLUME &&
			    !planner_owner_has_problem(planner, &above->wanted->owner))
				above->lets_go = true;
		}
	}
}

static const char *linked_above_next(struct planner *planner, struct planner_dm *dm,
				     bool (*counts)(const struct planner *, const struct observed_subsystem *))
{
	if (dm->look == planner->looks)
		return NULL;
	dm->look = planner->looks;
	for (size_t i = 0; i < planner->observed->subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &planner->observed->subsystems.items[i];
		bool on_it = false;

		if (counts != NULL && !counts(planner, subsystem))
			continue;
		for (size_t j = 0; j < subsystem->namespaces.count && !on_it; j++)
			on_it = strcmp(planner_path_device(subsystem->namespaces.items[j].path), dm->observed->name) ==
				0;
		for (size_t j = 0; on_it && j < planner->observed->ports.count; j++) {
			if (planner_is_linked(&planner->observed->ports.items[j], subsystem->nqn))
				return subsystem->nqn;
		}
	}
	for (size_t i = planner_edge_find(planner, dm_device(dm));
	     i < planner->edge_count && planner->edges[i].device == dm_device(dm); i++) {
		const char *nqn = linked_above_next(planner, &planner->dms[planner->edges[i].holder], counts);

		if (nqn != NULL)
			return nqn;
	}
	return NULL;
}

/* A subsystem that is linked and stands on the device or above it, of those that `counts` if it is given. */
static const char *linked_above(struct planner *planner, struct planner_dm *dm,
				bool (*counts)(const struct planner *, const struct observed_subsystem *))
{
	planner->looks++;
	return linked_above_next(planner, dm, counts);
}

static bool subsystem_leaves(const struct planner *planner, const struct observed_subsystem *subsystem)
{
	struct owner owner;

	return planner_wanted_subsystem_find(planner, subsystem->nqn) == NULL &&
	       owner_of_subsystem(planner->target->cluster, subsystem->nqn, &owner) &&
	       !planner_owner_has_problem(planner, &owner);
}

bool planner_dm_is_left_suspended(const struct planner *planner, const struct planner_dm *dm, struct owner *ret_owner)
{
	return dm->observed->suspended && dm->wanted == NULL && dm->observed->targets.count > 0 &&
	       dm->observed->uuid != NULL && owner_of_dm(planner->target->cluster, dm->observed->uuid, ret_owner) &&
	       !planner_owner_has_problem(planner, ret_owner);
}

void planner_freeze(struct planner *planner)
{
	let_go(planner);
	for (size_t i = 0; i < planner->observed->import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &planner->observed->import_namespaces.items[i];

		if (!subsystem_answers(planner, ns->nqn))
			freeze_above(planner, PLANNER_DEVICE(ns->major, ns->minor));
	}
	/* What waits in there goes on when no host hears any more what becomes of it. */
	for (size_t i = 0; i < planner->observed->dms.count; i++) {
		struct planner_dm *dm = &planner->dms[i];
		struct owner owner;

		if (dm->frozen || !planner_dm_is_left_suspended(planner, dm, &owner) ||
		    linked_above(planner, dm, subsystem_leaves) == NULL)
			continue;
		dm->frozen = true;
		freeze_above(planner, dm_device(dm));
	}
}

bool planner_subsystem_is_frozen(struct planner *planner, const struct observed_subsystem *subsystem)
{
	const struct target_subsystem *wanted = planner_wanted_subsystem_find(planner, subsystem->nqn);

	for (size_t i = 0; i < subsystem->namespaces.count; i++) {
		const struct observed_namespace *ns = &subsystem->namespaces.items[i];
		const struct planner_dm *dm = planner_dm_find(planner, planner_path_device(ns->path));

		if (dm == NULL || !dm->frozen || !ns->enabled)
			continue;
		if (wanted == NULL || !planner_namespace_is_wanted(planner, wanted, ns) || dm->lets_go)
			return true;
	}
	return false;
}

int planner_build_imports(struct planner *planner)
{
	for (size_t i = 0; i < planner->target->imports.count; i++) {
		const struct target_import *wanted = &planner->target->imports.items[i];
		const struct observed_import *there = planner_import_find(planner, &wanted->import);

		if (there == NULL) {
			struct action *action = planner_action(planner, ACTION_CONNECT, &wanted->owner);

			if (action == NULL)
				return -1;
			action->import = wanted->import;
		} else if (strcmp(there->state, "live") != 0) {
			/* The kernel reconnects for ever; what is above stays frozen and complete. */
			if (planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, NULL,
					 "the import of %s from %s:%" PRIu64 " is %s", wanted->import.nqn,
					 wanted->import.address, wanted->import.port, there->state) != 0)
				return -1;
		} else if (planner_import_is_healthy(there) && planner_import_is_behind(planner, &wanted->import)) {
			struct action *action = planner_action(planner, ACTION_RESCAN, &wanted->owner);

			if (action == NULL)
				return -1;
			action->import = wanted->import;
		}
	}
	return 0;
}

static bool import_is_wanted(const struct planner *planner, const struct observed_import *import)
{
	for (size_t i = 0; i < planner->target->imports.count; i++) {
		if (planner_import_find(planner, &planner->target->imports.items[i].import) == import)
			return true;
	}
	return false;
}

/* Whether another import of the subsystem, a wanted one, carries what lies on this one. That it is live is not enough:
 * while it has no path to a namespace, the last one that leaves takes what waits for the namespace with it, as an
 * error. */
static bool import_is_replaced(const struct planner *planner, const struct observed_import *import)
{
	for (size_t i = 0; i < planner->target->imports.count; i++) {
		const struct kernel_import *wanted = &planner->target->imports.items[i].import;
		const struct observed_import *other = planner_import_find(planner, wanted);

		if (strcmp(wanted->nqn, import->nqn) == 0 && other != NULL && other != import &&
		    strcmp(other->state, "live") == 0 && other->paths > 0 && other->paths >= import->paths)
			return true;
	}
	return false;
}

/* What lies on the namespaces of a subsystem. */
struct import_users {
	const char *first;    /* by name; NULL: nothing does */
	const char *keeper;   /* a device that is wanted, and to lie on it still */
	const char *exported; /* a subsystem that is linked and stands above */
	bool group_goes_on;   /* a group that is wanted lies on the unwanted slices of a member */
	struct survivor_list survivors;
	const char *alone; /* a group that would be left without a member that is sure to have everything */
};

/* What a group that lies on a slice goes on with when that is gone. */
static int survivors_note(struct planner *planner, const struct planner_dm *slice, const struct planner_dm *mirror,
			  struct import_users *users)
{
	struct group_status status;
	struct group_table table;
	bool any;

	if (mirror->wanted->group == NULL || !group_table_parse(&mirror->observed->targets, &table))
		return 0;
	group_status_parse(mirror->observed->status, &status);
	group_align(planner->observed, mirror->wanted->group, &table, &status);
	for (size_t i = 0; i < table.count && i < mirror->wanted->group->count; i++) {
		if (table.data[i] != dm_device(slice))
			continue;
		if (survivors_find(planner->observed, mirror->wanted, &table, &status, i, planner->arena,
				   &users->survivors, &any) != 0)
			return -1;
		if (!any)
			users->alone = mirror->observed->name;
	}
	return 0;
}

static int user_note(struct planner *planner, struct planner_dm *dm, struct import_users *users)
{
	if (users->first == NULL)
		users->first = dm->observed->name;
	if (dm->wanted != NULL && !dm->lets_go)
		users->keeper = dm->observed->name;
	if (users->exported == NULL)
		users->exported = linked_above(planner, dm, NULL);
	for (size_t i = planner_edge_find(planner, dm_device(dm));
	     i < planner->edge_count && planner->edges[i].device == dm_device(dm); i++) {
		const struct planner_dm *above = &planner->dms[planner->edges[i].holder];

		if (above->wanted == NULL || above->wanted->role != TARGET_DM_STORE)
			continue;
		users->group_goes_on = true;
		if (survivors_note(planner, dm, above, users) != 0)
			return -1;
	}
	return 0;
}

static int import_users(struct planner *planner, const char *nqn, struct import_users *ret_users)
{
	struct import_users users = { 0 };

	for (size_t i = 0; i < planner->observed->import_namespaces.count; i++) {
		const struct observed_import_namespace *ns = &planner->observed->import_namespaces.items[i];
		uint64_t device = PLANNER_DEVICE(ns->major, ns->minor);

		if (strcmp(ns->nqn, nqn) != 0)
			continue;
		for (size_t j = planner_edge_find(planner, device);
		     j < planner->edge_count && planner->edges[j].device == device; j++) {
			if (user_note(planner, &planner->dms[planner->edges[j].holder], &users) != 0)
				return -1;
		}
	}
	*ret_users = users;
	return 0;
}

/* A planted bug: a group that runs goes on without a member whose path is lost, though the leader was not asked. */
static bool is_dropped_unasked(struct planner *planner, const struct observed_import *import)
{
	struct import_users users;

	return canary("drop_unasked") && strcmp(import->state, "live") != 0 &&
	       import_users(planner, import->nqn, &users) == 0 && users.group_goes_on;
}

/* How an import that is not wanted goes now; 0: not yet, and a note says why. */
static int import_end(struct planner *planner, const struct observed_import *import, const struct owner *owner,
		      enum action_kind *ret_kind, struct survivor_list *ret_survivors)
{
	bool healthy = planner_import_is_healthy(import);
	struct import_users users;

	*ret_kind = healthy ? ACTION_DISCONNECT : ACTION_DROP;
	/* It leads to an earlier holder, which may be dead without the kernel knowing: to delete it as it is would wait
	 * for what is in flight on it, 30 s, and so would hosts. */
	if (import_is_replaced(planner, import)) {
		*ret_kind = ACTION_DROP;
		return 1;
	}
	if (import_users(planner, import->nqn, &users) != 0)
		return -1;
	if (users.first == NULL)
		return 1;
	if (users.keeper != NULL && !canary("drop_unasked"))
		return planner_note(planner, PLAN_NOTE_WAITS, owner, NULL, "the import of %s from %s is under %s",
				    import->nqn, import->address, users.keeper);
	/* A member that was given up: its group goes on without it, and so do the exports above. The kernel may not
	 * have noticed yet that a peer is dead: what looks well is tried before it is trusted. */
	if (users.group_goes_on) {
		if (users.alone != NULL && !canary("drop_unasked") && !canary("drop_unvetoed"))
			return planner_note(planner, PLAN_NOTE_WAITS, owner, NULL,
					    "%s does not go on without %s while no other copy is reachable and in sync",
					    users.alone, import->nqn);
		if (!canary("drop_unvetoed") && !canary("drop_unasked"))
			*ret_survivors = users.survivors;
		*ret_kind = ACTION_DROP;
		return 1;
	}
	/* What is above is flushed first, or changes its table. */
	if (healthy)
		return planner_note(planner, PLAN_NOTE_WAITS, owner, NULL, "the import of %s is under %s", import->nqn,
				    users.first);
	if (users.exported != NULL)
		return planner_note(planner, PLAN_NOTE_WAITS, owner, NULL, "the import of %s is under %s", import->nqn,
				    users.exported);
	return 1;
}

static int parse_port(const char *text, uint64_t *ret_port)
{
	uint64_t port = 0;

	for (; *text >= '0' && *text <= '9' && port <= 65535; text++)
		port = port * 10 + (uint64_t)(*text - '0');
	if (*text != '\0' || port == 0 || port > 65535)
		return -1;
	*ret_port = port;
	return 0;
}

int planner_teardown_imports(struct planner *planner)
{
	const struct observed *observed = planner->observed;

	for (size_t i = 0; i < observed->imports.count; i++) {
		const struct observed_import *import = &observed->imports.items[i];
		struct owner owner;
		struct action *action;
		struct survivor_list survivors = { 0 };
		enum action_kind kind;
		uint64_t port;
		int now;

		/* The same machine may be somebody's host, under another host NQN. */
		if (!planner_import_is_ours(planner, import) ||
		    !owner_of_import(planner->target->cluster, import->nqn, &owner) ||
		    planner_owner_has_problem(planner, &owner) ||
		    (import_is_wanted(planner, import) && !is_dropped_unasked(planner, import)) ||
		    parse_port(import->trsvcid, &port) != 0)
			continue;
		now = import_end(planner, import, &owner, &kind, &survivors);
		if (now < 0)
			return -1;
		if (now == 0)
			continue;
		action = planner_action(planner, kind, &owner);
		if (action == NULL)
			return -1;
		action->survivors = survivors;
		action->import.port = port;
		action->import.nqn = arena_strdup(planner->arena, import->nqn);
		action->import.address = arena_strdup(planner->arena, import->address);
		action->import.host_nqn = arena_strdup(planner->arena, import->host_nqn);
		if (action->import.nqn == NULL || action->import.address == NULL || action->import.host_nqn == NULL)
			return -1;
	}
	return 0;
}
