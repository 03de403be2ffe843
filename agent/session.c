/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/link.h"
#include "agent/reported.h"
#include "agent/text.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/state_machine.h"
#include "lib/wire/codec.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 1000
#define CONNECT_TIMEOUT_MS 1500
/* A server that stopped accepts connections all the same. A new leader waits one lease for its nodes: by then they have
 * to be there. */
#define GREETING_TIMEOUT_MS 1500
#define SILENCE_MS 1250 /* five heartbeats without an answer: then the connection counts as dead */
#define REDIRECTS_MAX 3 /* in a row; then the servers are asked in turn again */
#define REPORT_OBJECTS 1000
#define REPORT_VOLUMES 100 /* each may have hundreds of members */
#define HELLO_ID 1

enum { AWAY, CONNECTING, GREETING, OPEN };

static const char *const state_names[] = { "away", "connecting", "greeting", "open" };
static const struct state_machine_edge edges[] = {
	{ AWAY, CONNECTING }, { CONNECTING, GREETING }, { GREETING, OPEN },
	{ CONNECTING, AWAY }, { GREETING, AWAY },	{ OPEN, AWAY },
};
static const struct state_machine_table table = { "session", state_names, 4, edges, sizeof(edges) / sizeof(edges[0]) };

struct session {
	uv_loop_t *loop;
	uv_timer_t timer; /* AWAY: try again; CONNECTING, GREETING: give up; OPEN: heartbeat */
	const struct options *options;
	struct desired_store *store;
	struct session_events events;
	struct state_machine machine;
	struct link *link;
	size_t next_server;
	char learnt[LIMIT_SERVERS][LIMIT_ADDRESS + 1]; /* servers that a leader told of, beside those in the options */
	size_t learnt_count;
	char redirect[LIMIT_ADDRESS + 1], server[LIMIT_ADDRESS + 1];
	char silent[LIMIT_ADDRESS + 1]; /* not to be asked next */
	unsigned redirects;
	uint64_t backoff_ms;
	uint64_t term; /* highest seen in this process: nothing from a lower one is taken */
	char cluster[17];
	uint32_t msgid;
	uint64_t heartbeat_ms, sequence;
	bool started, closing, got_whole;
	struct session_abilities abilities;
	struct arena inventory_arena;
	struct observed_disk_list disks;
	struct reported reported;
};

static void try_next(struct session *this);

/* --- ending --- */

static void on_retry(uv_timer_t *timer)
{
	try_next(timer->data);
}

/* Away from where we are, for a reason; come back soon. */
static void leave(struct session *this, const char *reason)
{
	uint8_t jitter;
	uint64_t delay_ms;

	if (this->closing || this->machine.state == AWAY)
		return;
	if (this->machine.state == OPEN)
		log_warning("session with the leader lost", "server=%s reason=\"%s\"", this->server, reason);
	else
		log_info("no session", "server=%s reason=\"%s\"", this->server, reason);
	state_machine_move(&this->machine, AWAY);
	link_close(this->link);
	this->link = NULL;
	desired_store_abort(this->store);
	if (this->redirect[0] != '\0' && ++this->redirects <= REDIRECTS_MAX) {
		try_next(this);
		return;
	}
	this->redirect[0] = '\0';
	this->redirects = 0;
	/* Half of it is random, so that a hundred agents do not come at the same moment. */
	random_bytes(&jitter, sizeof(jitter));
	delay_ms = this->backoff_ms / 2 + this->backoff_ms * jitter / 512;
	this->backoff_ms = this->backoff_ms * 2 < BACKOFF_MAX_MS ? this->backoff_ms * 2 : BACKOFF_MAX_MS;
	uv_timer_start(&this->timer, on_retry, delay_ms, 0);
}

/* The same server is not asked next. */
static void leave_silent(struct session *this, const char *reason)
{
	memcpy(this->silent, this->server, sizeof(this->silent));
	leave(this, reason);
}

static void on_timeout(uv_timer_t *timer)
{
	struct session *this = timer->data;

	leave_silent(this, this->machine.state == CONNECTING ? "it does not answer" : "it does not greet");
}

/* --- sending --- */

static int send_request(struct session *this, uint32_t msgid, const char *method, const struct schema *schema,
			const void *record, struct error *error)
{
	struct buffer output = BUFFER_INIT;
	int code = rpc_request_encode(msgid, method, schema, record, &output, error);

	if (code == 0)
		code = link_send(this->link, &output, error);
	buffer_free(&output);
	return code;
}

static void send_report(struct session *this, const struct agent_report *report)
{
	struct buffer output = BUFFER_INIT;
	struct error error = { 0 };
	int code = rpc_notification_encode("agent.report", schema_agent_report(), report, &output, &error);

	if (code == 0)
		code = link_send(this->link, &output, &error);
	buffer_free(&output);
	if (code != 0)
		leave(this, error.message);
}

static void send_hello(struct session *this)
{
	const struct options *options = this->options;
	struct agent_hello hello = {
		.node = options->node,
		.address = options->address,
		.port = options->port,
		.labels = options->labels,
		.version = DNVME_VERSION,
		.protocol = PROTOCOL_VERSION,
		.storage_only = options->storage_only,
		.writethrough = this->abilities.writethrough,
		.grows = this->abilities.grows,
		.snapshots = this->abilities.snapshots,
		.moves = true,
	};
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };

	if (boot_id_read(hello.boot_id) != 0)
		error_set(&error, ERROR_INTERNAL, "cannot read the kernel's boot id");
	else if (reported_inventory_make(&this->disks, &arena, &hello.inventory) != 0)
		error_set_nomem(&error);
	else
		send_request(this, HELLO_ID, "agent.hello", schema_agent_hello(), &hello, &error);
	arena_free(&arena);
	if (error.code != 0)
		leave(this, error.message);
}

static void on_heartbeat(uv_timer_t *timer)
{
	struct session *this = timer->data;
	struct agent_heartbeat heartbeat = { .sequence = ++this->sequence, .sent_ms = clock_boot_ms() };
	struct error error = { 0 };

	if (uv_now(this->loop) - link_heard_ms(this->link) > SILENCE_MS) {
		leave_silent(this, "it is silent");
		return;
	}
	if (++this->msgid <= HELLO_ID)
		this->msgid = HELLO_ID + 1;
	if (this->events.sent != NULL)
		this->events.sent(this->events.data, heartbeat.sequence, heartbeat.sent_ms);
	if (send_request(this, this->msgid, "agent.heartbeat", schema_agent_heartbeat(), &heartbeat, &error) != 0)
		leave(this, error.message);
}

/* --- receiving --- */

/* A leader of the past is told nothing and obeyed in nothing. */
static bool term_take(struct session *this, uint64_t term)
{
	char reason[96];

	if (term >= this->term) {
		this->term = term;
		return true;
	}
	snprintf(reason, sizeof(reason), "it leads in term %" PRIu64 ", but term %" PRIu64 " was seen", term,
		 this->term);
	leave(this, reason);
	return false;
}

static void redirect_find(struct session *this, const struct error *failure)
{
	const char *at = strstr(failure->details, "leader=");
	size_t length;

	if (at == NULL || (at != failure->details && at[-1] != '\n'))
		return;
	at += strlen("leader=");
	length = strcspn(at, "\n ");
	if (length == 0 || length > LIMIT_ADDRESS)
		return;
	memcpy(this->redirect, at, length);
	this->redirect[length] = '\0';
}

static void take_welcome(struct session *this, struct rpc_message *message, struct arena *arena)
{
	struct agent_welcome welcome;
	struct error error = { 0 };

	if (rpc_failure_decode(&message->failure, &error) != 0) {
		if (error.code == ERROR_UNAVAILABLE)
			redirect_find(this, &error);
		else
			log_failure(LOG_LEVEL_ERROR, "the server refuses this node", &error);
		leave(this, error.message);
		return;
	}
	if (codec_decode_object(schema_agent_welcome(), &message->result, arena, &welcome, &error) != 0) {
		leave(this, error.message);
		return;
	}
	if (!term_take(this, welcome.term))
		return;
	snprintf(this->cluster, sizeof(this->cluster), "%s", welcome.cluster);
	this->heartbeat_ms = welcome.heartbeat_ms;
	this->backoff_ms = BACKOFF_FIRST_MS;
	this->redirects = 0;
	this->got_whole = false;
	reported_reset(&this->reported);
	state_machine_move(&this->machine, OPEN);
	log_notice("session with the leader is open", "server=%s cluster=%s term=%" PRIu64, this->server, this->cluster,
		   this->term);
	if (this->events.welcomed != NULL)
		this->events.welcomed(this->events.data, welcome.heartbeat_ms, welcome.lease_ms);
	/* The first at once: an agent that was restarted has little of its predecessor's lease left. */
	uv_timer_start(&this->timer, on_heartbeat, 0, this->heartbeat_ms);
	if (this->events.opened != NULL)
		this->events.opened(this->events.data);
}

static bool is_given(const struct session *this, const char *address)
{
	const struct string_list *servers = &this->options->servers;

	for (size_t i = 0; i < servers->count; i++) {
		if (strcmp(servers->items[i], address) == 0)
			return true;
	}
	return false;
}

/* Those that were added since this agent was started are asked as well, when the leader is lost. */
static void servers_take(struct session *this, const struct server_list *servers)
{
	if (servers->count == 0)
		return;
	this->learnt_count = 0;
	for (size_t i = 0; i < servers->count && i < LIMIT_SERVERS; i++) {
		const char *address = servers->items[i].api_address;

		if (!is_given(this, address))
			snprintf(this->learnt[this->learnt_count++], sizeof(this->learnt[0]), "%s", address);
	}
}

static void take_heartbeat(struct session *this, struct rpc_message *message, struct arena *arena)
{
	struct agent_heartbeat_reply reply;
	struct error error = { 0 };

	if (rpc_failure_decode(&message->failure, &error) != 0) {
		if (error.code == ERROR_UNAVAILABLE)
			redirect_find(this, &error);
		leave(this, error.message);
		return;
	}
	if (codec_decode_object(schema_agent_heartbeat_reply(), &message->result, arena, &reply, &error) != 0)
		leave(this, error.message);
	else if (term_take(this, reply.term)) {
		servers_take(this, &reply.servers);
		if (this->events.answered != NULL)
			this->events.answered(this->events.data, reply.sequence, reply.behind);
	}
}

static void dump(struct session *this)
{
	const char *path = this->options->dump_desired_path;
	struct buffer text = BUFFER_INIT;
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct desired desired;
	FILE *stream = NULL;

	if (path == NULL)
		return;
	if (desired_store_get(this->store, &arena, &desired, &error) == 0 &&
	    text_json_print(schema_desired(), &desired, &text, &error) == 0)
		stream = fopen(path, "we");
	if (stream == NULL || fwrite(text.data, 1, text.size, stream) != text.size)
		log_warning("cannot write the desired state", "file=%s", path);
	if (stream != NULL)
		fclose(stream);
	buffer_free(&text);
	arena_free(&arena);
}

static void take_desired(struct session *this, struct rpc_message *message, struct arena *arena)
{
	struct error error = { 0 };
	struct desired part;
	bool complete = false;

	if (codec_decode_object(schema_desired(), &message->params, arena, &part, &error) != 0) {
		error_prefix(&error, "desired state");
		log_failure(LOG_LEVEL_ERROR, "cannot take what the leader sent", &error);
		leave(this, error.message);
		return;
	}
	if (!term_take(this, part.term))
		return;
	if (strcmp(part.cluster, this->cluster) != 0 || strcmp(part.node, this->options->node) != 0)
		error_set(&error, ERROR_INVALID_ARGUMENT, "desired state is of node %s of cluster %s", part.node,
			  part.cluster);
	else if (!part.reset && !this->got_whole)
		error_set(&error, ERROR_INVALID_ARGUMENT, "a change came before the whole state");
	else
		desired_store_take(this->store, &part, &complete, &error);
	if (error.code != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot take what the leader sent", &error);
		leave(this, error.message);
		return;
	}
	/* From the first part on: more parts of the whole come without the mark. */
	this->got_whole = true;
	if (!complete)
		return;
	dump(this);
	this->events.desired(this->events.data);
}

static void on_frame(void *data, struct bytes frame)
{
	struct session *this = data;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error = { 0 };
	int known;

	if (rpc_message_open(frame, &arena, &message, &known, &error) != 0) {
		leave(this, error.message);
		arena_free(&arena);
		return;
	}
	if (message.type == RPC_RESPONSE && this->machine.state == GREETING && message.msgid == HELLO_ID)
		take_welcome(this, &message, &arena);
	else if (message.type == RPC_RESPONSE && this->machine.state == OPEN)
		take_heartbeat(this, &message, &arena);
	else if (message.type == RPC_NOTIFICATION && this->machine.state == OPEN &&
		 strcmp(message.method, "agent.desired") == 0)
		take_desired(this, &message, &arena);
	else
		log_debug("unexpected message", "type=%d state=%s", (int)message.type,
			  state_machine_name(&this->machine));
	rpc_message_close(&message);
	arena_free(&arena);
}

static void on_opened(void *data)
{
	struct session *this = data;

	state_machine_move(&this->machine, GREETING);
	uv_timer_start(&this->timer, on_timeout, GREETING_TIMEOUT_MS, 0);
	send_hello(this);
}

static void on_ended(void *data, const struct error *error)
{
	leave(data, error->message);
}

static const struct link_events link_events = { on_opened, on_frame, on_ended };

/* The number-th to ask, in turn. */
static const char *server_at(const struct session *this, size_t number)
{
	const struct string_list *servers = &this->options->servers;

	number %= servers->count + this->learnt_count;
	return number < servers->count ? servers->items[number] : this->learnt[number - servers->count];
}

static void try_next(struct session *this)
{
	struct error error = { 0 };

	if (this->closing)
		return;
	if (this->redirect[0] != '\0') {
		memcpy(this->server, this->redirect, sizeof(this->server));
		this->redirect[0] = '\0';
	} else {
		if (strcmp(server_at(this, this->next_server), this->silent) == 0)
			this->next_server++;
		this->silent[0] = '\0';
		snprintf(this->server, sizeof(this->server), "%s", server_at(this, this->next_server++));
	}
	state_machine_move(&this->machine, CONNECTING);
	uv_timer_start(&this->timer, on_timeout, CONNECT_TIMEOUT_MS, 0);
	this->link = link_open(this->loop, this->server, &link_events, this, &error);
	if (this->link == NULL)
		leave(this, error.message);
}

/* --- the door --- */

struct session *session_make(uv_loop_t *loop, const struct options *options, const struct session_abilities *abilities,
			     struct desired_store *store, const struct session_events *events)
{
	struct session *this = calloc(1, sizeof(*this));

	if (this == NULL)
		return NULL;
	this->loop = loop;
	this->options = options;
	this->abilities = *abilities;
	this->store = store;
	this->events = *events;
	this->backoff_ms = BACKOFF_FIRST_MS;
	state_machine_init(&this->machine, &table, AWAY);
	uv_timer_init(loop, &this->timer);
	this->timer.data = this;
	return this;
}

/* For the next hello. */
static void disks_keep(struct session *this, const struct observed_disk_list *disks)
{
	struct inventory_disk_list inventory;
	struct arena arena = ARENA_INIT;
	struct observed_disk *copies;

	copies = arena_alloc_array(&arena, disks->count, sizeof(*copies));
	if (copies == NULL || reported_inventory_make(disks, &arena, &inventory) != 0) {
		arena_free(&arena);
		return; /* the next pass tries again */
	}
	for (size_t i = 0; i < inventory.count; i++) {
		copies[i].path = inventory.items[i].path;
		copies[i].serial = inventory.items[i].serial;
		copies[i].size_bytes = inventory.items[i].size_bytes;
		copies[i].in_use = inventory.items[i].in_use;
		copies[i].used_by = inventory.items[i].used_by;
		copies[i].volatile_cache = inventory.items[i].volatile_cache;
		copies[i].cache_switchable = inventory.items[i].cache_switchable;
	}
	arena_free(&this->inventory_arena);
	this->inventory_arena = arena;
	this->disks = (struct observed_disk_list){ inventory.count, copies };
}

void session_start(struct session *this, const struct observed_disk_list *disks)
{
	disks_keep(this, disks);
	if (this->started)
		return;
	this->started = true;
	try_next(this);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

void session_report(struct session *this, const struct object_status_list *statuses,
		    const struct volume_health_list *health, const struct observed_disk_list *disks)
{
	const struct reported_news news = { statuses, health, disks, clock_boot_ms() };
	struct agent_report report, part;
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };

	disks_keep(this, disks);
	if (this->machine.state != OPEN)
		return;
	if (reported_update(&this->reported, &news, &arena, &report, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot report", &error);
		goto cleanup;
	}
	for (size_t at = 0, volumes_at = 0;
	     this->machine.state == OPEN &&
	     (at < report.objects.count || volumes_at < report.volumes.count || report.inventory.count > 0);
	     at += part.objects.count, volumes_at += part.volumes.count) {
		part = report;
		part.objects.items += at;
		part.objects.count = min_size(report.objects.count - at, REPORT_OBJECTS);
		part.volumes.items += volumes_at;
		part.volumes.count = min_size(report.volumes.count - volumes_at, REPORT_VOLUMES);
		send_report(this, &part);
		report.inventory.count = 0;
	}
	/* The leader forgets a removed object when it heard this; should it not hear it, its successor says again what
	 * was removed. */
	for (size_t i = 0; this->machine.state == OPEN && i < report.objects.count; i++) {
		const struct object_status *status = &report.objects.items[i];

		if (status->state == OBJECT_STATE_ABSENT)
			desired_store_forget_removed(this->store, status->kind, status->id, status->revision);
	}
cleanup:
	arena_free(&arena);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct session *this = handle->data;

	reported_reset(&this->reported);
	arena_free(&this->inventory_arena);
	free(this);
}

void session_close(struct session *this)
{
	if (this == NULL || this->closing)
		return;
	this->closing = true;
	link_close(this->link);
	this->link = NULL;
	uv_close((uv_handle_t *)&this->timer, on_timer_closed);
}

bool session_is_open(const struct session *this)
{
	return this->machine.state == OPEN;
}
