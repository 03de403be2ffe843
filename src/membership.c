/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/membership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "src/dnvmed.h"
#include "src/exit_status.h"
#include "src/file.h"

#define PROBE_MS 500u
#define PROBE_TIMEOUT_MS 1000u
#define ALIVE_MS 2500u /* so old may its last answer be */
#define TELL_MS 500u
#define STEP_RETRY_MS 500u /* after one failed */
#define ASK_MS 1000u
#define CAUGHT_UP_ENTRIES 512u
#define TROUBLE_SIZE 512u

/* What the leader knows of another server. */
struct probe {
	struct dnvmed *dnvmed;
	uint64_t id;
	struct peer_call info, join;
	uint64_t info_ms, join_ms; /* loop time of the next ones */
	uint64_t heard_ms;	   /* loop time; of the answer of a member of this group */
	uint64_t state_version;	   /* the newest one that it knows, as it said last */
	bool heard, empty;
	char trouble[TROUBLE_SIZE]; /* why it does not join; "" */
};

struct membership {
	struct probe probes[LIMIT_SERVERS]; /* id 0: free */
	uint64_t since_ms;		    /* loop time when this server began to lead */
	bool step_under_way, forget_under_way, upgrade_under_way;
	uint64_t step_ms;	/* loop time of the next step */
	struct group_step told; /* what the log said last */
	/* Not leading: whom to ask whether this server was removed. */
	struct peer_call ask;
	uint64_t ask_ms;
	size_t ask_next;
};

struct membership *membership_make(void)
{
	return calloc(1, sizeof(struct membership));
}

void membership_free(struct membership *membership)
{
	free(membership);
}

const char *membership_name(const struct server *server, char text[MEMBERSHIP_NAME_SIZE])
{
	if (server->name != NULL)
		snprintf(text, MEMBERSHIP_NAME_SIZE, "%s", server->name);
	else
		names_id_format("s", server->id, text);
	return text;
}

int membership_find(const struct dnvmed *dnvmed, const char *name, const struct server **ret_server,
		    struct error *error)
{
	const struct server_list *servers = dnvmed_servers(dnvmed);
	char text[MEMBERSHIP_NAME_SIZE];
	uint64_t id = 0;
	bool by_id = names_id_parse("s", name, &id) == 0;

	for (size_t i = 0; i < servers->count; i++) {
		const struct server *server = &servers->items[i];

		if (by_id ? server->id == id : server->name != NULL && strcmp(server->name, name) == 0) {
			*ret_server = server;
			return 0;
		}
	}
	error_set(error, ERROR_NOT_FOUND, "name: there is no server \"%s\"", name);
	error_hint(error, "see dnvme cluster status");
	for (size_t i = 0; i < servers->count; i++)
		error_detail(error, "%s", membership_name(&servers->items[i], text));
	return ERROR_NOT_FOUND;
}

/* --- what the leader knows -------------------------------------------------------------------------------------- */

static struct probe *probe_of(const struct dnvmed *dnvmed, uint64_t id)
{
	for (size_t i = 0; i < LIMIT_SERVERS; i++) {
		if (dnvmed->membership->probes[i].id == id)
			return &dnvmed->membership->probes[i];
	}
	return NULL;
}

static void probe_end(struct probe *probe)
{
	peer_call_cancel(&probe->info);
	peer_call_cancel(&probe->join);
	*probe = (struct probe){ 0 };
}

static bool is_listed(const struct server_list *servers, uint64_t id)
{
	for (size_t i = 0; i < servers->count; i++) {
		if (servers->items[i].id == id)
			return true;
	}
	return false;
}

/* One for each other server. */
static void probes_fit(struct dnvmed *dnvmed)
{
	const struct server_list *servers = dnvmed_servers(dnvmed);

	for (size_t i = 0; i < LIMIT_SERVERS; i++) {
		struct probe *probe = &dnvmed->membership->probes[i];

		if (probe->id != 0 && !is_listed(servers, probe->id))
			probe_end(probe);
	}
	for (size_t i = 0; i < servers->count; i++) {
		uint64_t id = servers->items[i].id;
		struct probe *probe = probe_of(dnvmed, id);

		if (id == dnvmed->id || probe != NULL)
			continue;
		probe = probe_of(dnvmed, 0);
		*probe = (struct probe){ .dnvmed = dnvmed, .id = id };
	}
}

static enum group_role role_of(const struct consensus_member *members, size_t count, uint64_t id,
			       uint64_t *ret_match_index)
{
	for (size_t i = 0; i < count; i++) {
		if (members[i].id != id)
			continue;
		*ret_match_index = members[i].match_index;
		switch (members[i].role) {
		case CONSENSUS_VOTER:
			return GROUP_VOTER;
		case CONSENSUS_STANDBY:
			return GROUP_STANDBY;
		case CONSENSUS_SPARE:
			return GROUP_SPARE;
		}
	}
	return GROUP_OUTSIDE;
}

void membership_view(const struct dnvmed *dnvmed, struct membership_view *ret_view)
{
	const struct server_list *servers = dnvmed_servers(dnvmed);
	const struct membership *membership = dnvmed->membership;
	struct consensus_member members[LIMIT_SERVERS + 1];
	size_t count = consensus_members(dnvmed->consensus, members, LIMIT_SERVERS + 1);
	uint64_t now = uv_now(&dnvmed->loop), last = consensus_last_index(dnvmed->consensus), match;

	*ret_view = (struct membership_view){ .known = true };
	for (size_t i = 0; i < servers->count; i++) {
		const struct probe *probe = probe_of(dnvmed, servers->items[i].id);
		struct group_server *server = &ret_view->servers[i];
		uint64_t heard_ms;

		match = 0;
		server->id = servers->items[i].id;
		server->wanted = !servers->items[i].leaving;
		server->role = role_of(members, count, server->id, &match);
		if (server->id == dnvmed->id) {
			server->told = server->alive = server->caught_up = true;
			continue;
		}
		if (probe == NULL) {
			ret_view->known = false;
			continue;
		}
		heard_ms = probe->heard ? probe->heard_ms : membership->since_ms;
		server->told = probe->heard;
		server->alive = probe->heard && now - heard_ms <= ALIVE_MS;
		server->dead = now - heard_ms > LIMIT_SERVER_DEAD_MS;
		server->caught_up = !probe->empty && match + CAUGHT_UP_ENTRIES >= last;
		ret_view->known &= probe->heard || now - membership->since_ms > ALIVE_MS;
	}
	ret_view->view = (struct group_view){ .servers = ret_view->servers,
					      .count = servers->count,
					      .leader = dnvmed->id,
					      .changing = consensus_is_changing(dnvmed->consensus) };
}

bool membership_is_removed(const struct dnvmed *dnvmed, uint64_t id)
{
	struct consensus_member members[LIMIT_SERVERS + 1];
	uint64_t match;

	if (!dnvmed->leader_ready || consensus_is_changing(dnvmed->consensus) || id == 0 || id >= dnvmed->next_server ||
	    is_listed(dnvmed_servers(dnvmed), id))
		return false;
	return role_of(members, consensus_members(dnvmed->consensus, members, LIMIT_SERVERS + 1), id, &match) ==
	       GROUP_OUTSIDE;
}

const char *membership_waits_for(const struct dnvmed *dnvmed, struct arena *arena)
{
	char text[MEMBERSHIP_NAME_SIZE];
	const struct server *server;
	struct membership_view view;
	const struct probe *probe;
	struct group_step step;
	const char *name;

	if (!dnvmed->leader_ready)
		return NULL;
	membership_view(dnvmed, &view);
	step = group_step(&view.view);
	server = dnvmed_member(dnvmed, step.id);
	name = server != NULL ? membership_name(server, text) : "";
	probe = probe_of(dnvmed, step.id);
	switch (step.action) {
	case GROUP_NOTHING:
		/* Its record is dropped last. */
		for (size_t i = 0; i < dnvmed_servers(dnvmed)->count; i++) {
			if (dnvmed_servers(dnvmed)->items[i].leaving)
				return "the group is being changed";
		}
		return NULL;
	case GROUP_ADD:
	case GROUP_TO_STANDBY:
	case GROUP_TO_VOTER:
	case GROUP_REMOVE:
	case GROUP_TRANSFER:
		return "the group is being changed";
	case GROUP_WAIT:
		break;
	}
	switch (step.why) {
	case GROUP_WHY_TELL:
		return arena_printf(arena, "server %s has not joined: %s", name,
				    probe != NULL && probe->trouble[0] != '\0' ? probe->trouble
									       : "it was not asked yet");
	case GROUP_WHY_CATCH_UP:
		return arena_printf(arena, "server %s has not caught up", name);
	case GROUP_WHY_MAJORITY:
		return arena_printf(arena, "without server %s too few of those that vote would answer", name);
	case GROUP_WHY_SUCCESSOR:
		return arena_printf(arena, "nobody can take over leadership from server %s", name);
	case GROUP_WHY_CHANGING:
	case GROUP_WHY_NONE:
		break;
	}
	return "the group is being changed";
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

static void trouble_set(struct probe *probe, const char *text)
{
	snprintf(probe->trouble, sizeof(probe->trouble), "%s", text);
}

static void on_info(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct probe *probe = data;
	struct dnvmed *dnvmed = probe->dnvmed;
	struct arena arena = ARENA_INIT;
	struct server_info info;
	struct error error;

	(void)sent;
	if (failure != NULL) {
		trouble_set(probe, failure->message);
		return;
	}
	if (rpc_failure_decode(response->failure, &error) == 0 &&
	    codec_decode_value(schema_server_info(), response->result, &arena, &info, &error) == 0 &&
	    info.id == probe->id && info.cluster != NULL && strcmp(info.cluster, dnvmed->cluster.id) == 0) {
		probe->heard = true;
		probe->heard_ms = uv_now(&dnvmed->loop);
		probe->empty = info.empty;
		probe->state_version = info.state_version != 0 ? info.state_version : 1;
		probe->trouble[0] = '\0';
	}
	arena_free(&arena);
}

static void on_told(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct probe *probe = data;
	struct error refusal;

	(void)sent;
	if (failure != NULL)
		trouble_set(probe, failure->message);
	else if (rpc_failure_decode(response->failure, &refusal) != 0)
		trouble_set(probe, refusal.message);
	else
		probe->info_ms = 0; /* look at once */
}

/* Tell a server that is wanted to take part. */
static void tell(struct dnvmed *dnvmed, struct probe *probe, const struct server *server)
{
	const struct server_join_request params = { .cluster = dnvmed->cluster.id,
						    .servers = *dnvmed_servers(dnvmed),
						    .name = dnvmed->cluster.name,
						    .extent_bytes = dnvmed->cluster.extent_bytes,
						    .created_ms = dnvmed->cluster.created_ms,
						    .id = server->id,
						    .state_version = dnvmed->state_version };
	struct error error;

	probe->join_ms = uv_now(&dnvmed->loop) + TELL_MS;
	if (peer_call(dnvmed->peers, server->id, server->api_address, method_at(METHOD_ID_SERVER_JOIN), NULL, &params,
		      PROBE_TIMEOUT_MS, &probe->join, on_told, probe, &error) != 0)
		trouble_set(probe, error.message);
}

static void probes_tick(struct dnvmed *dnvmed)
{
	const struct server_info_request params = { 0 };
	const struct server_list *servers = dnvmed_servers(dnvmed);
	struct membership_view view;
	uint64_t now = uv_now(&dnvmed->loop);
	struct error error;

	membership_view(dnvmed, &view);
	for (size_t i = 0; i < servers->count; i++) {
		const struct server *server = &servers->items[i];
		struct probe *probe = probe_of(dnvmed, server->id);

		if (server->id == dnvmed->id || probe == NULL)
			continue;
		if (!probe->info.active && now >= probe->info_ms) {
			probe->info_ms = now + PROBE_MS;
			if (peer_call(dnvmed->peers, server->id, server->api_address, method_at(METHOD_ID_SERVER_INFO),
				      NULL, &params, PROBE_TIMEOUT_MS, &probe->info, on_info, probe, &error) != 0)
				trouble_set(probe, error.message);
		}
		if (view.servers[i].wanted && view.servers[i].role == GROUP_OUTSIDE && !view.servers[i].told &&
		    !view.view.changing && !probe->join.active && now >= probe->join_ms)
			tell(dnvmed, probe, server);
	}
}

/* --- steps ------------------------------------------------------------------------------------------------------- */

static void on_step(void *data, const struct error *failure)
{
	struct dnvmed *dnvmed = data;
	struct membership *membership = dnvmed->membership;

	membership->step_under_way = false;
	if (failure == NULL)
		return;
	/* Whoever leads looks at what became of it. */
	membership->step_ms = uv_now(&dnvmed->loop) + STEP_RETRY_MS;
	log_failure(LOG_LEVEL_NOTICE, "a change of the group failed", failure);
}

static int step_do(struct dnvmed *dnvmed, const struct group_step *step, const struct server *server,
		   struct error *error)
{
	struct consensus *consensus = dnvmed->consensus;

	switch (step->action) {
	case GROUP_ADD:
		return consensus_add(consensus, step->id, server->raft_address, on_step, dnvmed, error);
	case GROUP_TO_STANDBY:
		return consensus_assign(consensus, step->id, CONSENSUS_STANDBY, on_step, dnvmed, error);
	case GROUP_TO_VOTER:
		return consensus_assign(consensus, step->id, CONSENSUS_VOTER, on_step, dnvmed, error);
	case GROUP_REMOVE:
		return consensus_remove(consensus, step->id, on_step, dnvmed, error);
	case GROUP_TRANSFER:
		return consensus_transfer(consensus, step->id, on_step, dnvmed, error);
	case GROUP_NOTHING:
	case GROUP_WAIT:
		break;
	}
	return error_set(error, ERROR_INTERNAL, "no step");
}

static void step_tick(struct dnvmed *dnvmed)
{
	static const char *const names[] = {
		[GROUP_ADD] = "add",	   [GROUP_TO_STANDBY] = "standby",   [GROUP_TO_VOTER] = "voter",
		[GROUP_REMOVE] = "remove", [GROUP_TRANSFER] = "transfer to",
	};
	struct membership *membership = dnvmed->membership;
	const struct server *server;
	struct membership_view view;
	struct group_step step;
	struct error error;

	if (membership->step_under_way || uv_now(&dnvmed->loop) < membership->step_ms)
		return;
	membership_view(dnvmed, &view);
	step = group_step(&view.view);
	server = dnvmed_member(dnvmed, step.id);
	if (step.action == GROUP_NOTHING || step.action == GROUP_WAIT || server == NULL || !view.known)
		return;
	log_notice("the group changes", "step=\"%s\" server=%llu", names[step.action], (unsigned long long)step.id);
	membership->step_under_way = step_do(dnvmed, &step, server, &error) == 0;
	if (!membership->step_under_way) {
		membership->step_ms = uv_now(&dnvmed->loop) + STEP_RETRY_MS;
		log_failure(LOG_LEVEL_NOTICE, "a change of the group failed", &error);
	}
}

static void on_forgotten(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct dnvmed *dnvmed = data;

	(void)outcome; /* whoever leads looks whether it is still there */
	(void)unknown;
	(void)failure;
	dnvmed->membership->forget_under_way = false;
}

/* A server that left: drop its record. */
static void forget_tick(struct dnvmed *dnvmed)
{
	struct command_server_remove remove = { .gone = true };
	struct command command = { .server_remove = &remove, .time_ms = clock_wall_ms() };
	struct buffer bytes = BUFFER_INIT;
	struct membership_view view;
	struct error error;

	if (dnvmed->membership->forget_under_way || consensus_is_changing(dnvmed->consensus))
		return;
	membership_view(dnvmed, &view);
	for (size_t i = 0; i < view.view.count; i++) {
		if (!view.servers[i].wanted && view.servers[i].role == GROUP_OUTSIDE)
			remove.id = view.servers[i].id;
	}
	if (remove.id != 0 && codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error) == 0)
		dnvmed->membership->forget_under_way =
			consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_forgotten, dnvmed, &error) == 0;
	buffer_free(&bytes);
}

static void on_upgraded(void *data, struct bytes outcome, bool unknown, const struct error *failure)
{
	struct dnvmed *dnvmed = data;

	(void)outcome; /* whoever leads looks which version is in use */
	(void)unknown;
	(void)failure;
	dnvmed->membership->upgrade_under_way = false;
}

/* The newest version of the state that all servers know; 0: not all of them can be asked. */
static uint64_t version_of_all(const struct dnvmed *dnvmed)
{
	uint64_t version = fsm_version_known();
	struct membership_view view;

	membership_view(dnvmed, &view);
	for (size_t i = 0; i < view.view.count; i++) {
		const struct probe *probe = probe_of(dnvmed, view.servers[i].id);

		if (view.servers[i].id == dnvmed->id)
			continue;
		if (!view.servers[i].alive || probe == NULL)
			return 0;
		if (probe->state_version < version)
			version = probe->state_version;
	}
	return version;
}

/* Once all servers were brought to a newer version of dnvme, what is new in its state may be used. */
static void upgrade_tick(struct dnvmed *dnvmed)
{
	struct command_state_upgrade upgrade = { .version = version_of_all(dnvmed) };
	const struct command command = { .state_upgrade = &upgrade, .time_ms = clock_wall_ms() };
	struct membership *membership = dnvmed->membership;
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	if (membership->upgrade_under_way || dnvmed->state_version == 0 || upgrade.version <= dnvmed->state_version ||
	    uv_now(&dnvmed->loop) < membership->step_ms)
		return;
	log_notice("all servers know a newer version of the state", "version=%llu",
		   (unsigned long long)upgrade.version);
	membership->step_ms = uv_now(&dnvmed->loop) + STEP_RETRY_MS;
	if (codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error) == 0)
		membership->upgrade_under_way =
			consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_upgraded, dnvmed, &error) == 0;
	buffer_free(&bytes);
}

/* --- a server that was removed ------------------------------------------------------------------------------------ */

static void on_asked(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct dnvmed *dnvmed = data;
	struct arena arena = ARENA_INIT;
	struct server_info info;
	struct error error;

	(void)sent;
	if (failure == NULL && rpc_failure_decode(response->failure, &error) == 0 &&
	    codec_decode_value(schema_server_info(), response->result, &arena, &info, &error) == 0 && info.removed &&
	    info.cluster != NULL && strcmp(info.cluster, dnvmed->cluster.id) == 0) {
		log_error("this server was removed from its cluster",
			  "cluster=%s hint=\"empty its data directory to add it anew\"", dnvmed->cluster.id);
		if (file_write(dnvmed->options->data, "removed", (struct bytes){ NULL, 0 }, &error) != 0)
			log_failure(LOG_LEVEL_ERROR, "cannot remember that this server was removed", &error);
		dnvmed->exit_status = EXIT_STATUS_FAILED;
		dnvmed->failing = true;
	}
	arena_free(&arena);
}

static void ask_tick(struct dnvmed *dnvmed)
{
	const struct server_info_request params = { .asker = dnvmed->id };
	const struct server_list *servers = dnvmed_servers(dnvmed);
	const struct server *self = dnvmed_member(dnvmed, dnvmed->id), *other;
	struct membership *membership = dnvmed->membership;
	uint64_t now = uv_now(&dnvmed->loop);

	if (consensus_leader_id(dnvmed->consensus) != 0 && self != NULL && !self->leaving) {
		membership->ask_ms = now + ASK_MS; /* not before a leader was missed for a while */
		return;
	}
	if (membership->ask.active || now < membership->ask_ms || servers->count == 0)
		return;
	membership->ask_ms = now + ASK_MS / 2;
	other = &servers->items[membership->ask_next++ % servers->count];
	if (other->id != dnvmed->id)
		(void)peer_call(dnvmed->peers, other->id, other->api_address, method_at(METHOD_ID_SERVER_INFO), NULL,
				&params, PROBE_TIMEOUT_MS, &membership->ask, on_asked, dnvmed, NULL);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void membership_leader_begin(struct dnvmed *dnvmed)
{
	peer_call_cancel(&dnvmed->membership->ask);
	dnvmed->membership->since_ms = uv_now(&dnvmed->loop);
	dnvmed->membership->step_ms = 0;
}

void membership_leader_end(struct dnvmed *dnvmed)
{
	for (size_t i = 0; i < LIMIT_SERVERS; i++)
		probe_end(&dnvmed->membership->probes[i]);
}

void membership_stop(struct dnvmed *dnvmed)
{
	peer_call_cancel(&dnvmed->membership->ask);
	membership_leader_end(dnvmed);
}

void membership_tick(struct dnvmed *dnvmed)
{
	if (dnvmed->consensus == NULL || dnvmed_is_stopping(dnvmed) || dnvmed->failing)
		return;
	dnvmed_servers_refresh(dnvmed);
	if (!dnvmed->leader_ready) {
		if (!dnvmed->leading)
			ask_tick(dnvmed);
		return;
	}
	probes_fit(dnvmed);
	probes_tick(dnvmed);
	step_tick(dnvmed);
	forget_tick(dnvmed);
	upgrade_tick(dnvmed);
}
