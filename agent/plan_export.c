/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nvmet: ports, subsystems with namespaces and hosts, and last the link that makes them reachable. */
#include "agent/planner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/list.h"

static const struct observed_port *port_find(const struct planner *planner, uint64_t id)
{
	for (size_t i = 0; i < planner->observed->ports.count; i++) {
		if (planner->observed->ports.items[i].id == id)
			return &planner->observed->ports.items[i];
	}
	return NULL;
}

static bool port_has_group(const struct observed_port *port, uint64_t group, const char *state)
{
	for (size_t i = 0; i < port->groups.count; i++) {
		if (port->groups.items[i].id == group)
			return strcmp(port->groups.items[i].state, state) == 0;
	}
	return false;
}

static bool port_is_complete(const struct observed_port *port, const char *address, const char *trsvcid)
{
	return port->address != NULL && strcmp(port->address, address) == 0 && port->trsvcid != NULL &&
	       strcmp(port->trsvcid, trsvcid) == 0 && port_has_group(port, KERNEL_ANA_OPTIMIZED, "optimized") &&
	       port_has_group(port, KERNEL_ANA_INACCESSIBLE, "inaccessible");
}

bool planner_port_is_ready(const struct planner *planner, uint64_t id)
{
	const struct observed_port *port = port_find(planner, id);
	char mark[OWNER_ID_SIZE], trsvcid[24];

	for (size_t i = 0; i < planner->target->ports.count; i++) {
		const struct target_port *wanted = &planner->target->ports.items[i];

		if (wanted->id != id || port == NULL || port->mark == NULL)
			continue;
		owner_port_mark(planner->target->cluster, &wanted->owner, mark);
		snprintf(trsvcid, sizeof(trsvcid), "%" PRIu64, id);
		return strcmp(port->mark, mark) == 0 && port_is_complete(port, wanted->address, trsvcid);
	}
	return false;
}

static int port_build(struct planner *planner, const struct target_port *wanted)
{
	const struct observed_port *port = port_find(planner, wanted->id);
	char mark[OWNER_ID_SIZE], trsvcid[24];
	struct action *action;
	bool unmarked, ours;

	owner_port_mark(planner->target->cluster, &wanted->owner, mark);
	snprintf(trsvcid, sizeof(trsvcid), "%" PRIu64, wanted->id);
	ours = port != NULL && port->mark != NULL && strcmp(port->mark, mark) == 0;
	/* Made, but not yet marked when the agent died: nothing else of it is set then. */
	unmarked = port != NULL && port->mark == NULL && port->subsystems.count == 0 &&
		   (port->address == NULL || port->address[0] == '\0');
	if (port != NULL && !ours && !unmarked)
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
				    "nvmet port %" PRIu64 " exists and is not ours", wanted->id);
	if (planner_port_is_ready(planner, wanted->id))
		return 0;
	if (ours && port->subsystems.count > 0)
		return planner_note(planner, PLAN_NOTE_FAILS, &wanted->owner, NULL,
				    "nvmet port %" PRIu64 " is at %s:%s instead of %s:%s and in use", wanted->id,
				    port->address != NULL ? port->address : "",
				    port->trsvcid != NULL ? port->trsvcid : "", wanted->address, trsvcid);
	action = planner_action(planner, ACTION_PORT_CREATE, &wanted->owner);
	if (action == NULL)
		return -1;
	action->port = wanted->id;
	action->address = wanted->address;
	action->mark = arena_strdup(planner->arena, mark);
	return action->mark != NULL ? 0 : -1;
}

static const struct observed_namespace *namespace_find(const struct observed_subsystem *subsystem, uint32_t nsid)
{
	for (size_t i = 0; subsystem != NULL && i < subsystem->namespaces.count; i++) {
		if (subsystem->namespaces.items[i].nsid == nsid)
			return &subsystem->namespaces.items[i];
	}
	return NULL;
}

/* Where a device of a namespace stands: 1 it will be there in this lane, 0 not yet (a note was added), -1 no memory. */
static int device_is_usable(struct planner *planner, const struct target_subsystem *wanted, const char *name)
{
	const struct target_dm *device = planner_wanted_find(planner, name);
	struct planner_dm *dm = planner_dm_find(planner, name);

	/* A note says what its label is. */
	if (device != NULL && planner->held[device - planner->target->dms.items])
		return 0;
	if (dm != NULL && dm->ready)
		return 1;
	if (device != NULL && planner->created[device - planner->target->dms.items] &&
	    strcmp(device->owner.lane, wanted->owner.lane) == 0)
		return 1;
	return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, device != NULL ? device->owner.lane : NULL,
			    "%s waits for %s", wanted->nqn, name);
}

static int namespace_resize(struct planner *planner, const struct target_subsystem *wanted,
			    const struct kernel_namespace *ns)
{
	int usable = device_is_usable(planner, wanted, ns->device);
	struct action *action;

	if (usable != 1)
		return usable;
	action = planner_action(planner, ACTION_NAMESPACE_RESIZE, &wanted->owner);
	if (action == NULL)
		return -1;
	action->nqn = wanted->nqn;
	action->ns = *ns;
	return 0;
}

static int namespace_build(struct planner *planner, const struct target_subsystem *wanted,
			   const struct observed_subsystem *there, const struct kernel_namespace *ns, bool *complete)
{
	const struct observed_namespace *found = namespace_find(there, ns->nsid);
	const struct planner_dm *dm = planner_dm_find(planner, ns->device);
	uint32_t group = dm != NULL && dm->lets_go ? KERNEL_ANA_INACCESSIBLE : ns->group;
	struct action *action;
	int usable;

	if (found != NULL && planner_namespace_is_wanted(planner, wanted, found)) {
		/* Its device has that size first. */
		if (ns->size_bytes != 0 && found->size_bytes != ns->size_bytes &&
		    namespace_resize(planner, wanted, ns) != 0)
			return -1;
		if (found->group == group)
			return 0;
		/* Never optimized before its table is the right one: an error under nvmet is final for the host. */
		usable = group == KERNEL_ANA_OPTIMIZED ? device_is_usable(planner, wanted, ns->device) : 1;
		if (usable != 1)
			return usable;
		action = planner_action(planner, ACTION_NAMESPACE_GROUP, &wanted->owner);
	} else if (found != NULL && planner_subsystem_is_frozen(planner, there)) {
		/* To point it at another device waits for what is in flight. */
		*complete = false;
		return 0;
	} else {
		usable = device_is_usable(planner, wanted, ns->device);
		*complete = *complete && usable == 1;
		if (usable != 1)
			return usable;
		action = planner_action(planner, ACTION_NAMESPACE_CREATE, &wanted->owner);
	}
	if (action == NULL)
		return -1;
	action->nqn = wanted->nqn;
	action->ns = *ns;
	action->ns.group = group;
	return 0;
}

static int port_action(struct planner *planner, enum action_kind kind, const struct owner *owner, uint64_t port,
		       const char *reason)
{
	struct action *action = planner_action(planner, kind, owner);

	if (action == NULL)
		return -1;
	action->port = port;
	action->nqn = reason;
	return 0;
}

/* At a port behind a gate nobody comes in who is not admitted. */
static uint64_t port_gate(const struct planner *planner, uint64_t id)
{
	for (size_t i = 0; i < planner->target->ports.count; i++) {
		if (planner->target->ports.items[i].id == id)
			return planner->target->ports.items[i].gate;
	}
	return 0;
}

static int subsystem_link(struct planner *planner, const struct target_subsystem *wanted, bool was_linked)
{
	const struct observed_port *port = port_find(planner, wanted->port);
	uint64_t gate = port_gate(planner, wanted->port);

	/* The first link opens a port, and until the last one is made hosts would be told that what they ask for is not
	 * there: those of a node that booted ask just then. */
	if (port->subsystems.count == 0 && gate == 0 &&
	    port_action(planner, ACTION_REJECT, &wanted->owner, wanted->port, KERNEL_REJECT_OPENING) != 0)
		return -1;
	if (port_action(planner, ACTION_LINK, &wanted->owner, wanted->port, wanted->nqn) != 0)
		return -1;
	planner->plan->actions.items[planner->plan->actions.count - 1].gate = gate;
	/* What an agent rejected that died meanwhile, this one does not see. */
	if (!was_linked && !wanted->parked && !list_has_string(&port->rejected_for, wanted->nqn))
		return 0;
	return port_action(planner, ACTION_ADMIT, &wanted->owner, wanted->port, wanted->nqn);
}

static int subsystem_build(struct planner *planner, const struct target_subsystem *wanted)
{
	const struct observed_subsystem *there = planner_subsystem_find(planner, wanted->nqn);
	bool complete = true, linked, was_linked;
	struct action *action;

	if (there == NULL || there->any_host || there->cntlid_min != wanted->cntlid_min ||
	    there->cntlid_max != wanted->cntlid_max) {
		action = planner_action(planner, ACTION_SUBSYSTEM_CREATE, &wanted->owner);
		if (action == NULL)
			return -1;
		action->nqn = wanted->nqn;
		action->cntlid_min = wanted->cntlid_min;
		action->cntlid_max = wanted->cntlid_max;
	}
	for (size_t i = 0; i < wanted->namespaces.count; i++) {
		if (namespace_build(planner, wanted, there, &wanted->namespaces.items[i], &complete) != 0)
			return -1;
	}
	for (size_t i = 0; i < wanted->hosts.count; i++) {
		if (there != NULL && list_has_string(&there->hosts, wanted->hosts.items[i]))
			continue;
		action = planner_action(planner, ACTION_HOST_ALLOW, &wanted->owner);
		if (action == NULL)
			return -1;
		action->nqn = wanted->nqn;
		action->host = wanted->hosts.items[i];
	}
	was_linked = there != NULL && planner_is_linked(port_find(planner, wanted->port), wanted->nqn);
	linked = was_linked && !planner->unlinked[there - planner->observed->subsystems.items];
	/* Reachable only when all of it is there: an importer that misses a namespace would have to look again. */
	if (linked || !complete || (there != NULL && planner_subsystem_is_frozen(planner, there)))
		return 0;
	if (!planner_port_is_ready(planner, wanted->port)) {
		struct owner port;

		owner_port_make(0, wanted->port, &port);
		return planner_note(planner, PLAN_NOTE_WAITS, &wanted->owner, port.lane,
				    "%s waits for nvmet port %" PRIu64, wanted->nqn, wanted->port);
	}
	return subsystem_link(planner, wanted, was_linked);
}

/* Whether a port that was just made waits for another subsystem before connections come in: not for those that cannot
 * be made. */
static bool port_is_opening(const struct planner *planner, const struct observed_port *port)
{
	for (size_t i = 0; i < planner->target->subsystems.count; i++) {
		const struct target_subsystem *wanted = &planner->target->subsystems.items[i];
		bool fails = false;

		if (wanted->port != port->id || wanted->waits || planner_is_linked(port, wanted->nqn))
			continue;
		for (size_t j = 0; j < planner->plan->notes.count && !fails; j++)
			fails = planner->plan->notes.items[j].kind == PLAN_NOTE_FAILS &&
				strcmp(planner->plan->notes.items[j].owner.lane, wanted->owner.lane) == 0;
		if (!fails)
			return true;
	}
	return false;
}

/* Whether the lane of the subsystem still needs what was rejected for it. */
static bool is_on_its_way(const struct planner *planner, const struct observed_port *port, const char *nqn)
{
	const struct observed_subsystem *there = planner_subsystem_find(planner, nqn);

	if (planner_wanted_subsystem_find(planner, nqn) == NULL)
		return false;
	return there == NULL || !planner_is_linked(port, nqn) ||
	       planner->unlinked[there - planner->observed->subsystems.items];
}

/* Takes back what is rejected without need. */
static int port_admit(struct planner *planner, const struct target_port *wanted)
{
	const struct observed_port *port = port_find(planner, wanted->id);

	for (size_t i = 0; port != NULL && i < port->rejected_for.count; i++) {
		struct owner owner = wanted->owner;
		const char *reason;

		if (strcmp(port->rejected_for.items[i], KERNEL_REJECT_OPENING) == 0
			    ? port_is_opening(planner, port)
			    : !owner_of_subsystem(planner->target->cluster, port->rejected_for.items[i], &owner) ||
				      is_on_its_way(planner, port, port->rejected_for.items[i]))
			continue;
		reason = arena_strdup(planner->arena, port->rejected_for.items[i]);
		if (reason == NULL || port_action(planner, ACTION_ADMIT, &owner, port->id, reason) != 0)
			return -1;
	}
	return 0;
}

static int subsystems_build(struct planner *planner, bool parked)
{
	const struct target_subsystem_list *wanted = &planner->target->subsystems;

	for (size_t i = 0; i < wanted->count; i++) {
		if (wanted->items[i].parked == parked && subsystem_build(planner, &wanted->items[i]) != 0)
			return -1;
	}
	return 0;
}

int planner_build_parked_exports(struct planner *planner)
{
	return subsystems_build(planner, true);
}

int planner_build_exports(struct planner *planner)
{
	const struct target *target = planner->target;

	for (size_t i = 0; i < target->disks.count; i++) {
		bool there = false;

		for (size_t j = 0; j < planner->observed->disks.count && !there; j++)
			there = strcmp(planner->observed->disks.items[j].path, target->disks.items[i].path) == 0;
		if (!there && planner_note(planner, PLAN_NOTE_FAILS, &target->disks.items[i].owner, NULL,
					   "%s is not there", target->disks.items[i].path) != 0)
			return -1;
	}
	for (size_t i = 0; i < target->ports.count; i++) {
		if (port_build(planner, &target->ports.items[i]) != 0)
			return -1;
	}
	if (subsystems_build(planner, false) != 0)
		return -1;
	for (size_t i = 0; i < target->ports.count; i++) {
		if (port_admit(planner, &target->ports.items[i]) != 0)
			return -1;
	}
	return 0;
}
