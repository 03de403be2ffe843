/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands on the cluster itself. */
#include <inttypes.h>
#include <string.h>

#include "fsm/state.h"
#include "lib/model/names.h"

#define EXTENT_BYTES_MAX (UINT64_C(1) << 40)
#define EXTENT_BYTES_UNIT 4096u

int command_cluster_create_apply(struct transition *transition, const struct cluster *command, struct error *error)
{
	struct state *state = &transition->state;
	struct cluster cluster;
	struct key key;
	int result = names_name_check("the cluster's id", command->id, error);

	if (result == 0)
		result = names_name_check("the cluster's name", command->name, error);
	if (result != 0)
		return result;
	if (command->extent_bytes % EXTENT_BYTES_UNIT != 0 || command->extent_bytes > EXTENT_BYTES_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "an extent of %" PRIu64 " bytes is not a multiple of %u up to %" PRIu64,
				 command->extent_bytes, EXTENT_BYTES_UNIT, EXTENT_BYTES_MAX);
	result = state_get(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);
	if (result == 0 && strcmp(cluster.id, command->id) != 0)
		return error_set(error, ERROR_ALREADY_EXISTS, "this is cluster \"%s\" (%s) already", cluster.name,
				 cluster.id);
	transition->id = command->id;
	if (result == 0)
		return 0; /* asked again */
	if (state->broken)
		return result;
	transition_touch(transition);
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), command, error);
	if (result != 0)
		return result;
	return transition_changed_cluster(transition, error);
}

int command_cluster_set_apply(struct transition *transition, const struct command_cluster_set *command,
			      struct error *error)
{
	struct state *state = &transition->state;
	const struct settings *wanted = command->settings;
	struct settings present = { 0 }, settings;
	struct cluster cluster;
	struct key key;
	int result = state_cluster(state, &cluster, error);

	if (result != 0)
		return result;
	transition->id = cluster.id;
	if (cluster.settings != NULL)
		present = *cluster.settings;
	/* Merged here and not by who proposes: another change of another setting may be on its way. */
	settings = present;
	if (wanted->rebuild_after_ms > 0)
		settings.rebuild_after_ms = wanted->rebuild_after_ms;
	if (wanted->rebuild_rate_bytes > 0)
		settings.rebuild_rate_bytes = wanted->rebuild_rate_bytes;
	/* 0 is the same as absent, so this says "no limit". */
	if (settings.rebuild_rate_bytes == UINT64_MAX)
		settings.rebuild_rate_bytes = 0;
	if (present.rebuild_after_ms == settings.rebuild_after_ms &&
	    present.rebuild_rate_bytes == settings.rebuild_rate_bytes)
		return 0;
	cluster.settings = &settings;
	transition_touch(transition);
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), &cluster, error);
	if (result == 0)
		result = transition_changed_cluster(transition, error);
	return result;
}
