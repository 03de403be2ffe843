/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connections of hosts, which are nvmet's. */
#include "agent/backend/linux/linux.h"

int hosts_connections(struct kernel *kernel, uint64_t port, struct peer_visit **ret_visits, size_t *ret_count,
		      struct error *error)
{
	(void)kernel;
	return peer_visits(port, ret_visits, ret_count, error);
}
