/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/limits.h"

#define READ_BYTES (64u << 10)
#define READS_AT_ONCE 16
#define PAUSE_MIN_MS 50u
#define PAUSE_MAX_MS 1000u

static const char *const state_names[] = { "closed", "connecting", "open" };
static const struct state_machine_edge edges[] = {
	{ CONNECTION_CLOSED, CONNECTION_CONNECTING },
	{ CONNECTION_CONNECTING, CONNECTION_OPEN },
	{ CONNECTION_CONNECTING, CONNECTION_CLOSED },
	{ CONNECTION_OPEN, CONNECTION_CLOSED },
};
static const struct state_machine_table table = {
	"client connection", state_names, 3, edges, sizeof(edges) / sizeof(edges[0]),
};

void connection_init(struct connection *connection, const struct endpoint *endpoint, int epoll_fd)
{
	memset(connection, 0, sizeof(*connection));
	connection->endpoint = endpoint;
	connection->epoll_fd = epoll_fd;
	connection->fd = -1;
	state_machine_init(&connection->machine, &table, CONNECTION_CLOSED);
}

static void close_fd(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd); /* leaves the epoll set by itself */
	connection->fd = -1;
}

void connection_destroy(struct connection *connection)
{
	close_fd(connection);
	buffer_free(&connection->input);
	buffer_free(&connection->output);
}

enum connection_state connection_state(const struct connection *connection)
{
	return (enum connection_state)connection->machine.state;
}

/* Random, so that many clients do not come back in step. */
static uint64_t pause_ms(unsigned failures)
{
	uint64_t longest = failures >= 6 ? PAUSE_MAX_MS : (uint64_t)PAUSE_MIN_MS << failures;
	uint16_t random;

	if (longest > PAUSE_MAX_MS)
		longest = PAUSE_MAX_MS;
	random_bytes(&random, sizeof(random));
	return longest / 2 + random % (longest / 2 + 1);
}

void connection_fail(struct connection *connection, uint64_t now_ms, const struct error *failure)
{
	close_fd(connection);
	if (connection_state(connection) != CONNECTION_CLOSED)
		state_machine_move(&connection->machine, CONNECTION_CLOSED);
	buffer_free(&connection->input);
	buffer_free(&connection->output);
	connection->scanned = 0;
	connection->failure = *failure;
	connection->not_before_ms = now_ms + pause_ms(connection->failures);
	if (connection->failures < 16)
		connection->failures++;
}

static int fail_errno(struct connection *connection, uint64_t now_ms, int errno_value)
{
	struct error failure;

	error_set(&failure, ERROR_UNAVAILABLE, "%s", strerror(errno_value));
	connection->speaks_other = false;
	connection_fail(connection, now_ms, &failure);
	return ERROR_UNAVAILABLE;
}

static int watch(struct connection *connection, int operation)
{
	bool writes = connection_state(connection) == CONNECTION_CONNECTING || connection->output.size > 0;
	struct epoll_event event = { .events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = connection };

	return epoll_ctl(connection->epoll_fd, operation, connection->fd, &event);
}

/* A server whose machine lost power answers nothing: notice within seconds, not hours. */
static void set_socket_options(int fd, int family)
{
	static const struct {
		int option, value;
	} options[] = {
		{ TCP_NODELAY, 1 }, { TCP_KEEPIDLE, 2 },	{ TCP_KEEPINTVL, 1 },
		{ TCP_KEEPCNT, 3 }, { TCP_USER_TIMEOUT, 5000 },
	};
	int on = 1;

	if (family == AF_UNIX)
		return;
	/* Failures are harmless: they only make the client slower to notice. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, IPPROTO_TCP, options[i].option, &options[i].value, sizeof(options[i].value));
}

static void opened(struct connection *connection)
{
	state_machine_move(&connection->machine, CONNECTION_OPEN);
	frame_scanner_init(&connection->scanner, LIMIT_FRAME_PEER_BYTES);
	connection->scanned = 0;
}

/* Try addresses from connection->address on until one connects or is under way. */
static int try_addresses(struct connection *connection, uint64_t now_ms, int errno_value)
{
	const struct endpoint *endpoint = connection->endpoint;

	for (; connection->address < endpoint->address_count; connection->address++) {
		const struct sockaddr_storage *address = &endpoint->addresses[connection->address];

		close_fd(connection);
		connection->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connection->fd < 0) {
			errno_value = errno;
			continue;
		}
		set_socket_options(connection->fd, address->ss_family);
		connection->due_ms = now_ms + CONNECTION_ATTEMPT_MS;
		if (connect(connection->fd, (const struct sockaddr *)address,
			    endpoint->address_sizes[connection->address]) == 0 ||
		    errno == EINPROGRESS) {
			if (watch(connection, EPOLL_CTL_ADD) == 0)
				return 0; /* one that is connected already is writable at once */
		}
		errno_value = errno;
	}
	return fail_errno(connection, now_ms, errno_value);
}

int connection_begin(struct connection *connection, uint64_t now_ms)
{
	if (connection->endpoint->address_count == 0) {
		connection_fail(connection, now_ms, &connection->endpoint->failure);
		return ERROR_UNAVAILABLE;
	}
	connection->address = 0;
	state_machine_move(&connection->machine, CONNECTION_CONNECTING);
	return try_addresses(connection, now_ms, EHOSTUNREACH);
}

static int write_output(struct connection *connection, uint64_t now_ms)
{
	while (connection->output.size > 0) {
		ssize_t done = send(connection->fd, connection->output.data, connection->output.size, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (done < 0)
			return fail_errno(connection, now_ms, errno);
		buffer_consume(&connection->output, (size_t)done);
	}
	if (watch(connection, EPOLL_CTL_MOD) != 0)
		return fail_errno(connection, now_ms, errno);
	return 0;
}

int connection_send(struct connection *connection, struct bytes frame, uint64_t now_ms)
{
	if (buffer_append(&connection->output, frame.data, frame.size) != 0)
		return fail_errno(connection, now_ms, ENOMEM);
	return write_output(connection, now_ms);
}

static int read_input(struct connection *connection, uint64_t now_ms)
{
	for (unsigned i = 0; i < READS_AT_ONCE; i++) {
		ssize_t done;

		if (buffer_reserve(&connection->input, READ_BYTES) != 0)
			return fail_errno(connection, now_ms, ENOMEM);
		done = recv(connection->fd, connection->input.data + connection->input.size, READ_BYTES, 0);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (done < 0)
			return fail_errno(connection, now_ms, errno);
		if (done == 0) {
			struct error failure;

			/* What came before the end still counts: let the caller take the frames first. */
			if (i > 0)
				return 0;
			error_set(&failure, ERROR_UNAVAILABLE, "the server closed the connection%s",
				  connection->input.size > 0 ? " in the middle of an answer" : "");
			connection->speaks_other = false;
			connection_fail(connection, now_ms, &failure);
			return ERROR_UNAVAILABLE;
		}
		connection->input.size += (size_t)done;
		connection->input_ms = now_ms;
	}
	return 0;
}

int connection_ready(struct connection *connection, uint64_t now_ms)
{
	int rc, errno_value = 0;
	socklen_t size = sizeof(errno_value);

	if (connection_state(connection) == CONNECTION_CONNECTING) {
		if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &errno_value, &size) != 0)
			errno_value = errno;
		if (errno_value != 0) {
			connection->address++;
			return try_addresses(connection, now_ms, errno_value);
		}
		opened(connection);
	}
	rc = write_output(connection, now_ms);
	return rc != 0 ? rc : read_input(connection, now_ms);
}

int connection_frame_next(struct connection *connection, struct bytes *ret_frame, bool *ret_found, uint64_t now_ms)
{
	struct buffer *input = &connection->input;
	struct error failure;
	size_t used = 0;
	int complete = 0;

	if (connection->scanned == input->size) {
		*ret_found = false;
		return 0;
	}
	if (frame_scanner_feed(&connection->scanner, input->data + connection->scanned,
			       input->size - connection->scanned, &used, &complete, &failure) != 0) {
		connection->speaks_other = true;
		connection_fail(connection, now_ms, &failure);
		return failure.code;
	}
	connection->scanned += used;
	if (complete)
		*ret_frame = (struct bytes){ input->data, connection->scanned };
	*ret_found = complete;
	return 0;
}

void connection_frame_drop(struct connection *connection)
{
	buffer_consume(&connection->input, connection->scanned);
	connection->scanned = 0;
}

void connection_praise(struct connection *connection)
{
	connection->failures = 0;
	connection->speaks_other = false;
}

uint64_t connection_due_ms(const struct connection *connection)
{
	if (connection_state(connection) == CONNECTION_CONNECTING)
		return connection->due_ms;
	if (connection_state(connection) == CONNECTION_OPEN && connection->input.size > 0)
		return connection->input_ms + LIMIT_FRAME_STALL_MS;
	return UINT64_MAX;
}

bool connection_expire(struct connection *connection, uint64_t now_ms)
{
	struct error failure;

	if (now_ms < connection_due_ms(connection))
		return false;
	if (connection_state(connection) == CONNECTION_CONNECTING) {
		connection->address++;
		if (connection->address < connection->endpoint->address_count)
			return try_addresses(connection, now_ms, ETIMEDOUT) != 0;
		error_set(&failure, ERROR_UNAVAILABLE, "no connection within %u ms", CONNECTION_ATTEMPT_MS);
	} else {
		error_set(&failure, ERROR_UNAVAILABLE, "half an answer, then silence for %u ms", LIMIT_FRAME_STALL_MS);
	}
	connection->speaks_other = false;
	connection_fail(connection, now_ms, &failure);
	return true;
}
