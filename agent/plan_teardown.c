/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is there, is ours, and is not wanted goes: from the top. An export is taken away before anything under it can
 * fail, since an error under nvmet is final for the host.
 *
 * Nothing that waits for I/O (to disable a namespace, to remove a device) is tried while an import below it answers
 * nothing: the export is unlinked, then plan_import.c drops the import, and the next wave does the rest. So it is with
 * a device that was left suspended, which is resumed then.
 */
#include "agent/planner.h"

#include <inttypes.h>
#include <string.h>

static int unlink_everywhere(struct planner *planner, const struct observed_subsystem *subsystem,
			     const struct owner *owner)
{
	for (size_t i = 0; i < planner->observed->ports.count; i++) {
		const struct observed_port *port = &planner->observed->ports.items[i];
		struct action *action;

		if (!planner_is_linked(port, subsystem->nqn))
			continue;
		action = planner_action(planner, ACTION_UNLINK, owner);
		if (action == NULL)
			return -1;
		action->port = port->id;
		action->nqn = arena_strdup(planner->arena, subsystem->nqn);
		if (action->nqn == NULL)
			return -1;
	}
	planner->unlinked[subsystem - planner->observed->subsystems.items] = true;
	return 0;
}

static bool host_is_wanted(const struct target_subsystem *wanted, const char *host)
{
	for (size_t i = 0; wanted != NULL && i < wanted->hosts.count; i++) {
		if (strcmp(wanted->hosts.items[i], host) == 0)
			return true;
	}
	return false;
}

/* Its hosts are to find it again in its new form, not to be told meanwhile that it is gone: those with a kernel
 * from 6.10 on would give their path up. */
static int reject(struct planner *planner, const struct observed_subsystem *subsystem,
		  const struct target_subsystem *wanted, const struct owner *owner)
{
	struct action *action;

	for (size_t i = 0; i < planner->observed->ports.count; i++) {
		if (planner->observed->ports.items[i].id != wanted->port ||
		    !planner_is_linked(&planner->observed->ports.items[i], subsystem->nqn))
			continue;
		action = planner_action(planner, ACTION_REJECT, owner);
		if (action == NULL)
			return -1;
		action->port = wanted->port;
		action->nqn = wanted->nqn;
	}
	return 0;
}

/* An export that is to be shut out, but a path below it does not answer: nothing new comes in; the rest waits until the
 * path is back or given up. It stays linked, so that its host keeps its path. */
static int close_frozen(struct planner *planner, const struct observed_subsystem *subsystem, const struct owner *owner)
{
	struct action *action;

	for (size_t i = 0; i < subsystem->namespaces.count; i++) {
		const struct observed_namespace *ns = &subsystem->namespaces.items[i];

		if (!ns->enabled || ns->group == KERNEL_ANA_INACCESSIBLE)
			continue;
		action = planner_action(planner, ACTION_NAMESPACE_GROUP, owner);
		if (action == NULL || (action->nqn = arena_strdup(planner->arena, subsystem->nqn)) == NULL)
			return -1;
		action->ns.nsid = (uint32_t)ns->nsid;
		action->ns.group = KERNEL_ANA_INACCESSIBLE;
	}
	return planner_note(planner, PLAN_NOTE_WAITS, owner, NULL,
			    "%s waits until every path below it answers or is given up", subsystem->nqn);
}

/* No host gets in any more that is not wanted; those that are connected stay. */
static int close_hosts(struct planner *planner, const struct observed_subsystem *subsystem,
		       const struct target_subsystem *wanted, const struct owner *owner)
{
	for (size_t i = 0; i < subsystem->hosts.count; i++) {
		struct action *action;

		if (host_is_wanted(wanted, subsystem->hosts.items[i]))
			continue;
		action = planner_action(planner, ACTION_HOST_DENY, owner);
		if (action == NULL || (action->nqn = arena_strdup(planner->arena, subsystem->nqn)) == NULL ||
		    (action->host = arena_strdup(planner->arena, subsystem->hosts.items[i])) == NULL)
			return -1;
	}
	return 0;
}

/* In a lane of its own: that of the export may be in the midst of a reload or a drain, which ends only when the import
 * is dropped that froze, and that waits for this. */
static int take_out(struct planner *planner, const struct observed_subsystem *subsystem,
		    const struct target_subsystem *wanted, const struct owner *owner)
{
	struct owner out;

	owner_out_make(owner, &out);
	if (wanted != NULL && reject(planner, subsystem, wanted, &out) != 0)
		return -1;
	if (unlink_everywhere(planner, subsystem, &out) != 0)
		return -1;
	return planner_note(planner, PLAN_NOTE_WAITS, owner, NULL,
			    "%s waits until the imports below it that do not answer are dropped", subsystem->nqn);
}

/* `wanted` NULL: all of it goes. Otherwise only namespaces and hosts that are no longer wanted. Unlinking comes first
 * in either case: it is what drops live connections, and should the agent die behind it, the next one sees the
 * missing link and goes on. */
static int subsystem_reduce(struct planner *planner, const struct observed_subsystem *subsystem,
			    const struct target_subsystem *wanted, const struct owner *owner)
{
	size_t first = planner->plan->actions.count;
	struct action *action;
	bool reduces = wanted == NULL, frozen = planner_subsystem_is_frozen(planner, subsystem);

	for (size_t i = 0; i < subsystem->namespaces.count && !reduces; i++)
		reduces = !planner_namespace_is_wanted(planner, wanted, &subsystem->namespaces.items[i]);
	for (size_t i = 0; i < subsystem->hosts.count && !reduces && !wanted->closed; i++)
		reduces = !host_is_wanted(wanted, subsystem->hosts.items[i]);
	if (!reduces && !frozen)
		return wanted->closed ? close_hosts(planner, subsystem, wanted, owner) : 0;
	if (frozen && wanted != NULL && wanted->parked)
		return close_frozen(planner, subsystem, owner);
	if (frozen)
		return take_out(planner, subsystem, wanted, owner);
	if (wanted != NULL && reject(planner, subsystem, wanted, &wanted->owner) != 0)
		return -1;
	if (unlink_everywhere(planner, subsystem, owner) != 0)
		return -1;
	for (size_t i = 0; i < subsystem->namespaces.count; i++) {
		if (wanted != NULL && planner_namespace_is_wanted(planner, wanted, &subsystem->namespaces.items[i]))
			continue;
		action = planner_action(planner, ACTION_NAMESPACE_REMOVE, owner);
		if (action == NULL)
			return -1;
		action->ns.nsid = (uint32_t)subsystem->namespaces.items[i].nsid;
	}
	for (size_t i = 0; i < subsystem->hosts.count; i++) {
		if (host_is_wanted(wanted, subsystem->hosts.items[i]))
			continue;
		action = planner_action(planner, ACTION_HOST_DENY, owner);
		if (action == NULL || (action->host = arena_strdup(planner->arena, subsystem->hosts.items[i])) == NULL)
			return -1;
	}
	if (wanted == NULL && planner_action(planner, ACTION_SUBSYSTEM_REMOVE, owner) == NULL)
		return -1;
	for (size_t i = first; i < planner->plan->actions.count; i++) {
		if (planner->plan->actions.items[i].nqn != NULL)
			continue;
		planner->plan->actions.items[i].nqn = arena_strdup(planner->arena, subsystem->nqn);
		if (planner->plan->actions.items[i].nqn == NULL)
			return -1;
	}
	return 0;
}

int planner_teardown_exports(struct planner *planner)
{
	for (size_t i = 0; i < planner->observed->subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &planner->observed->subsystems.items[i];
		const struct target_subsystem *wanted = planner_wanted_subsystem_find(planner, subsystem->nqn);
		struct owner owner;

		if (!owner_of_subsystem(planner->target->cluster, subsystem->nqn, &owner) ||
		    planner_owner_has_problem(planner, &owner))
			continue;
		if (subsystem_reduce(planner, subsystem, wanted, &owner) != 0)
			return -1;
	}
	return 0;
}

/* Whether the namespace of an export still stands on the device once this lane's actions are done. */
static bool export_holds(struct planner *planner, const struct observed_dm *dm, const struct owner *owner,
			 const char **ret_lane, size_t *ret_count)
{
	bool holds = false;

	*ret_count = 0;
	for (size_t i = 0; i < planner->observed->subsystems.count; i++) {
		const struct observed_subsystem *subsystem = &planner->observed->subsystems.items[i];

		for (size_t j = 0; j < subsystem->namespaces.count; j++) {
			const struct target_subsystem *wanted;
			struct owner holder;

			if (strcmp(planner_path_device(subsystem->namespaces.items[j].path), dm->name) != 0)
				continue;
			*ret_count += 1;
			wanted = planner_wanted_subsystem_find(planner, subsystem->nqn);
			/* The reduction above takes it away in its own lane: in this one it is then gone. */
			if (owner_of_subsystem(planner->target->cluster, subsystem->nqn, &holder) &&
			    !planner_owner_has_problem(planner, &holder) && strcmp(holder.lane, owner->lane) == 0 &&
			    (wanted == NULL ||
			     !planner_namespace_is_wanted(planner, wanted, &subsystem->namespaces.items[j])))
				continue;
			holds = true;
			*ret_lane = subsystem->nqn;
		}
	}
	return holds;
}

/* Plan the removal of a device after those above it. Recursion is as deep as the stack of devices. */
static int dm_remove(struct planner *planner, struct planner_dm *dm)
{
	uint64_t device = PLANNER_DEVICE(dm->observed->major, dm->observed->minor);
	const char *name = dm->observed->name, *export_nqn = NULL;
	size_t known = 0, last_holder = SIZE_MAX, exports;
	struct owner owner, holder_owner;
	struct action *action;

	if (dm->removed || dm->look == planner->looks || dm->wanted != NULL || dm->observed->uuid == NULL ||
	    !owner_of_dm(planner->target->cluster, dm->observed->uuid, &owner) ||
	    planner_owner_has_problem(planner, &owner))
		return 0;
	dm->look = planner->looks;
	for (size_t i = planner_edge_find(planner, device);
	     i < planner->edge_count && planner->edges[i].device == device; i++) {
		struct planner_dm *holder = &planner->dms[planner->edges[i].holder];

		if (planner->edges[i].holder != last_holder)
			known++;
		last_holder = planner->edges[i].holder;
		if (dm_remove(planner, holder) != 0)
			return -1;
		if (!holder->removed || holder->observed->uuid == NULL ||
		    !owner_of_dm(planner->target->cluster, holder->observed->uuid, &holder_owner) ||
		    strcmp(holder_owner.lane, owner.lane) != 0)
			return planner_note(planner, PLAN_NOTE_WAITS, &owner, NULL, "%s is under %s", name,
					    holder->observed->name);
	}
	if (dm->frozen)
		return planner_note(planner, PLAN_NOTE_WAITS, &owner, NULL,
				    "%s waits until the imports below it that do not answer are dropped", name);
	if (export_holds(planner, dm->observed, &owner, &export_nqn, &exports))
		return planner_note(planner, PLAN_NOTE_WAITS, &owner, NULL, "%s is exported as %s", name, export_nqn);
	if (dm->observed->open_count > known + exports)
		return planner_note(planner, PLAN_NOTE_WAITS, &owner, NULL, "%s is open by something that is not ours",
				    name);
	action = planner_action(planner, ACTION_DM_REMOVE, &owner);
	if (action == NULL || (action->name = arena_strdup(planner->arena, name)) == NULL)
		return -1;
	dm->removed = true;
	return 0;
}

/* The kernel lets nobody remove a port before every connection of the node that is being taken down is gone, and keeps
 * from everything in configfs meanwhile: so not while there may be one on which I/O is frozen. Without a link nobody
 * listens at a port. */
static bool is_calm(const struct planner *planner)
{
	for (size_t i = 0; i < planner->observed->subsystems.count; i++) {
		struct owner owner;

		if (owner_of_subsystem(planner->target->cluster, planner->observed->subsystems.items[i].nqn, &owner) &&
		    owner.kind != OBJECT_KIND_EXPORT)
			return false;
	}
	return true;
}

/* Somebody died in the middle of a reload or a drain, and what it held up is not wanted any more. I/O waits in such a
 * device for ever, and with it whoever disables a namespace or switches a table above: so it goes on first. Over a path
 * that does not answer that would hang; the path is dropped first. */
int planner_teardown_suspensions(struct planner *planner)
{
	for (size_t i = 0; i < planner->observed->dms.count; i++) {
		const struct planner_dm *dm = &planner->dms[i];
		struct owner owner;
		struct action *action;

		if (dm->frozen || planner_dm_is_paused(planner, dm->observed->name) ||
		    !planner_dm_is_left_suspended(planner, dm, &owner))
			continue;
		action = planner_action(planner, ACTION_DM_RESUME, &owner);
		if (action == NULL || (action->name = arena_strdup(planner->arena, dm->observed->name)) == NULL)
			return -1;
	}
	return 0;
}

int planner_teardown_ports(struct planner *planner)
{
	bool calm = is_calm(planner);

	for (size_t i = 0; i < planner->observed->ports.count; i++) {
		const struct observed_port *port = &planner->observed->ports.items[i];
		struct owner owner;
		struct action *action;
		bool wanted = false;

		if (!owner_of_port(planner->target->cluster, port->mark, port->id, &owner) ||
		    planner_owner_has_problem(planner, &owner))
			continue;
		for (size_t j = 0; j < planner->target->ports.count; j++)
			wanted = wanted || planner->target->ports.items[j].id == port->id;
		if (wanted)
			continue;
		if (port->subsystems.count > 0) {
			if (planner_note(planner, PLAN_NOTE_WAITS, &owner, NULL,
					 "port %" PRIu64 " still has %zu subsystems", port->id,
					 port->subsystems.count) != 0)
				return -1;
			continue;
		}
		if (!calm && owner.kind != OBJECT_KIND_DISK)
			continue;
		action = planner_action(planner, ACTION_PORT_REMOVE, &owner);
		if (action == NULL)
			return -1;
		action->port = port->id;
		action->mark = arena_strdup(planner->arena, port->mark);
		if (action->mark == NULL)
			return -1;
	}
	return 0;
}

int planner_teardown_dms(struct planner *planner)
{
	for (size_t i = 0; i < planner->observed->dms.count; i++) {
		planner->looks++;
		if (dm_remove(planner, &planner->dms[i]) != 0)
			return -1;
	}
	return 0;
}
