/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/agents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/wire/codec.h"
#include "lib/wire/methods.h"
#include "src/caches.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/push.h"
#include "src/request_internal.h"
#include "src/session.h"

#define STEP_MS 100u
/* Two looks at health this far apart: this server was held up, and heartbeats may lie unread. */
#define STALL_MS (HEALTH_SUSPECT_HEARTBEATS * LIMIT_HEARTBEAT_MS)
#define NODE_PAGE 256u
/* Projections take a while; the loop must get back to consensus in time. */
#define PUSH_BUDGET_NS 20000000u

static const struct health_limits limits = { .heartbeat_ms = LIMIT_HEARTBEAT_MS, .lease_ms = LIMIT_LEASE_MS };

struct agents *agents_make(void)
{
	struct agents *agents = calloc(1, sizeof(*agents));

	if (agents == NULL)
		return NULL;
	list_init(&agents->dirty);
	list_init(&agents->beats);
	agents->push_budget_ns = PUSH_BUDGET_NS;
	return agents;
}

void agents_free(struct agents *agents)
{
	if (agents == NULL)
		return;
	table_free(&agents->nodes);
	free(agents);
}

struct agent *agents_get(const struct dnvmed *dnvmed, const char *name)
{
	return table_get(&dnvmed->agents->nodes, name);
}

uint64_t agents_age_ms(const struct agent *agent)
{
	uint64_t now = clock_boot_ms();

	return agent->health.heard && now > agent->health.heard_ms ? now - agent->health.heard_ms : 0;
}

/* --- the nodes of a leader ------------------------------------------------------------------------------------ */

static void header_set(struct agent *agent, const struct node *node)
{
	snprintf(agent->address, sizeof(agent->address), "%s", node->address);
	agent->port = node->port;
	agent->colour = node->colour;
}

static struct agent *agent_add(struct dnvmed *dnvmed, const struct node *node)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (agent == NULL)
		return NULL;
	snprintf(agent->name, sizeof(agent->name), "%s", node->name);
	list_init(&agent->dirty_link);
	health_node_init(&agent->health);
	header_set(agent, node);
	if (table_put(&dnvmed->agents->nodes, agent->name, agent) != 0) {
		free(agent);
		return NULL;
	}
	return agent;
}

static void agent_drop(struct dnvmed *dnvmed, struct agent *agent, const char *reason)
{
	table_remove(&dnvmed->agents->nodes, agent->name);
	list_remove(&agent->dirty_link);
	if (agent->session != NULL)
		session_finish(agent->session, reason);
	reported_clear(&agent->reported);
	arena_free(&agent->inventory_arena);
	table_free(&agent->push_volumes);
	table_free(&agent->removed_disks);
	free(agent);
}

int agents_leader_begin(struct dnvmed *dnvmed, struct error *error)
{
	dnvmed->agents->looked_ms = 0;
	dnvmed->agents->awake_ms = 0;
	char after[LIMIT_NAME + 1] = "";
	bool more = true;

	while (more) {
		struct arena arena = ARENA_INIT;
		struct node_list nodes;
		int rv = fsm_node_list(dnvmed->fsm, after[0] != '\0' ? after : NULL, NODE_PAGE, &arena, &nodes, &more,
				       error);

		for (size_t i = 0; rv == 0 && i < nodes.count; i++) {
			if (agent_add(dnvmed, &nodes.items[i]) == NULL)
				rv = error_set_nomem(error);
			snprintf(after, sizeof(after), "%s", nodes.items[i].name);
		}
		more = more && rv == 0 && nodes.count > 0;
		arena_free(&arena);
		if (rv != 0) {
			agents_leader_end(dnvmed);
			return rv;
		}
	}
	return 0;
}

void agents_leader_end(struct dnvmed *dnvmed)
{
	struct table_entry *entry;

	while ((entry = table_any(&dnvmed->agents->nodes)) != NULL)
		agent_drop(dnvmed, entry->value, "this server does not lead any more");
}

/* --- sessions ------------------------------------------------------------------------------------------------- */

static bool text_equal(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool node_is_as_said(const struct node *node, const struct agent_hello *hello)
{
	if (!text_equal(node->address, hello->address) || node->port != hello->port ||
	    memcmp(node->boot_id, hello->boot_id, sizeof(node->boot_id)) != 0 ||
	    !text_equal(node->version, hello->version) || node->storage_only != hello->storage_only ||
	    node->writethrough != hello->writethrough || node->grows != hello->grows ||
	    node->snapshots != hello->snapshots || node->moves != hello->moves ||
	    node->snapshot_reads != hello->snapshot_reads || node->labels.count != hello->labels.count)
		return false;
	for (size_t i = 0; i < hello->labels.count; i++) {
		if (!text_equal(node->labels.items[i].key, hello->labels.items[i].key) ||
		    !text_equal(node->labels.items[i].value, hello->labels.items[i].value))
			return false;
	}
	return true;
}

/* A deep copy by way of the codec. */
static int inventory_set(struct agent *agent, const struct inventory_disk_list *inventory, struct error *error)
{
	struct agent_report report = { .inventory = *inventory };
	struct buffer bytes = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	int rv = codec_encode(schema_agent_report(), &report, CODEC_TAGGED, &bytes, error);

	if (rv == 0)
		rv = codec_decode(schema_agent_report(), buffer_bytes(&bytes), &arena, &report, error);
	buffer_free(&bytes);
	if (rv != 0) {
		arena_free(&arena);
		return rv;
	}
	arena_free(&agent->inventory_arena);
	agent->inventory_arena = arena;
	agent->inventory = report.inventory;
	return 0;
}

static void mark_dirty(struct dnvmed *dnvmed, struct agent *agent)
{
	if (agent->session != NULL && list_is_empty(&agent->dirty_link))
		list_append(&dnvmed->agents->dirty, &agent->dirty_link);
}

static void welcome(struct request *request)
{
	struct dnvmed *dnvmed = request->dnvmed;
	const struct agent_hello *hello = request->params;
	struct session *session = request->session;
	struct agent *agent = agents_get(dnvmed, hello->node);
	struct agent_welcome answer = {
		.cluster = dnvmed->cluster.id,
		.term = consensus_term(dnvmed->consensus),
		.heartbeat_ms = LIMIT_HEARTBEAT_MS,
		.lease_ms = LIMIT_LEASE_MS,
		.protocol = hello->protocol,
	};
	struct error error;

	if (session == NULL || agent == NULL || !dnvmed->leader_ready) {
		error_set(&error, ERROR_UNAVAILABLE, "the leader changed during agent.hello");
		request_fail(request, &error);
		return;
	}
	if (inventory_set(agent, &hello->inventory, &error) != 0) {
		request_fail(request, &error);
		return;
	}
	memcpy(agent->boot_id, hello->boot_id, sizeof(agent->boot_id));
	if (agent->session != NULL && agent->session != session)
		session_close(agent->session, "replaced by another session of the same node");
	/* A new session reports everything again; what the one before said may be out of date. */
	reported_clear(&agent->reported);
	agent->session = session;
	session->agent = agent;
	session_kind_set(session, SESSION_AGENT);
	health_node_heard(&agent->health, clock_boot_ms());
	table_free(&agent->push_volumes);
	table_free(&agent->removed_disks);
	agent->push_disks = false;
	agent->push_whole = true;
	log_info("agent connected", "node=%s peer=%s version=%s", agent->name, session->name, hello->version);
	request_reply(request, &answer);
	mark_dirty(dnvmed, agent);
	caches_told(dnvmed, agent);
}

/* Servers are brought to a new version first, so that none has to speak one that it does not know. */
static int protocol_check(uint64_t protocol, struct error *error)
{
	if (protocol >= PROTOCOL_VERSION_MIN && protocol <= PROTOCOL_VERSION)
		return 0;
	error_set(error, ERROR_UNSUPPORTED, "protocol: the agent speaks version %llu, this server %u to %u",
		  (unsigned long long)protocol, PROTOCOL_VERSION_MIN, PROTOCOL_VERSION);
	return error_hint(error, protocol > PROTOCOL_VERSION ? "bring the servers to the agent's version first"
							     : "bring dnvme-agent to the servers' version");
}

int agents_hello(struct request *request, struct error *error)
{
	const struct agent_hello *hello = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct command_node_register *record;
	struct command *command;
	struct node node;
	int rv;

	if (protocol_check(hello->protocol, error) != 0)
		return (int)error->code;
	if (request->session->agent != NULL && strcmp(request->session->agent->name, hello->node) != 0)
		return error_set(error, ERROR_FAILED_PRECONDITION, "this session belongs to node %s already",
				 request->session->agent->name);
	if (request->session->kind == SESSION_PEER)
		return error_set(error, ERROR_FAILED_PRECONDITION, "agent.hello is not for servers");
	rv = fsm_node_get(dnvmed->fsm, hello->node, &request->arena, &node, error);
	if (rv == 0 && node_is_as_said(&node, hello)) {
		welcome(request);
		return 0;
	}
	if (rv != 0 && rv != ERROR_NOT_FOUND)
		return rv;
	command = arena_alloc(&request->arena, sizeof(*command));
	record = arena_alloc(&request->arena, sizeof(*record));
	if (command == NULL || record == NULL)
		return error_set_nomem(error);
	*record = (struct command_node_register){ .name = hello->node,
						  .address = hello->address,
						  .port = hello->port,
						  .labels = hello->labels,
						  .version = hello->version,
						  .storage_only = hello->storage_only,
						  .writethrough = hello->writethrough,
						  .grows = hello->grows,
						  .snapshots = hello->snapshots,
						  .moves = hello->moves,
						  .snapshot_reads = hello->snapshot_reads };
	memcpy(record->boot_id, hello->boot_id, sizeof(record->boot_id));
	command->time_ms = clock_wall_ms();
	command->node_register = record;
	request_propose(request, command);
	return 0;
}

void agents_hello_committed(struct request *request, const struct outcome *outcome)
{
	(void)outcome;
	welcome(request);
}

/* Whether the agent behind this session was not told all that is applied. */
static bool is_behind(const struct session *session)
{
	const struct agent *agent = session->agent;

	return agent == NULL || agent->session != session || !list_is_empty(&agent->dirty_link);
}

/* Once in a session, and when there are others. */
static void servers_tell(struct request *request, struct server_list *ret_servers)
{
	const struct dnvmed *dnvmed = request->dnvmed;
	const struct server_list *servers = dnvmed_servers(dnvmed);
	struct server *items;

	if (request->session->servers_told == dnvmed->servers_generation)
		return;
	items = arena_alloc_array(&request->arena, servers->count, sizeof(*items));
	if (items == NULL)
		return; /* with the next heartbeat */
	request->session->servers_told = dnvmed->servers_generation;
	*ret_servers = (struct server_list){ 0, items };
	for (size_t i = 0; i < servers->count; i++) {
		if (!servers->items[i].leaving)
			items[ret_servers->count++] = servers->items[i];
	}
}

static void beat_answer(struct request *request)
{
	const struct agent_heartbeat *heartbeat = request->params;
	struct agent_heartbeat_reply reply = { .sequence = heartbeat->sequence,
					       .term = consensus_term(request->dnvmed->consensus),
					       .behind = is_behind(request->session) };

	servers_tell(request, &reply.servers);
	request_reply(request, &reply);
}

/*
 * A lease opens a gate that was shut when nothing is exported that should not be, by what the agent was told. So a
 * lease follows, on the same connection, what was committed before it: the answer waits for the push of this turn. When
 * there are so many that this agent's has to wait for a later turn, the answer goes out all the same, or leases would
 * run out because the leader is busy; it says so, and then opens no gate. To keep an open one open is no danger, as
 * nobody serves in the place of a node that is heard of before it said that it is clean (slots.c, gate_open_ms).
 */
int agents_heartbeat(struct request *request, struct error *error)
{
	if (request->session->kind != SESSION_AGENT)
		return error_set(error, ERROR_FAILED_PRECONDITION, "agent.heartbeat before agent.hello");
	/* The answer renews the node's lease: it is not called offline before a lease after this. */
	agents_heard(request->session);
	if (is_behind(request->session))
		list_append(&request->dnvmed->agents->beats, &request->state_link);
	else
		beat_answer(request);
	return 0;
}

void agents_heard(struct session *session)
{
	if (session->agent != NULL)
		health_node_heard(&session->agent->health, clock_boot_ms());
}

void agents_report(struct session *session, const struct agent_report *report)
{
	struct agent *agent = session->agent;
	struct error error;

	if (agent == NULL)
		return;
	for (size_t i = 0; i < report->volumes.count; i++) {
		const struct volume_health *health = &report->volumes.items[i];

		if (reported_health_update(&agent->reported, health, clock_boot_ms(), &error) != 0)
			log_failure(LOG_LEVEL_WARNING, "ignored what an agent reported of a volume", &error);
		else
			driver_volume_dirty(session->dnvmed, health->volume);
	}
	for (size_t i = 0; i < report->objects.count; i++) {
		const struct object_status *status = &report->objects.items[i];

		if (reported_update(&agent->reported, status, &error) != 0)
			log_failure(LOG_LEVEL_WARNING, "ignored a status that an agent reported", &error);
		else if (reported_volume_of(status->kind, status->id) != 0)
			driver_volume_dirty(session->dnvmed, reported_volume_of(status->kind, status->id));
	}
	if (report->inventory.count == 0)
		return;
	if (inventory_set(agent, &report->inventory, &error) != 0) {
		log_failure(LOG_LEVEL_WARNING, "ignored an inventory that an agent reported", &error);
		return;
	}
	driver_node_changed(session->dnvmed, agent->name);
	caches_told(session->dnvmed, agent);
}

void agents_session_ended(struct session *session)
{
	struct agent *agent = session->agent;

	session->agent = NULL;
	if (agent->session != session)
		return;
	agent->session = NULL;
	list_remove(&agent->dirty_link);
}

/* --- what changed --------------------------------------------------------------------------------------------- */

static void push_later(struct dnvmed *dnvmed, const char *name, struct table *(*which)(struct agent *agent),
		       const char *prefix, uint64_t id)
{
	struct agent *agent = agents_get(dnvmed, name);
	char key[NAMES_ID_SIZE];

	if (agent == NULL || agent->session == NULL || agent->push_whole)
		return;
	names_id_format(prefix, id, key);
	/* Without memory for the details the whole is pushed. */
	if (table_put(which(agent), key, agent) != 0)
		agent->push_whole = true;
	mark_dirty(dnvmed, agent);
}

static struct table *volumes_of(struct agent *agent)
{
	return &agent->push_volumes;
}

static struct table *removed_disks_of(struct agent *agent)
{
	return &agent->removed_disks;
}

static void node_changed(struct dnvmed *dnvmed, const struct fsm_change *change)
{
	struct agent *agent = agents_get(dnvmed, change->node);
	struct arena arena = ARENA_INIT;
	struct node node;
	struct error error;

	if (change->removed) {
		if (agent != NULL)
			agent_drop(dnvmed, agent, "the node was forgotten");
		return;
	}
	if (agent != NULL && !change->moved)
		return;
	if (fsm_node_get(dnvmed->fsm, change->node, &arena, &node, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot read a node that changed", &error);
	} else if (agent == NULL) {
		if (agent_add(dnvmed, &node) == NULL)
			log_error("out of memory: a new node is not looked after until the leader changes", "node=%s",
				  change->node);
	} else if (strcmp(agent->address, node.address) != 0 || agent->port != node.port ||
		   agent->colour != node.colour) {
		header_set(agent, &node);
		agent->push_whole = true;
		mark_dirty(dnvmed, agent);
	}
	arena_free(&arena);
}

void agents_change(struct dnvmed *dnvmed, const struct fsm_change *change)
{
	struct agent *agent;

	switch (change->kind) {
	case FSM_CHANGE_NODE:
		node_changed(dnvmed, change);
		break;
	case FSM_CHANGE_DISK:
		agent = agents_get(dnvmed, change->node);
		if (agent == NULL)
			break;
		if (change->removed)
			push_later(dnvmed, change->node, removed_disks_of, "d", change->id);
		agent->push_disks = true;
		mark_dirty(dnvmed, agent);
		break;
	case FSM_CHANGE_VOLUME:
		for (size_t i = 0; i < change->node_count; i++)
			push_later(dnvmed, change->nodes[i], volumes_of, "v", change->id);
		break;
	case FSM_CHANGE_CLUSTER:
		break;
	}
}

void agents_volume_forget(struct dnvmed *dnvmed, uint64_t volume)
{
	for (struct table_entry *entry = table_next(&dnvmed->agents->nodes, NULL); entry != NULL;
	     entry = table_next(&dnvmed->agents->nodes, entry))
		reported_forget(&((struct agent *)entry->value)->reported, volume);
}

/* A server that was held up (by its disk, or stopped as a whole) knows nothing of that time: everybody who was there
 * before gets a lease from now on. To call a node offline late is always safe. */
static void stall_check(struct agents *agents, uint64_t now_ms)
{
	bool stalled = agents->looked_ms > 0 && now_ms - agents->looked_ms > STALL_MS;

	agents->looked_ms = now_ms;
	if (!stalled)
		return;
	log_warning("this server was held up: nodes get a lease more", NULL);
	agents->awake_ms = now_ms;
	for (struct table_entry *entry = table_next(&agents->nodes, NULL); entry != NULL;
	     entry = table_next(&agents->nodes, entry)) {
		struct agent *agent = entry->value;

		if (agent->health.heard && agent->health.state != HEALTH_OFFLINE)
			health_node_heard(&agent->health, now_ms);
	}
}

void agents_tick(struct dnvmed *dnvmed)
{
	uint64_t loop_now = uv_now(&dnvmed->loop), now = clock_boot_ms(), since;

	if (!dnvmed->leader_ready || loop_now - dnvmed->agents->stepped_ms < STEP_MS)
		return;
	dnvmed->agents->stepped_ms = loop_now;
	stall_check(dnvmed->agents, now);
	since = dnvmed->agents->awake_ms > dnvmed->leader_since_ms ? dnvmed->agents->awake_ms : dnvmed->leader_since_ms;
	for (struct table_entry *entry = table_next(&dnvmed->agents->nodes, NULL); entry != NULL;
	     entry = table_next(&dnvmed->agents->nodes, entry)) {
		struct agent *agent = entry->value;

		caches_tick(dnvmed, agent);
		if (!health_node_step(&agent->health, since, now, &limits))
			continue;
		if (agent->health.state == HEALTH_OFFLINE)
			agent->offline_since_ms = now;
		driver_places_changed(dnvmed);
		driver_node_changed(dnvmed, agent->name);
		log_notice("node changed health", "node=%s health=%s", agent->name,
			   ENUM_NAME(health, agent->health.state));
	}
}

/* --- pushing -------------------------------------------------------------------------------------------------- */

static int push_agent(struct dnvmed *dnvmed, struct agent *agent, struct error *error)
{
	struct push push = { .fsm = dnvmed->fsm,
			     .node = agent->name,
			     .term = consensus_term(dnvmed->consensus),
			     .output = session_output(agent->session) };
	struct table_entry *entry;
	uint64_t volume;
	int rv;

	if (agent->push_whole) {
		agent->push_whole = agent->push_disks = false;
		table_free(&agent->push_volumes);
		table_free(&agent->removed_disks);
		return push_whole(&push, error);
	}
	if (agent->push_disks) {
		agent->push_disks = false;
		rv = push_disks(&push, &agent->removed_disks, error);
		table_free(&agent->removed_disks);
		if (rv != 0)
			return rv;
	}
	while ((entry = table_any(&agent->push_volumes)) != NULL) {
		rv = names_id_parse("v", entry->key, &volume) != 0 ? 0 : push_volume(&push, volume, error);
		if (rv != 0)
			return rv;
		table_remove(&agent->push_volumes, entry->key);
	}
	return 0;
}

static void beats_answer(struct dnvmed *dnvmed)
{
	struct list beats;

	list_take(&beats, &dnvmed->agents->beats);
	while (!list_is_empty(&beats)) {
		struct request *request = list_entry(beats.next, struct request, state_link);

		list_remove(&request->state_link);
		if (request->session == NULL)
			request_finish(request);
		else if (!dnvmed->leader_ready)
			request_fail_unavailable(request, "this server does not lead any more", false);
		else
			beat_answer(request);
	}
}

static void push_dirty(struct dnvmed *dnvmed)
{
	uint64_t begin = uv_hrtime();
	struct list dirty;

	list_take(&dirty, &dnvmed->agents->dirty);
	while (!list_is_empty(&dirty)) {
		struct agent *agent = list_entry(dirty.next, struct agent, dirty_link);
		struct error error;

		list_remove(&agent->dirty_link);
		if (agent->session == NULL)
			continue;
		if (uv_hrtime() - begin > dnvmed->agents->push_budget_ns) {
			list_append(&dnvmed->agents->dirty, &agent->dirty_link);
			continue;
		}
		session_touch(agent->session);
		if (push_agent(dnvmed, agent, &error) == 0)
			continue;
		/* The agent comes back and gets the whole. */
		log_failure(LOG_LEVEL_ERROR, "cannot tell an agent what to make", &error);
		session_close(agent->session, "its desired state could not be sent");
	}
}

void agents_prepare(struct dnvmed *dnvmed)
{
	if (dnvmed->agents == NULL)
		return; /* it did not start */
	if (dnvmed->leader_ready)
		push_dirty(dnvmed);
	beats_answer(dnvmed);
}
