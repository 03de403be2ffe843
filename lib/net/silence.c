/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When something was last heard from the other end of TCP connections.
 *
 * nvme-tcp calls a controller live until its keep-alive has failed, which takes seconds where the network swallows
 * packets; its sockets know better, for a keep-alive is answered every second.
 */
#include "lib/net/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/net/diag.h"

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

static void silence_take(void *data, const struct diag_connection *connection)
{
	struct other_ends *ends = data;

	for (size_t i = 0; i < ends->count; i++) {
		if (connection->silent_ms < ends->items[i].silent_ms &&
		    is_other_end(connection->message, &ends->items[i]))
			ends->items[i].silent_ms = connection->silent_ms;
	}
}

static int end_parse(const struct peer_place *place, struct other_end *ret_end, struct error *error)
{
	*ret_end = (struct other_end){ .family = strchr(place->address, ':') != NULL ? AF_INET6 : AF_INET,
				       .port = htons((uint16_t)place->port),
				       .silent_ms = UINT64_MAX };
	if (inet_pton(ret_end->family, place->address, ret_end->address) == 1)
		return 0;
	return error_set(error, ERROR_INTERNAL, "\"%s\" is not an address", place->address);
}

int peers_silence(const struct peer_place *places, size_t count, uint64_t *ret_silent_ms, struct error *error)
{
	struct other_ends ends = { .items = calloc(count + 1, sizeof(*ends.items)) };
	bool has[2] = { false, false };
	int families[2], family_count = 0, code = 0;

	if (ends.items == NULL)
		return error_set_nomem(error);
	for (; code == 0 && ends.count < count; ends.count++) {
		code = end_parse(&places[ends.count], &ends.items[ends.count], error);
		has[ends.items[ends.count].family == AF_INET6] = true;
	}
	if (has[0])
		families[family_count++] = AF_INET;
	if (has[1])
		families[family_count++] = AF_INET6;
	if (code == 0)
		code = diag_connections(families, (size_t)family_count, 0, silence_take, &ends, error);
	for (size_t i = 0; code == 0 && i < count; i++)
		ret_silent_ms[i] = ends.items[i].silent_ms;
	free(ends.items);
	return code;
}
