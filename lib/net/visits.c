/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is connected to a port of this machine. The kernel's own connections, of nvmet, are among them. */
#include "lib/net/peer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/net/diag.h"

struct visits {
	struct peer_visit *items;
	size_t count, room;
	bool failed;
};

static void visit_take(void *data, const struct diag_connection *connection)
{
	const struct inet_diag_msg *message = connection->message;
	struct visits *visits = data;
	struct peer_visit *visit;

	/* Of a probe nothing is heard. */
	if (connection->received_bytes == 0 || visits->failed)
		return;
	if (visits->count == visits->room) {
		size_t room = visits->room == 0 ? 64 : 2 * visits->room;
		struct peer_visit *items = realloc(visits->items, room * sizeof(*items));

		visits->failed = items == NULL;
		if (items == NULL)
			return;
		visits->items = items;
		visits->room = room;
	}
	visit = &visits->items[visits->count++];
	*visit = (struct peer_visit){
		.connection = (uint64_t)message->id.idiag_cookie[1] << 32 | message->id.idiag_cookie[0],
		.silent_ms = connection->silent_ms,
		.unanswered = connection->retries >= PEER_UNANSWERED_RETRIES,
	};
	memcpy(visit->address, message->id.idiag_dst, message->idiag_family == AF_INET ? 4 : sizeof(visit->address));
}

int peer_visits(uint64_t port, struct peer_visit **ret_visits, size_t *ret_count, struct error *error)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct visits visits = { 0 };
	int code = diag_connections(families, 2, (uint16_t)port, visit_take, &visits, error);

	if (code == 0 && visits.failed)
		code = error_set_nomem(error);
	if (code != 0) {
		free(visits.items);
		return code;
	}
	*ret_visits = visits.items;
	*ret_count = visits.count;
	return 0;
}
