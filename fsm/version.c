/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The version of the state: what is new in one is used only when every server of the group knows it. */
#include <inttypes.h>

#include "fsm/state.h"
#include "lib/base/canary.h"

#define VERSION_KNOWN 1u

uint64_t fsm_version_known(void)
{
	return canary("next_version") ? VERSION_KNOWN + 1 : VERSION_KNOWN;
}

uint64_t fsm_version_of(const struct cluster *cluster)
{
	return cluster->state_version != 0 ? cluster->state_version : 1;
}

int fsm_version_check(uint64_t version, struct error *error)
{
	if (version <= fsm_version_known())
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "the group's state is of version %" PRIu64 ", this program knows version %" PRIu64, version,
		  fsm_version_known());
	return error_hint(error, "start the version of dnvme that the other servers run, or a newer one");
}

int version_read(struct state *state, struct error *error)
{
	struct cluster cluster;
	struct key key;
	int result =
		state_get(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);

	if (result == ERROR_NOT_FOUND)
		return 0;
	return result != 0 ? result : fsm_version_check(fsm_version_of(&cluster), error);
}

int command_state_upgrade_apply(struct transition *transition, const struct command_state_upgrade *command,
				struct error *error)
{
	struct state *state = &transition->state;
	struct cluster cluster;
	struct key key;
	int result = fsm_version_check(command->version, error);

	/* The others go on: to refuse it would be to have another state than theirs. */
	state->broken |= result != 0;
	if (result == 0)
		result = state_cluster(state, &cluster, error);
	if (result != 0)
		return result;
	transition->id = cluster.id;
	if (command->version <= fsm_version_of(&cluster))
		return 0;
	cluster.state_version = command->version;
	transition_touch(transition);
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);
	return result == 0 ? transition_changed_cluster(transition, error) : result;
}
