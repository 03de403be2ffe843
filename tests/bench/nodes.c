/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *	bench_nodes NODES SERVER…
 *
 * Speaks for node1, node2 and so on of tests/bench/rack.h, until its standard input ends. That takes one word a line:
 *
 *	stop NODE	it falls silent, and stays so
 *	beats		tells of the heartbeats that were answered since the last time
 *
 * What it tells is one JSON object a line; "at" is in seconds of the monotonic clock:
 *
 *	{"event": "lost", ...}		the first node lost its session after all of them were there
 *	{"event": "there", ...}		each node that is not stopped has a session, took in all that is wanted, and has
 *					reported on it
 *	{"event": "stopped", ...}, {"event": "beats", ...}	the answers
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "agent/link.h"
#include "lib/base/clock.h"
#include "lib/wire/codec.h"
#include "lib/wire/methods.h"
#include "lib/wire/rpc.h"
#include "tests/bench/nodes.h"
#include "tests/bench/rack.h"

/* As agent/session.c has them. */
#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS 1000u
#define GREETING_TIMEOUT_MS 1500u
#define SILENCE_MS 1250u
#define REPORT_OBJECTS 1000u
#define REPORT_VOLUMES 100u
#define HELLO_ID 1u

#define LINE_SIZE 256u

enum node_state { NODE_AWAY, NODE_GREETING, NODE_OPEN, NODE_STOPPED };

struct nodes;

struct speaker {
	struct nodes *all;
	struct rack_node is;
	enum node_state state;
	struct link *link;
	uv_timer_t timer; /* AWAY: try again; GREETING: give up; OPEN: heartbeat */
	size_t server;	  /* the next one to ask */
	char redirect[LIMIT_ADDRESS + 1];
	uint64_t backoff_ms, term, sequence, beat_ns;
	uint32_t msgid;
	bool there;
	struct nodes_news news;
};

struct nodes {
	uv_loop_t loop;
	const char *const *servers;
	size_t server_count, count, stopped, there;
	struct speaker *items;
	bool all_there;
	uint64_t term, beats, behind, beat_sum_ns, beat_max_ns;
	uv_pipe_t input;
	char line[LINE_SIZE], chunk[LINE_SIZE];
	size_t line_size;
};

static void node_try(struct speaker *node);

static void must(int rv, const char *what)
{
	if (rv == 0)
		return;
	fprintf(stderr, "bench_nodes: %s\n", what);
	exit(EXIT_FAILURE);
}

static double now_s(void)
{
	return (double)uv_hrtime() / 1e9;
}

/* --- whether all are there ---------------------------------------------------------------------------------------- */

static void there_look(struct nodes *all)
{
	bool all_there = all->there + all->stopped == all->count;

	if (all_there == all->all_there)
		return;
	all->all_there = all_there;
	printf("{\"event\": \"%s\", \"at\": %.6f, \"term\": %" PRIu64 ", \"nodes\": %zu}\n",
	       all_there ? "there" : "lost", now_s(), all->term, all->there);
	fflush(stdout);
}

static void there_set(struct speaker *node, bool there)
{
	if (node->there == there)
		return;
	node->there = there;
	node->all->there += there ? 1 : (size_t)-1;
	there_look(node->all);
}

/* --- a session ---------------------------------------------------------------------------------------------------- */

static void on_again(uv_timer_t *timer)
{
	node_try(timer->data);
}

static void node_leave(struct speaker *node)
{
	uint8_t jitter;
	uint64_t delay_ms;

	if (node->state == NODE_AWAY || node->state == NODE_STOPPED)
		return;
	node->state = NODE_AWAY;
	link_close(node->link);
	node->link = NULL;
	nodes_news_clear(&node->news);
	there_set(node, false);
	if (node->redirect[0] != '\0') {
		node_try(node);
		return;
	}
	random_bytes(&jitter, sizeof(jitter));
	delay_ms = node->backoff_ms / 2 + node->backoff_ms * jitter / 512;
	node->backoff_ms = node->backoff_ms * 2 < BACKOFF_MAX_MS ? node->backoff_ms * 2 : BACKOFF_MAX_MS;
	uv_timer_start(&node->timer, on_again, delay_ms, 0);
}

static void on_timeout(uv_timer_t *timer)
{
	node_leave(timer->data);
}

static void node_send(struct speaker *node, struct buffer *output)
{
	struct error error;

	if (link_send(node->link, output, &error) != 0)
		node_leave(node);
	buffer_free(output);
}

static void hello_send(struct speaker *node)
{
	struct label rack = { "rack", node->is.rack };
	struct agent_hello hello = { .node = node->is.name,
				     .address = node->is.address,
				     .port = RACK_PORT,
				     .version = RACK_VERSION,
				     .labels = { 1, &rack },
				     .protocol = PROTOCOL_VERSION };
	struct inventory_disk disks[RACK_DISKS] = { 0 };
	struct buffer output = BUFFER_INIT;
	char paths[RACK_DISKS][16];
	struct error error;

	for (unsigned i = 0; i < RACK_DISKS; i++) {
		rack_disk_path(i, paths[i]);
		disks[i].path = paths[i];
		disks[i].size_bytes = RACK_DISK_BYTES;
	}
	hello.inventory = (struct inventory_disk_list){ RACK_DISKS, disks };
	memcpy(hello.boot_id, node->is.boot_id, sizeof(hello.boot_id));
	must(rpc_request_encode(HELLO_ID, "agent.hello", schema_agent_hello(), &hello, &output, &error), error.message);
	node_send(node, &output);
}

static void on_heartbeat(uv_timer_t *timer)
{
	struct speaker *node = timer->data;
	struct agent_heartbeat heartbeat = { .sequence = ++node->sequence, .sent_ms = clock_boot_ms() };
	struct buffer output = BUFFER_INIT;
	struct error error;

	if (uv_now(&node->all->loop) - link_heard_ms(node->link) > SILENCE_MS) {
		node_leave(node);
		return;
	}
	if (++node->msgid <= HELLO_ID)
		node->msgid = HELLO_ID + 1;
	node->beat_ns = uv_hrtime();
	must(rpc_request_encode(node->msgid, "agent.heartbeat", schema_agent_heartbeat(), &heartbeat, &output, &error),
	     error.message);
	node_send(node, &output);
}

/* A refusal names the leader, if the server knows one. */
static void refusal_take(struct speaker *node, const struct error *failure)
{
	const char *at = strstr(failure->details, "leader=");
	size_t length = at != NULL ? strcspn(at + strlen("leader="), "\n ") : 0;

	if (length > 0 && length <= LIMIT_ADDRESS)
		snprintf(node->redirect, sizeof(node->redirect), "%.*s", (int)length, at + strlen("leader="));
	node_leave(node);
}

static bool term_take(struct speaker *node, uint64_t term)
{
	if (term < node->term) {
		node_leave(node);
		return false;
	}
	node->term = term;
	if (term > node->all->term)
		node->all->term = term;
	return true;
}

static void welcome_take(struct speaker *node, const struct rpc_message *message, struct arena *arena)
{
	struct agent_welcome welcome;
	struct error error;

	must(codec_decode(schema_agent_welcome(), message->result, arena, &welcome, &error), error.message);
	if (!term_take(node, welcome.term))
		return;
	node->state = NODE_OPEN;
	node->backoff_ms = BACKOFF_FIRST_MS;
	uv_timer_start(&node->timer, on_heartbeat, 0, welcome.heartbeat_ms);
}

static void beat_take(struct speaker *node, const struct rpc_message *message, struct arena *arena)
{
	struct agent_heartbeat_reply reply;
	uint64_t took_ns = uv_hrtime() - node->beat_ns;
	struct error error;

	must(codec_decode(schema_agent_heartbeat_reply(), message->result, arena, &reply, &error), error.message);
	if (!term_take(node, reply.term))
		return;
	node->all->beats++;
	node->all->behind += reply.behind;
	node->all->beat_sum_ns += took_ns;
	if (took_ns > node->all->beat_max_ns)
		node->all->beat_max_ns = took_ns;
}

static void report_send(struct speaker *node)
{
	struct nodes_news *news = &node->news;
	struct buffer output = BUFFER_INIT;
	struct error error;

	for (size_t at = 0, volume = 0; at < news->objects.count || volume < news->volumes.count;) {
		struct agent_report report = { .objects = { news->objects.count - at, news->objects.items + at },
					       .volumes = { news->volumes.count - volume,
							    news->volumes.items + volume } };

		if (report.objects.count > REPORT_OBJECTS)
			report.objects.count = REPORT_OBJECTS;
		if (report.volumes.count > REPORT_VOLUMES)
			report.volumes.count = REPORT_VOLUMES;
		at += report.objects.count;
		volume += report.volumes.count;
		must(rpc_notification_encode("agent.report", schema_agent_report(), &report, &output, &error),
		     error.message);
	}
	nodes_news_clear(news);
	if (output.size > 0)
		node_send(node, &output);
}

static void desired_take(struct speaker *node, const struct rpc_message *message, struct arena *arena)
{
	struct desired part;
	struct error error;

	must(codec_decode(schema_desired(), message->params, arena, &part, &error), error.message);
	if (!term_take(node, part.term))
		return;
	must(nodes_kernel_make(&part, &node->news), "out of memory");
	if (!part.complete)
		return;
	report_send(node);
	/* The first that comes in a session is the whole. */
	if (node->state == NODE_OPEN)
		there_set(node, true);
}

static void on_frame(void *data, struct bytes frame)
{
	struct speaker *node = data;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct error error;
	int known;

	if (node->state == NODE_STOPPED)
		return;
	must(rpc_message_open(frame, &arena, &message, &known, &error), error.message);
	if (message.type == RPC_NOTIFICATION && strcmp(message.method, "agent.desired") == 0)
		desired_take(node, &message, &arena);
	else if (message.type == RPC_RESPONSE && rpc_failure_decode(message.failure, &error) != 0)
		refusal_take(node, &error);
	else if (message.type == RPC_RESPONSE && node->state == NODE_GREETING)
		welcome_take(node, &message, &arena);
	else if (message.type == RPC_RESPONSE)
		beat_take(node, &message, &arena);
	arena_free(&arena);
}

static void on_opened(void *data)
{
	hello_send(data);
}

static void on_ended(void *data, const struct error *error)
{
	(void)error;
	node_leave(data);
}

static const struct link_events link_events = { on_opened, on_frame, on_ended };

static void node_try(struct speaker *node)
{
	struct nodes *all = node->all;
	char address[LIMIT_ADDRESS + 1];
	struct error error;

	snprintf(address, sizeof(address), "%s",
		 node->redirect[0] != '\0' ? node->redirect : all->servers[node->server++ % all->server_count]);
	node->redirect[0] = '\0';
	node->state = NODE_GREETING;
	uv_timer_start(&node->timer, on_timeout, GREETING_TIMEOUT_MS, 0);
	node->link = link_open(&all->loop, address, &link_events, node, &error);
	if (node->link == NULL)
		node_leave(node);
}

/* --- what it is told ---------------------------------------------------------------------------------------------- */

static void node_stop(struct nodes *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++) {
		struct speaker *node = &all->items[i];

		if (strcmp(node->is.name, name) != 0 || node->state == NODE_STOPPED)
			continue;
		node->state = NODE_STOPPED;
		uv_timer_stop(&node->timer);
		/* A machine without power closes nothing; what the leader counts is the silence. */
		all->stopped++;
		there_set(node, false);
		printf("{\"event\": \"stopped\", \"at\": %.6f, \"node\": \"%s\"}\n", now_s(), name);
		fflush(stdout);
	}
}

static void beats_tell(struct nodes *all)
{
	printf("{\"event\": \"beats\", \"at\": %.6f, \"count\": %" PRIu64 ", \"behind\": %" PRIu64
	       ", \"mean_ms\": %.3f, \"max_ms\": %.3f}\n",
	       now_s(), all->beats, all->behind,
	       all->beats > 0 ? (double)all->beat_sum_ns / (double)all->beats / 1e6 : 0,
	       (double)all->beat_max_ns / 1e6);
	fflush(stdout);
	all->beats = all->behind = all->beat_sum_ns = all->beat_max_ns = 0;
}

static void line_take(struct nodes *all, const char *line)
{
	if (strncmp(line, "stop ", 5) == 0)
		node_stop(all, line + 5);
	else if (strcmp(line, "beats") == 0)
		beats_tell(all);
	else
		must(-1, "what is that?");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct nodes *all = handle->data;

	(void)suggested;
	*ret = uv_buf_init(all->chunk, sizeof(all->chunk));
}

static void on_input(uv_stream_t *stream, ssize_t size, const uv_buf_t *data)
{
	struct nodes *all = stream->data;

	if (size < 0)
		exit(EXIT_SUCCESS);
	for (ssize_t i = 0; i < size; i++) {
		if (data->base[i] != '\n') {
			must(all->line_size + 1 < LINE_SIZE ? 0 : -1, "a line is too long");
			all->line[all->line_size++] = data->base[i];
			continue;
		}
		all->line[all->line_size] = '\0';
		all->line_size = 0;
		line_take(all, all->line);
	}
}

int main(int argument_count, char **arguments)
{
	struct nodes all = { .there = 0 };

	all.count = argument_count > 2 ? strtoul(arguments[1], NULL, 10) : 0;
	if (all.count < 1 || all.count > RACK_NODES_MAX) {
		fprintf(stderr, "usage: bench_nodes NODES SERVER…\nNODES is a number from 1 to %u\n", RACK_NODES_MAX);
		return 2;
	}
	all.servers = (const char *const *)arguments + 2;
	all.server_count = (size_t)argument_count - 2;
	all.items = calloc(all.count, sizeof(*all.items));
	must(all.items != NULL ? 0 : -1, "out of memory");
	must(uv_loop_init(&all.loop), "cannot make the event loop");
	must(uv_pipe_init(&all.loop, &all.input, 0), "standard input");
	must(uv_pipe_open(&all.input, 0), "standard input");
	all.input.data = &all;
	must(uv_read_start((uv_stream_t *)&all.input, on_alloc, on_input), "standard input");
	for (size_t i = 0; i < all.count; i++) {
		struct speaker *node = &all.items[i];

		node->all = &all;
		rack_node_make((unsigned)i + 1, &node->is);
		node->backoff_ms = BACKOFF_FIRST_MS;
		node->server = i;
		uv_timer_init(&all.loop, &node->timer);
		node->timer.data = node;
		node_try(node);
	}
	uv_run(&all.loop, UV_RUN_DEFAULT);
	return 0;
}
