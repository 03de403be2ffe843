/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a host has to do about the paths of a volume: paths that its kernel has × paths that the control plane lists.
 * A pure function; host_paths.c does it.
 *
 * A path that the control plane lists as active or standby stays, and is made when it is missing. Any other one leaves:
 * host_leave.h has how. One that is in the kernel's hands, resetting or being deleted, is left to it, and is in
 * nobody's way: the kernel takes a new path to the same address meanwhile.
 *
 * A path is left alone
 * - while no path that stays is live, active or standby, and leads to the namespace: the last one is never taken away,
 *   whatever it leads to;
 * - while the slot of a retired controller is still being fenced, if the volume has several slots. What the host sent
 * to that controller may then still reach a leg of another slot through it; repeated through another path, and written
 *   over, it would come back as a stale write. With a single slot nobody else has a leg, and nobody serves before the
 *   fence is over.
 */
#ifndef DNVME_CLIENT_CLI_HOST_PLAN_H
#define DNVME_CLIENT_CLI_HOST_PLAN_H

#include "client/cli/host_sysfs.h"
#include "lib/model/records.h"

enum host_action_kind { HOST_ACTION_CONNECT, HOST_ACTION_LEAVE };

struct host_action {
	enum host_action_kind kind;
	const struct volume_path *path;		  /* CONNECT: where; else what the control plane says of it, or NULL */
	const struct host_controller *controller; /* LEAVE */
};

#define HOST_ACTIONS (HOST_CONTROLLERS + LIMIT_COLOURS)

/* Whether the volume is there for this host: online, and the host attached. */
bool host_plan_is_usable(const struct volume_status *status, const char *host_nqn);

/* Whether the path stays: listed, and not as retired. */
bool host_plan_stays(const struct volume_status *status, const struct host_controller *controller);

/* Whether this host has a live path to a listed controller, which leads to the namespace. */
bool host_plan_is_live(const struct volume_path *path, const char *host_nqn, const struct host_controller *known,
		       size_t count);

/* Whether losing its connection costs nobody anything: a standby's, in a volume with one slot. */
bool host_plan_is_idle(const struct volume_status *status, const struct host_controller *controller);

/* Returns the number of actions; nothing at all for a volume that is not there for the host. Both are borrowed. */
size_t host_plan(const struct volume_status *status, const char *host_nqn, const struct host_controller *known,
		 size_t count, struct host_action ret_actions[HOST_ACTIONS]);

#endif
