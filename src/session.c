/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/request.h"

#define BACKLOG 4096
/* Taken in a turn of the loop, all listeners together. */
#define ACCEPTS 64u
/* Above this much unread output a session's requests wait in its socket. */
#define OUTPUT_MARK_BYTES (1u << 20)
#define REFUSED_LOG_MS 1000u
/* Connections that were refused and have not ended. */
#define REFUSED_MAX (LIMIT_DESCRIPTORS_KEPT / 2)

static struct session *session_of(struct connection *connection)
{
	return list_entry(connection, struct session, connection);
}

/* --- input ------------------------------------------------------------------------------------------------ */

bool session_is_full(const struct session *session)
{
	return session->request_count >= LIMIT_SESSION_REQUESTS ||
	       connection_output_bytes(&session->connection) > OUTPUT_MARK_BYTES;
}

/* The connection of an agent; the others are read no further by themselves (fair.c). */
static void pause_if_full(struct session *session)
{
	if (!session->ending && session->kind == SESSION_AGENT && session_is_full(session))
		connection_pause(&session->connection);
}

static struct session *largest_client(struct dnvmed *dnvmed)
{
	struct session *largest = NULL;

	list_for_each(node, next, &dnvmed->sessions)
	{
		struct session *session = list_entry(node, struct session, link);

		if (session->kind == SESSION_CLIENT && !session->ending &&
		    (largest == NULL || session->held_bytes > largest->held_bytes))
			largest = session;
	}
	return largest;
}

/* Why a connection ends that did nothing wrong; there may be no request to answer. */
static void say_refused(struct session *session, const char *message, const char *hint)
{
	struct rpc_error refusal = { .code = error_code_name(ERROR_UNAVAILABLE), .message = message, .hint = hint };

	/* Without memory for the reason the connection just ends. */
	(void)rpc_notification_encode("server.refused", schema_rpc_error(), &refusal, session_output(session), NULL);
	connection_flush(&session->connection);
}

/* What clients let this server hold is bounded; whoever has most of it goes. */
static void account(struct session *session)
{
	struct dnvmed *dnvmed = session->dnvmed;
	size_t held = 0;

	if (session->kind == SESSION_CLIENT && !session->ending)
		held = sizeof(*session) + connection_held_bytes(&session->connection) + session->request_bytes;
	dnvmed->held_bytes += held;
	dnvmed->held_bytes -= session->held_bytes;
	session->held_bytes = held;
	while (dnvmed->held_bytes > LIMIT_CLIENTS_BYTES && (session = largest_client(dnvmed)) != NULL) {
		say_refused(session,
			    "clients have more requests and unread answers here than the server holds, this one most",
			    "send fewer requests at a time, and read their answers");
		session_close(session, "holds most of the memory for clients, and there is no more");
	}
}

static void on_frame(struct connection *connection, struct bytes frame)
{
	struct session *session = session_of(connection);

	if (session->ending)
		return;
	request_receive(session, frame);
	pause_if_full(session);
	account(session);
}

static void on_arrived(struct connection *connection)
{
	struct session *session = session_of(connection);

	account(session);
	fair_session_look(session);
}

/* The msgid of a request whose frame is not complete: [0, msgid, …. Returns 0 or -1. */
static int msgid_sniff(struct bytes seen, uint32_t *ret_msgid)
{
	const uint8_t *data = seen.data;
	uint32_t msgid = 0;
	size_t width;

	if (seen.size < 3 || data[0] != 0x94 || data[1] != RPC_REQUEST)
		return -1;
	if (data[2] < 0x80) {
		*ret_msgid = data[2];
		return 0;
	}
	width = data[2] == 0xcc ? 1 : data[2] == 0xcd ? 2 : data[2] == 0xce ? 4 : 0;
	if (width == 0 || seen.size < 3 + width)
		return -1;
	for (size_t i = 0; i < width; i++)
		msgid = msgid << 8 | data[3 + i];
	*ret_msgid = msgid;
	return 0;
}

static void on_bad(struct connection *connection, struct bytes seen, const struct error *failure)
{
	struct session *session = session_of(connection);
	uint32_t msgid;

	if (msgid_sniff(seen, &msgid) == 0 && rpc_failure_encode(msgid, failure, session_output(session), NULL) == 0)
		connection_flush(connection);
	session_finish(session, failure->message);
}

static void on_ended(struct connection *connection, const struct error *failure)
{
	struct session *session = session_of(connection);

	session_close(session, failure != NULL					? failure->message
			       : frame_scanner_is_partial(&connection->scanner) ? "ended within a frame"
										: "ended by the other side");
}

static void on_progress(struct connection *connection)
{
	session_touch(session_of(connection));
}

static void on_closed(struct connection *connection)
{
	struct session *session = session_of(connection);

	session->dnvmed->session_count--;
	list_remove(&session->link);
	list_remove(&session->touched_link);
	free(session);
}

static const struct connection_events session_events = {
	.frame = on_frame,
	.bad = on_bad,
	.ended = on_ended,
	.arrived = on_arrived,
	.progress = on_progress,
	.closed = on_closed,
};

/* --- accepting -------------------------------------------------------------------------------------------- */

/* Also where it comes from, for fair.c. */
static void name_tcp(struct session *session, char ret_source[FAIR_SOURCE_NAME])
{
	struct sockaddr_in address = { 0 };
	int size = sizeof(address);
	char text[64] = "?";

	if (uv_tcp_getpeername(&session->connection.tcp, (struct sockaddr *)&address, &size) == 0)
		uv_ip4_name(&address, text, sizeof(text));
	snprintf(session->name, sizeof(session->name), "tcp:%s:%u", text, ntohs(address.sin_port));
	snprintf(ret_source, FAIR_SOURCE_NAME, "%.*s", (int)FAIR_SOURCE_NAME - 1, text);
}

static bool log_refused(struct dnvmed *dnvmed)
{
	uint64_t now = uv_now(&dnvmed->loop);

	if (now - dnvmed->refused_ms <= REFUSED_LOG_MS)
		return false;
	dnvmed->refused_ms = now;
	return true;
}

/* One too many. Each address may have its share: whoever has most of them loses one, and it is the newcomer that is
 * refused only if that is where it comes from. So an agent finds a place, however many others came before. */
static void make_room(struct session *session)
{
	struct dnvmed *dnvmed = session->dnvmed;
	struct session *yields = fair_session_yields(dnvmed, session);

	if (log_refused(dnvmed))
		log_warning("refused a connection: too many", "peer=%s limit=%zu",
			    yields != NULL ? yields->name : session->name, dnvmed->sessions_max);
	if (yields != NULL) {
		say_refused(yields, "the server needs room for connections of others; your address has most of them",
			    "open fewer connections, or ask another server");
		session_close(yields, NULL);
		return;
	}
	say_refused(session, "the server has as many connections as it takes, and your address has most of them",
		    "open fewer connections, or ask another server");
	/* Its last word is waited for, unless there are too many of those, too. */
	if (dnvmed->session_count > dnvmed->sessions_max + REFUSED_MAX)
		session_close(session, NULL);
	else
		session_finish(session, NULL);
}

static void again_later(struct dnvmed *dnvmed, const uv_stream_t *listener)
{
	if (listener->type == UV_TCP)
		dnvmed->tcp_again = true;
	else
		dnvmed->unix_again = true;
}

static struct session *session_make(struct dnvmed *dnvmed, const uv_stream_t *listener)
{
	struct session *session = calloc(1, sizeof(*session));
	int rv;

	if (session == NULL)
		return NULL;
	session->dnvmed = dnvmed;
	list_init(&session->requests);
	list_init(&session->link);
	list_init(&session->touched_link);
	if (listener->type == UV_TCP)
		rv = connection_init_tcp(&session->connection, &dnvmed->loop, &session_events, dnvmed->scratch,
					 LIMIT_FRAME_CLIENT_BYTES);
	else
		rv = connection_init_pipe(&session->connection, &dnvmed->loop, &session_events, dnvmed->scratch,
					  LIMIT_FRAME_CLIENT_BYTES);
	if (rv != 0) {
		free(session);
		return NULL;
	}
	connection_pull_set(&session->connection, true);
	return session;
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct dnvmed *dnvmed = listener->data;
	char source[FAIR_SOURCE_NAME] = "unix";
	struct session *session;
	int rv;

	if (status < 0) {
		log_warning("cannot take a connection", "reason=\"%s\"", uv_strerror(status));
		return;
	}
	/* libuv asks nobody again until this one was accepted: the next turn does, or the tick. */
	if (dnvmed->accepts >= ACCEPTS) {
		again_later(dnvmed, listener);
		return;
	}
	session = session_make(dnvmed, listener);
	if (session == NULL) {
		log_warning("cannot take a connection: out of memory", NULL);
		again_later(dnvmed, listener);
		return;
	}
	dnvmed->accepts++;
	dnvmed->session_count++;
	list_append(&dnvmed->sessions, &session->link);
	snprintf(session->name, sizeof(session->name), "unix");
	rv = uv_accept(listener, &session->connection.stream);
	if (rv == 0 && listener->type == UV_TCP)
		name_tcp(session, source);
	fair_session_begin(session, source);
	if (rv == 0)
		rv = connection_begin(&session->connection);
	if (rv != 0) {
		session_close(session, uv_strerror(rv));
		return;
	}
	if (dnvmed->session_count > dnvmed->sessions_max)
		make_room(session);
	account(session);
	log_debug("session opened", "peer=%s", session->name);
}

static int listen_tcp(struct dnvmed *dnvmed, struct error *error)
{
	struct sockaddr_in address;
	char host[LIMIT_ADDRESS + 1];
	const char *text = dnvmed->options->listen, *colon = strrchr(text, ':');
	int rv;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	rv = uv_ip4_addr(host, atoi(colon + 1), &address);
	if (rv == 0)
		rv = uv_tcp_init(&dnvmed->loop, &dnvmed->tcp);
	if (rv != 0)
		return error_set_errno(error, -rv, "cannot listen on %s", text);
	dnvmed->tcp_open = true;
	dnvmed->tcp.data = dnvmed;
	rv = uv_tcp_bind(&dnvmed->tcp, (const struct sockaddr *)&address, 0);
	if (rv == 0)
		rv = uv_listen((uv_stream_t *)&dnvmed->tcp, BACKLOG, on_connection);
	if (rv != 0)
		return error_set_errno(error, -rv, "cannot listen on %s", text);
	return 0;
}

/* A socket that nobody listens on is left over from a server that was killed. */
static int unix_stale_remove(const char *path, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	int fd, rv;

	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0 : error_set_errno(error, errno, "cannot look at %s", path);
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, ERROR_FAILED_PRECONDITION, "%s exists and is not a socket", path);
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot make a socket");
	rv = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
	close(fd);
	if (rv != ECONNREFUSED)
		return error_set(error, ERROR_FAILED_PRECONDITION, "another process listens on %s", path);
	if (unlink(path) != 0)
		return error_set_errno(error, errno, "cannot remove the stale socket %s", path);
	return 0;
}

static int listen_unix(struct dnvmed *dnvmed, struct error *error)
{
	const char *path = dnvmed->options->unix_path;
	mode_t mask;
	int rv;

	if (unix_stale_remove(path, error) != 0)
		return error->code;
	rv = uv_pipe_init(&dnvmed->loop, &dnvmed->unix_socket, 0);
	if (rv != 0)
		return error_set_errno(error, -rv, "cannot listen on %s", path);
	dnvmed->unix_open = true;
	dnvmed->unix_socket.data = dnvmed;
	/* Only the owner may connect, from the first moment on. */
	mask = umask(0177);
	rv = uv_pipe_bind(&dnvmed->unix_socket, path);
	umask(mask);
	if (rv == 0)
		rv = uv_listen((uv_stream_t *)&dnvmed->unix_socket, BACKLOG, on_connection);
	if (rv != 0)
		return error_set_errno(error, -rv, "cannot listen on %s", path);
	return 0;
}

int session_listen(struct dnvmed *dnvmed, struct error *error)
{
	if (listen_tcp(dnvmed, error) != 0)
		return error->code;
	if (dnvmed->options->unix_path[0] != '\0' && listen_unix(dnvmed, error) != 0)
		return error->code;
	return 0;
}

void session_listen_stop(struct dnvmed *dnvmed)
{
	if (dnvmed->tcp_open)
		uv_close((uv_handle_t *)&dnvmed->tcp, NULL);
	if (dnvmed->unix_open)
		uv_close((uv_handle_t *)&dnvmed->unix_socket, NULL);
	dnvmed->tcp_open = dnvmed->unix_open = false;
}

/* --- life ------------------------------------------------------------------------------------------------- */

struct buffer *session_output(struct session *session)
{
	return connection_output(&session->connection);
}

void session_touch(struct session *session)
{
	if (list_is_empty(&session->touched_link))
		list_append(&session->dnvmed->touched, &session->touched_link);
}

static void end(struct session *session, const char *reason)
{
	if (session->ending)
		return;
	session->ending = true;
	if (reason != NULL)
		log_info("session closed", "peer=%s reason=\"%s\"", session->name, reason);
	if (session->agent != NULL)
		agents_session_ended(session);
	request_session_ended(session);
	fair_session_end(session);
	account(session);
}

void session_close(struct session *session, const char *reason)
{
	end(session, reason);
	connection_close(&session->connection);
}

void session_finish(struct session *session, const char *reason)
{
	end(session, reason);
	connection_finish(&session->connection);
}

static void accept_again(struct dnvmed *dnvmed)
{
	dnvmed->accepts = 0;
	if (dnvmed->tcp_again && dnvmed->tcp_open) {
		dnvmed->tcp_again = false;
		on_connection((uv_stream_t *)&dnvmed->tcp, 0);
	}
	if (dnvmed->unix_again && dnvmed->unix_open) {
		dnvmed->unix_again = false;
		on_connection((uv_stream_t *)&dnvmed->unix_socket, 0);
	}
}

bool session_prepare(struct dnvmed *dnvmed)
{
	bool waits = dnvmed->accepts >= ACCEPTS;
	struct list touched;

	list_take(&touched, &dnvmed->touched);
	while (!list_is_empty(&touched)) {
		struct session *session = list_entry(touched.next, struct session, touched_link);

		list_remove(&session->touched_link);
		connection_flush(&session->connection);
		if (session->ending)
			continue;
		if (connection_output_bytes(&session->connection) > LIMIT_SESSION_OUTPUT_BYTES)
			session_close(session, "too many unread answers");
		else if (session->kind == SESSION_AGENT && !session_is_full(session))
			connection_resume(&session->connection);
		account(session);
		fair_session_look(session);
	}
	if (waits)
		accept_again(dnvmed);
	dnvmed->accepts = 0;
	return waits;
}

void session_kind_set(struct session *session, enum session_kind kind)
{
	char source[FAIR_SOURCE_NAME];

	/* The name has the port: each connection of a server is a source by itself. */
	snprintf(source, sizeof(source), "server %.*s", (int)sizeof(source) - 8, session->name);
	if (session->kind != kind)
		fair_session_move(session, kind == SESSION_PEER ? source : NULL);
	session->kind = kind;
	connection_frame_limit(&session->connection, LIMIT_FRAME_PEER_BYTES);
	if (kind == SESSION_AGENT)
		connection_pull_set(&session->connection, false);
	account(session);
}

void session_tick(struct dnvmed *dnvmed)
{
	uint64_t now = uv_now(&dnvmed->loop);

	accept_again(dnvmed);
	list_for_each(node, next, &dnvmed->sessions)
	{
		struct session *session = list_entry(node, struct session, link);
		const char *reason = connection_stalled(&session->connection, now, dnvmed->options->stall_timeout_ms);

		if (reason != NULL)
			session_close(session, reason);
	}
}
