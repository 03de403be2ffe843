/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections to a peer: whether it answers, and the end of those that are there, without asking it. */
#include "lib/net/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVERY_STATE (0xfffu & ~(1u << TCP_LISTEN) & ~(1u << TCP_TIME_WAIT))
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
	const int traffic_class = PEER_TRY_DSCP << 2;
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
	if (peer.family == AF_INET)
		setsockopt(waiting.fd, IPPROTO_IP, IP_TOS, &traffic_class, sizeof(traffic_class));
	else
		setsockopt(waiting.fd, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof(traffic_class));
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

static int request_send(int fd, uint16_t type, uint16_t flags, const struct peer *peer, uint32_t states,
			const struct inet_diag_sockid *id)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = type, .nlmsg_flags = flags },
		.body = { .sdiag_family = (uint8_t)peer->family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = states },
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
	size_t count, capacity;
	struct inet_diag_sockid *items;
};

static int id_add(struct socket_ids *ids, const struct inet_diag_sockid *id)
{
	if (ids->count == ids->capacity) {
		size_t capacity = ids->capacity == 0 ? 64 : ids->capacity * 2;
		struct inet_diag_sockid *items = realloc(ids->items, capacity * sizeof(*items));

		if (items == NULL)
			return ENOMEM;
		ids->items = items;
		ids->capacity = capacity;
	}
	ids->items[ids->count++] = *id;
	return 0;
}

/* One answer of the kernel. Returns 0, or an errno; `ret_done` at the end of the list. */
static int answer_take(const struct nlmsghdr *message, size_t size, const struct peer *peer, struct socket_ids *ids,
		       bool *ret_done)
{
	for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size)) {
		const struct inet_diag_msg *socket = NLMSG_DATA(message);
		int problem;

		if (message->nlmsg_type == NLMSG_ERROR)
			return -((const struct nlmsgerr *)NLMSG_DATA(message))->error;
		*ret_done = message->nlmsg_type == NLMSG_DONE;
		if (*ret_done)
			return 0;
		problem = is_of_peer(socket, peer) ? id_add(ids, &socket->id) : 0;
		if (problem != 0)
			return problem;
	}
	return 0;
}

/* Returns 0, or an errno. */
static int sockets_list(int fd, const struct peer *peer, uint32_t states, struct socket_ids *ret_ids)
{
	/* Aligned for the headers in it. */
	struct nlmsghdr *buffer = malloc(DUMP_BYTES);
	bool done = false;
	int problem = buffer == NULL ? ENOMEM : 0;

	if (problem == 0 && request_send(fd, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, peer, states, NULL) != 0)
		problem = errno;
	while (problem == 0 && !done) {
		ssize_t got = recv(fd, buffer, DUMP_BYTES, 0);

		problem = got > 0 ? answer_take(buffer, (size_t)got, peer, ret_ids, &done) : got < 0 ? errno : EIO;
	}
	free(buffer);
	return problem;
}

/* Returns 0, or an errno. */
static int socket_destroy(int fd, const struct peer *peer, const struct inet_diag_sockid *id)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr body;
	} answer;

	if (request_send(fd, SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, peer, EVERY_STATE, id) != 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer))
		return errno != 0 ? errno : EIO;
	/* It may have ended by itself. */
	return answer.body.error == -ENOENT ? 0 : -answer.body.error;
}

int peer_disconnect(const char *address, uint64_t port, enum peer_connections which, struct error *error)
{
	uint32_t states = which == PEER_ATTEMPTS ? 1u << TCP_SYN_SENT : EVERY_STATE;
	struct socket_ids ids = { 0 };
	struct peer peer;
	int problem, fd, code = peer_parse(address, port, &peer, error);

	if (code != 0)
		return code;
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot ask for sockets");
	problem = sockets_list(fd, &peer, states, &ids);
	for (size_t i = 0; problem == 0 && i < ids.count; i++)
		problem = socket_destroy(fd, &peer, &ids.items[i]);
	if (problem != 0)
		code = error_set_errno(error, problem, "cannot end the connections to %s", address);
	close(fd);
	free(ids.items);
	return code;
}
