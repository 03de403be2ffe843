/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the planner share: lookups, the table comparison, and the plan under construction. */
#ifndef DNVME_AGENT_PLANNER_H
#define DNVME_AGENT_PLANNER_H

#include "agent/plan.h"

/* A device-mapper device that is there, with what the plan makes of it. */
struct planner_dm {
	const struct observed_dm *observed;
	const struct target_dm *wanted; /* NULL: it is not */
	bool removed;			/* planned */
	bool ready;			/* as wanted */
	bool grows;			/* changed earlier in this wave and its lane, and has the number that it had */
	bool lets_go; /* the top of a volume, whose table shall be one of errors, at least until what is below is new */
	bool frozen;  /* an import below it answers nothing, or a device was left suspended: to stop it would hang */
	size_t look;  /* the last one that came by here */
};

/* "device `holder` lies on major:minor". Devices are observed one after the other, and numbers are used again: what was
 * seen may be a circle. */
struct planner_edge {
	uint64_t device;
	size_t holder; /* index in dms */
};

struct planner {
	const struct observed *observed;
	const struct target *target;
	struct arena *arena;
	struct plan *plan;
	struct planner_dm *dms;				  /* as observed->dms */
	struct name_index dms_by_name, subsystems_by_nqn; /* of what is observed */
	bool *created;	/* as target->dms: made, or changed to be as wanted, earlier in this wave and its lane */
	bool *held;	/* as target->dms: its label forbids to export it, or is not known */
	bool *unlinked; /* as observed->subsystems: planned in this wave */
	struct planner_edge *edges; /* sorted by device */
	size_t edge_count;
	size_t looks; /* upwards from a device; each counts */
};

#define PLANNER_DEVICE(major, minor) ((uint64_t)(major) << 32 | (uint64_t)(minor))

/* A new action at the end, with the owner; NULL when memory is exhausted. */
struct action *planner_action(struct planner *planner, enum action_kind kind, const struct owner *owner);

/* A note; `lane` may be NULL. Returns 0 or -1 when memory is exhausted. */
int planner_note(struct planner *planner, enum plan_note_kind kind, const struct owner *owner, const char *lane,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* NULL when there is none. */
struct planner_dm *planner_dm_find(struct planner *planner, const char *name);
const struct target_dm *planner_wanted_find(const struct planner *planner, const char *name);
const struct observed_subsystem *planner_subsystem_find(const struct planner *planner, const char *nqn);
const struct observed_import *planner_import_find(const struct planner *planner, const struct kernel_import *import);

/* The first edge of a device; edges of one device follow each other. edge_count when there is none. */
size_t planner_edge_find(const struct planner *planner, uint64_t device);

bool planner_is_linked(const struct observed_port *port, const char *nqn);

/* Whether an import answers: it is live, and accessible. */
bool planner_import_is_healthy(const struct observed_import *import);
/* Whether the import is made as this node; others are none of our business. */
bool planner_import_is_ours(const struct planner *planner, const struct observed_import *import);

/* Whether a namespace of the subsystem lies on a device that is frozen and not as wanted: it must be out of reach, and
 * must not be disabled. */
bool planner_subsystem_is_frozen(struct planner *planner, const struct observed_subsystem *subsystem);

/* Whether the port is there, as wanted. */
bool planner_port_is_ready(const struct planner *planner, uint64_t id);

/* Name of the device-mapper device behind a namespace's device_path; "" when it is none. */
const char *planner_path_device(const char *path);

const struct target_subsystem *planner_wanted_subsystem_find(const struct planner *planner, const char *nqn);

/* Whether a namespace is on the device, under the uuid and nguid, that are wanted. Its ANA group may differ. A device
 * of that name but another epoch is not the one. */
bool planner_namespace_is_wanted(struct planner *planner, const struct target_subsystem *wanted,
				 const struct observed_namespace *ns);

/* Whether desired state of this owner is contradictory: then nothing of it is removed. */
bool planner_owner_has_problem(const struct planner *planner, const struct owner *owner);

/* Whether somebody died while it was suspended, and it is not wanted any more. */
bool planner_dm_is_left_suspended(const struct planner *planner, const struct planner_dm *dm, struct owner *ret_owner);

/* Whether a process holds it up for a snapshot, and lets go by itself: its tables are not touched meanwhile. */
bool planner_dm_is_paused(const struct planner *planner, const char *name);

/* Mark the devices that are frozen, and those that let go. */
void planner_freeze(struct planner *planner);

enum planner_state {
	PLANNER_READY,	 /* every device is there */
	PLANNER_PLANNED, /* an earlier action of this lane makes what is missing */
	PLANNER_WAITS,	 /* a note says for what */
	PLANNER_NOMEM,
};

/* Replace the references of a wanted table by devices. Devices that this lane makes stay "@name". */
enum planner_state planner_table_resolve(struct planner *planner, const struct owner *owner, const char *what,
					 const struct observed_target_list *wanted,
					 struct observed_target_list *ret_table);

/* Whether a table is the same, but for spaces. Of a raid table planner_group_adjust() knows more. */
bool planner_table_is_same(const struct observed_target_list *a, const struct observed_target_list *b);

/* The parts, in the order in which they are called. Each returns 0 or -1 when memory is exhausted. */
int planner_teardown_suspensions(struct planner *planner);
int planner_teardown_exports(struct planner *planner);
/* What is shut out comes before anything that may fail on a disk. */
int planner_build_parked_dms(struct planner *planner);
int planner_build_parked_exports(struct planner *planner);
int planner_teardown_dms(struct planner *planner);
int planner_teardown_imports(struct planner *planner);
int planner_teardown_ports(struct planner *planner);
int planner_build_imports(struct planner *planner);
int planner_build_dms(struct planner *planner);
/* A mirror that runs; `in_sync` is the resolved table with its members in sync. */
int planner_group_adjust(struct planner *planner, const struct target_dm *wanted, struct planner_dm *dm,
			 const struct observed_target_list *in_sync);
int planner_build_exports(struct planner *planner);
/* Behind the devices: it wants to know which are as wanted. */
int planner_build_snapshots(struct planner *planner);

/* Fill plan->exposed. */
int planner_find_exposed(struct planner *planner);

/* Whether a pool is wanted with other features, or another low water mark, and is the same otherwise. */
bool planner_pool_differs(const struct observed_target_list *observed, const struct observed_target_list *wanted);
/* Whether the wanted table is the observed one, and more. */
bool planner_table_grows(const struct observed_target_list *observed, const struct observed_target_list *wanted);
/* Whether what a striped table lies on is large enough for it; a note says what is not. Returns 0 or -1. */
int planner_stripe_fits(struct planner *planner, const struct target_dm *wanted,
			const struct observed_target_list *table, bool *ret_fits);
/* The thin device of a leg that grew: map its new blocks, once. */
int planner_build_fill(struct planner *planner, const struct target_dm *thin, const struct planner_dm *dm);
/* Whether a live import lacks a namespace that is expected, or shows it smaller, while it shows others. */
bool planner_import_is_behind(const struct planner *planner, const struct kernel_import *import);
/* The most that labels of a group's members in sync say of the blocks that were mapped when its leg grew. */
uint64_t planner_group_filled(const struct planner *planner, const struct target_group *group);

/* Switch the write caches of disks off. */
int planner_build_caches(struct planner *planner);
/* Holds an LD back whose disk has a volatile write cache that the cluster does not know of. Returns 0 or -1. */
int planner_cache_hold(struct planner *planner, const struct target_dm *ld, bool *held);

/* The label of an LD that is there or made in this wave; may hold its export back. */
int planner_build_guard(struct planner *planner, const struct target_dm *wanted);

#endif
