/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP connections to a peer: whether it answers, and the end of those that are there, without asking it. */
#include "agent/backend/linux/linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/list.h"

#define ALL_STATES 0xfff
#define STATES_WANTED (ALL_STATES & ~(1 << TCP_LISTEN) & ~(1 << TCP_TIME_WAIT))
#define DUMP_BYTES 32768

struct peer {
	int family;
	uint16_t port;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} address;
};

static int peer_parse(const char *address, uint64_t port, struct peer *ret_peer, struct error *error)
{
	struct peer peer = { .family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET, .port = (uint16_t)port };

	if (inet_pton(peer.family, address, &peer.address) != 1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "\"%s\" is not an address", address);
	*ret_peer = peer;
	return 0;
}

enum peer_answer peer_try(const char *address, uint64_t port, int timeout_ms)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to = { 0 };
	enum peer_answer answer = PEER_SILENT;
	socklen_t size = sizeof(to.v4);
	struct pollfd waiting;
	struct peer peer;
	int problem = 0;

	if (peer_parse(address, port, &peer, NULL) != 0)
		return PEER_SILENT;
	to.any.sa_family = (sa_family_t)peer.family;
	if (peer.family == AF_INET) {
		to.v4.sin_port = htons(peer.port);
		to.v4.sin_addr = peer.address.v4;
	} else {
		to.v6.sin6_port = htons(peer.port);
		to.v6.sin6_addr = peer.address.v6;
		size = sizeof(to.v6);
	}
	waiting.fd = socket(peer.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	waiting.events = POLLOUT;
	if (waiting.fd < 0)
		return PEER_SILENT;
	if (connect(waiting.fd, &to.any, size) != 0)
		problem = errno;
	if (problem == EINPROGRESS && poll(&waiting, 1, timeout_ms) == 1) {
		size = sizeof(problem);
		getsockopt(waiting.fd, SOL_SOCKET, SO_ERROR, &problem, &size);
	}
	if (problem == 0)
		answer = PEER_ANSWERS;
	else if (problem == ECONNREFUSED)
		answer = PEER_REFUSES;
	close(waiting.fd);
	return answer;
}

static int request_send(int fd, uint16_t type, uint16_t flags, const struct peer *peer,
			const struct inet_diag_sockid *id)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = type, .nlmsg_flags = flags },
		.body = { .sdiag_family = (uint8_t)peer->family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = STATES_WANTED },
	};

	if (id != NULL)
		request.body.id = *id;
	return send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request) ? 0 : -1;
}

static bool is_of_peer(const struct inet_diag_msg *socket, const struct peer *peer)
{
	size_t size = peer->family == AF_INET ? sizeof(peer->address.v4) : sizeof(peer->address.v6);

	return socket->idiag_family == peer->family && ntohs(socket->id.idiag_dport) == peer->port &&
	       memcmp(socket->id.idiag_dst, &peer->address, size) == 0;
}

struct socket_ids {
	size_t count;
	struct inet_diag_sockid *items;
};

/* Returns 0, or an errno. */
static int sockets_list(int fd, const struct peer *peer, struct arena *arena, struct socket_ids *ret_ids)
{
	/* Aligned for the headers in it. */
	struct nlmsghdr *buffer = arena_alloc(arena, DUMP_BYTES);
	struct inet_diag_sockid *added;

	if (buffer == NULL)
		return ENOMEM;
	if (request_send(fd, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, peer, NULL) != 0)
		return errno;
	for (;;) {
		ssize_t got = recv(fd, buffer, DUMP_BYTES, 0);
		size_t left = (size_t)got;

		if (got <= 0)
			return got < 0 ? errno : EIO;
		for (struct nlmsghdr *message = buffer; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
			const struct inet_diag_msg *socket = NLMSG_DATA(message);

			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == NLMSG_ERROR)
				return -((const struct nlmsgerr *)NLMSG_DATA(message))->error;
			if (!is_of_peer(socket, peer))
				continue;
			added = LIST_PUSH(arena, ret_ids);
			if (added == NULL)
				return ENOMEM;
			*added = socket->id;
		}
	}
}

/* Returns 0, or an errno. */
static int socket_destroy(int fd, const struct peer *peer, const struct inet_diag_sockid *id)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr body;
	} answer;

	if (request_send(fd, SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, peer, id) != 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer))
		return errno != 0 ? errno : EIO;
	/* It may have ended by itself. */
	return answer.body.error == -ENOENT ? 0 : -answer.body.error;
}

int peer_disconnect(const char *address, uint64_t port, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct socket_ids ids = { 0 };
	struct peer peer;
	int problem, fd, code = peer_parse(address, port, &peer, error);

	if (code != 0)
		return code;
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot ask for sockets");
	problem = sockets_list(fd, &peer, &arena, &ids);
	for (size_t i = 0; problem == 0 && i < ids.count; i++)
		problem = socket_destroy(fd, &peer, &ids.items[i]);
	if (problem != 0)
		code = error_set_errno(error, problem, "cannot end the connections to %s", address);
	close(fd);
	arena_free(&arena);
	return code;
}
