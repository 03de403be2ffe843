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
	struct volume_health_list health;
	uint64_t progress_ms; /* when the progress of rebuilds was told */
};

/* What a pass found; borrowed. */
struct reported_news {
	const struct object_status_list *statuses;
	const struct volume_health_list *health;
	const struct observed_disk_list *disks;
	uint64_t now_ms; /* on the boot clock */
};

/* Forget: the next difference is everything. */
void reported_reset(struct reported *reported);

/* What of `news` differs from what was reported; then remember it as reported. Progress alone is told once a second.
 * Lists are made in `arena`. On failure nothing is remembered. */
int reported_update(struct reported *reported, const struct reported_news *news, struct arena *arena,
		    struct agent_report *ret_report, struct error *error);

/* Inventory as it is sent: at most LIMIT_DISKS_PER_NODE disks. */
int reported_inventory_make(const struct observed_disk_list *disks, struct arena *arena,
			    struct inventory_disk_list *ret_inventory);

#endif
