/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a volume that is not online waits for, or the command that takes it on. Pure: the record, what agents
 * reported and what the leader believes about their nodes come in as values.
 *
 *   PLACED ──► ASSEMBLING ──► EXPORTING ──► ONLINE
 *      exports made  actives up    all controllers up
 *
 *   UNEXPORTING ──► DISMANTLING ──► RELEASING ──► (gone)
 *      exports to hosts gone  controllers gone   LDs freed, disk by disk
 *
 * Going up waits for every node. Going down does not wait for an offline node, except that extents return only when
 * the Disk Node itself confirmed that the LD is gone.
 */
#ifndef DNVME_SRC_LEADER_VOLUMES_H
#define DNVME_SRC_LEADER_VOLUMES_H

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/names.h"
#include "lib/model/records.h"

/* A part of a volume on one node: a controller, or the export of a disk's LDs to a slot's holder. */
struct volumes_part {
	enum object_kind kind; /* VOLUME or EXPORT; CONSUMER for sentences only */
	char id[NAMES_CONSUMER_ID_SIZE];
	uint64_t disk, slot;		    /* EXPORT */
	enum controller_role role;	    /* VOLUME */
	const char *node;		    /* EXPORT: filled in by the caller; NULL when the disk is unknown */
	enum health health;		    /* filled in by the caller */
	const struct object_status *status; /* filled in by the caller; NULL when nothing was reported */
};

struct volumes_parts {
	size_t count;
	struct volumes_part *items;
};

/* Its LDs, with those that leave. */
size_t volumes_ld_count(const struct volume *volume);

/* The parts of a volume: its controllers in order, then one export for each disk and slot that has LDs which are not
 * freed. `node` of exports, `health` and `status` are left to the caller. INTERNAL when memory is exhausted. */
int volumes_parts_list(const struct volume *volume, struct arena *arena, struct volumes_parts *ret_parts,
		       struct error *error);

struct volumes_step {
	struct command_volume_advance *advance; /* propose this, or */
	struct command_lds_free *free;		/* this, or */
	const char *waits_for;			/* wait for this; NULL when the volume waits for nothing */
};

/* One step. Everything in `ret_step` lives in `arena`. INTERNAL when memory is exhausted. */
int volumes_step(const struct volume *volume, const struct volumes_parts *parts, struct arena *arena,
		 struct volumes_step *ret_step, struct error *error);

/* A sentence, in `arena`, about a part that is not `state` at `revision`; NULL when memory is exhausted. */
const char *volumes_part_sentence(const struct volumes_part *part, enum object_state state, uint64_t revision,
				  struct arena *arena);

/* Whether every controller took `revision` in, or its node is offline: a host that was refused at `revision` has no
 * connection any more. Otherwise *ret_waits_for (in `arena`) names the first that has not. */
int volumes_converged(const struct volume *volume, const struct volumes_parts *parts, uint64_t revision,
		      struct arena *arena, const char **ret_waits_for, struct error *error);

#endif
