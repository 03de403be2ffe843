/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/admission.h"

#include <string.h>

#include "agent/list.h"

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

		for (size_t j = 0; j < volume->consumers.count; j++) {
			const struct desired_consumer *consumer = &volume->consumers.items[j];
			struct kernel_peer *peer = LIST_PUSH(arena, &peers);

			if (peer == NULL)
				return error_set_nomem(error);
			*peer = (struct kernel_peer){ .address = consumer->address,
						      .port = volume->leg_port,
						      .volume = volume->id,
						      .generation = consumer->generation };
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
