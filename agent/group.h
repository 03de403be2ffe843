/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells of a mirror: its table, its status, and the paths below its members. Pure. */
#ifndef DNVME_AGENT_GROUP_H
#define DNVME_AGENT_GROUP_H

#include "agent/target.h"

/* A raid1 table as the kernel prints it. Devices are PLANNER_DEVICE numbers, 0 for a place that is empty. */
struct group_table {
	size_t count;
	uint64_t region_sectors;
	uint64_t metadata[LIMIT_MEMBERS], data[LIMIT_MEMBERS];
	bool rebuild[LIMIT_MEMBERS]; /* came into the group by a rebuild */
	size_t at[LIMIT_MEMBERS];    /* the place in the kernel's table; SIZE_MAX: in none */
	size_t running;		     /* places of the kernel's table */
	bool exact;		     /* each member has the place that it is wanted at */
};

/* false when it is no raid1 of at most LIMIT_MEMBERS members. The places are the kernel's. */
bool group_table_parse(const struct observed_target_list *table, struct group_table *ret_table);

/* "raid1 2 Aa 1024/145408 recover 0 0 -" */
struct group_status {
	size_t count;			/* 0: it could not be read */
	char health[LIMIT_MEMBERS + 1]; /* A in sync, a not yet, D failed, - empty */
	uint64_t done_sectors, total_sectors;
	bool rebuilding; /* single members are being copied */
	bool idle;	 /* neither resync nor rebuild is going on or about to */
};

void group_status_parse(const char *text, struct group_status *ret_status);

/*
 * While a member moves to another disk the table that runs has the members at other places than wanted, and one more or
 * fewer: see lib/model/moving.h. Put table and status into the order of the wanted group; who is not in the table has
 * an empty place. false when the table has a member that no place is left for: then both are as they were.
 */
bool group_align(const struct observed *observed, const struct target_group *group, struct group_table *table,
		 struct group_status *status);

/* The path below a device, which may be a slice or an imported namespace. */
enum group_path {
	GROUP_PATH_GONE,   /* there is no import any more: I/O fails at once */
	GROUP_PATH_FROZEN, /* I/O waits */
	GROUP_PATH_LIVE,
};

enum group_path group_path_find(const struct observed *observed, uint64_t device);

/* The subsystem whose namespace the slice lies on; NULL when there is none. */
const char *group_subsystem_find(const struct observed *observed, uint64_t device);

/* The path to a subsystem: the one that leads there, or (NULL) any. */
enum group_path group_path_at(const struct observed *observed, const char *nqn, const char *address, uint64_t port);

/* Who is in a place of the running table. */
enum group_place {
	GROUP_PLACE_EMPTY,
	GROUP_PLACE_IN_SYNC,	/* the member, which is in sync */
	GROUP_PLACE_REBUILDING, /* the member, in its present rebuild */
	GROUP_PLACE_OTHER,	/* one that has to leave: it is stale, or what is left of an earlier time */
};

enum group_place group_place_find(const struct observed *observed, const struct group_table *table, size_t index,
				  const struct target_member *member);

/* The label that was read of the member; NULL when it is not known. */
const struct observed_label *group_label_find(const struct observed *observed, const struct target_label *wanted);

/* Whether the label says that the member's present rebuild is complete. */
bool group_label_is_complete(const struct observed_label *label, const struct target_member *member);

#endif
