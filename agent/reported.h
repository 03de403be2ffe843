/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was reported in the present session, to find what is new. */
#ifndef DNVME_AGENT_REPORTED_H
#define DNVME_AGENT_REPORTED_H

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct reported {
	struct arena arena;
	struct object_status_list statuses; /* sorted by kind and id */
	struct inventory_disk_list inventory;
};

/* Forget: the next difference is everything. */
void reported_reset(struct reported *reported);

/* What of `statuses` and `disks` differs from what was reported; then remember it as reported. Lists are made in
 * `arena`. On failure nothing is remembered. */
int reported_update(struct reported *reported, const struct object_status_list *statuses,
		    const struct observed_disk_list *disks, struct arena *arena, struct agent_report *ret_report,
		    struct error *error);

/* Inventory as it is sent: at most LIMIT_DISKS_PER_NODE disks. */
int reported_inventory_make(const struct observed_disk_list *disks, struct arena *arena,
			    struct inventory_disk_list *ret_inventory);

#endif
