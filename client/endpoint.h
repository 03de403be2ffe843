/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where servers listen: "HOST:PORT,[IPV6]:PORT,HOST,unix:PATH" taken apart and looked up. */
#ifndef DNVME_CLIENT_ENDPOINT_H
#define DNVME_CLIENT_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/error.h"

#define ENDPOINT_NAME_SIZE 300
#define ENDPOINT_ADDRESSES 4

struct endpoint {
	char name[ENDPOINT_NAME_SIZE]; /* as it was written */
	size_t address_count;	       /* 0: `failure` says why */
	struct sockaddr_storage addresses[ENDPOINT_ADDRESSES];
	socklen_t address_sizes[ENDPOINT_ADDRESSES];
	struct error failure;
};

/* Parse and look up; blocks on host names, never on numeric addresses. The array has room for LIMIT_SERVERS, and is
 * freed by the caller. INVALID_ARGUMENT (naming the entry), UNAVAILABLE (no entry can be looked up), INTERNAL (memory).
 */
int endpoint_list_parse(const char *text, struct endpoint **ret_endpoints, size_t *ret_count, struct error *error);

/* One more that a server told of, "IPv4:port"; nothing is looked up. False: it is there already, there is no room, or
 * it is none. */
bool endpoint_list_add(struct endpoint *endpoints, size_t *count, const char *text);

#endif
