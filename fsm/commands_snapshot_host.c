/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which hosts may read a snapshot. */
#include <inttypes.h>
#include <string.h>

#include "fsm/state.h"
#include "fsm/volume.h"
#include "lib/model/names.h"

/* The snapshot of that name; NOT_FOUND. */
static int snapshot_find(struct transition *transition, const char *volume_name, const char *name,
			 struct volume *ret_volume, struct snapshot **ret_snapshot, struct error *error)
{
	int result = state_volume_find(&transition->state, volume_name, ret_volume, error);

	if (result == 0)
		result = transition_id(transition, "v", ret_volume->id, error);
	if (result != 0)
		return result;
	transition->revision = ret_volume->revision;
	for (size_t i = 0; i < ret_volume->snapshots.count; i++) {
		if (strcmp(ret_volume->snapshots.items[i].name, name) != 0)
			continue;
		*ret_snapshot = &ret_volume->snapshots.items[i];
		return 0;
	}
	return error_set(error, ERROR_NOT_FOUND, "volume \"%s\" has no snapshot \"%s\"", ret_volume->name, name);
}

static size_t host_find(const struct snapshot *snapshot, const char *nqn)
{
	size_t i = 0;

	while (i < snapshot->hosts.count && strcmp(snapshot->hosts.items[i], nqn) != 0)
		i++;
	return i;
}

int command_snapshot_attach_apply(struct transition *transition, const struct command_snapshot_attach *command,
				  struct error *error)
{
	struct snapshot *snapshot = NULL;
	struct volume volume;
	const char **hosts;
	size_t count;
	int result = names_nqn_check("the host's NQN", command->nqn, error);

	if (result == 0)
		result = snapshot_find(transition, command->volume, command->name, &volume, &snapshot, error);
	if (result != 0)
		return result;
	count = snapshot->hosts.count;
	/* What a job makes may be made anew, under another number. */
	if (snapshot->state != SNAPSHOT_STATE_TAKEN) {
		error_set(error, ERROR_FAILED_PRECONDITION,
			  "snapshot \"%s\" of volume \"%s\" is being made by job j%" PRIu64, command->name, volume.name,
			  volume.operation);
		error_hint(error, "run: dnvme job wait j%" PRIu64, volume.operation);
		return ERROR_FAILED_PRECONDITION;
	}
	if (host_find(snapshot, command->nqn) < count)
		return 0;
	if (count >= LIMIT_HOSTS_PER_VOLUME)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "snapshot \"%s\" of volume \"%s\" is attached to %zu hosts, the limit is %u",
				 command->name, volume.name, count, LIMIT_HOSTS_PER_VOLUME);
	hosts = arena_alloc_array(transition->state.arena, count + 1, sizeof(*hosts));
	if (hosts == NULL)
		return state_nomem(&transition->state, error);
	if (count > 0)
		memcpy(hosts, snapshot->hosts.items, count * sizeof(*hosts));
	hosts[count] = command->nqn;
	snapshot->hosts = (struct string_list){ count + 1, hosts };
	return volume_store(transition, &volume, error);
}

int command_snapshot_detach_apply(struct transition *transition, const struct command_snapshot_detach *command,
				  struct error *error)
{
	struct snapshot *snapshot = NULL;
	struct volume volume;
	size_t place;
	int result = names_nqn_check("the host's NQN", command->nqn, error);

	if (result == 0)
		result = snapshot_find(transition, command->volume, command->name, &volume, &snapshot, error);
	if (result != 0)
		return result;
	place = host_find(snapshot, command->nqn);
	if (place == snapshot->hosts.count)
		return 0;
	memmove(&snapshot->hosts.items[place], &snapshot->hosts.items[place + 1],
		(snapshot->hosts.count - place - 1) * sizeof(*snapshot->hosts.items));
	snapshot->hosts.count--;
	return volume_store(transition, &volume, error);
}
