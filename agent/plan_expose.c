/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is within reach of hosts and consumers, and should not be: exports of an earlier desired state that the plan is
 * about to take away. A gate that was shut stays so until there are none.
 */
#include "agent/planner.h"

#include <inttypes.h>
#include <string.h>

#include "agent/list.h"

/* It answers reads and writes from a device that is not what the volume is now. */
static bool namespace_is_exposed(struct planner *planner, const struct target_subsystem *wanted,
				 const struct observed_namespace *ns)
{
	const struct planner_dm *dm = planner_dm_find(planner, planner_path_device(ns->path));

	if (!ns->enabled || ns->group == KERNEL_ANA_INACCESSIBLE)
		return false;
	if (dm == NULL || dm->wanted == NULL || dm->lets_go || !planner_namespace_is_wanted(planner, wanted, ns))
		return true;
	for (size_t i = 0; i < wanted->namespaces.count; i++) {
		if (wanted->namespaces.items[i].nsid == ns->nsid)
			return wanted->namespaces.items[i].group == KERNEL_ANA_INACCESSIBLE;
	}
	return true;
}

static bool subsystem_is_exposed(struct planner *planner, const struct observed_subsystem *subsystem)
{
	const struct target_subsystem *wanted = planner_wanted_subsystem_find(planner, subsystem->nqn);

	if (wanted == NULL)
		return true;
	for (size_t i = 0; i < subsystem->hosts.count; i++) {
		if (!list_has_string(&wanted->hosts, subsystem->hosts.items[i]))
			return true;
	}
	for (size_t i = 0; i < subsystem->namespaces.count; i++) {
		if (namespace_is_exposed(planner, wanted, &subsystem->namespaces.items[i]))
			return true;
	}
	return false;
}

int planner_find_exposed(struct planner *planner)
{
	for (size_t i = 0; i < planner->observed->ports.count; i++) {
		const struct observed_port *port = &planner->observed->ports.items[i];

		for (size_t j = 0; j < port->subsystems.count; j++) {
			const struct observed_subsystem *subsystem =
				planner_subsystem_find(planner, port->subsystems.items[j]);
			struct owner owner;

			/* Those of a Disk Node are not behind the gate: labels and epochs guard them. What a snapshot
			 * holds never changes. */
			if (subsystem == NULL ||
			    !owner_of_subsystem(planner->target->cluster, subsystem->nqn, &owner) ||
			    owner.kind == OBJECT_KIND_EXPORT || owner.kind == OBJECT_KIND_SNAPSHOT ||
			    !subsystem_is_exposed(planner, subsystem))
				continue;
			planner->plan->exposed =
				arena_printf(planner->arena, "%s is not yet what it should be", subsystem->nqn);
			return planner->plan->exposed != NULL ? 0 : -1;
		}
	}
	return 0;
}
