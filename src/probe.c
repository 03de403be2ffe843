/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/limits.h"

#define PROBE_MS 2000

bool probe_answers(const char *address)
{
	struct sockaddr_in where = { .sin_family = AF_INET };
	char host[LIMIT_ADDRESS + 1];
	struct pollfd wait;
	socklen_t size = sizeof(int);
	int failed = 0;
	char *colon;

	snprintf(host, sizeof(host), "%s", address);
	colon = strrchr(host, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	where.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &where.sin_addr) != 1)
		return false;
	wait = (struct pollfd){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
				.events = POLLOUT };
	if (wait.fd < 0)
		return true; /* nobody can tell */
	if (connect(wait.fd, (struct sockaddr *)&where, sizeof(where)) != 0)
		failed = errno;
	if (failed == EINPROGRESS)
		failed = poll(&wait, 1, PROBE_MS) == 1 && getsockopt(wait.fd, SOL_SOCKET, SO_ERROR, &failed, &size) == 0
				 ? failed
				 : ETIMEDOUT;
	close(wait.fd);
	return failed == 0;
}
