/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/bootstrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "src/dnvmed.h"
#include "src/file.h"
#include "src/newcomer.h"
#include "src/request.h"

#define CALL_TIMEOUT_MS 1000u
#define RETRY_MS 250u
#define PROBE_MS 10000u /* servers may still be starting */
#define CLUSTER_FILE_MAX 65536u
#define EXTENT_UNIT_BYTES 4096u
#define EXTENT_BYTES_MIN (UINT64_C(64) << 10)

/* A call to another server that is repeated until it was answered. */
struct remote_call {
	struct dnvmed *dnvmed;
	const struct server *server;
	struct peer_call call;
	uint64_t next_ms; /* loop time */
	bool answered;
	bool refused;		/* join: it said no; a person has to look */
	struct error failure;	/* of the last attempt */
	struct init_work *work; /* of a probe */
};

struct bootstrap {
	bool joining;
	struct remote_call joins[LIMIT_SERVERS];
	size_t join_count;
	struct list inits; /* requests of cluster.init */
};

/* A request of cluster.init; lives in its arena. */
struct init_work {
	struct request *request;
	struct cluster cluster;
	struct remote_call probes[LIMIT_SERVERS];
	size_t probe_count;
	uint64_t probe_deadline_ms; /* loop time */
	bool probed;
};

struct bootstrap *bootstrap_make(void)
{
	struct bootstrap *bootstrap = calloc(1, sizeof(*bootstrap));

	if (bootstrap != NULL)
		list_init(&bootstrap->inits);
	return bootstrap;
}

void bootstrap_free(struct bootstrap *bootstrap)
{
	free(bootstrap);
}

/* --- the file --------------------------------------------------------------------------------------------- */

static void path_of(const struct dnvmed *dnvmed, const char *name, char path[FILE_PATH_SIZE])
{
	snprintf(path, FILE_PATH_SIZE, "%s/%s", dnvmed->options->data, name);
}

static bool file_exists(const struct dnvmed *dnvmed, const char *name)
{
	char path[FILE_PATH_SIZE];

	path_of(dnvmed, name, path);
	return access(path, F_OK) == 0;
}

static int file_make(const struct dnvmed *dnvmed, const char *name, struct bytes content, struct error *error)
{
	return file_write(dnvmed->options->data, name, content, error);
}

/* Take the description over, as the program's own copy. */
static int cluster_adopt(struct dnvmed *dnvmed, struct bytes encoded, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct cluster cluster;

	if (codec_decode(schema_cluster(), encoded, &arena, &cluster, error) != 0) {
		arena_free(&arena);
		return error->code;
	}
	arena_free(&dnvmed->cluster_arena);
	dnvmed->cluster_arena = arena;
	dnvmed->cluster = cluster;
	dnvmed->has_group = true;
	return 0;
}

/* Whether this server is in the list, under the addresses that it was started with. */
static int self_check(const struct dnvmed *dnvmed, uint64_t id, const struct server_list *servers, struct error *error)
{
	const struct options *options = dnvmed->options;

	for (size_t i = 0; i < servers->count; i++) {
		const struct server *server = &servers->items[i];

		if (server->id != id)
			continue;
		if (strcmp(server->raft_address, options->raft) == 0 &&
		    strcmp(server->api_address, options->listen) == 0)
			return 0;
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "servers: server %llu is listed with raft %s and api %s, but runs with %s and %s",
				 (unsigned long long)server->id, server->raft_address, server->api_address,
				 options->raft, options->listen);
	}
	return error_set(error, ERROR_FAILED_PRECONDITION, "servers: server %llu, which is asked, is not in the list",
			 (unsigned long long)id);
}

/* The log's first configuration, and what remembers that there is a log. */
static int log_begin(struct dnvmed *dnvmed, struct error *error)
{
	int rv = dnvmed->consensus == NULL ? dnvmed_join(dnvmed, dnvmed->log_empty, error) : 0;

	if (rv == 0 && !file_exists(dnvmed, "member"))
		rv = file_make(dnvmed, "member", (struct bytes){ NULL, 0 }, error);
	return rv;
}

/* Durable before it returns: the file, then the log. What fails half-way goes on with log_begin(). */
static int take_part(struct dnvmed *dnvmed, const struct cluster *cluster, struct error *error)
{
	struct buffer bytes = BUFFER_INIT;
	int rv = codec_encode(schema_cluster(), cluster, CODEC_TAGGED, &bytes, error);

	if (rv == 0 && !dnvmed->log_empty)
		rv = newcomer_forget(dnvmed, error);
	if (rv == 0)
		rv = file_make(dnvmed, "cluster", buffer_bytes(&bytes), error);
	if (rv == 0)
		rv = cluster_adopt(dnvmed, buffer_bytes(&bytes), error);
	if (rv == 0)
		rv = log_begin(dnvmed, error);
	buffer_free(&bytes);
	return rv;
}

/* --- telling the others ----------------------------------------------------------------------------------- */

static void on_joined(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct remote_call *join = data;
	struct error refusal;

	(void)sent;
	join->next_ms = uv_now(&join->dnvmed->loop) + RETRY_MS;
	if (failure != NULL) {
		join->failure = *failure;
		return;
	}
	if (rpc_failure_decode(response->failure, &refusal) == 0) {
		join->answered = true;
		log_info("server joined", "server=%llu", (unsigned long long)join->server->id);
		return;
	}
	join->failure = refusal;
	if (refusal.code == ERROR_FAILED_PRECONDITION && !join->refused) {
		join->refused = true;
		log_error("a server refuses to join", "server=%llu reason=\"%s\"", (unsigned long long)join->server->id,
			  refusal.message);
	}
}

static void joins_begin(struct dnvmed *dnvmed)
{
	struct bootstrap *bootstrap = dnvmed->bootstrap;
	const struct server_list *servers = &dnvmed->cluster.servers;

	bootstrap->joining = true;
	bootstrap->join_count = 0;
	for (size_t i = 0; i < servers->count; i++) {
		if (servers->items[i].id == dnvmed->id)
			continue;
		bootstrap->joins[bootstrap->join_count++] =
			(struct remote_call){ .dnvmed = dnvmed, .server = &servers->items[i] };
	}
}

static void joins_tick(struct dnvmed *dnvmed)
{
	struct bootstrap *bootstrap = dnvmed->bootstrap;
	const struct server_join_request params = { .cluster = dnvmed->cluster.id,
						    .servers = dnvmed->cluster.servers,
						    .name = dnvmed->cluster.name,
						    .extent_bytes = dnvmed->cluster.extent_bytes,
						    .created_ms = dnvmed->cluster.created_ms };
	uint64_t now = uv_now(&dnvmed->loop);
	size_t missing = 0;
	struct error error;

	for (size_t i = 0; i < bootstrap->join_count; i++) {
		struct remote_call *join = &bootstrap->joins[i];

		missing += !join->answered;
		if (join->answered || join->call.active || now < join->next_ms)
			continue;
		join->next_ms = now + RETRY_MS;
		(void)peer_call(dnvmed->peers, join->server->id, join->server->api_address,
				method_at(METHOD_ID_SERVER_JOIN), NULL, &params, CALL_TIMEOUT_MS, &join->call,
				on_joined, join, &join->failure);
	}
	if (missing > 0)
		return;
	if (file_remove(dnvmed->options->data, "joining", &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot finish the forming of the group", &error);
		return;
	}
	bootstrap->joining = false;
	log_notice("every server has joined", "cluster=%s", dnvmed->cluster.id);
}

/* --- cluster.init ------------------------------------------------------------------------------------------- */

static int servers_check(const struct server_list *servers, struct error *error)
{
	char field[64];

	for (size_t i = 0; i < servers->count; i++) {
		const struct server *server = &servers->items[i];

		snprintf(field, sizeof(field), "servers[%zu].raft_address", i);
		if (options_address_check(field, server->raft_address, error) != 0)
			return error->code;
		snprintf(field, sizeof(field), "servers[%zu].api_address", i);
		if (options_address_check(field, server->api_address, error) != 0)
			return error->code;
		for (size_t j = 0; j < i; j++) {
			const struct server *other = &servers->items[j];

			if (server->id == other->id)
				return error_set(error, ERROR_INVALID_ARGUMENT, "servers[%zu].id: %llu is listed twice",
						 i, (unsigned long long)server->id);
			if (strcmp(server->raft_address, other->raft_address) == 0 ||
			    strcmp(server->api_address, other->api_address) == 0)
				return error_set(error, ERROR_INVALID_ARGUMENT,
						 "servers[%zu]: an address of servers[%zu] is listed again", i, j);
		}
	}
	return 0;
}

static bool servers_equal(const struct server_list *a, const struct server_list *b)
{
	for (size_t i = 0; i < a->count; i++) {
		bool found = false;

		for (size_t j = 0; !found && j < b->count; j++)
			found = a->items[i].id == b->items[j].id &&
				strcmp(a->items[i].raft_address, b->items[j].raft_address) == 0 &&
				strcmp(a->items[i].api_address, b->items[j].api_address) == 0;
		if (!found)
			return false;
	}
	return a->count == b->count;
}

/* cluster.init on a server that has a group: the same question again, or another one. */
static int repeat_check(const struct dnvmed *dnvmed, const struct cluster_init_request *params, struct error *error)
{
	const struct cluster *cluster = &dnvmed->cluster;

	if (strcmp(cluster->name, params->name) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "this server is part of cluster \"%s\" (%s)",
				 cluster->name, cluster->id);
	if (params->servers.count > 0 && !servers_equal(&params->servers, &cluster->servers))
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "servers: cluster \"%s\" was formed with other servers", cluster->name);
	if (params->extent_bytes != 0 && params->extent_bytes != cluster->extent_bytes)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "extent_bytes: cluster \"%s\" has extents of %llu bytes", cluster->name,
				 (unsigned long long)cluster->extent_bytes);
	return 0;
}

static int plan(struct dnvmed *dnvmed, struct request *request, struct cluster *cluster, struct error *error)
{
	const struct cluster_init_request *params = request->params;
	uint8_t random[8];
	char *id = arena_alloc(&request->arena, sizeof(random) * 2 + 1);
	struct server *self = arena_alloc(&request->arena, sizeof(*self));

	if (id == NULL || self == NULL)
		return error_set_nomem(error);
	if (dnvmed->id == 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "this server has no number");
		return error_hint(error, "start the servers that form a cluster with --id, each with another number");
	}
	random_bytes(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
	*self = (struct server){ .id = dnvmed->id,
				 .raft_address = dnvmed->options->raft,
				 .api_address = dnvmed->options->listen };
	*cluster = (struct cluster){
		.id = id,
		.name = params->name,
		.extent_bytes = params->extent_bytes != 0 ? params->extent_bytes : LIMIT_EXTENT_BYTES_DEFAULT,
		.servers = params->servers,
		.created_ms = clock_wall_ms(),
	};
	if (cluster->servers.count == 0)
		cluster->servers = (struct server_list){ 1, self };
	if (cluster->extent_bytes % EXTENT_UNIT_BYTES != 0 || cluster->extent_bytes < EXTENT_BYTES_MIN)
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "extent_bytes: %llu is not a multiple of %u from %llu on",
				 (unsigned long long)cluster->extent_bytes, EXTENT_UNIT_BYTES,
				 (unsigned long long)EXTENT_BYTES_MIN);
	if (servers_check(&cluster->servers, error) != 0)
		return error->code;
	return self_check(dnvmed, dnvmed->id, &cluster->servers, error);
}

static void init_cancel(struct request *request)
{
	struct init_work *work = request->work;

	for (size_t i = 0; work != NULL && i < work->probe_count; i++)
		peer_call_cancel(&work->probes[i].call);
}

static void init_fail(struct request *request, struct error *failure)
{
	error_prefix(failure, "cluster.init");
	request_fail(request, failure);
}

/* What a probed server says must fit what was said of it. */
static int probe_check(const struct server *server, const struct server_info *info, struct error *error)
{
	if (info->id != server->id)
		return error_set(error, ERROR_FAILED_PRECONDITION, "servers: at %s is server %llu, not server %llu",
				 server->api_address, (unsigned long long)info->id, (unsigned long long)server->id);
	if (strcmp(info->raft_address, server->raft_address) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "servers: server %llu takes Raft peers at %s, not at %s",
				 (unsigned long long)server->id, info->raft_address, server->raft_address);
	if (info->role != SERVER_ROLE_UNINITIALIZED) {
		error_set(error, ERROR_FAILED_PRECONDITION, "servers: server %llu is part of cluster %s already",
			  (unsigned long long)server->id, info->cluster != NULL ? info->cluster : "?");
		return error_hint(error, "ask that server for cluster.status; or stop it and empty its data directory");
	}
	return 0;
}

static void on_probed(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct remote_call *probe = data;
	struct request *request = probe->work->request;
	struct server_info info;
	struct error error;

	(void)sent;
	probe->next_ms = uv_now(&probe->dnvmed->loop) + RETRY_MS;
	if (failure != NULL) {
		probe->failure = *failure;
		return;
	}
	if (rpc_failure_decode(response->failure, &error) != 0 ||
	    codec_decode_value(schema_server_info(), response->result, &request->arena, &info, &error) != 0) {
		probe->failure = error;
		return;
	}
	if (probe_check(probe->server, &info, &error) != 0) {
		init_fail(request, &error);
		return;
	}
	probe->answered = true;
}

int bootstrap_init_answer(struct request *request, struct error *error)
{
	const struct cluster_init_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct init_work *work = arena_alloc(&request->arena, sizeof(*work));
	int rv;

	if (work == NULL)
		return error_set_nomem(error);
	if (dnvmed_is_stopping(dnvmed))
		return error_set(error, ERROR_UNAVAILABLE, "the server is stopping");
	work->request = request;
	if (dnvmed->has_group)
		rv = repeat_check(dnvmed, params, error);
	else
		rv = plan(dnvmed, request, &work->cluster, error);
	if (rv != 0)
		return error_prefix(error, "cluster.init");
	for (size_t i = 0; !dnvmed->has_group && i < work->cluster.servers.count; i++) {
		if (work->cluster.servers.items[i].id == dnvmed->id)
			continue;
		work->probes[work->probe_count++] = (struct remote_call){ .dnvmed = dnvmed,
									  .server = &work->cluster.servers.items[i],
									  .work = work };
	}
	work->probe_deadline_ms = uv_now(&dnvmed->loop) + PROBE_MS;
	request->work = work;
	request->work_cancel = init_cancel;
	request_state_set(request, REQUEST_WAIT_OTHERS);
	list_append(&dnvmed->bootstrap->inits, &request->state_link);
	return 0;
}

/* Whether all probes are answered; asks again those that are not. */
static bool probes_tick(struct dnvmed *dnvmed, struct init_work *work)
{
	const struct server_info_request params = { 0 };
	uint64_t now = uv_now(&dnvmed->loop);
	bool all = true;

	for (size_t i = 0; i < work->probe_count; i++) {
		struct remote_call *probe = &work->probes[i];

		if (probe->answered)
			continue;
		all = false;
		if (now > work->probe_deadline_ms) {
			struct error failure = probe->failure;

			failure.code = ERROR_UNAVAILABLE;
			error_prefix(&failure, "servers: server %llu does not answer",
				     (unsigned long long)probe->server->id);
			error_hint(&failure, "every server must run before the cluster is formed; nothing was done");
			init_fail(work->request, &failure);
			return false;
		}
		if (probe->call.active || now < probe->next_ms)
			continue;
		probe->next_ms = now + RETRY_MS;
		(void)peer_call(dnvmed->peers, probe->server->id, probe->server->api_address,
				method_at(METHOD_ID_SERVER_INFO), NULL, &params, CALL_TIMEOUT_MS, &probe->call,
				on_probed, probe, &probe->failure);
	}
	return all;
}

static void init_waits(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	struct bootstrap *bootstrap = dnvmed->bootstrap;
	const char *text = "no server leads yet";

	for (size_t i = 0; bootstrap->joining && i < bootstrap->join_count; i++) {
		const struct remote_call *join = &bootstrap->joins[i];

		if (!join->answered) {
			text = join->refused ? "a server refuses to join; its log and this server's say why"
					     : "not every server has joined yet";
			break;
		}
	}
	request->waits_for = text;
}

static void init_tick(struct dnvmed *dnvmed, struct request *request)
{
	struct init_work *work = request->work;
	struct mutation_reply reply = { 0 };
	struct cluster record;
	struct error error;

	if (!dnvmed->has_group) {
		if (!probes_tick(dnvmed, work))
			return;
		if (file_make(dnvmed, "joining", (struct bytes){ NULL, 0 }, &error) != 0 ||
		    take_part(dnvmed, &work->cluster, &error) != 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot form the group", &error);
			init_fail(request, &error);
			return;
		}
		log_notice("forming a cluster", "cluster=%s name=%s servers=%zu", dnvmed->cluster.id,
			   dnvmed->cluster.name, dnvmed->cluster.servers.count);
		joins_begin(dnvmed);
		return;
	}
	if (repeat_check(dnvmed, request->params, &error) != 0) {
		init_fail(request, &error); /* another request was quicker */
		return;
	}
	if (dnvmed->consensus == NULL) {
		/* An earlier attempt failed behind the file. */
		if (log_begin(dnvmed, &error) != 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot form the group", &error);
			init_fail(request, &error);
			return;
		}
		joins_begin(dnvmed);
		return;
	}
	init_waits(request);
	if (dnvmed->bootstrap->joining || fsm_cluster_get(dnvmed->fsm, &request->arena, &record, &error) != 0)
		return;
	reply.revision = fsm_revision(dnvmed->fsm);
	reply.id = record.id;
	request_reply(request, &reply);
}

/* --- server.join ------------------------------------------------------------------------------------------- */

int bootstrap_join_answer(struct request *request, struct error *error)
{
	const struct server_join_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct cluster cluster = { .id = params->cluster,
				   .name = params->name,
				   .extent_bytes = params->extent_bytes,
				   .servers = params->servers,
				   .created_ms = params->created_ms };
	struct server_info info;

	if (dnvmed_is_stopping(dnvmed))
		return error_set(error, ERROR_UNAVAILABLE, "the server is stopping");
	if (fsm_version_check(params->state_version, error) != 0)
		return error_prefix(error, "server.join");
	if (dnvmed->has_group && strcmp(dnvmed->cluster.id, params->cluster) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION,
				 "server.join: server %llu is part of cluster %s, not %s",
				 (unsigned long long)dnvmed->id, dnvmed->cluster.id, params->cluster);
	if (params->id != 0 && dnvmed->id != 0 && params->id != dnvmed->id) {
		error_set(error, ERROR_FAILED_PRECONDITION, "server.join: this is server %llu, not %llu",
			  (unsigned long long)dnvmed->id, (unsigned long long)params->id);
		return error_hint(error, "start it without --id");
	}
	if (!dnvmed->has_group) {
		if (cluster.name == NULL)
			return error_set(error, ERROR_INVALID_ARGUMENT, "server.join: name: is missing");
		if (self_check(dnvmed, params->id != 0 ? params->id : dnvmed->id, &cluster.servers, error) != 0 ||
		    (params->id != 0 && newcomer_begin(dnvmed, params->id, error) != 0))
			return error_prefix(error, "server.join");
		if (take_part(dnvmed, &cluster, error) != 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot join the group", error);
			return error_prefix(error, "server.join");
		}
		log_notice("joined a cluster", "cluster=%s name=%s", dnvmed->cluster.id, dnvmed->cluster.name);
	} else if (log_begin(dnvmed, error) != 0) {
		/* Who is told yes never asks again: not before the log is there. */
		log_failure(LOG_LEVEL_ERROR, "cannot join the group", error);
		return error_prefix(error, "server.join");
	}
	if (dnvmed_info(dnvmed, false, &request->arena, &info, error) != 0)
		return error->code;
	request_reply(request, &info);
	return 0;
}

/* --- life --------------------------------------------------------------------------------------------------- */

int bootstrap_start(struct dnvmed *dnvmed, struct error *error)
{
	struct buffer bytes = BUFFER_INIT;
	char path[FILE_PATH_SIZE];
	bool initialized;
	int rv;

	if (newcomer_start(dnvmed, error) != 0)
		return error->code;
	if (!file_exists(dnvmed, "cluster"))
		return 0;
	path_of(dnvmed, "cluster", path);
	rv = file_read(path, CLUSTER_FILE_MAX, &bytes, error);
	if (rv == 0 && cluster_adopt(dnvmed, buffer_bytes(&bytes), error) != 0) {
		rv = error_prefix(error, "%s is damaged", path);
		error_hint(error, "copy the file \"cluster\" from a server that joined with or after this one");
	}
	buffer_free(&bytes);
	if (rv == 0)
		rv = self_check(dnvmed, dnvmed->id, &dnvmed->cluster.servers, error);
	if (rv != 0)
		return rv;
	/* An empty log in place of one that was lost would forget what this server promised and voted for. */
	path_of(dnvmed, "raft", path);
	rv = consensus_directory_check(path, &initialized, error);
	if (rv == 0 && !initialized && !dnvmed->log_empty && file_exists(dnvmed, "member")) {
		rv = error_set(error, ERROR_FAILED_PRECONDITION,
			       "%s is empty, but this server was a member of the group: its log is lost", path);
		error_hint(error,
			   "do not start it with an empty log; remove the server from the group and add it anew");
	}
	if (rv == 0)
		rv = log_begin(dnvmed, error);
	if (rv == 0 && file_exists(dnvmed, "joining"))
		joins_begin(dnvmed);
	return rv;
}

void bootstrap_tick(struct dnvmed *dnvmed)
{
	struct bootstrap *bootstrap = dnvmed->bootstrap;
	struct list inits;

	if (dnvmed_is_stopping(dnvmed))
		return;
	list_take(&inits, &bootstrap->inits);
	while (!list_is_empty(&inits)) {
		struct request *request = list_entry(inits.next, struct request, state_link);

		list_remove(&request->state_link);
		list_append(&bootstrap->inits, &request->state_link);
		init_tick(dnvmed, request);
	}
	if (bootstrap->joining)
		joins_tick(dnvmed);
	newcomer_tick(dnvmed);
}

void bootstrap_stop(struct dnvmed *dnvmed)
{
	for (size_t i = 0; i < dnvmed->bootstrap->join_count; i++)
		peer_call_cancel(&dnvmed->bootstrap->joins[i].call);
}
