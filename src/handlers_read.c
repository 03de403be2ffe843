/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_read.h"

#include <string.h>

#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/membership.h"
#include "src/page.h"
#include "src/request.h"

/* Records that are read at once. */
#define CHUNK 64u

/* --- cluster ------------------------------------------------------------------------------------------------ */

#define STATUS_TIMEOUT_MS 1000u

struct status_work {
	struct request *request;
	struct cluster_status status;
	size_t pending;
	struct status_call {
		struct status_work *work;
		struct server_info *info;
		struct peer_call call;
	} calls[LIMIT_SERVERS];
};

static void add_saturated(uint64_t *sum, uint64_t value, uint64_t unit)
{
	uint64_t bytes;

	if (__builtin_mul_overflow(value, unit, &bytes) || __builtin_add_overflow(*sum, bytes, sum))
		*sum = UINT64_MAX; /* more than can be said is as much as can be said */
}

static int capacity_sum(struct fsm *fsm, uint64_t extent_bytes, struct cluster_status *status, struct error *error)
{
	uint64_t after = 0;
	bool more = true;
	int rv = 0;

	while (rv == 0 && more) {
		struct arena arena = ARENA_INIT;
		struct disk_list disks;

		rv = fsm_disk_list(fsm, NULL, after, 1024, &arena, &disks, &more, error);
		for (size_t i = 0; rv == 0 && i < disks.count; i++) {
			add_saturated(&status->bytes_total, disks.items[i].extents_total, extent_bytes);
			add_saturated(&status->bytes_free, disks.items[i].extents_free, extent_bytes);
			after = disks.items[i].id;
		}
		arena_free(&arena);
	}
	return rv;
}

/* What the server says of itself, with what the leader says of it. */
static void info_take(struct server_info *info, const struct server_info *own)
{
	const char *name = info->name;
	enum server_membership membership = info->membership;

	*info = *own;
	info->name = name;
	info->membership = membership;
	info->removed = false;
	info->reachable = true;
}

static void on_info(void *data, const struct rpc_message *response, bool sent, const struct error *failure)
{
	struct status_call *call = data;
	struct status_work *work = call->work;
	struct server_info info;
	struct error error;

	(void)sent;
	if (failure == NULL && rpc_failure_decode(response->failure, &error) == 0 &&
	    codec_decode_value(schema_server_info(), response->result, &work->request->arena, &info, &error) == 0 &&
	    info.id == call->info->id) {
		info_take(call->info, &info);
	}
	if (--work->pending == 0)
		request_reply(work->request, &work->status);
}

static void status_cancel(struct request *request)
{
	struct status_work *work = request->work;

	for (size_t i = 0; i < LIMIT_SERVERS; i++)
		peer_call_cancel(&work->calls[i].call);
}

/* The list is taken over anew while servers are asked: the answer has its own texts. */
static int server_start(struct request *request, const struct server *member, const struct group_server *known,
			struct server_info *info, struct error *error)
{
	char text[MEMBERSHIP_NAME_SIZE];

	*info = (struct server_info){ .id = member->id,
				      .raft_address = arena_strdup(&request->arena, member->raft_address),
				      .api_address = arena_strdup(&request->arena, member->api_address),
				      .role = SERVER_ROLE_FOLLOWER,
				      .version = "unknown",
				      .name = arena_strdup(&request->arena, membership_name(member, text)) };
	if (info->raft_address == NULL || info->api_address == NULL || info->name == NULL)
		return error_set_nomem(error);
	if (member->leaving)
		info->membership = SERVER_MEMBERSHIP_LEAVING;
	else if (known->role == GROUP_VOTER)
		info->membership = SERVER_MEMBERSHIP_VOTER;
	else if (known->role == GROUP_STANDBY && (known->caught_up || !known->alive))
		info->membership = SERVER_MEMBERSHIP_STANDBY;
	else
		info->membership = SERVER_MEMBERSHIP_JOINING;
	return 0;
}

static int status_servers(struct status_work *work, bool digest, struct error *error)
{
	struct request *request = work->request;
	struct dnvmed *dnvmed = request->dnvmed;
	const struct server_list *members = dnvmed_servers(dnvmed);
	struct membership_view view;
	struct server_info_request params = { .digest = digest };

	work->status.servers.items = arena_alloc_array(&request->arena, members->count, sizeof(struct server_info));
	if (work->status.servers.items == NULL)
		return error_set_nomem(error);
	work->status.servers.count = members->count;
	membership_view(dnvmed, &view);
	for (size_t i = 0; i < members->count; i++) {
		const struct server *member = &members->items[i];
		struct server_info *info = &work->status.servers.items[i];
		struct status_call *call = &work->calls[i];

		if (server_start(request, member, &view.servers[i], info, error) != 0)
			return error->code;
		if (member->id == dnvmed->id) {
			struct server_info self;

			if (dnvmed_info(dnvmed, digest, &request->arena, &self, error) != 0)
				return error->code;
			info_take(info, &self);
			continue;
		}
		call->work = work;
		call->info = info;
		if (peer_call(dnvmed->peers, member->id, member->api_address, method_at(METHOD_ID_SERVER_INFO), NULL,
			      &params, STATUS_TIMEOUT_MS, &call->call, on_info, call, NULL) == 0)
			work->pending++;
	}
	return 0;
}

int cluster_status_answer(struct request *request, struct error *error)
{
	const struct server_info_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct status_work *work = arena_alloc(&request->arena, sizeof(*work));
	struct cluster cluster;

	if (work == NULL)
		return error_set_nomem(error);
	if (fsm_cluster_get(dnvmed->fsm, &request->arena, &cluster, error) != 0)
		return error->code;
	dnvmed_servers_refresh(dnvmed);
	work->request = request;
	work->status = (struct cluster_status){ .id = cluster.id,
						.name = cluster.name,
						.revision = fsm_revision(dnvmed->fsm),
						.leader = consensus_leader_id(dnvmed->consensus),
						.state_version = fsm_version_of(&cluster),
						.waits_for = membership_waits_for(dnvmed, &request->arena) };
	if (fsm_counts(dnvmed->fsm, &work->status.nodes, &work->status.disks, &work->status.volumes, error) != 0 ||
	    capacity_sum(dnvmed->fsm, cluster.extent_bytes, &work->status, error) != 0)
		return error->code;
	request->work = work;
	request->work_cancel = status_cancel;
	if (status_servers(work, params->digest, error) != 0)
		return error->code;
	if (work->pending == 0)
		request_reply(request, &work->status);
	else
		request_state_set(request, REQUEST_WAIT_OTHERS);
	return 0;
}

/* --- nodes and disks ------------------------------------------------------------------------------------------ */

static const char *after_of(const struct list_request *params)
{
	return params->after != NULL && params->after[0] != '\0' ? params->after : NULL;
}

static void node_status_fill(struct dnvmed *dnvmed, struct node *node, struct node_status *status)
{
	const struct agent *agent = agents_get(dnvmed, node->name);

	*status = (struct node_status){ .node = node, .health = HEALTH_UNKNOWN };
	if (agent != NULL) {
		status->health = agent->health.state;
		status->heartbeat_age_ms = agents_age_ms(agent);
	}
}

int node_list_answer(struct request *request, struct error *error)
{
	const struct list_request *params = request->params;
	const char *after = after_of(params);
	struct node_page answer = { 0 };
	struct page page;
	bool more = true;
	int rv = 0;

	page_open(&page, schema_node_status(), params->limit);
	while (rv == 0 && more && !page.full) {
		struct node_list nodes;

		rv = fsm_node_list(request->dnvmed->fsm, after, CHUNK, &request->arena, &nodes, &more, error);
		for (size_t i = 0; rv == 0 && !page.full && i < nodes.count; i++) {
			struct node_status status;

			node_status_fill(request->dnvmed, &nodes.items[i], &status);
			rv = page_add(&page, &request->arena, &answer.nodes, &status, error);
			after = nodes.items[i].name;
		}
	}
	page_close(&page);
	answer.more = page.full;
	if (rv == 0)
		request_reply(request, &answer);
	return rv;
}

int node_get_answer(struct request *request, struct error *error)
{
	const struct name_request *params = request->params;
	const struct agent *agent = agents_get(request->dnvmed, params->name);
	struct node_status status;
	struct node node;

	if (fsm_node_get(request->dnvmed->fsm, params->name, &request->arena, &node, error) != 0)
		return error->code;
	node_status_fill(request->dnvmed, &node, &status);
	if (agent != NULL) {
		status.inventory = agent->inventory;
		if (reported_problems(&agent->reported, 0, &request->arena, &status.problems, error) != 0)
			return error->code;
	}
	request_reply(request, &status);
	return 0;
}

static int disk_id_parse(const char *field, const char *text, uint64_t *ret_id, struct error *error)
{
	if (names_id_parse("d", text, ret_id) == 0)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not the id of a disk", field, text);
	return error_hint(error, "ids of disks are like d1; run: dnvme disk list");
}

int disk_list_answer(struct request *request, struct error *error)
{
	const struct list_request *params = request->params;
	const char *node = params->filter != NULL && params->filter[0] != '\0' ? params->filter : NULL;
	struct disk_page answer = { 0 };
	struct node record;
	uint64_t after = 0;
	struct page page;
	bool more = true;
	int rv = 0;

	if (after_of(params) != NULL)
		rv = disk_id_parse("after", params->after, &after, error);
	if (rv == 0 && node != NULL)
		rv = fsm_node_get(request->dnvmed->fsm, node, &request->arena, &record, error);
	page_open(&page, schema_disk(), params->limit);
	while (rv == 0 && more && !page.full) {
		struct disk_list disks;

		rv = fsm_disk_list(request->dnvmed->fsm, node, after, CHUNK, &request->arena, &disks, &more, error);
		for (size_t i = 0; rv == 0 && !page.full && i < disks.count; i++) {
			rv = page_add(&page, &request->arena, &answer.disks, &disks.items[i], error);
			after = disks.items[i].id;
		}
	}
	page_close(&page);
	answer.more = page.full;
	if (rv == 0)
		request_reply(request, &answer);
	return rv;
}

int disk_get_answer(struct request *request, struct error *error)
{
	const struct name_request *params = request->params;
	struct disk disk;
	uint64_t id;

	if (disk_id_parse("name", params->name, &id, error) != 0 ||
	    fsm_disk_get(request->dnvmed->fsm, id, &request->arena, &disk, error) != 0)
		return error->code;
	request_reply(request, &disk);
	return 0;
}

/* --- volumes and hosts ------------------------------------------------------------------------------------------ */

static int phase_parse(const char *filter, enum volume_phase *ret_phase, struct error *error)
{
	int number = enum_schema_parse(enum_schema_volume_phase(), filter);
	const struct enum_schema *schema = enum_schema_volume_phase();

	if (number >= 0) {
		*ret_phase = (enum volume_phase)number;
		return 0;
	}
	error_set(error, ERROR_INVALID_ARGUMENT, "filter: \"%s\" is not a phase of volumes", filter);
	for (size_t i = 0; i < schema->count; i++)
		error_detail(error, "%s", schema->values[i].name);
	return error->code;
}

int volume_list_answer(struct request *request, struct error *error)
{
	const struct list_request *params = request->params;
	bool filtered = params->filter != NULL && params->filter[0] != '\0';
	const char *after = after_of(params);
	struct volume_page answer = { 0 };
	enum volume_phase phase = VOLUME_PHASE_ONLINE;
	struct page page;
	bool more = true;
	int rv = filtered ? phase_parse(params->filter, &phase, error) : 0;

	page_open(&page, schema_volume(), params->limit);
	while (rv == 0 && more && !page.full) {
		struct volume_list volumes;

		rv = fsm_volume_list(request->dnvmed->fsm, after, CHUNK, &request->arena, &volumes, &more, error);
		for (size_t i = 0; rv == 0 && !page.full && i < volumes.count; i++) {
			if (!filtered || volumes.items[i].phase == phase)
				rv = page_add(&page, &request->arena, &answer.volumes, &volumes.items[i], error);
			after = volumes.items[i].name;
		}
	}
	page_close(&page);
	answer.more = page.full;
	if (rv == 0)
		request_reply(request, &answer);
	return rv;
}

static bool disk_is_listed(const struct volume_disk_list *disks, uint64_t id)
{
	for (size_t i = 0; i < disks->count; i++) {
		if (disks->items[i].id == id)
			return true;
	}
	return false;
}

static int volume_disks(struct request *request, const struct volume *volume, struct volume_disk_list *disks,
			struct error *error)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				struct volume_disk *entry;
				struct disk disk;

				if (members->items[m].state == LD_STATE_FREED ||
				    disk_is_listed(disks, members->items[m].disk) ||
				    disks->count >= LIMIT_LEGS * LIMIT_COPIES)
					continue;
				if (fsm_disk_get(request->dnvmed->fsm, members->items[m].disk, &request->arena, &disk,
						 error) != 0)
					return error->code;
				entry = list_grow(&request->arena, (struct any_list *)disks, sizeof(*entry));
				if (entry == NULL)
					return error_set_nomem(error);
				*entry = (struct volume_disk){ .id = disk.id,
							       .node = disk.node,
							       .path = disk.path,
							       .volatile_cache = disk.volatile_cache };
			}
		}
	}
	return 0;
}

static int volume_paths(struct request *request, const struct volume *volume, struct volume_path_list *paths,
			struct error *error)
{
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];
		struct volume_path *path;
		struct node node;

		if (fsm_node_get(request->dnvmed->fsm, controller->node, &request->arena, &node, error) != 0)
			return error->code;
		path = list_grow(&request->arena, (struct any_list *)paths, sizeof(*path));
		if (path == NULL)
			return error_set_nomem(error);
		*path = (struct volume_path){
			.node = node.name, .address = node.address, .port = node.port, .role = controller->role
		};
	}
	return 0;
}

/* What agents of the volume's nodes report as not done, each node once. */
static int volume_problems(struct request *request, const struct volumes_parts *parts, uint64_t volume,
			   struct object_status_list *problems, struct error *error)
{
	for (size_t i = 0; i < parts->count; i++) {
		const char *node = parts->items[i].node;
		const struct agent *agent = agents_get(request->dnvmed, node);
		bool seen = agent == NULL;

		for (size_t j = 0; !seen && j < i; j++)
			seen = strcmp(parts->items[j].node, node) == 0;
		if (!seen && reported_problems(&agent->reported, volume, &request->arena, problems, error) != 0)
			return error->code;
	}
	return 0;
}

int volume_get_answer(struct request *request, struct error *error)
{
	const struct volume_get_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	char nqn[NAMES_NQN_SIZE];
	struct volume_status answer = { .nqn = nqn };
	struct volumes_parts parts;
	struct volume volume;

	if (fsm_volume_find(dnvmed->fsm, params->name, &request->arena, &volume, error) != 0)
		return error->code;
	answer.volume = &volume;
	names_volume_nqn(dnvmed->cluster.id, volume.id, nqn);
	if (driver_parts(dnvmed, &volume, &request->arena, &parts, error) != 0 ||
	    driver_waits_for(dnvmed, &volume, &parts, &request->arena, &answer.waits_for, error) != 0 ||
	    volume_disks(request, &volume, &answer.disks, error) != 0 ||
	    volume_paths(request, &volume, &answer.paths, error) != 0 ||
	    volume_problems(request, &parts, volume.id, &answer.problems, error) != 0)
		return error->code;
	request_reply(request, &answer);
	return 0;
}

int host_list_answer(struct request *request, struct error *error)
{
	const struct list_request *params = request->params;
	const char *nqn = params->filter != NULL && params->filter[0] != '\0' ? params->filter : NULL;
	const char *after = after_of(params);
	struct host_page answer = { 0 };
	struct page page;
	bool more = true;
	int rv = 0;

	page_open(&page, schema_host(), params->limit);
	while (rv == 0 && more && !page.full) {
		struct host_list hosts;

		rv = fsm_host_list(request->dnvmed->fsm, nqn, after, CHUNK, &request->arena, &hosts, &more, error);
		for (size_t i = 0; rv == 0 && !page.full && i < hosts.count; i++) {
			rv = page_add(&page, &request->arena, &answer.hosts, &hosts.items[i], error);
			after = hosts.items[i].nqn;
		}
	}
	page_close(&page);
	answer.more = page.full;
	if (rv == 0)
		request_reply(request, &answer);
	return rv;
}
