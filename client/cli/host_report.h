/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this machine tells the control plane of its paths (host.report): which controllers of a volume it reaches, and
 * which it does not. A holder that no host reaches looks well to the cluster; and who reaches it keeps others from
 * having it moved. docs/FAILURES.md, "A controller that hosts cannot reach".
 */
#ifndef DNVME_CLIENT_CLI_HOST_REPORT_H
#define DNVME_CLIENT_CLI_HOST_REPORT_H

#include "client/cli/cli.h"
#include "client/cli/host_sysfs.h"

/* The control plane forgets a loss after 4 s and everything after 10 s (src/leader/reach.h). */
#define HOST_REPORT_LOST_MS 900u /* a loss is repeated so often: at each look of the watch */
#define HOST_REPORT_LIVE_MS 4000u
#define HOST_REPORT_NEWS_MS 400u /* and news are told no more often than this */

/* What was told of a volume last. */
struct host_told {
	uint64_t at_ms; /* boot clock; 0: never */
	uint64_t revision;
	uint64_t live; /* bits, in the order of the paths of that revision */
};

/* What is told at once. */
struct host_report_batch {
	struct host_reach items[LIMIT_REPORT_VOLUMES];
	const char *names[LIMIT_REPORT_VOLUMES][LIMIT_COLOURS];
	size_t count;
};

/* Put a volume into the batch if it is time to tell of it, and there is room. Names are borrowed from `status`. */
void host_report_add(struct host_report_batch *batch, const struct volume_status *status, const char *host_nqn,
		     const struct host_controller *known, size_t count, struct host_told *told, uint64_t now_ms);

struct host_reporter {
	struct dnvme *dnvme;
	const char *host_nqn;
	struct dnvme_pending *pending;
	bool refused; /* by servers that do not know the method: asked again later */
	uint64_t refused_ms;
};

/* Whether something may be sent now. */
bool host_reporter_is_free(const struct host_reporter *reporter, uint64_t now_ms);

/* Send the batch, unless it is empty. What does not arrive is told again soon. */
void host_reporter_send(struct host_reporter *reporter, const struct host_report_batch *batch);

void host_reporter_end(struct host_reporter *reporter);

#endif
