/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/admission.h"

#include <string.h>

#include "agent/list.h"

static struct kernel_peer *peer_of(struct kernel_peer_list *peers, const char *address, struct arena *arena)
{
	struct kernel_peer *peer;

	for (size_t i = 0; i < peers->count; i++) {
		if (strcmp(peers->items[i].address, address) == 0)
			return &peers->items[i];
	}
	peer = LIST_PUSH(arena, peers);
	if (peer != NULL)
		*peer = (struct kernel_peer){ .address = address };
	return peer;
}

int admission_make(const struct desired *desired, bool has_lease, struct arena *arena,
		   struct kernel_peer_list *ret_peers, struct error *error)
{
	struct kernel_peer_list peers = { 0 };

	for (size_t i = 0; i < desired->volumes.count; i++) {
		const struct desired_consumer_list *consumers = &desired->volumes.items[i].consumers;

		for (size_t j = 0; j < consumers->count; j++) {
			const struct desired_consumer *consumer = &consumers->items[j];
			struct kernel_peer *peer;

			/* From a leader that does not know of this: everybody is let in. */
			if (consumer->address == NULL)
				continue;
			peer = peer_of(&peers, consumer->address, arena);
			if (peer == NULL)
				return error_set_nomem(error);
			peer->admitted |= has_lease && consumer->admitted && !consumer->parked;
		}
	}
	*ret_peers = peers;
	return 0;
}
