/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/net/diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES 65536
#define ESTABLISHED 1 /* <netinet/tcp.h> has the name, and an older tcp_info */

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

static void message_take(const struct nlmsghdr *message, diag_take take, void *data)
{
	const struct inet_diag_msg *found = NLMSG_DATA(message);
	const struct rtattr *attribute = (const struct rtattr *)(found + 1);
	int left = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*found));
	struct diag_connection connection = { .message = found, .silent_ms = UINT64_MAX };
	struct tcp_info info = { 0 };

	for (; left > 0 && RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type != INET_DIAG_INFO)
			continue;
		memcpy(&info, RTA_DATA(attribute),
		       RTA_PAYLOAD(attribute) < sizeof(info) ? RTA_PAYLOAD(attribute) : sizeof(info));
		connection.silent_ms = info.tcpi_last_data_recv < info.tcpi_last_ack_recv ? info.tcpi_last_data_recv
											  : info.tcpi_last_ack_recv;
		connection.received_bytes = info.tcpi_bytes_received;
		connection.retries = info.tcpi_retransmits;
	}
	take(data, &connection);
}

/* One dump. Returns 0, or an errno. */
static int family_ask(int fd, int family, uint16_t port, char *answer, diag_take take, void *data)
{
	struct diag_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = (uint8_t)family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			  .idiag_states = 1 << ESTABLISHED,
			  .id.idiag_sport = htons(port) },
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
				message_take(message, take, data);
		}
	}
}

int diag_connections(const int *families, size_t count, uint16_t port, diag_take take, void *data, struct error *error)
{
	const struct timeval patience = { .tv_sec = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), code = 0;
	char *answer = malloc(ANSWER_BYTES);

	if (fd < 0 || answer == NULL)
		code = fd < 0 ? errno : ENOMEM;
	if (code == 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (size_t i = 0; i < count && code == 0; i++)
		code = family_ask(fd, families[i], port, answer, take, data);
	if (fd >= 0)
		close(fd);
	free(answer);
	if (code == 0)
		return 0;
	error_set_errno(error, code, "cannot ask the kernel about its connections");
	return error_hint(error, "the kernel needs TCP socket monitoring (the module tcp_diag)");
}
