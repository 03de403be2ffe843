/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_server.h"

#include <string.h>

#include "src/dnvmed.h"
#include "src/membership.h"
#include "src/options.h"
#include "src/request.h"

/* Changes go one after the other, so that each is judged by what the one before left. */
static int idle_check(const struct dnvmed *dnvmed, const struct membership_view *view, const char *name,
		      struct error *error)
{
	const struct server_list *servers = dnvmed_servers(dnvmed);
	char text[MEMBERSHIP_NAME_SIZE];

	for (size_t i = 0; i < servers->count; i++) {
		const struct server *server = &servers->items[i];
		bool joining = !server->leaving && view->servers[i].role < GROUP_STANDBY;

		/* Who asks again about the same one gets the same answer. */
		if ((!server->leaving && !joining) || (server->name != NULL && strcmp(server->name, name) == 0))
			continue;
		error_set(error, ERROR_FAILED_PRECONDITION, "name: server %s is still %s",
			  membership_name(server, text), server->leaving ? "leaving" : "joining");
		return error_hint(error, "wait until it is done; dnvme cluster status says what it waits for");
	}
	return 0;
}

int cluster_add_server_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct server_add_request *params = request->params;
	struct command_server_add *add = arena_alloc(&request->arena, sizeof(*add));
	struct membership_view view;

	if (add == NULL)
		return error_set_nomem(error);
	if (options_address_check("raft_address", params->raft_address, error) != 0 ||
	    options_address_check("api_address", params->api_address, error) != 0)
		return (int)error->code;
	membership_view(request->dnvmed, &view);
	if (idle_check(request->dnvmed, &view, params->name, error) != 0)
		return (int)error->code;
	*add = (struct command_server_add){ .id = params->id,
					    .name = params->name,
					    .raft_address = params->raft_address,
					    .api_address = params->api_address };
	command->server_add = add;
	return 0;
}

/* Whether those that stay can go on without it. */
static int majority_check(const struct dnvmed *dnvmed, const struct membership_view *view, const struct server *server,
			  struct error *error)
{
	size_t voters = 0, well = 0, heirs = 0;
	bool votes = false;
	char text[MEMBERSHIP_NAME_SIZE];

	for (size_t i = 0; i < view->view.count; i++) {
		const struct group_server *one = &view->servers[i];

		if (one->id == server->id) {
			votes = one->role == GROUP_VOTER;
			continue;
		}
		voters += one->role == GROUP_VOTER;
		well += one->role == GROUP_VOTER && one->alive;
		heirs += one->role == GROUP_STANDBY && one->wanted && one->alive && one->caught_up;
	}
	if (!votes || group_without(&view->view, server->id) || (voters == 0 && heirs > 0))
		return 0;
	membership_name(server, text);
	if (voters == 0) {
		error_set(error, ERROR_FAILED_PRECONDITION, "name: server %s is the only one that votes", text);
		return error_hint(error, "add another server, and wait until it has caught up");
	}
	error_set(error, ERROR_FAILED_PRECONDITION,
		  "name: without server %s only %zu of the %zu that vote would answer, which is no majority", text,
		  well, voters);
	for (size_t i = 0; i < view->view.count; i++) {
		const struct group_server *one = &view->servers[i];

		if (one->role == GROUP_VOTER && !one->alive)
			error_detail(error, "server %s does not answer",
				     membership_name(&dnvmed_servers(dnvmed)->items[i], text));
	}
	return error_hint(error, "bring back, or remove, those that do not answer first");
}

int cluster_remove_server_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct name_request *params = request->params;
	struct command_server_remove *remove = arena_alloc(&request->arena, sizeof(*remove));
	struct dnvmed *dnvmed = request->dnvmed;
	const struct server *server;
	struct membership_view view;

	if (remove == NULL)
		return error_set_nomem(error);
	if (membership_find(dnvmed, params->name, &server, error) != 0)
		return (int)error->code;
	*remove = (struct command_server_remove){ .id = server->id };
	command->server_remove = remove;
	if (server->leaving)
		return 0;
	membership_view(dnvmed, &view);
	if (!view.known)
		return error_set(error, ERROR_UNAVAILABLE,
				 "the leader has just begun, and does not know yet who of the servers is well");
	if (idle_check(dnvmed, &view, server->name != NULL ? server->name : "", error) != 0 ||
	    majority_check(dnvmed, &view, server, error) != 0)
		return (int)error->code;
	return 0;
}

/* --- transfer ------------------------------------------------------------------------------------------------ */

static void on_transferred(void *data, const struct error *failure)
{
	struct request *request = data;
	const struct name_request *params = request->params;
	struct mutation_reply reply = { .revision = fsm_revision(request->dnvmed->fsm), .id = params->name };

	if (!request_is_done(request)) {
		if (failure != NULL)
			request_fail(request, failure);
		else
			request_reply(request, &reply);
	}
	request_release(request);
}

static int able_check(const struct dnvmed *dnvmed, const struct server *server, struct error *error)
{
	char text[MEMBERSHIP_NAME_SIZE];
	struct membership_view view;

	membership_name(server, text);
	membership_view(dnvmed, &view);
	for (size_t i = 0; i < view.view.count; i++) {
		const struct group_server *one = &view.servers[i];

		if (one->id != server->id)
			continue;
		if (one->role != GROUP_VOTER) {
			error_set(error, ERROR_FAILED_PRECONDITION, "name: server %s does not vote", text);
			return error_hint(error, "name one that dnvme cluster status shows as voter");
		}
		if (view.known && !one->alive)
			return error_set(error, ERROR_FAILED_PRECONDITION, "name: server %s does not answer", text);
		if (server->leaving)
			return error_set(error, ERROR_FAILED_PRECONDITION, "name: server %s is leaving", text);
	}
	return 0;
}

int cluster_transfer_answer(struct request *request, struct error *error)
{
	const struct name_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	const struct server *server;
	struct mutation_reply reply = { .revision = fsm_revision(dnvmed->fsm), .id = params->name };

	if (membership_find(dnvmed, params->name, &server, error) != 0)
		return (int)error->code;
	if (server->id == dnvmed->id) {
		request_reply(request, &reply);
		return 0;
	}
	if (able_check(dnvmed, server, error) != 0)
		return (int)error->code;
	if (consensus_transfer(dnvmed->consensus, server->id, on_transferred, request, error) != 0)
		return (int)error->code;
	request_hold(request);
	request_state_set(request, REQUEST_WAIT_OTHERS);
	return 0;
}
