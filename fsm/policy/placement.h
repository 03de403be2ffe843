/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Placement: where the slots and LDs of a new volume go. A pure function of its arguments.
 */
#ifndef DNVME_FSM_POLICY_PLACEMENT_H
#define DNVME_FSM_POLICY_PLACEMENT_H

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct placement_request {
	const char *name; /* for the error's sentence */
	uint8_t uuid[16];
	uint64_t size_bytes;
	uint64_t copies, controllers, standbys, legs_per_controller;
	enum spread spread;
	enum provision provision;
	enum durability durability;
};

struct placement_view {
	uint64_t extent_bytes;
	struct node_list nodes;	   /* all nodes */
	struct disk_list disks;	   /* all disks */
	const enum health *health; /* by node, same order; NULL: all online. Only online nodes get anything. */
};

/* Fill in the command. Controllers: online, not cordoned, not storage_only, with the write-through target where
 * durability is strict, all of different colours, least loaded first, ties by name. Groups: copies on different domains
 * of `spread` (a node without that label is a domain of its own), each disk not cordoned, on a node that is online and
 * not cordoned, with enough free extents (what this call already took counted), most free (relative) first, ties by id;
 * the copies of one group never share a node. A leg is one group; where the disks have no room for it, it becomes as
 * few groups of equal size as fit, on other disks as far as there are any. Everything in `ret_command` lives in `arena`
 * or in the arguments. NO_CAPACITY, with a line per domain that says what is missing and a hint; INVALID_ARGUMENT for a
 * size or a shape that can never fit (naming the limit); INTERNAL when memory is exhausted. */
int placement_plan(const struct placement_request *request, const struct placement_view *view, struct arena *arena,
		   struct command_volume_create *ret_command, struct error *error);

/* What a volume that is there grows by: new groups for each leg, under the rules of placement_plan(), the copies and
 * the spread of the volume, and its own size of thin blocks; none where the groups that it has have the room. Fills in
 * everything but the deadline. The same errors. */
int placement_extend(const struct placement_view *view, const struct volume *volume, uint64_t size_bytes,
		     struct arena *arena, struct command_volume_extend *ret_command, struct error *error);

/* The same for one more snapshot of the volume as it is. */
int placement_snapshot(const struct placement_view *view, const struct volume *volume, struct arena *arena,
		       struct place_growth_list *ret_legs, struct error *error);

/* What the snapshots of a volume need in each leg beyond the volume itself, should all of it be written anew: the size
 * that it had each time. UINT64_MAX when that is too much for 64 bits. */
uint64_t placement_snapshot_bytes(const struct volume *volume);

/* The node of a new standby: online, not cordoned, not storage_only, with the write-through target where durability is
 * strict, of a colour that no controller of the volume has, retired ones included; in a failure domain (of the
 * volume's spread) without an active controller if there is such a node; least loaded first, ties by name. The name is
 * the view's. NO_CAPACITY, with a line per node that says why not it; INTERNAL when memory is exhausted. */
int placement_standby(const struct placement_view *view, const struct volume *volume, struct arena *arena,
		      const char **ret_node, struct error *error);

/* Whether this node, a standby of the volume or none of its controllers, may hold a slot of it as nodes are now.
 * FAILED_PRECONDITION says why not; NOT_FOUND; INTERNAL when memory is exhausted. */
int placement_holder_check(const struct placement_view *view, const struct volume *volume, const char *node,
			   struct arena *arena, struct error *error);

/* Whether the volume can have `count` standbys as nodes are now: those that it has, unless their node is offline,
 * drained, or lacks what the volume's durability needs; and others as placement_standby() finds them. NO_CAPACITY, with
 * a line per node that says what it is to the volume, or why it cannot be a standby; INTERNAL when memory is exhausted.
 */
int placement_standbys_check(const struct placement_view *view, const struct volume *volume, uint64_t count,
			     struct arena *arena, struct error *error);

/* The disk of the LD that takes the place of this one: not cordoned, not the LD's own, nor that of one that is to leave
 * for it, on a node that is online and not
 * cordoned and holds no other member of the group; in another failure domain than the other members if there is such a
 * disk; with enough free extents, most free (relative) first, ties by id. NO_CAPACITY, with a line per node;
 * NOT_FOUND when the LD is no member; INTERNAL when memory is exhausted. */
int placement_replacement(const struct placement_view *view, const struct volume *volume, uint64_t ld,
			  struct arena *arena, uint64_t *ret_disk, struct error *error);

/* The disk that an LD moves to, which is as good as the one that it has: the same, but never in the failure domain of
 * another member, unless the LD is in one already. */
int placement_move(const struct placement_view *view, const struct volume *volume, uint64_t ld, struct arena *arena,
		   uint64_t *ret_disk, struct error *error);

/* Whether copies on these two nodes would share a failure domain. */
bool placement_domains_equal(const struct node *a, const struct node *b, enum spread spread);

#endif
