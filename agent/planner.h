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
};

/* "device `holder` lies on major:minor". */
struct planner_edge {
	uint64_t device;
	size_t holder; /* index in dms */
};

struct planner {
	const struct observed *observed;
	const struct target *target;
	struct arena *arena;
	struct plan *plan;
	struct planner_dm *dms;	    /* as observed->dms */
	const size_t *dms_by_name;  /* sorted indexes */
	size_t *wanted_by_name;	    /* sorted indexes into target->dms */
	bool *created;		    /* as target->dms: planned in this wave */
	bool *unlinked;		    /* as observed->subsystems: planned in this wave */
	struct planner_edge *edges; /* sorted by device */
	size_t edge_count;
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

/* Name of the device-mapper device behind a namespace's device_path; "" when it is none. */
const char *planner_path_device(const char *path);

const struct target_subsystem *planner_wanted_subsystem_find(const struct planner *planner, const char *nqn);

/* Whether a namespace is on the device, under the uuid and nguid, that are wanted. Its ANA group may differ. */
bool planner_namespace_is_wanted(const struct target_subsystem *wanted, const struct observed_namespace *ns);

/* Whether desired state of this owner is contradictory: then nothing of it is removed. */
bool planner_owner_has_problem(const struct planner *planner, const struct owner *owner);

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

/* Whether a table is the same, whatever the kernel added when it printed it. */
bool planner_table_is_same(const struct observed_target_list *a, const struct observed_target_list *b);

/* The parts, in the order in which they are called. Each returns 0 or -1 when memory is exhausted. */
int planner_teardown(struct planner *planner);
int planner_build_imports(struct planner *planner);
int planner_build_dms(struct planner *planner);
/* A mirror that runs; `in_sync` is the resolved table with its members in sync. */
int planner_group_adjust(struct planner *planner, const struct target_dm *wanted, struct planner_dm *dm,
			 const struct observed_target_list *in_sync);
int planner_build_exports(struct planner *planner);

#endif
