/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/cluster_members.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/model/names.h"

#define INFO_TIMEOUT_MS 5000u

static int status_get(struct cli *cli, struct cluster_status *ret_status, struct error *error)
{
	struct server_info_request request = { 0 };

	*ret_status = (struct cluster_status){ 0 };
	return cli_call(cli, NULL, METHOD_ID_CLUSTER_STATUS, &request, ret_status, error);
}

static const struct server_info *find(const struct cluster_status *status, uint64_t id)
{
	for (size_t i = 0; i < status->servers.count; i++) {
		if (status->servers.items[i].id == id)
			return &status->servers.items[i];
	}
	return NULL;
}

/* --- waiting --------------------------------------------------------------------------------------------- */

static bool has_joined(const struct cluster_status *status, uint64_t id)
{
	const struct server_info *server = find(status, id);

	return server != NULL && status->waits_for == NULL &&
	       (server->membership == SERVER_MEMBERSHIP_VOTER || server->membership == SERVER_MEMBERSHIP_STANDBY);
}

static bool has_left(const struct cluster_status *status, uint64_t id)
{
	return find(status, id) == NULL;
}

/* Until `done` says so. */
static int await(struct cli *cli, uint64_t id, bool (*done)(const struct cluster_status *status, uint64_t id),
		 struct cluster_status *ret_status, struct error *error)
{
	unsigned pause_ms = 0;
	bool seen = false;
	int rc;

	do {
		rc = status_get(cli, ret_status, error);
		/* While the servers elect a leader it goes on: ask again. */
		if (rc != 0 && rc != ERROR_UNAVAILABLE && rc != ERROR_DEADLINE_EXCEEDED)
			return rc;
		seen = seen || rc == 0;
		if (rc == 0 && done(ret_status, id))
			return 0;
	} while (cli_pause(cli, &pause_ms));
	if (!seen)
		return rc;
	error_set(error, ERROR_DEADLINE_EXCEEDED, "it is not done after %u ms", cli->timeout_ms);
	if (ret_status->waits_for != NULL)
		error_detail(error, "waits for: %s", ret_status->waits_for);
	return error_hint(error, "it goes on without this command; see dnvme cluster status");
}

/* --- add-server ------------------------------------------------------------------------------------------ */

/* What the new server says of itself. */
static int newcomer_ask(struct cli *cli, const char *address, struct server_info *ret_info, struct error *error)
{
	struct server_info_request request = { 0 };
	struct cluster_status status;
	struct dnvme *dnvme = NULL;
	int rc = cli_open(cli, address, &dnvme, error);

	if (rc != 0)
		return rc;
	cli->call_max_ms = INFO_TIMEOUT_MS;
	rc = cli_call(cli, dnvme, METHOD_ID_SERVER_INFO, &request, ret_info, error);
	cli->call_max_ms = 0;
	dnvme_close(dnvme);
	if (rc != 0) {
		cli_prefix(error, "server %s", address);
		return error_hint(error, "the new server must run, with an empty data folder");
	}
	if (ret_info->cluster == NULL || ret_info->cluster[0] == '\0')
		return 0;
	rc = status_get(cli, &status, error);
	if (rc != 0 || strcmp(status.id, ret_info->cluster) == 0)
		return rc;
	error_set(error, ERROR_FAILED_PRECONDITION, "server %s is part of cluster %s", address, ret_info->cluster);
	return error_hint(error, "stop it and empty its data folder, if nobody needs that cluster");
}

/* *ret_id: the number that the server has now. */
static int add(struct cli *cli, const char *name, const char *address, struct mutation_reply *ret_reply,
	       uint64_t *ret_id, struct error *error)
{
	struct server_info info = { 0 };
	struct server_add_request request = { .name = name };
	int rc = newcomer_ask(cli, address, &info, error);

	if (rc != 0)
		return rc;
	request.id = info.id;
	request.raft_address = info.raft_address;
	request.api_address = info.api_address;
	rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_ADD_SERVER, &request, ret_reply, error);
	if (rc == 0 && names_id_parse("s", ret_reply->id, ret_id) != 0)
		rc = error_set(error, ERROR_INTERNAL, "the answer names no server");
	return rc;
}

int cluster_add_server_run(struct cli *cli, struct error *error)
{
	const char *name = cli->arguments[0];
	struct cluster_status status = { 0 };
	struct mutation_reply reply = { 0 };
	uint64_t id = 0;
	int rc = add(cli, name, cli->arguments[1], &reply, &id, error);

	if (rc == 0 && !cli->no_wait)
		rc = await(cli, id, has_joined, &status, error);
	if (rc != 0)
		return cli_prefix(error, "cannot add server \"%s\"", name);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	if (cli->no_wait)
		printf("server %s (%s) is being added\n", name, reply.id);
	else
		printf("server %s (%s) is added: it %s\n", name, reply.id,
		       find(&status, id)->membership == SERVER_MEMBERSHIP_VOTER ? "votes" : "stands by");
	return 0;
}

/* --- remove-server --------------------------------------------------------------------------------------- */

static int drop(struct cli *cli, const char *name, struct mutation_reply *ret_reply, struct error *error)
{
	struct name_request request = { .name = name };
	struct cluster_status status = { 0 };
	uint64_t id = 0;
	int rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_REMOVE_SERVER, &request, ret_reply, error);

	if (rc == 0 && names_id_parse("s", ret_reply->id, &id) != 0)
		rc = error_set(error, ERROR_INTERNAL, "the answer names no server");
	if (rc == 0 && !cli->no_wait)
		rc = await(cli, id, has_left, &status, error);
	return rc;
}

int cluster_remove_server_run(struct cli *cli, struct error *error)
{
	const char *name = cli->arguments[0];
	struct mutation_reply reply = { 0 };
	int rc = drop(cli, name, &reply, error);

	if (rc != 0)
		return cli_prefix(error, "cannot remove server \"%s\"", name);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("server %s is %s\n", name, cli->no_wait ? "being removed" : "removed");
	return 0;
}

/* --- replace-server -------------------------------------------------------------------------------------- */

/* The new one first, so that at no time there are fewer copies than before. */
int cluster_replace_server_run(struct cli *cli, struct error *error)
{
	const char *old = cli->arguments[0], *name = cli->arguments[1];
	struct cluster_status status = { 0 };
	struct mutation_reply reply = { 0 };
	uint64_t id = 0;
	int rc;

	if (cli->no_wait) {
		cli->bad_usage = true;
		return error_set(error, ERROR_INVALID_ARGUMENT, "cluster replace-server waits for the new server");
	}
	rc = add(cli, name, cli->arguments[2], &reply, &id, error);
	if (rc == 0)
		rc = await(cli, id, has_joined, &status, error);
	if (rc != 0) {
		cli_prefix(error, "cannot add server \"%s\"", name);
		return error_hint(error, "server %s was left as it is; the same command again goes on", old);
	}
	rc = drop(cli, old, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "server \"%s\" is added, but cannot remove server \"%s\"", name, old);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("server %s has taken the place of server %s\n", name, old);
	return 0;
}

/* --- transfer -------------------------------------------------------------------------------------------- */

/* Who has applied most of those that vote. */
static const struct server_info *successor_of(const struct cluster_status *status)
{
	const struct server_info *best = NULL;

	for (size_t i = 0; i < status->servers.count; i++) {
		const struct server_info *server = &status->servers.items[i];

		if (server->id != status->leader && server->reachable &&
		    server->membership == SERVER_MEMBERSHIP_VOTER &&
		    (best == NULL || server->applied_index > best->applied_index))
			best = server;
	}
	return best;
}

int cluster_transfer_run(struct cli *cli, struct error *error)
{
	struct name_request request = { 0 };
	struct cluster_status status;
	struct mutation_reply reply = { 0 };
	const struct server_info *successor;
	int rc;

	if (cli->argument_count > 1) {
		cli->bad_usage = true;
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is one argument too many", cli->arguments[1]);
	}
	if (cli->argument_count == 1) {
		request.name = cli->arguments[0];
	} else {
		rc = status_get(cli, &status, error);
		if (rc != 0)
			return cli_prefix(error, "cannot transfer leadership");
		successor = successor_of(&status);
		if (successor == NULL || successor->name == NULL) {
			error_set(error, ERROR_FAILED_PRECONDITION,
				  "cannot transfer leadership: no other server that votes can be reached");
			return error_hint(error, "see dnvme cluster status");
		}
		request.name = successor->name;
	}
	rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_TRANSFER, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot transfer leadership to server \"%s\"", request.name);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("server %s leads\n", request.name);
	return 0;
}
