/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session against servers made here, which say exactly what a test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "agent/list.h"
#include "agent/session.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/codec.h"
#include "lib/wire/frame.h"
#include "lib/wire/rpc.h"
#include "tests/unit/test_agent_rig.h"

#define DEADLINE_MS 15000
#define PEERS_MAX 8

/* What a server does with agent.hello. */
enum greeting { WELCOME, REDIRECT, SILENCE };

struct fake_server;

struct peer {
	uv_tcp_t tcp;
	struct fake_server *server;
	struct buffer input;
	struct frame_scanner scanner;
	bool open;
};

struct fake_server {
	struct fixture *fixture;
	uv_tcp_t tcp;
	char address[32];
	enum greeting greeting;
	const char *leader; /* REDIRECT: where it is */
	uint64_t term;
	bool mute;			 /* answers no heartbeat */
	bool busy;			 /* it has more to say than it said */
	const struct fake_server *other; /* of which its heartbeats tell */
	struct peer peers[PEERS_MAX];
	size_t peer_count;
	unsigned hellos, heartbeats, reports, reported_objects;
	struct agent_hello hello;
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t deadline;
	struct arena arena;
	struct options options;
	struct desired_store *store;
	struct session *session;
	struct fake_server servers[2];
	struct rig_volume volume;
	unsigned desired_count, opened_count;
	uint64_t sent, answered, answers, heartbeat_ms, lease_ms; /* sequences, and what a leader said */
	bool behind;
	bool (*wanted)(struct fixture *fixture);
	bool reached;
};

static void look(struct fixture *fixture)
{
	if (fixture->wanted != NULL && !fixture->reached && fixture->wanted(fixture)) {
		fixture->reached = true;
		uv_stop(&fixture->loop);
	}
}

/* --- servers --- */

struct sending {
	uv_write_t write;
	struct buffer data;
};

static void on_written(uv_write_t *write, int status)
{
	struct sending *sending = (struct sending *)write;

	(void)status;
	buffer_free(&sending->data);
	free(sending);
}

static void peer_send(struct peer *peer, struct buffer *output)
{
	struct sending *sending = calloc(1, sizeof(*sending));
	uv_buf_t data;

	assert_non_null(sending);
	sending->data = *output;
	*output = (struct buffer)BUFFER_INIT;
	data = uv_buf_init((char *)sending->data.data, (unsigned)sending->data.size);
	assert_int_equal(uv_write(&sending->write, (uv_stream_t *)&peer->tcp, &data, 1, on_written), 0);
}

static void answer_hello(struct peer *peer, uint32_t msgid)
{
	struct fake_server *server = peer->server;
	struct agent_welcome welcome = {
		.cluster = RIG_CLUSTER, .term = server->term, .heartbeat_ms = 20, .lease_ms = 200
	};
	struct buffer output = BUFFER_INIT;
	struct error error = { 0 }, failure = { 0 };

	if (server->greeting == SILENCE)
		return;
	if (server->greeting == REDIRECT) {
		error_set(&failure, ERROR_UNAVAILABLE, "this server does not lead");
		error_detail(&failure, "leader=%s", server->leader);
		assert_int_equal(rpc_failure_encode(msgid, &failure, &output, &error), 0);
	} else {
		assert_int_equal(rpc_response_encode(msgid, schema_agent_welcome(), &welcome, &output, &error), 0);
	}
	peer_send(peer, &output);
}

static void answer_heartbeat(struct peer *peer, const struct rpc_message *message, struct arena *arena)
{
	struct agent_heartbeat heartbeat;
	struct agent_heartbeat_reply reply = { .term = peer->server->term, .behind = peer->server->busy };
	struct server servers[2] = {
		{ .id = 1, .raft_address = "127.0.0.1:1", .api_address = peer->server->address },
		{ .id = 2,
		  .raft_address = "127.0.0.1:2",
		  .api_address = peer->server->other != NULL ? peer->server->other->address : "" },
	};
	struct buffer output = BUFFER_INIT;
	struct error error = { 0 };

	assert_int_equal(codec_decode_value(schema_agent_heartbeat(), message->params, arena, &heartbeat, &error), 0);
	reply.sequence = heartbeat.sequence;
	if (peer->server->other != NULL)
		reply.servers = (struct server_list){ 2, servers };
	assert_int_equal(rpc_response_encode(message->msgid, schema_agent_heartbeat_reply(), &reply, &output, &error),
			 0);
	peer_send(peer, &output);
}

static void peer_frame(struct peer *peer, struct bytes frame)
{
	struct fake_server *server = peer->server;
	struct arena arena = ARENA_INIT;
	struct rpc_message message;
	struct agent_report report;
	struct error error = { 0 };
	int known;

	assert_int_equal(rpc_message_open(frame, &arena, &message, &known, &error), 0);
	if (strcmp(message.method, "agent.hello") == 0) {
		server->hellos++;
		assert_int_equal(codec_decode_value(schema_agent_hello(), message.params, &server->fixture->arena,
						    &server->hello, &error),
				 0);
		answer_hello(peer, message.msgid);
	} else if (strcmp(message.method, "agent.heartbeat") == 0) {
		server->heartbeats++;
		if (!server->mute)
			answer_heartbeat(peer, &message, &arena);
	} else {
		assert_string_equal(message.method, "agent.report");
		assert_int_equal(codec_decode_value(schema_agent_report(), message.params, &arena, &report, &error), 0);
		server->reports++;
		server->reported_objects += (unsigned)report.objects.count;
	}
	arena_free(&arena);
	look(server->fixture);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	static char scratch[65536];

	(void)handle;
	(void)suggested;
	*ret = uv_buf_init(scratch, sizeof(scratch));
}

static void peer_close(struct peer *peer)
{
	if (peer->open)
		uv_close((uv_handle_t *)&peer->tcp, NULL);
	peer->open = false;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *data)
{
	struct peer *peer = stream->data;
	const uint8_t *at = (const uint8_t *)data->base;
	struct error error = { 0 };

	if (size < 0) {
		peer_close(peer);
		return;
	}
	while (size > 0) {
		size_t used;
		int complete;

		assert_int_equal(frame_scanner_feed(&peer->scanner, at, (size_t)size, &used, &complete, &error), 0);
		assert_int_equal(buffer_append(&peer->input, at, used), 0);
		at += used;
		size -= (ssize_t)used;
		if (!complete)
			continue;
		peer_frame(peer, buffer_bytes(&peer->input));
		buffer_clear(&peer->input);
	}
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct fake_server *server = stream->data;
	struct peer *peer = &server->peers[server->peer_count++];

	assert_int_equal(status, 0);
	assert_true(server->peer_count <= PEERS_MAX);
	peer->server = server;
	frame_scanner_init(&peer->scanner, LIMIT_FRAME_PEER_BYTES);
	uv_tcp_init(stream->loop, &peer->tcp);
	peer->tcp.data = peer;
	assert_int_equal(uv_accept(stream, (uv_stream_t *)&peer->tcp), 0);
	peer->open = true;
	uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read);
}

static void server_open(struct fixture *fixture, struct fake_server *server)
{
	struct sockaddr_in address;
	int length = sizeof(address);

	server->fixture = fixture;
	server->term = 5;
	uv_tcp_init(&fixture->loop, &server->tcp);
	server->tcp.data = server;
	uv_ip4_addr("127.0.0.1", 0, &address);
	assert_int_equal(uv_tcp_bind(&server->tcp, (struct sockaddr *)&address, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&server->tcp, 8, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&server->tcp, (struct sockaddr *)&address, &length), 0);
	snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(address.sin_port));
}

/* The latest connection that is open. */
static struct peer *server_peer(struct fake_server *server)
{
	for (size_t i = server->peer_count; i-- > 0;) {
		if (server->peers[i].open)
			return &server->peers[i];
	}
	fail_msg("nobody is connected");
	return NULL;
}

static void server_push(struct fake_server *server, const struct desired *part)
{
	struct buffer output = BUFFER_INIT;
	struct error error = { 0 };

	assert_int_equal(rpc_notification_encode("agent.desired", schema_desired(), part, &output, &error), 0);
	peer_send(server_peer(server), &output);
}

/* --- the fixture --- */

static void on_desired(void *data)
{
	struct fixture *fixture = data;

	fixture->desired_count++;
	look(fixture);
}

static void on_opened(void *data)
{
	struct fixture *fixture = data;

	fixture->opened_count++;
	look(fixture);
}

static void on_welcomed(void *data, uint64_t heartbeat_ms, uint64_t lease_ms)
{
	struct fixture *fixture = data;

	fixture->heartbeat_ms = heartbeat_ms;
	fixture->lease_ms = lease_ms;
}

static void on_sent(void *data, uint64_t sequence, uint64_t now_ms)
{
	struct fixture *fixture = data;

	assert_in_range(now_ms, clock_boot_ms() - DEADLINE_MS, clock_boot_ms());
	assert_int_equal(sequence, fixture->sent + 1); /* over all sessions */
	fixture->sent = sequence;
}

static void on_answered(void *data, uint64_t sequence, bool behind)
{
	struct fixture *fixture = data;

	assert_in_range(sequence, fixture->answered + 1, fixture->sent);
	fixture->answered = sequence;
	fixture->answers++;
	fixture->behind = behind;
	look(fixture);
}

static void on_deadline(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct session_events events = {
		.desired = on_desired,
		.opened = on_opened,
		.data = fixture,
		.welcomed = on_welcomed,
		.sent = on_sent,
		.answered = on_answered,
	};

	assert_non_null(fixture);
	fixture->volume = rig_volume_default();
	uv_loop_init(&fixture->loop);
	uv_timer_init(&fixture->loop, &fixture->deadline);
	fixture->options.node = "dn1";
	fixture->options.address = "10.0.1.1";
	fixture->options.port = 4420;
	fixture->store = desired_store_make();
	for (size_t i = 0; i < 2; i++) {
		server_open(fixture, &fixture->servers[i]);
		assert_int_equal(
			list_push_string(&fixture->arena, &fixture->options.servers, fixture->servers[i].address), 0);
	}
	fixture->session =
		session_make(&fixture->loop, &fixture->options,
			     &(struct session_abilities){ .writethrough = true, .grows = true, .snapshots = true },
			     fixture->store, &events);
	assert_non_null(fixture->session);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	session_close(fixture->session);
	uv_close((uv_handle_t *)&fixture->deadline, NULL);
	for (size_t i = 0; i < 2; i++) {
		uv_close((uv_handle_t *)&fixture->servers[i].tcp, NULL);
		for (size_t j = 0; j < fixture->servers[i].peer_count; j++)
			peer_close(&fixture->servers[i].peers[j]);
	}
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < fixture->servers[i].peer_count; j++)
			buffer_free(&fixture->servers[i].peers[j].input);
	}
	desired_store_free(fixture->store);
	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

static void run_until(struct fixture *fixture, bool (*wanted)(struct fixture *fixture))
{
	fixture->wanted = wanted;
	fixture->reached = false;
	uv_timer_start(&fixture->deadline, on_deadline, DEADLINE_MS, 0);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&fixture->deadline);
	fixture->wanted = NULL;
	assert_true(fixture->reached);
}

static void start(struct fixture *fixture)
{
	struct observed_disk disk = { .path = "/dev/vdb", .size_bytes = UINT64_C(4) << 30, .serial = "s1" };
	struct observed_disk_list disks = { 1, &disk };

	session_start(fixture->session, &disks);
}

static bool is_open_once(struct fixture *fixture)
{
	return fixture->opened_count == 1;
}

static bool is_open_twice(struct fixture *fixture)
{
	return fixture->opened_count == 2;
}

static bool has_heartbeats(struct fixture *fixture)
{
	return fixture->servers[0].heartbeats >= 5;
}

static bool has_desired_once(struct fixture *fixture)
{
	return fixture->desired_count == 1;
}

static bool has_desired_twice(struct fixture *fixture)
{
	return fixture->desired_count == 2;
}

static bool second_has_reports(struct fixture *fixture)
{
	return fixture->servers[1].reported_objects >= 1;
}

static bool first_has_reports(struct fixture *fixture)
{
	return fixture->servers[0].reported_objects >= 1;
}

static bool was_greeted_twice(struct fixture *fixture)
{
	return fixture->servers[0].hellos + fixture->servers[1].hellos >= 2;
}

/* --- tests --- */

static const struct volume_health_list no_health;

static void test_hello_and_heartbeats(void **state)
{
	struct fixture *f = *state;

	start(f);
	run_until(f, has_heartbeats);
	assert_true(session_is_open(f->session));
	assert_string_equal(f->servers[0].hello.node, "dn1");
	assert_int_equal(f->servers[0].hello.inventory.count, 1);
	assert_string_equal(f->servers[0].hello.inventory.items[0].serial, "s1");
	assert_int_equal(f->servers[1].hellos, 0);
}

static bool has_answers(struct fixture *fixture)
{
	return fixture->answers >= 5;
}

static void test_answers_renew(void **state)
{
	struct fixture *f = *state;

	start(f);
	run_until(f, has_answers);
	assert_int_equal(f->heartbeat_ms, 20);
	assert_int_equal(f->lease_ms, 200);
	assert_false(f->behind);
	f->servers[0].busy = f->servers[1].busy = true;
	/* Another session counts on: no answer of it is taken for one of the first. */
	peer_close(server_peer(&f->servers[0]));
	run_until(f, is_open_twice);
	f->answers = 0;
	run_until(f, has_answers);
	assert_true(f->behind);
}

static void test_answer_of_a_lower_term_renews_nothing(void **state)
{
	struct fixture *f = *state;

	start(f);
	run_until(f, is_open_once);
	/* A leader of the past answers what it was sent. */
	f->servers[0].term = 4;
	f->servers[1].mute = true;
	f->answers = 0;
	run_until(f, is_open_twice);
	assert_int_equal(f->answers, 0);
}

static void test_redirect(void **state)
{
	struct fixture *f = *state;

	f->servers[0].greeting = REDIRECT;
	f->servers[0].leader = f->servers[1].address;
	start(f);
	run_until(f, is_open_once);
	assert_int_equal(f->servers[0].hellos, 1);
	assert_int_equal(f->servers[1].hellos, 1);
}

static void test_redirect_in_a_circle(void **state)
{
	struct fixture *f = *state;

	f->servers[0].greeting = f->servers[1].greeting = REDIRECT;
	f->servers[0].leader = f->servers[1].address;
	f->servers[1].leader = f->servers[0].address;
	start(f);
	run_until(f, was_greeted_twice);
	/* It does not spin: later on there is a leader again, and it is found. */
	f->servers[1].greeting = WELCOME;
	run_until(f, is_open_once);
	assert_true(f->servers[0].hellos + f->servers[1].hellos < PEERS_MAX);
}

static void test_desired_in_parts(void **state)
{
	struct fixture *f = *state;
	struct desired whole = rig_desired_disk(&f->arena, &f->volume, 1), part = whole;

	start(f);
	run_until(f, is_open_once);
	part.term = whole.term = 5;
	part.complete = false;
	part.exports.count = 0;
	server_push(&f->servers[0], &part);
	part = whole;
	part.reset = false;
	server_push(&f->servers[0], &part);
	run_until(f, has_desired_once);
	assert_true(desired_store_is_complete(f->store));
	/* A new leader: the state stays until a whole one came, and a change alone is not taken. */
	peer_close(server_peer(&f->servers[0]));
	run_until(f, is_open_twice);
	assert_true(desired_store_is_complete(f->store));
	assert_int_equal(f->servers[1].hellos, 1);
	server_push(&f->servers[1], &part);
	f->opened_count = 1;
	run_until(f, is_open_twice);
	assert_int_equal(f->desired_count, 1);
	server_push(f->servers[0].hellos == 2 ? &f->servers[0] : &f->servers[1], &whole);
	run_until(f, has_desired_twice);
}

static void test_lower_term_is_refused(void **state)
{
	struct fixture *f = *state;
	struct desired whole = rig_desired_disk(&f->arena, &f->volume, 1);

	start(f);
	run_until(f, is_open_once);
	/* In a push, */
	whole.term = 4;
	server_push(&f->servers[0], &whole);
	run_until(f, is_open_twice);
	assert_int_equal(f->desired_count, 0);
	assert_false(desired_store_is_complete(f->store));
	/* and in a greeting: the first server is of the past now, only the other one is taken. */
	f->servers[0].term = 3;
	f->servers[1].term = 6;
	peer_close(server_peer(&f->servers[1]));
	f->opened_count = 1;
	run_until(f, is_open_twice);
	assert_int_equal(f->servers[0].hellos, 2);
	assert_int_equal(f->servers[1].hellos, 2);
}

/* A server that stopped accepts connections all the same: the others come first. */
static void test_silent_server_is_not_asked_next(void **state)
{
	struct fixture *f = *state;

	f->servers[0].greeting = REDIRECT;
	f->servers[0].leader = f->servers[1].address;
	start(f);
	run_until(f, is_open_once);
	assert_int_equal(f->servers[1].hellos, 1);
	f->servers[1].mute = true;
	f->servers[1].greeting = SILENCE;
	f->servers[0].greeting = WELCOME;
	run_until(f, is_open_twice);
	assert_int_equal(f->servers[0].hellos, 2);
	assert_int_equal(f->servers[1].hellos, 1);
}

/* The only server that it was started with is gone; of the other one it heard meanwhile. */
static void test_servers_that_a_leader_told_of(void **state)
{
	struct fixture *f = *state;

	f->options.servers.count = 1;
	f->servers[0].other = &f->servers[1];
	start(f);
	run_until(f, is_open_once);
	run_until(f, has_answers);
	f->servers[0].mute = true;
	f->servers[0].greeting = SILENCE;
	run_until(f, is_open_twice);
	assert_int_equal(f->servers[1].hellos, 1);
}

static void test_silence_ends_it(void **state)
{
	struct fixture *f = *state;

	f->servers[0].mute = true;
	start(f);
	run_until(f, is_open_once);
	run_until(f, is_open_twice);
	assert_int_equal(f->servers[1].hellos, 1);
	assert_true(f->servers[0].heartbeats > 10);
}

static void test_report_begins_anew(void **state)
{
	struct fixture *f = *state;
	struct object_status item = {
		.kind = OBJECT_KIND_DISK, .id = "d1", .revision = 3, .state = OBJECT_STATE_CONVERGED
	};
	struct object_status_list statuses = { 1, &item };
	struct observed_disk_list disks = { 0 };

	start(f);
	run_until(f, is_open_once);
	session_report(f->session, &statuses, &no_health, &disks);
	session_report(f->session, &statuses, &no_health, &disks);
	run_until(f, first_has_reports);
	assert_int_equal(f->servers[0].reported_objects, 1);
	peer_close(server_peer(&f->servers[0]));
	run_until(f, is_open_twice);
	session_report(f->session, &statuses, &no_health, &disks);
	run_until(f, second_has_reports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hello_and_heartbeats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_renew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_of_a_lower_term_renews_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_redirect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_redirect_in_a_circle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_desired_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lower_term_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_servers_that_a_leader_told_of, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_server_is_not_asked_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_report_begins_anew, setup, teardown),
	};

	log_open("test_agent_session", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
