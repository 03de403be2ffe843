/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which control-plane servers are wanted. Whether they vote is Raft's to know; the leader brings it about
 * (src/leader/group.h).
 */
#include <inttypes.h>
#include <string.h>

#include "fsm/state.h"
#include "lib/model/names.h"

#define PREFIX "s"

static uint64_t next_of(const struct cluster *cluster)
{
	uint64_t next = cluster->next_server;

	for (size_t i = 0; i < cluster->servers.count; i++) {
		if (cluster->servers.items[i].id >= next)
			next = cluster->servers.items[i].id + 1;
	}
	return next;
}

/* The name under which a server without one goes would mean two of them. */
static int name_check(const char *name, struct error *error)
{
	uint64_t id;

	if (names_name_check("name", name, error) != 0)
		return (int)error->code;
	if (names_id_parse(PREFIX, name, &id) != 0)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "name: \"%s\" has the form of a server's id", name);
	return error_hint(error, "take a name that is not \"s\" and a number");
}

static int unused_check(const struct cluster *cluster, const struct command_server_add *command, struct error *error)
{
	for (size_t i = 0; i < cluster->servers.count; i++) {
		const struct server *server = &cluster->servers.items[i];

		if (server->name != NULL && strcmp(server->name, command->name) == 0)
			return error_set(error, ERROR_ALREADY_EXISTS, "name: server %" PRIu64 " has the name \"%s\"",
					 server->id, command->name);
		if (strcmp(server->raft_address, command->raft_address) == 0)
			return error_set(error, ERROR_ALREADY_EXISTS,
					 "raft_address: %s is the address of server %" PRIu64, command->raft_address,
					 server->id);
		if (strcmp(server->api_address, command->api_address) == 0)
			return error_set(error, ERROR_ALREADY_EXISTS,
					 "api_address: %s is the address of server %" PRIu64, command->api_address,
					 server->id);
	}
	return 0;
}

static int id_choose(const struct cluster *cluster, const struct command_server_add *command, uint64_t *ret_id,
		     struct error *error)
{
	uint64_t next = next_of(cluster);

	*ret_id = command->id != 0 ? command->id : next;
	if (*ret_id > UINT32_MAX)
		return error_set(error, ERROR_NO_CAPACITY, "id: no number is left for another server");
	if (*ret_id >= next)
		return 0;
	error_set(error, ERROR_FAILED_PRECONDITION, "id: a server had the number %" PRIu64 " already", *ret_id);
	return error_hint(error,
			  "numbers are never used again: start the server without --id, or with %" PRIu64
			  " or more, and with an empty data directory",
			  next);
}

static int cluster_put(struct transition *transition, struct cluster *cluster, struct error *error)
{
	struct state *state = &transition->state;
	struct key key;
	int result;

	transition_touch(transition);
	result = state_put(state, STORE_TABLE_META, key_text(&key, META_CLUSTER), schema_cluster(), cluster, error);
	return result != 0 ? result : transition_changed_cluster(transition, error);
}

/* The same question again, with another request id. */
static bool is_there(const struct server *server, const struct command_server_add *command)
{
	return !server->leaving && server->name != NULL && strcmp(server->name, command->name) == 0 &&
	       strcmp(server->raft_address, command->raft_address) == 0 &&
	       strcmp(server->api_address, command->api_address) == 0 &&
	       (command->id == 0 || command->id == server->id);
}

int command_server_add_apply(struct transition *transition, const struct command_server_add *command,
			     struct error *error)
{
	struct server servers[LIMIT_SERVERS];
	struct cluster cluster;
	uint64_t id;
	int result = state_cluster(&transition->state, &cluster, error);

	if (result != 0)
		return result;
	for (size_t i = 0; i < cluster.servers.count; i++) {
		if (is_there(&cluster.servers.items[i], command))
			return transition_id(transition, PREFIX, cluster.servers.items[i].id, error);
	}
	if (name_check(command->name, error) != 0 || unused_check(&cluster, command, error) != 0 ||
	    id_choose(&cluster, command, &id, error) != 0)
		return (int)error->code;
	if (cluster.servers.count >= LIMIT_SERVERS) {
		error_set(error, ERROR_NO_CAPACITY, "the cluster has %u servers already", LIMIT_SERVERS);
		return error_hint(error, "remove one first");
	}
	memcpy(servers, cluster.servers.items, cluster.servers.count * sizeof(*servers));
	servers[cluster.servers.count] = (struct server){ .id = id,
							  .name = command->name,
							  .raft_address = command->raft_address,
							  .api_address = command->api_address };
	cluster.servers = (struct server_list){ cluster.servers.count + 1, servers };
	cluster.next_server = next_of(&cluster);
	result = transition_id(transition, PREFIX, id, error);
	return result != 0 ? result : cluster_put(transition, &cluster, error);
}

/* Of those that are wanted. */
static size_t others_count(const struct cluster *cluster, uint64_t id)
{
	size_t count = 0;

	for (size_t i = 0; i < cluster->servers.count; i++)
		count += cluster->servers.items[i].id != id && !cluster->servers.items[i].leaving;
	return count;
}

int command_server_remove_apply(struct transition *transition, const struct command_server_remove *command,
				struct error *error)
{
	struct server servers[LIMIT_SERVERS], *server = NULL;
	struct cluster cluster;
	size_t count = 0;
	int result = state_cluster(&transition->state, &cluster, error);

	if (result != 0)
		return result;
	for (size_t i = 0; i < cluster.servers.count; i++) {
		servers[count] = cluster.servers.items[i];
		if (servers[count].id == command->id)
			server = &servers[count];
		count++;
	}
	if (server == NULL)
		return error_set(error, ERROR_NOT_FOUND, "there is no server s%" PRIu64, command->id);
	if (transition_id(transition, PREFIX, command->id, error) != 0)
		return (int)error->code;
	if (command->gone && !server->leaving)
		return error_set(error, ERROR_CONFLICT, "server s%" PRIu64 " is wanted", command->id);
	if (!command->gone && server->leaving)
		return 0; /* asked again */
	if (others_count(&cluster, command->id) == 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "name: server s%" PRIu64 " is the only one",
				 command->id);
	cluster.next_server = next_of(&cluster);
	if (command->gone)
		memmove(server, server + 1, (size_t)(servers + count-- - (server + 1)) * sizeof(*server));
	else
		server->leaving = true;
	cluster.servers = (struct server_list){ count, servers };
	return cluster_put(transition, &cluster, error);
}
