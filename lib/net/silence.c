/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When something was last heard from the other end of TCP connections, asked of the kernel by sock_diag.
 *
 * nvme-tcp calls a controller live until its keep-alive has failed, which takes seconds where the network swallows
 * packets; its sockets know better, for a keep-alive is answered every second.
 */
#include "lib/net/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES 65536

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

/* What is looked for, once for all sockets. */
struct other_end {
	int family;
	uint16_t port; /* in the order of the network, as the kernel tells it */
	uint8_t address[sizeof(struct in6_addr)];
	uint64_t silent_ms;
};

struct other_ends {
	size_t count;
	struct other_end *items;
};

static bool is_other_end(const struct inet_diag_msg *found, const struct other_end *end)
{
	return found->idiag_family == end->family && found->id.idiag_dport == end->port &&
	       memcmp(end->address, found->id.idiag_dst, end->family == AF_INET ? 4 : 16) == 0;
}

static void socket_take(const struct nlmsghdr *message, struct other_ends *ends)
{
	const struct inet_diag_msg *found = NLMSG_DATA(message);
	const struct rtattr *attribute = (const struct rtattr *)(found + 1);
	int left = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*found));
	struct tcp_info info = { 0 };
	uint64_t silent = UINT64_MAX;

	for (; left > 0 && RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type != INET_DIAG_INFO)
			continue;
		memcpy(&info, RTA_DATA(attribute),
		       RTA_PAYLOAD(attribute) < sizeof(info) ? RTA_PAYLOAD(attribute) : sizeof(info));
		silent = info.tcpi_last_data_recv < info.tcpi_last_ack_recv ? info.tcpi_last_data_recv
									    : info.tcpi_last_ack_recv;
	}
	for (size_t i = 0; i < ends->count; i++) {
		if (silent < ends->items[i].silent_ms && is_other_end(found, &ends->items[i]))
			ends->items[i].silent_ms = silent;
	}
}

/* One dump. Returns 0, or an errno. */
static int family_ask(int fd, uint8_t family, struct other_ends *ends, char *answer)
{
	struct diag_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			  .idiag_states = 1 << TCP_ESTABLISHED },
	};

	if (send(fd, &request, sizeof(request), 0) != sizeof(request))
		return errno;
	for (;;) {
		ssize_t size = recv(fd, answer, ANSWER_BYTES, 0);
		const struct nlmsghdr *message = (const struct nlmsghdr *)answer;

		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			return size < 0 ? errno : EPROTO;
		for (size_t left = (size_t)size; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == NLMSG_ERROR)
				return -((const struct nlmsgerr *)NLMSG_DATA(message))->error;
			if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			    message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
				socket_take(message, ends);
		}
	}
}

int peers_silence(const struct peer_place *places, size_t count, uint64_t *ret_silent_ms, struct error *error)
{
	const struct timeval patience = { .tv_sec = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), code = 0;
	struct other_ends ends = { .items = calloc(count + 1, sizeof(*ends.items)) };
	char *answer = malloc(ANSWER_BYTES);
	bool has_ipv4 = false, has_ipv6 = false;

	if (fd < 0 || answer == NULL || ends.items == NULL)
		code = fd < 0 ? errno : ENOMEM;
	for (; code == 0 && ends.count < count; ends.count++) {
		const struct peer_place *place = &places[ends.count];
		struct other_end *end = &ends.items[ends.count];

		end->family = strchr(place->address, ':') != NULL ? AF_INET6 : AF_INET;
		end->port = htons((uint16_t)place->port);
		end->silent_ms = UINT64_MAX;
		has_ipv4 = has_ipv4 || end->family == AF_INET;
		has_ipv6 = has_ipv6 || end->family == AF_INET6;
		if (inet_pton(end->family, place->address, end->address) != 1)
			code = EINVAL;
	}
	if (code == 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (code == 0 && has_ipv4)
		code = family_ask(fd, AF_INET, &ends, answer);
	if (code == 0 && has_ipv6)
		code = family_ask(fd, AF_INET6, &ends, answer);
	for (size_t i = 0; code == 0 && i < count; i++)
		ret_silent_ms[i] = ends.items[i].silent_ms;
	if (fd >= 0)
		close(fd);
	free(answer);
	free(ends.items);
	if (code == 0)
		return 0;
	error_set_errno(error, code, "cannot ask the kernel about its connections");
	return error_hint(error, "the kernel needs TCP socket monitoring (the module tcp_diag)");
}
