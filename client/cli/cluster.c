/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme cluster init|status|set; the other verbs are in cluster_members.c, cluster_backup.c and cluster_check.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/cluster_backup.h"
#include "client/cli/cluster_check.h"
#include "client/cli/cluster_members.h"
#include "client/cli/size.h"

#define INFO_TIMEOUT_MS 5000u

enum { KEY_NAME = 0x2000, KEY_EXTENT, KEY_REBUILD_AFTER, KEY_REBUILD_RATE };

/* --- status ---------------------------------------------------------------------------------------------- */

static int print_servers(const struct cluster_status *status, struct error *error)
{
	struct libscols_table *table = table_new("<SERVER,NAME,MEMBER,ROLE,CLIENTS,RAFT,<TERM,<APPLIED,VERSION");
	bool failed = table == NULL;

	for (size_t i = 0; !failed && i < status->servers.count; i++) {
		const struct server_info *server = &status->servers.items[i];
		struct libscols_line *line = table_line(table);
		const char *role = server->reachable ? ENUM_NAME(server_role, server->role) : "unreachable";
		/* A server of an earlier version does not say it. */
		const char *member = server->membership != 0 ? ENUM_NAME(server_membership, server->membership) : "";

		failed = line == NULL || table_cell(line, 0, "%" PRIu64, server->id) != 0 ||
			 table_cell(line, 1, "%s", server->name != NULL ? server->name : "") != 0 ||
			 table_cell(line, 2, "%s", member) != 0 || table_cell(line, 3, "%s", role) != 0 ||
			 table_cell(line, 4, "%s", server->api_address) != 0 ||
			 table_cell(line, 5, "%s", server->raft_address) != 0;
		if (!failed && server->reachable)
			failed = table_cell(line, 6, "%" PRIu64, server->term) != 0 ||
				 table_cell(line, 7, "%" PRIu64, server->applied_index) != 0 ||
				 table_cell(line, 8, "%s", server->version) != 0;
	}
	if (failed)
		return error_set_nomem(error);
	return table_print(table, error);
}

static int print_status(const struct cli *cli, const struct cluster_status *status, struct error *error)
{
	char total[SIZE_TEXT_SIZE], available[SIZE_TEXT_SIZE];
	uint64_t used = status->bytes_total > status->bytes_free ? status->bytes_total - status->bytes_free : 0;

	if (cli->json)
		return cli_print_json(schema_cluster_status(), status, error);
	size_format(status->bytes_total, total);
	size_format(status->bytes_free, available);
	printf("cluster %s  %s  revision %" PRIu64 "\n", status->name, status->id, status->revision);
	if (status->leader != 0)
		printf("  leader    server %" PRIu64 "\n", status->leader);
	else
		printf("  leader    none\n");
	if (status->waits_for != NULL)
		printf("  change    %s\n", status->waits_for);
	printf("  objects   %" PRIu64 " nodes, %" PRIu64 " disks, %" PRIu64 " volumes\n", status->nodes, status->disks,
	       status->volumes);
	printf("  capacity  %s free of %s raw (%.0f %% used)\n", available, total,
	       status->bytes_total > 0 ? 100.0 * (double)used / (double)status->bytes_total : 0.0);
	return print_servers(status, error);
}

static int status_run(struct cli *cli, struct error *error)
{
	struct server_info_request request = { 0 };
	struct cluster_status status = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_STATUS, &request, &status, error);

	if (rc != 0)
		return cli_prefix(error, "cannot get the cluster's status");
	return print_status(cli, &status, error);
}

/* --- init ------------------------------------------------------------------------------------------------ */

struct candidate {
	const char *address; /* as the operator wrote it */
	struct server_info info;
};

static int candidates_ask(struct cli *cli, struct candidate *candidates, size_t *ret_count, struct error *error)
{
	char *list = arena_strdup(&cli->arena, cli->servers), *save = NULL;
	struct server_info_request request = { 0 };
	size_t count = 0;

	if (list == NULL)
		return error_set_nomem(error);
	for (char *one = strtok_r(list, ", ", &save); one != NULL; one = strtok_r(NULL, ", ", &save)) {
		struct dnvme *dnvme = NULL;
		int rc;

		if (count == LIMIT_SERVERS)
			return error_set(error, ERROR_INVALID_ARGUMENT, "more than %u servers are given",
					 LIMIT_SERVERS);
		rc = cli_open(cli, one, &dnvme, error);
		if (rc != 0)
			return rc;
		candidates[count].address = one;
		/* A server answers this by itself, at once: one that keeps silent is no dnvmed. */
		cli->call_max_ms = INFO_TIMEOUT_MS;
		rc = cli_call(cli, dnvme, METHOD_ID_SERVER_INFO, &request, &candidates[count].info, error);
		cli->call_max_ms = 0;
		dnvme_close(dnvme);
		if (rc != 0) {
			cli_prefix(error, "server %s", one);
			return error_hint(error, "every server of --server must run, with an empty data folder or as "
						 "a member of this cluster");
		}
		count++;
	}
	*ret_count = count;
	return 0;
}

static bool is_member(const struct candidate *candidate)
{
	return candidate->info.cluster != NULL && candidate->info.cluster[0] != '\0';
}

/* All that are members of a cluster must be members of one. *ret_first: the one to ask. */
static int candidates_check(struct candidate *candidates, size_t count, size_t *ret_first, struct error *error)
{
	const struct candidate *member = NULL;

	*ret_first = 0;
	for (size_t i = 0; i < count; i++) {
		struct candidate *one = &candidates[i];

		if (one->info.id == 0)
			one->info.id = i + 1;
		for (size_t j = 0; j < i; j++) {
			if (strcmp(candidates[j].info.raft_address, one->info.raft_address) == 0)
				return error_set(error, ERROR_INVALID_ARGUMENT, "%s and %s are the same server (%s)",
						 candidates[j].address, one->address, one->info.raft_address);
			if (candidates[j].info.id == one->info.id)
				return error_set(error, ERROR_FAILED_PRECONDITION,
						 "%s and %s both have the server number %" PRIu64,
						 candidates[j].address, one->address, one->info.id);
		}
		if (!is_member(one))
			continue;
		if (member != NULL && strcmp(member->info.cluster, one->info.cluster) != 0) {
			error_set(error, ERROR_FAILED_PRECONDITION,
				  "server %s belongs to cluster %s, server %s to cluster %s", member->address,
				  member->info.cluster, one->address, one->info.cluster);
			return error_hint(error, "a server can be a member of one cluster only");
		}
		if (member == NULL) {
			member = one;
			*ret_first = i;
		}
	}
	return 0;
}

/* Wait for a leader, then print. */
static int init_finish(struct cli *cli, struct error *error)
{
	struct server_info_request request = { 0 };
	struct cluster_status status = { 0 };
	int rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_STATUS, &request, &status, error);

	if (rc != 0)
		return cli_prefix(error, "the cluster was formed, but has not answered yet");
	return print_status(cli, &status, error);
}

static int init_run(struct cli *cli, struct error *error)
{
	struct candidate candidates[LIMIT_SERVERS];
	struct server servers[LIMIT_SERVERS];
	struct cluster_init_request request = { .name = cli->name, .extent_bytes = cli->extent_bytes };
	struct mutation_reply reply = { 0 };
	struct dnvme *dnvme = NULL;
	size_t count = 0, first = 0;
	int rc;

	if (cli->name == NULL) {
		cli->bad_usage = true;
		error_set(error, ERROR_INVALID_ARGUMENT, "cluster init needs --name");
		return ERROR_INVALID_ARGUMENT;
	}
	memset(candidates, 0, sizeof(candidates));
	rc = candidates_ask(cli, candidates, &count, error);
	if (rc == 0)
		rc = candidates_check(candidates, count, &first, error);
	if (rc != 0)
		return cli_prefix(error, "cannot form cluster \"%s\"", cli->name);
	for (size_t i = 0; i < count; i++) {
		servers[i] = (struct server){
			.id = candidates[i].info.id,
			.raft_address = candidates[i].info.raft_address,
			.api_address = candidates[i].info.api_address,
		};
	}
	request.servers = (struct server_list){ count, servers };
	rc = cli_open(cli, candidates[first].address, &dnvme, error);
	if (rc == 0)
		rc = cli_call(cli, dnvme, METHOD_ID_CLUSTER_INIT, &request, &reply, error);
	dnvme_close(dnvme);
	if (rc != 0)
		return cli_prefix(error, "cannot form cluster \"%s\"", cli->name);
	if (!cli->no_wait)
		return init_finish(cli, error);
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("cluster %s is formed of %zu %s\n", cli->name, count, count == 1 ? "server" : "servers");
	return 0;
}

/* --- set ------------------------------------------------------------------------------------------------- */

static int set_run(struct cli *cli, struct error *error)
{
	struct settings settings = { .rebuild_after_ms = cli->rebuild_after_ms,
				     .rebuild_rate_bytes = cli->rebuild_rate_bytes };
	struct cluster_set_request request = { .settings = &settings };
	struct mutation_reply reply = { 0 };
	int rc;

	if (settings.rebuild_after_ms == 0 && settings.rebuild_rate_bytes == 0) {
		cli->bad_usage = true;
		return error_set(error, ERROR_INVALID_ARGUMENT, "cluster set needs a setting");
	}
	rc = cli_call(cli, NULL, METHOD_ID_CLUSTER_SET, &request, &reply, error);
	if (rc != 0)
		return cli_prefix(error, "cannot change the settings");
	if (cli->json)
		return cli_print_json(schema_mutation_reply(), &reply, error);
	printf("settings are changed\n");
	return 0;
}

static int set_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_REBUILD_AFTER:
		return duration_parse("--rebuild-after", value, &cli->rebuild_after_ms, error);
	case KEY_REBUILD_RATE:
		if (strcmp(value, "none") == 0) {
			cli->rebuild_rate_bytes = UINT64_MAX;
			return 0;
		}
		return size_parse("--rebuild-rate", value, &cli->rebuild_rate_bytes, error);
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static const struct argp_option set_options[] = {
	{ "rebuild-after", KEY_REBUILD_AFTER, "TIME", 0,
	  "how long a lost copy may stay away before another disk takes its place: 30s, 10m (as it is at first)", 0 },
	{ "rebuild-rate", KEY_REBUILD_RATE, "SIZE|none", 0, "a second, that the rebuild of one group may copy: 100MiB",
	  0 },
	{ 0 },
};

/* --- options --------------------------------------------------------------------------------------------- */

static int init_option(struct cli *cli, int key, const char *value, struct error *error)
{
	switch (key) {
	case KEY_NAME:
		cli->name = value;
		return 0;
	case KEY_EXTENT:
		return size_parse("--extent", value, &cli->extent_bytes, error);
	default:
		return error_set(error, ERROR_INTERNAL, "unknown option");
	}
}

static const struct argp_option init_options[] = {
	{ "name", KEY_NAME, "NAME", 0, "name of the cluster, for people", 0 },
	{ "extent", KEY_EXTENT, "SIZE", 0, "unit of placement; 4MiB if not given", 0 },
	{ 0 },
};

const struct cli_command cluster_commands[] = {
	{ .noun = "cluster",
	  .verb = "init",
	  .arguments = "",
	  .summary = "form a cluster of the servers in --server",
	  .text = "Asks every server of --server for its number and addresses and makes them one Raft group. It is "
		  "safe "
		  "to repeat. --name is required.",
	  .options = init_options,
	  .option = init_option,
	  .run = init_run,
	  .waits = true },
	{ .noun = "cluster",
	  .verb = "add-server",
	  .arguments = "NAME ADDRESS",
	  .argument_count = 2,
	  .summary = "add the control-plane server at an address",
	  .text = "It runs there (dnvmed without --id, with an empty data folder) and belongs to no cluster. Waits "
		  "until "
		  "it has caught up: then it votes, or stands by. Up to five vote, always an odd number.",
	  .run = cluster_add_server_run,
	  .waits = true },
	{ .noun = "cluster",
	  .verb = "backup",
	  .arguments = "FILE",
	  .argument_count = 1,
	  .summary = "write the state of the cluster into a file, while it is in use",
	  .text = "The state is what the servers know: nodes, disks, volumes, where they lie. What is in the volumes "
		  "is "
		  "not part of it. FILE holds everything that was committed before, and is read back before it gets "
		  "its name. cluster check --file FILE looks at it again.",
	  .options = cluster_backup_options,
	  .option = cluster_backup_option,
	  .run = cluster_backup_run,
	  .endless = true },
	{ .noun = "cluster",
	  .verb = "check",
	  .arguments = "",
	  .summary = "have each server of --server audit its state",
	  .text = "Extents, references, epochs, counters. Nothing is changed. Exit status 1 when a state contradicts "
		  "itself. The state of a server that is stopped: dnvmed --check-state.",
	  .options = cluster_check_options,
	  .option = cluster_check_option,
	  .run = cluster_check_run,
	  .waits = true,
	  .local = true },
	{ .noun = "cluster",
	  .verb = "remove-server",
	  .arguments = "NAME",
	  .argument_count = 1,
	  .summary = "remove a control-plane server, dead or alive",
	  .text = "Refused where those that stay and answer would not be the majority. A server that runs ends by "
		  "itself.",
	  .run = cluster_remove_server_run,
	  .waits = true },
	{ .noun = "cluster",
	  .verb = "replace-server",
	  .arguments = "OLD NAME ADDRESS",
	  .argument_count = 3,
	  .summary = "add a control-plane server, then remove another one",
	  .text = "As add-server NAME ADDRESS and remove-server OLD. Safe to repeat.",
	  .run = cluster_replace_server_run,
	  .waits = true },
	{ .noun = "cluster",
	  .verb = "set",
	  .arguments = "",
	  .summary = "change settings of the whole cluster",
	  .options = set_options,
	  .option = set_option,
	  .run = set_run },
	{ .noun = "cluster",
	  .verb = "status",
	  .arguments = "",
	  .summary = "servers, leader, capacity",
	  .run = status_run },
	{ .noun = "cluster",
	  .verb = "transfer",
	  .arguments = "[NAME]",
	  .more = true,
	  .summary = "hand leadership over to a server",
	  .text = "Without NAME to the one that has applied most. No request fails meanwhile.",
	  .run = cluster_transfer_run },
	{ 0 },
};
