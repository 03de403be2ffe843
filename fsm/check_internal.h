/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the audit: what it collects. */
#ifndef DNVME_FSM_CHECK_INTERNAL_H
#define DNVME_FSM_CHECK_INTERNAL_H

#include "fsm/operation.h"

struct claim {
	uint64_t disk, start, length;
	uint64_t ld; /* 0: free */
};

struct claim_list {
	size_t count;
	struct claim *items;
};

struct audit {
	struct state state;
	struct counters counters;
	struct error *error; /* of what fails meanwhile; overwritten all the time */
	struct fsm_findings *findings;
	struct arena *findings_arena;
	struct claim_list claims; /* extents: of LDs and of free runs */
	struct id_list lds;	  /* every LD id */
	/* What the volumes imply. */
	uint64_t volume_names, node_volumes, disk_volumes, host_volumes, transitions, leg_ports, jobs_running;
	/* What the jobs imply. */
	uint64_t jobs_over;
	/* Of the events: up to where they were dropped, and the last one that was seen. */
	uint64_t events_compacted, event_revision, event_index;
};

void finding(struct audit *audit, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether a key is there; errors of the store end up in `ret_result`. */
bool exists(struct audit *audit, enum store_table table, struct bytes key, int *ret_result);
int claim_add(struct audit *audit, struct claim claim);

/* One volume: visit of a walk, data is the audit. */
int volume_visit(void *data, struct bytes key, struct bytes value, struct error *error);

#endif
