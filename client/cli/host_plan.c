/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_plan.h"

#include <stdio.h>
#include <string.h>

static bool is_at(const struct volume_path *path, const struct host_controller *controller)
{
	char port[HOST_NAME_SIZE];

	snprintf(port, sizeof(port), "%u", (unsigned)path->port);
	return strcmp(path->address, controller->address) == 0 && strcmp(port, controller->port) == 0;
}

/* What is listed at the controller's address: an entry that stays rather than one that is retired. */
static const struct volume_path *path_of(const struct volume_status *status, const struct host_controller *controller)
{
	const struct volume_path *found = NULL;

	for (size_t i = 0; i < status->paths.count; i++) {
		const struct volume_path *path = &status->paths.items[i];

		if (is_at(path, controller) && (found == NULL || found->role == CONTROLLER_ROLE_RETIRED))
			found = path;
	}
	return found;
}

/* Another host's connections, from this machine or not, are none of our business. */
static bool is_ours(const struct host_controller *controller, const char *host_nqn)
{
	return controller->host_nqn[0] == '\0' || strcmp(controller->host_nqn, host_nqn) == 0;
}

static bool is_deleting(const struct host_controller *controller)
{
	return strncmp(controller->state, "deleting", strlen("deleting")) == 0;
}

static bool is_live(const struct host_controller *controller)
{
	return strcmp(controller->state, "live") == 0;
}

/* Whether what was sent to a retired controller may still reach a leg that others write to. */
static bool is_being_fenced(const struct volume *volume, const char *node)
{
	for (size_t i = 0; volume->slots.count > 1 && i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];

		if (controller->role == CONTROLLER_ROLE_RETIRED && strcmp(controller->node, node) == 0 &&
		    controller->epoch > 0 && controller->slot < volume->slots.count &&
		    volume->slots.items[controller->slot].phase == SLOT_PHASE_FENCING)
			return true;
	}
	return false;
}

bool host_plan_is_usable(const struct volume_status *status, const char *host_nqn)
{
	const struct volume *volume = status->volume;

	for (size_t i = 0; volume->phase == VOLUME_PHASE_ONLINE && i < volume->hosts.count; i++) {
		if (strcmp(volume->hosts.items[i], host_nqn) == 0)
			return true;
	}
	return false;
}

bool host_plan_stays(const struct volume_status *status, const struct host_controller *controller)
{
	const struct volume_path *path = path_of(status, controller);

	return path != NULL && path->role != CONTROLLER_ROLE_RETIRED;
}

bool host_plan_is_idle(const struct volume_status *status, const struct host_controller *controller)
{
	const struct volume_path *path = path_of(status, controller);

	return status->volume->slots.count == 1 && path != NULL && path->role == CONTROLLER_ROLE_STANDBY;
}

bool host_plan_is_live(const struct volume_path *path, const char *host_nqn, const struct host_controller *known,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_at(path, &known[i]) && is_ours(&known[i], host_nqn) && is_live(&known[i]) && !known[i].pathless)
			return true;
	}
	return false;
}

static bool is_there(const struct volume_path *path, const struct host_controller *known, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_deleting(&known[i]) && is_at(path, &known[i]))
			return true;
	}
	return false;
}

static size_t plan_role(const struct volume_status *status, enum controller_role role,
			const struct host_controller *known, size_t count, struct host_action *ret_actions)
{
	size_t planned = 0;

	for (size_t i = 0; i < status->paths.count && i < LIMIT_COLOURS; i++) {
		const struct volume_path *path = &status->paths.items[i];

		if (path->role == role && !is_there(path, known, count))
			ret_actions[planned++] = (struct host_action){ .kind = HOST_ACTION_CONNECT, .path = path };
	}
	return planned;
}

static bool may_leave(const struct volume_status *status, const struct host_controller *controller)
{
	const struct volume_path *path = path_of(status, controller);

	if (path != NULL && is_being_fenced(status->volume, path->node))
		return false;
	return is_live(controller) || strcmp(controller->state, "connecting") == 0 ||
	       strcmp(controller->state, "dead") == 0;
}

size_t host_plan(const struct volume_status *status, const char *host_nqn, const struct host_controller *known,
		 size_t count, struct host_action ret_actions[HOST_ACTIONS])
{
	size_t planned = 0;
	bool safe = false;

	if (!host_plan_is_usable(status, host_nqn))
		return 0;
	planned = plan_role(status, CONTROLLER_ROLE_ACTIVE, known, count, ret_actions);
	planned += plan_role(status, CONTROLLER_ROLE_STANDBY, known, count, ret_actions + planned);
	for (size_t i = 0; i < count; i++)
		safe = safe || (is_ours(&known[i], host_nqn) && is_live(&known[i]) && !known[i].pathless &&
				host_plan_stays(status, &known[i]));
	for (size_t i = 0; safe && i < count; i++) {
		if (is_ours(&known[i], host_nqn) && !host_plan_stays(status, &known[i]) && may_leave(status, &known[i]))
			ret_actions[planned++] = (struct host_action){ .kind = HOST_ACTION_LEAVE,
								       .path = path_of(status, &known[i]),
								       .controller = &known[i] };
	}
	return planned;
}
