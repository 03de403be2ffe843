/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/dnvmed.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fsm/stock.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "src/agents.h"
#include "src/audit.h"
#include "src/backups.h"
#include "src/bootstrap.h"
#include "src/change.h"
#include "src/driver.h"
#include "src/exit_status.h"
#include "src/file.h"
#include "src/hosts.h"
#include "src/membership.h"
#include "src/recovery.h"
#include "src/request.h"
#include "src/session.h"

#define STOP_MS 3000u  /* for handing over and for what waits */
#define FLUSH_MS 1000u /* for the last answers */
#define SESSION_TICKS 8u

static void closing_begin(struct dnvmed *dnvmed);

bool dnvmed_is_stopping(const struct dnvmed *dnvmed)
{
	return dnvmed->stage > DNVMED_RUNNING;
}

const struct server_list *dnvmed_servers(const struct dnvmed *dnvmed)
{
	static const struct server_list none = { 0 };

	if (dnvmed->servers.count > 0)
		return &dnvmed->servers;
	return dnvmed->has_group ? &dnvmed->cluster.servers : &none;
}

void dnvmed_servers_refresh(struct dnvmed *dnvmed)
{
	struct arena arena = ARENA_INIT;
	struct cluster cluster;
	struct error error;

	if (!dnvmed->servers_stale)
		return;
	if (fsm_cluster_get(dnvmed->fsm, &arena, &cluster, &error) != 0) {
		/* There is none yet; what else is wrong shows with the next command. */
		dnvmed->servers_stale = error.code != ERROR_FAILED_PRECONDITION;
		arena_free(&arena);
		return;
	}
	dnvmed->servers_stale = false;
	arena_free(&dnvmed->servers_arena);
	dnvmed->servers_arena = arena;
	dnvmed->servers = cluster.servers;
	dnvmed->servers_generation++;
	dnvmed->next_server = cluster.next_server;
	dnvmed->state_version = fsm_version_of(&cluster);
}

const struct server *dnvmed_member(const struct dnvmed *dnvmed, uint64_t id)
{
	const struct server_list *servers = dnvmed_servers(dnvmed);

	for (size_t i = 0; i < servers->count; i++) {
		if (servers->items[i].id == id)
			return &servers->items[i];
	}
	return NULL;
}

bool dnvmed_leader_is_known(const struct dnvmed *dnvmed)
{
	uint64_t leader;

	if (dnvmed->leader_ready)
		return true;
	if (dnvmed->consensus == NULL || dnvmed->leading)
		return false;
	leader = consensus_leader_id(dnvmed->consensus);
	return leader != 0 && leader != dnvmed->id;
}

const char *dnvmed_leader_address(const struct dnvmed *dnvmed)
{
	const struct server *leader = NULL;

	if (dnvmed->consensus != NULL && dnvmed->stage <= DNVMED_HANDING_OVER)
		leader = dnvmed_member(dnvmed, consensus_leader_id(dnvmed->consensus));
	return leader != NULL ? leader->api_address : NULL;
}

/* --- what consensus asks of the state machine ----------------------------------------------------------------- */

static uint64_t machine_applied_index(void *data)
{
	const struct dnvmed *dnvmed = data;

	return fsm_applied_index(dnvmed->fsm);
}

static int machine_apply(void *data, uint64_t index, const struct bytes *commands, size_t count,
			 struct buffer *outcomes, struct error *error)
{
	struct dnvmed *dnvmed = data;

	return fsm_apply(dnvmed->fsm, index, commands, count, outcomes, error);
}

static int machine_skip(void *data, uint64_t index, struct error *error)
{
	struct dnvmed *dnvmed = data;

	return fsm_skip(dnvmed->fsm, index, error);
}

static int machine_dump(void *data, struct buffer *output, struct error *error)
{
	struct dnvmed *dnvmed = data;

	/* Consensus may cut the log behind this dump: what the log no longer has must be on the medium. */
	if (store_sync(dnvmed->store, error) != 0)
		return error->code;
	return fsm_dump(dnvmed->fsm, output, error);
}

static int machine_load(void *data, uint64_t index, struct bytes dump, struct error *error)
{
	struct dnvmed *dnvmed = data;

	change_of_all(dnvmed);
	dnvmed->servers_stale = true;
	stock_clear(dnvmed->stock);
	return fsm_load(dnvmed->fsm, index, dump, error);
}

static void on_change(void *data, const struct fsm_change *change)
{
	struct dnvmed *dnvmed = data;

	stock_changed(dnvmed->stock, change);
	change_of_something(dnvmed);
	if (change->kind == FSM_CHANGE_VOLUME)
		change_of_volume(dnvmed, change->id);
	if (change->kind == FSM_CHANGE_CLUSTER)
		dnvmed->servers_stale = true;
	if (!dnvmed->leader_ready)
		return;
	driver_places_changed(dnvmed);
	agents_change(dnvmed, change);
	if (change->kind == FSM_CHANGE_VOLUME)
		driver_volume_dirty(dnvmed, change->id);
	else if ((change->kind == FSM_CHANGE_NODE || change->kind == FSM_CHANGE_DISK) && !change->removed)
		driver_node_changed(dnvmed, change->node);
	else if (change->kind == FSM_CHANGE_CLUSTER)
		driver_settings_changed(dnvmed);
}

/* --- leading ---------------------------------------------------------------------------------------------------- */

static void leader_lost(struct dnvmed *dnvmed)
{
	if (!dnvmed->leading)
		return;
	dnvmed->leading = false;
	log_notice("this server does not lead any more", "term=%llu", (unsigned long long)dnvmed->leader_term);
	if (!dnvmed->leader_ready)
		return;
	dnvmed->leader_ready = false;
	driver_leader_end(dnvmed);
	agents_leader_end(dnvmed);
	hosts_leader_end(dnvmed);
	membership_leader_end(dnvmed);
	stock_clear(dnvmed->stock);
	/* What a leader knew of many volumes: the allocator would keep it for the next time. */
	malloc_trim(0);
	request_leadership_changed(dnvmed);
}

void dnvmed_leadership_check(struct dnvmed *dnvmed)
{
	if (dnvmed->leading && (dnvmed->consensus == NULL || !consensus_is_leader(dnvmed->consensus)))
		leader_lost(dnvmed);
}

static void on_leader_barrier(void *data, const struct error *failure)
{
	struct dnvmed *dnvmed = data;
	struct error error;

	dnvmed->barrier_under_way = false;
	if (failure != NULL || !dnvmed->leading || dnvmed->leader_ready || dnvmed_is_stopping(dnvmed))
		return; /* the tick asks again if this server still leads */
	if (recovery_is_pending(dnvmed))
		return;
	if (agents_leader_begin(dnvmed, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot begin to lead", &error);
		return;
	}
	dnvmed->leader_ready = true;
	log_notice("this server leads", "term=%llu", (unsigned long long)dnvmed->leader_term);
	driver_leader_begin(dnvmed);
	membership_leader_begin(dnvmed);
	request_leadership_changed(dnvmed);
}

static void leader_tick(struct dnvmed *dnvmed)
{
	if (dnvmed->consensus == NULL)
		return;
	dnvmed_leadership_check(dnvmed);
	if (dnvmed->leading && !dnvmed->leader_ready && !dnvmed->barrier_under_way && !dnvmed_is_stopping(dnvmed))
		dnvmed->barrier_under_way = consensus_barrier(dnvmed->consensus, on_leader_barrier, dnvmed, NULL) == 0;
}

static void on_leadership(void *data, bool leader, uint64_t term)
{
	struct dnvmed *dnvmed = data;

	leader_lost(dnvmed);
	if (!leader)
		return;
	dnvmed->leading = true;
	dnvmed->leader_term = term;
	dnvmed->leader_since_ms = clock_boot_ms();
	leader_tick(dnvmed);
}

static void on_created(void *data, struct bytes bytes, bool unknown, const struct error *failure)
{
	struct dnvmed *dnvmed = data;
	struct arena arena = ARENA_INIT;
	struct outcome outcome;
	struct error error;

	(void)unknown; /* whoever leads looks whether it is there */
	dnvmed->create_under_way = false;
	if (failure == NULL && codec_decode(schema_outcome(), bytes, &arena, &outcome, &error) == 0) {
		if (outcome.code != 0)
			log_error("the cluster cannot be made", "reason=\"%s\"", outcome.message);
		else
			log_notice("the cluster is made", "cluster=%s", dnvmed->cluster.id);
	}
	arena_free(&arena);
}

/* The first leader of a new group makes the cluster's record from the file that all members have. */
static void create_tick(struct dnvmed *dnvmed)
{
	struct command command = { .cluster_create = &dnvmed->cluster };
	struct arena arena = ARENA_INIT;
	struct buffer bytes = BUFFER_INIT;
	struct cluster cluster;
	struct error error;

	if (!dnvmed->leader_ready || dnvmed->create_under_way || fsm_revision(dnvmed->fsm) > 0)
		return;
	command.time_ms = clock_wall_ms();
	if (fsm_cluster_get(dnvmed->fsm, &arena, &cluster, &error) == ERROR_FAILED_PRECONDITION &&
	    codec_encode(schema_command(), &command, CODEC_TAGGED, &bytes, &error) == 0)
		dnvmed->create_under_way =
			consensus_propose(dnvmed->consensus, buffer_bytes(&bytes), on_created, dnvmed, &error) == 0;
	buffer_free(&bytes);
	arena_free(&arena);
}

static void on_failure(void *data, const struct error *failure)
{
	struct dnvmed *dnvmed = data;

	log_failure(LOG_LEVEL_ERROR, "this server cannot go on", failure);
	dnvmed->exit_status = EXIT_STATUS_FAILED;
	dnvmed->failing = true; /* closed by the tick: not inside a call of consensus */
}

int dnvmed_join(struct dnvmed *dnvmed, bool empty, struct error *error)
{
	char directory[FILE_PATH_SIZE];
	struct consensus_server servers[LIMIT_SERVERS];
	const struct consensus_options options = {
		.loop = &dnvmed->loop,
		.id = dnvmed->id,
		.address = dnvmed->options->raft,
		.directory = directory,
		.machine = { .data = dnvmed,
			     .applied_index = machine_applied_index,
			     .apply = machine_apply,
			     .skip = machine_skip,
			     .dump = machine_dump,
			     .load = machine_load },
		.heartbeat_ms = (unsigned)dnvmed->options->heartbeat_ms,
		.election_timeout_ms = (unsigned)dnvmed->options->election_timeout_ms,
		.snapshot_threshold = (unsigned)dnvmed->options->snapshot_threshold,
		.snapshot_trailing = (unsigned)dnvmed->options->snapshot_trailing,
		.data = dnvmed,
		.on_leadership = on_leadership,
		.on_failure = on_failure,
	};

	snprintf(directory, sizeof(directory), "%s/raft", dnvmed->options->data);
	for (size_t i = 0; i < dnvmed->cluster.servers.count; i++)
		servers[i] = (struct consensus_server){ .id = dnvmed->cluster.servers.items[i].id,
							.address = dnvmed->cluster.servers.items[i].raft_address };
	return consensus_start(&options, servers, empty ? 0 : dnvmed->cluster.servers.count, &dnvmed->consensus, error);
}

static enum server_role role_of(const struct dnvmed *dnvmed)
{
	const char *state;

	if (dnvmed->consensus == NULL)
		return SERVER_ROLE_UNINITIALIZED;
	state = consensus_state_name(dnvmed->consensus);
	if (strcmp(state, "leader") == 0)
		return SERVER_ROLE_LEADER;
	return strcmp(state, "candidate") == 0 ? SERVER_ROLE_CANDIDATE : SERVER_ROLE_FOLLOWER;
}

int dnvmed_info(struct dnvmed *dnvmed, bool digest, struct arena *arena, struct server_info *ret_info,
		struct error *error)
{
	struct server_info info = { .id = dnvmed->id,
				    .raft_address = dnvmed->options->raft,
				    .api_address = dnvmed->options->listen,
				    .role = role_of(dnvmed),
				    .applied_index = fsm_applied_index(dnvmed->fsm),
				    .version = DNVME_VERSION,
				    .protocol = PROTOCOL_VERSION,
				    .state_version = fsm_version_known(),
				    .empty = dnvmed->log_empty,
				    .cluster = dnvmed->has_group ? dnvmed->cluster.id : NULL };
	struct consensus_statistics statistics;
	uint8_t value[16];
	char *text;

	if (dnvmed->consensus != NULL) {
		consensus_statistics_get(dnvmed->consensus, &statistics);
		info.term = consensus_term(dnvmed->consensus);
		info.leader = consensus_leader_id(dnvmed->consensus);
		info.snapshot_index = statistics.snapshot_index;
		info.snapshots_installed = statistics.snapshots_installed;
	}
	if (digest) {
		text = arena_alloc(arena, sizeof(value) * 2 + 1);
		if (text == NULL)
			return error_set_nomem(error);
		if (fsm_digest(dnvmed->fsm, value, error) != 0)
			return error->code;
		for (size_t i = 0; i < sizeof(value); i++)
			snprintf(text + 2 * i, 3, "%02x", value[i]);
		info.digest = text;
	}
	*ret_info = info;
	return 0;
}

/* --- stopping --------------------------------------------------------------------------------------------------- */

static void on_transferred(void *data, const struct error *failure)
{
	struct dnvmed *dnvmed = data;

	dnvmed->transfer_under_way = false;
	if (failure != NULL)
		log_failure(LOG_LEVEL_NOTICE, "could not hand leadership over", failure);
}

static bool votes(const struct dnvmed *dnvmed, uint64_t id)
{
	struct consensus_member members[LIMIT_SERVERS + 1];
	size_t count = consensus_members(dnvmed->consensus, members, LIMIT_SERVERS + 1);

	for (size_t i = 0; i < count; i++) {
		if (members[i].id == id)
			return members[i].role == CONSENSUS_VOTER;
	}
	return false;
}

/* To one server after the other; a dead one only costs its turn. */
static void transfer_next(struct dnvmed *dnvmed)
{
	const struct server_list *servers = dnvmed_servers(dnvmed);
	struct error error;

	while (dnvmed->transfer_next < servers->count && !dnvmed->transfer_under_way) {
		uint64_t id = servers->items[dnvmed->transfer_next++].id;

		if (id == dnvmed->id || !votes(dnvmed, id))
			continue;
		if (consensus_transfer(dnvmed->consensus, id, on_transferred, dnvmed, &error) == 0)
			dnvmed->transfer_under_way = true;
		else
			log_failure(LOG_LEVEL_NOTICE, "could not hand leadership over", &error);
	}
}

static void hand_over_tick(struct dnvmed *dnvmed)
{
	bool leads = dnvmed->consensus != NULL && consensus_is_leader(dnvmed->consensus);

	if (leads && !dnvmed->transfer_under_way)
		transfer_next(dnvmed);
	if (uv_now(&dnvmed->loop) < dnvmed->stop_deadline_ms &&
	    (dnvmed->transfer_under_way || !list_is_empty(&dnvmed->client_requests) ||
	     !list_is_empty(&dnvmed->peer_requests)))
		return;
	closing_begin(dnvmed);
}

void dnvmed_stop(struct dnvmed *dnvmed, const char *reason)
{
	switch (dnvmed->stage) {
	case DNVMED_STARTING:
	case DNVMED_HANDING_OVER:
		closing_begin(dnvmed);
		break;
	case DNVMED_RUNNING:
		log_notice("stopping", "reason=%s", reason);
		dnvmed->stage = DNVMED_HANDING_OVER;
		dnvmed->stop_deadline_ms = uv_now(&dnvmed->loop) + STOP_MS;
		session_listen_stop(dnvmed);
		hand_over_tick(dnvmed);
		break;
	case DNVMED_CLOSING:
	case DNVMED_CLOSED:
		break;
	}
}

static void on_consensus_closed(void *data)
{
	struct dnvmed *dnvmed = data;

	dnvmed->consensus = NULL;
	dnvmed->consensus_closed = true;
}

static void closing_begin(struct dnvmed *dnvmed)
{
	dnvmed->stage = DNVMED_CLOSING;
	dnvmed->stop_deadline_ms = uv_now(&dnvmed->loop) + FLUSH_MS;
	session_listen_stop(dnvmed);
	bootstrap_stop(dnvmed);
	membership_stop(dnvmed);
	leader_lost(dnvmed);
	request_stop(dnvmed);
	list_for_each(node, next, &dnvmed->sessions) session_finish(list_entry(node, struct session, link), NULL);
	if (dnvmed->consensus != NULL)
		consensus_close(dnvmed->consensus, on_consensus_closed, dnvmed);
	else
		dnvmed->consensus_closed = true;
}

static void closing_tick(struct dnvmed *dnvmed)
{
	if (uv_now(&dnvmed->loop) > dnvmed->stop_deadline_ms) {
		list_for_each(node, next, &dnvmed->sessions)
			session_close(list_entry(node, struct session, link), NULL);
	}
	if (!dnvmed->consensus_closed || !list_is_empty(&dnvmed->sessions))
		return;
	dnvmed->stage = DNVMED_CLOSED;
	peers_close(dnvmed->peers);
	dnvmed->peers = NULL;
	uv_close((uv_handle_t *)&dnvmed->tick, NULL);
	uv_close((uv_handle_t *)&dnvmed->prepare, NULL);
	fair_close(dnvmed);
	uv_close((uv_handle_t *)&dnvmed->sigterm, NULL);
	uv_close((uv_handle_t *)&dnvmed->sigint, NULL);
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer)
{
	struct dnvmed *dnvmed = timer->data;

	if (dnvmed->failing && dnvmed->stage < DNVMED_CLOSING)
		closing_begin(dnvmed);
	if (dnvmed->stage == DNVMED_CLOSING) {
		closing_tick(dnvmed);
		return;
	}
	if (dnvmed->stage == DNVMED_HANDING_OVER) {
		hand_over_tick(dnvmed);
		if (dnvmed->stage != DNVMED_HANDING_OVER)
			return;
	}
	leader_tick(dnvmed);
	create_tick(dnvmed);
	bootstrap_tick(dnvmed);
	membership_tick(dnvmed);
	peers_tick(dnvmed->peers);
	request_tick(dnvmed);
	audit_tick(dnvmed);
	backups_tick(dnvmed);
	agents_tick(dnvmed);
	driver_tick(dnvmed);
	hosts_tick(dnvmed);
	if (dnvmed->ticks++ % SESSION_TICKS == 0)
		session_tick(dnvmed);
}

/* Everything that happened in this turn of the loop is worked off before it sleeps. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct dnvmed *dnvmed = prepare->data;

	bool something;

	driver_prepare(dnvmed);
	fair_prepare(dnvmed);
	something = change_prepare(dnvmed);
	agents_prepare(dnvmed);
	something |= session_prepare(dnvmed);
	fair_wake(dnvmed, something);
}

static void on_signal(uv_signal_t *handle, int number)
{
	dnvmed_stop(handle->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* Thousands of agents need thousands of descriptors. Where there are fewer, connections must leave enough for log and
 * state: without a descriptor for its next segment a server would have to end. */
static void descriptors_raise(struct dnvmed *dnvmed)
{
	struct rlimit limit;
	rlim_t room;

	dnvmed->sessions_max = dnvmed->options->sessions_max;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("cannot raise the limit of open files", NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	room = limit.rlim_cur > 2 * LIMIT_DESCRIPTORS_KEPT ? limit.rlim_cur - LIMIT_DESCRIPTORS_KEPT
							   : limit.rlim_cur / 2;
	if (room >= dnvmed->sessions_max)
		return;
	dnvmed->sessions_max = room;
	log_warning("fewer connections than --sessions-max: the limit of open files is too low",
		    "connections=%llu open_files=%llu wanted=%llu", (unsigned long long)room,
		    (unsigned long long)limit.rlim_cur,
		    (unsigned long long)(dnvmed->options->sessions_max + LIMIT_DESCRIPTORS_KEPT));
}

static int loop_make(struct dnvmed *dnvmed, struct error *error)
{
	int rv = uv_loop_init(&dnvmed->loop);

	if (rv != 0)
		return error_set_errno(error, -rv, "cannot make the event loop");
	dnvmed->loop_open = true;
	uv_timer_init(&dnvmed->loop, &dnvmed->tick);
	uv_prepare_init(&dnvmed->loop, &dnvmed->prepare);
	uv_signal_init(&dnvmed->loop, &dnvmed->sigterm);
	uv_signal_init(&dnvmed->loop, &dnvmed->sigint);
	dnvmed->tick.data = dnvmed->prepare.data = dnvmed->sigterm.data = dnvmed->sigint.data = dnvmed;
	rv = uv_timer_start(&dnvmed->tick, on_tick, DNVMED_TICK_MS, DNVMED_TICK_MS);
	if (rv == 0)
		rv = fair_open(dnvmed);
	if (rv == 0)
		rv = uv_prepare_start(&dnvmed->prepare, on_prepare);
	if (rv == 0)
		rv = uv_signal_start(&dnvmed->sigterm, on_signal, SIGTERM);
	if (rv == 0)
		rv = uv_signal_start(&dnvmed->sigint, on_signal, SIGINT);
	return rv == 0 ? 0 : error_set_errno(error, -rv, "cannot set up the event loop");
}

static int parts_make(struct dnvmed *dnvmed, struct error *error)
{
	dnvmed->peers = peers_make(&dnvmed->loop, dnvmed->scratch);
	dnvmed->agents = agents_make();
	dnvmed->driver = driver_make();
	dnvmed->hosts = hosts_make();
	dnvmed->stock = stock_make();
	dnvmed->bootstrap = bootstrap_make();
	dnvmed->membership = membership_make();
	dnvmed->audit = audit_make(dnvmed);
	dnvmed->backups = backups_make();
	if (dnvmed->peers == NULL || dnvmed->agents == NULL || dnvmed->driver == NULL || dnvmed->hosts == NULL ||
	    dnvmed->stock == NULL || dnvmed->bootstrap == NULL || dnvmed->membership == NULL || dnvmed->audit == NULL ||
	    dnvmed->backups == NULL)
		return error_set_nomem(error);
	return 0;
}

static int state_open(struct dnvmed *dnvmed, struct error *error)
{
	char directory[FILE_PATH_SIZE];
	const struct store_options options = { .directory = directory };
	bool rebuilt;

	if (file_directory_make(dnvmed->options->data, error) != 0)
		return error->code;
	snprintf(directory, sizeof(directory), "%s/state", dnvmed->options->data);
	if (store_open(&options, &dnvmed->store, &rebuilt, error) != 0)
		return error->code;
	if (rebuilt)
		log_notice("the machine stopped unclean: the state is rebuilt from snapshot and log", NULL);
	return fsm_open(dnvmed->store, on_change, dnvmed, &dnvmed->fsm, error);
}

int dnvmed_start(struct dnvmed *dnvmed, const struct options *options, struct error *error)
{
	*dnvmed = (struct dnvmed){
		.options = options, .id = options->id, .stage = DNVMED_STARTING, .servers_stale = true
	};
	list_init(&dnvmed->sessions);
	list_init(&dnvmed->touched);
	list_init(&dnvmed->client_requests);
	list_init(&dnvmed->peer_requests);
	list_init(&dnvmed->waiting);
	list_init(&dnvmed->forwarded);
	list_init(&dnvmed->detaching);
	list_init(&dnvmed->creating);
	change_init(&dnvmed->changes);
	fair_init(&dnvmed->fair);
	descriptors_raise(dnvmed);
	if (recovery_check(options, error) != 0)
		return error->code;
	if (loop_make(dnvmed, error) != 0 || parts_make(dnvmed, error) != 0 || state_open(dnvmed, error) != 0 ||
	    session_listen(dnvmed, error) != 0 || bootstrap_start(dnvmed, error) != 0)
		return error->code;
	recovery_start(dnvmed);
	dnvmed->stage = DNVMED_RUNNING;
	log_notice("ready", "id=%llu listen=%s raft=%s version=%s", (unsigned long long)dnvmed->id, options->listen,
		   options->raft, DNVME_VERSION);
	return 0;
}

int dnvmed_run(struct dnvmed *dnvmed)
{
	if (dnvmed->stage == DNVMED_STARTING) {
		dnvmed->exit_status = EXIT_STATUS_FAILED;
		if (dnvmed->loop_open && dnvmed->bootstrap != NULL && dnvmed->membership != NULL &&
		    dnvmed->agents != NULL && dnvmed->driver != NULL && dnvmed->peers != NULL)
			closing_begin(dnvmed);
		else
			return dnvmed
				->exit_status; /* not even memory: nothing is open that the kernel does not close */
	}
	uv_run(&dnvmed->loop, UV_RUN_DEFAULT);
	driver_free(dnvmed->driver);
	agents_free(dnvmed->agents);
	hosts_free(dnvmed->hosts);
	stock_free(dnvmed->stock);
	bootstrap_free(dnvmed->bootstrap);
	membership_free(dnvmed->membership);
	audit_free(dnvmed->audit);
	backups_free(dnvmed->backups);
	fsm_close(dnvmed->fsm);
	store_close(dnvmed->store);
	fair_free(&dnvmed->fair);
	arena_free(&dnvmed->cluster_arena);
	arena_free(&dnvmed->servers_arena);
	uv_loop_close(&dnvmed->loop);
	if (dnvmed->exit_status == EXIT_STATUS_STOPPED)
		log_notice("stopped", NULL);
	return dnvmed->exit_status;
}
