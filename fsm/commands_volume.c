/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on volumes that exist: phases, hosts, removal. */
#include <inttypes.h>
#include <string.h>

#include "fsm/operation.h"
#include "fsm/volume.h"
#include "lib/base/state_machine.h"
#include "lib/model/names.h"

/*
 *   PLACED ──► ASSEMBLING ──► EXPORTING ──► ONLINE
 *      │            │             │            │        volume.delete
 *      └────────────┴──────┬──────┴────────────┘
 *                          ▼
 *                    UNEXPORTING ──► DISMANTLING ──► RELEASING ──► (gone when its LDs are freed)
 *
 * volume.advance takes the horizontal moves.
 */
static const struct state_machine_edge advance_edges[] = {
	{ VOLUME_PHASE_PLACED, VOLUME_PHASE_ASSEMBLING },     { VOLUME_PHASE_ASSEMBLING, VOLUME_PHASE_EXPORTING },
	{ VOLUME_PHASE_EXPORTING, VOLUME_PHASE_ONLINE },      { VOLUME_PHASE_UNEXPORTING, VOLUME_PHASE_DISMANTLING },
	{ VOLUME_PHASE_DISMANTLING, VOLUME_PHASE_RELEASING },
};
static const struct state_machine_table advance_table = {
	.name = "volume",
	.edges = advance_edges,
	.edge_count = sizeof(advance_edges) / sizeof(advance_edges[0]),
};

int command_volume_advance_apply(struct transition *transition, const struct command_volume_advance *command,
				 struct error *error)
{
	struct state *state = &transition->state;
	struct volume volume;
	struct key key;
	int result;

	if (!state_machine_allows(&advance_table, (int)command->from, (int)command->to))
		return error_set(error, ERROR_INVALID_ARGUMENT, "no volume goes from phase %s to %s",
				 ENUM_NAME(volume_phase, command->from), ENUM_NAME(volume_phase, command->to));
	result = state_volume(state, command->id, &volume, error);
	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	if (volume.phase != command->from)
		return error_set(error, ERROR_CONFLICT, "volume v%" PRIu64 " is in phase %s, not %s", volume.id,
				 ENUM_NAME(volume_phase, volume.phase), ENUM_NAME(volume_phase, command->from));
	if (volume.revision != command->revision)
		return error_set(error, ERROR_CONFLICT,
				 "volume v%" PRIu64 " is at revision %" PRIu64 ", revision %" PRIu64 " was confirmed",
				 volume.id, volume.revision, command->revision);
	if (fsm_volume_hold_check(&volume, error) != 0)
		return ERROR_FAILED_PRECONDITION;
	volume.phase = command->to;
	/* They are formatted; from now on nobody is ever told to format them. */
	for (size_t i = 0; command->to == VOLUME_PHASE_EXPORTING && i < volume.legs.count; i++)
		volume.legs.items[i].state = LEG_STATE_READY;
	/* Nobody serves it any more: another volume may take the name. */
	if (command->to == VOLUME_PHASE_RELEASING)
		result = state_delete(state, STORE_TABLE_VOLUME_NAME, key_text(&key, volume.name), error);
	if (result == 0)
		result = volume_store(transition, &volume, error);
	return result;
}

static int hosts_refuse(const struct volume *volume, struct error *error)
{
	error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" is attached to %s%s", volume->name,
		  volume->hosts.items[0], volume->hosts.count > 1 ? " and others" : "");
	error_hint(error, "run: dnvme volume detach %s HOST-NQN", volume->name);
	for (size_t i = 0; volume->hosts.count > 1 && i < volume->hosts.count; i++)
		error_detail(error, "%s", volume->hosts.items[i]);
	return ERROR_FAILED_PRECONDITION;
}

/* They would go with it, and nobody asked for that. */
static int snapshots_refuse(const struct volume *volume, struct error *error)
{
	for (size_t i = 0; i < volume->snapshots.count; i++) {
		const struct snapshot *snapshot = &volume->snapshots.items[i];

		if (snapshot->state != SNAPSHOT_STATE_TAKEN)
			continue;
		error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" has snapshot \"%s\", which would go with it",
			  volume->name, snapshot->name);
		error_hint(error, "run: dnvme snapshot delete %s %s", volume->name, snapshot->name);
		return ERROR_FAILED_PRECONDITION;
	}
	return 0;
}

int command_volume_delete_apply(struct transition *transition, const struct command_volume_delete *command,
				struct error *error)
{
	struct state *state = &transition->state;
	struct volume volume;
	int result = state_volume_find(state, command->name, &volume, error);

	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	transition->revision = volume.revision;
	if (volume_is_leaving(volume.phase))
		return 0;
	if (volume.hosts.count > 0)
		return hosts_refuse(&volume, error);
	result = snapshots_refuse(&volume, error);
	if (result != 0)
		return result;
	volume.phase = VOLUME_PHASE_UNEXPORTING;
	volume.hold = NULL;
	result = operation_abandon(transition, &volume, error);
	/* The pools go with all that is in them. */
	volume.dropped_thins.count = 0;
	return result == 0 ? volume_store(transition, &volume, error) : result;
}

/* --- LDs ------------------------------------------------------------------------------------------------------ */

int volume_remove(struct transition *transition, const struct volume *volume, struct error *error)
{
	struct state *state = &transition->state;
	struct key key;
	int result = 0;

	for (size_t i = 0; result == 0 && i < volume->controllers.count; i++)
		result = volume_controller_release(transition, volume, &volume->controllers.items[i], error);
	if (result == 0 && volume->leg_port != 0)
		result = state_delete(state, STORE_TABLE_LEG_PORT, key_id(&key, volume->leg_port), error);
	if (result == 0)
		result = state_delete(state, STORE_TABLE_VOLUME, key_id(&key, volume->id), error);
	if (result == 0)
		result = state_delete(state, STORE_TABLE_TRANSITION, key_id(&key, volume->id), error);
	return result;
}

/* A copy that keeps the LDs that leave, so that their nodes hear of the change. */
static int volume_keep(struct state *state, const struct volume *volume, struct volume *ret_copy, struct error *error)
{
	*ret_copy = *volume;
	ret_copy->leaving.items =
		arena_alloc_array(state->arena, volume->leaving.count, sizeof(*volume->leaving.items));
	if (ret_copy->leaving.items == NULL)
		return state_nomem(state, error);
	for (size_t i = 0; i < volume->leaving.count; i++)
		ret_copy->leaving.items[i] = volume->leaving.items[i];
	return 0;
}

int command_lds_free_apply(struct transition *transition, const struct command_lds_free *command, struct error *error)
{
	struct state *state = &transition->state;
	struct volume volume, before;
	struct ld_place place;
	bool freed = false, removed;
	int result = state_volume(state, command->volume, &volume, error);

	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result == 0)
		result = volume_keep(state, &volume, &before, error);
	if (result != 0)
		return result;
	transition->revision = volume.revision;
	for (size_t i = 0; i < command->lds.count; i++) {
		result = volume_ld_find_text(&volume, command->lds.items[i], &place, error);
		if (result != 0)
			return result;
		if (place.leaving == NULL && volume.phase != VOLUME_PHASE_RELEASING)
			return error_set(error, ERROR_FAILED_PRECONDITION,
					 "volume v%" PRIu64 " is in phase %s; ld%" PRIu64
					 " is freed in phase releasing",
					 volume.id, ENUM_NAME(volume_phase, volume.phase), place.ld->id);
		if (place.ld->state == LD_STATE_FREED)
			continue; /* confirmed twice */
		result = volume_ld_free(transition, &volume, &place, error);
		if (result != 0)
			return result;
		freed = true;
	}
	if (!freed)
		return 0;
	transition_touch(transition);
	removed = volume_lds_count(&volume, 0) == 0;
	/* What the other Disk Nodes are told does not change, so the volume keeps its revision: with a new one each
	 * would have to confirm again what it has confirmed already. */
	result = removed ? volume_remove(transition, &volume, error) : volume_write(transition, &volume, error);
	if (result == 0)
		result = transition_changed_volume(transition, &before, removed, error);
	return result;
}

/* --- hosts ---------------------------------------------------------------------------------------------------- */

static size_t host_find(const struct volume *volume, const char *nqn)
{
	size_t i = 0;

	while (i < volume->hosts.count && strcmp(volume->hosts.items[i], nqn) != 0)
		i++;
	return i;
}

int command_host_attach_apply(struct transition *transition, const struct command_host_attach *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	const char **hosts;
	struct volume volume;
	struct key key;
	int result = names_nqn_check("the host's NQN", command->nqn, error);

	if (result == 0)
		result = state_volume_find(state, command->volume, &volume, error);
	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	if (volume_is_leaving(volume.phase))
		return error_set(error, ERROR_FAILED_PRECONDITION, "volume \"%s\" is being deleted", volume.name);
	transition->revision = volume.revision;
	if (host_find(&volume, command->nqn) < volume.hosts.count)
		return 0;
	if (volume.hosts.count >= LIMIT_HOSTS_PER_VOLUME)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "volume \"%s\" is attached to %zu hosts, the limit is %u", volume.name,
				 volume.hosts.count, LIMIT_HOSTS_PER_VOLUME);
	hosts = arena_alloc_array(state->arena, volume.hosts.count + 1, sizeof(*hosts));
	if (hosts == NULL)
		return state_nomem(state, error);
	for (size_t i = 0; i < volume.hosts.count; i++)
		hosts[i] = volume.hosts.items[i];
	hosts[volume.hosts.count] = command->nqn;
	volume.hosts = (struct string_list){ volume.hosts.count + 1, hosts };
	result = state_put_empty(state, STORE_TABLE_HOST_VOLUME, key_text_id(&key, command->nqn, volume.id), error);
	if (result == 0)
		result = volume_store(transition, &volume, error);
	return result;
}

int command_host_detach_apply(struct transition *transition, const struct command_host_detach *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	struct volume volume;
	struct key key;
	size_t place;
	int result = names_nqn_check("the host's NQN", command->nqn, error);

	if (result == 0)
		result = state_volume_find(state, command->volume, &volume, error);
	if (result == 0)
		result = transition_id(transition, "v", volume.id, error);
	if (result != 0)
		return result;
	transition->revision = volume.revision;
	place = host_find(&volume, command->nqn);
	if (place == volume.hosts.count)
		return 0;
	memmove(&volume.hosts.items[place], &volume.hosts.items[place + 1],
		(volume.hosts.count - place - 1) * sizeof(*volume.hosts.items));
	volume.hosts.count--;
	result = state_delete(state, STORE_TABLE_HOST_VOLUME, key_text_id(&key, command->nqn, volume.id), error);
	if (result == 0)
		result = volume_store(transition, &volume, error);
	return result;
}
