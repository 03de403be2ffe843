/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/admission.h"

#include <string.h>

#include "agent/list.h"

/* Of a volume's own port there is nothing to look for: no other volume has it. */
static struct kernel_peer *peer_of(struct kernel_peer_list *peers, const char *address, uint64_t port,
				   struct arena *arena)
{
	struct kernel_peer *peer;

	for (size_t i = 0; port == 0 && i < peers->count; i++) {
		if (peers->items[i].port == 0 && strcmp(peers->items[i].address, address) == 0)
			return &peers->items[i];
	}
	peer = LIST_PUSH(arena, peers);
	if (peer != NULL)
		*peer = (struct kernel_peer){ .address = address, .port = port };
	return peer;
}

static bool export_is_open(const struct observed *observed, const struct desired_consumer *consumer)
{
	bool linked = false;

	for (size_t i = 0; observed != NULL && i < observed->ports.count && !linked; i++)
		linked = list_has_string(&observed->ports.items[i].subsystems, consumer->nqn);
	for (size_t i = 0; linked && i < observed->subsystems.count; i++) {
		if (strcmp(observed->subsystems.items[i].nqn, consumer->nqn) == 0)
			return list_has_string(&observed->subsystems.items[i].hosts, consumer->host_nqn);
	}
	return false;
}

int admission_make(const struct desired *desired, const struct observed *observed, bool has_lease, struct arena *arena,
		   struct kernel_peer_list *ret_peers, bool *ret_waits, struct error *error)
{
	struct kernel_peer_list peers = { 0 };
	bool waits = false;

	for (size_t i = 0; i < desired->volumes.count; i++) {
		const struct desired_volume *volume = &desired->volumes.items[i];
		const struct desired_consumer_list *consumers = &volume->consumers;
		const struct string_list *others = &volume->peers;

		/* At the volume's own port nobody gets in who is not admitted, known or not. */
		for (size_t j = 0; volume->leg_port == 0 && j < others->count; j++) {
			if (peer_of(&peers, others->items[j], 0, arena) == NULL)
				return error_set_nomem(error);
		}
		for (size_t j = 0; j < consumers->count; j++) {
			const struct desired_consumer *consumer = &consumers->items[j];
			struct kernel_peer *peer;

			/* From a leader that does not know of this: everybody is let in. */
			if (consumer->address == NULL)
				continue;
			peer = peer_of(&peers, consumer->address, volume->leg_port, arena);
			if (peer == NULL)
				return error_set_nomem(error);
			if (!has_lease || !consumer->admitted || consumer->parked)
				continue;
			if (export_is_open(observed, consumer))
				peer->admitted = true;
			else
				waits = true;
		}
	}
	*ret_peers = peers;
	*ret_waits = waits;
	return 0;
}
