/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a host has to do about the paths of a volume: paths that its kernel has × paths that the control plane lists.
 * A pure function; host_paths.c does it.
 *
 * A path that the control plane lists as active or standby stays, and is made when it is missing. Any other one leaves:
 *
 *   live ──► RESET ──► connecting ──► DELETE        the peer is dead, or its export is gone
 *                └───► live ────────► DELETE        it still answers
 *
 * A reset ends what is in flight on the path, so that it goes on through another one. To delete a path that is live
 * toward a dead peer would block instead, with all that is in flight.
 *
 * A path is left alone
 * - while no path that stays is live: the last one is never taken away, whatever it leads to;
 * - while the slot of a retired controller is still being fenced. What the host sent to that controller may then still
 *   reach a leg through it; repeated through another path, and written over, it would come back as a stale write.
 */
#ifndef DNVME_CLIENT_CLI_HOST_PLAN_H
#define DNVME_CLIENT_CLI_HOST_PLAN_H

#include "client/cli/host_sysfs.h"
#include "lib/model/records.h"

enum host_action_kind { HOST_ACTION_CONNECT, HOST_ACTION_RESET, HOST_ACTION_DELETE };

/* A controller of the volume in this kernel. */
struct host_known {
	struct host_controller controller;
	bool was_reset; /* since it had to leave */
};

struct host_action {
	enum host_action_kind kind;
	const struct volume_path *path; /* CONNECT: where; else what the control plane says of it, or NULL */
	const struct host_known *known; /* RESET, DELETE */
};

#define HOST_ACTIONS (HOST_CONTROLLERS + LIMIT_COLOURS)

/* Whether the volume is there for this host: online, and the host attached. */
bool host_plan_is_usable(const struct volume_status *status, const char *host_nqn);

/* Whether the path stays: listed, and not as retired. */
bool host_plan_stays(const struct volume_status *status, const struct host_controller *controller);

/* Returns the number of actions; nothing at all for a volume that is not there for the host. Both are borrowed. */
size_t host_plan(const struct volume_status *status, const char *host_nqn, const struct host_known *known, size_t count,
		 struct host_action ret_actions[HOST_ACTIONS]);

#endif
