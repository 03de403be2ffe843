/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume's record in the hands of a command: finding its parts, changing its LDs, and storing it.
 *
 * Every change of a volume ends in volume_store, or, where what nodes are told stays the same, in volume_write.
 */
#ifndef DNVME_FSM_VOLUME_H
#define DNVME_FSM_VOLUME_H

#include "fsm/state.h"

/* Whether a volume is on its way out. */
bool volume_is_leaving(enum volume_phase phase);

/* Whether nobody has work to do on it: online, each slot is served, each LD in sync, nothing leaves, nobody
 * is retired, no job works on it, nothing is to be deleted from pools, and there are as many standbys as wanted. All
 * other volumes are listed in STORE_TABLE_TRANSITION.
 */
bool volume_is_settled(const struct volume *volume);

/* Raise the revision, store, keep the list of transitions, and report the change. */
int volume_store(struct transition *transition, struct volume *volume, struct error *error);
/* The same without a new revision and without a report. */
int volume_write(struct transition *transition, const struct volume *volume, struct error *error);

/* Take a volume without LDs out of every table; the caller reports the change. */
int volume_remove(struct transition *transition, const struct volume *volume, struct error *error);

/* --- slots and controllers ------------------------------------------------------------------------------------ */

/* The volume and the slot that a command is about; sets the outcome's object, and the volume's revision as the
 * outcome's. The volume must be online. CONFLICT when the slot has another epoch. */
int volume_slot_read(struct transition *transition, uint64_t id, uint64_t slot, uint64_t epoch,
		     struct volume *ret_volume, struct slot **ret_slot, struct error *error);
/* NULL when the node is no controller of the volume. */
struct controller *volume_controller(const struct volume *volume, const char *node);
/* Store it, with actives in slot order, then standbys, then retired ones; otherwise the order stays. */
int volume_controllers_store(struct transition *transition, struct volume *volume, struct error *error);
/* Its holder is about to be another one, or to begin anew. */
void volume_slot_leave(struct slot *slot);
/* It is about to begin anew: what its holder may still import is to be parked. */
void volume_slot_keep(struct slot *slot, const struct node *holder);
/* The slot begins a new epoch in FENCING, for the holder that it has by now: `node`. */
void volume_slot_begin(struct volume *volume, uint64_t index, const struct node *node, enum move_reason reason,
		       uint64_t time_ms);
/* The node knows no more of the volume. */
int volume_controller_release(struct transition *transition, const struct volume *volume,
			      const struct controller *controller, struct error *error);
/* The same, and the entry goes; the caller stores the volume. */
int volume_controller_remove(struct transition *transition, struct volume *volume, struct controller *controller,
			     struct error *error);
/* Check that the node may become a controller of the volume, count it and list it: the caller adds the entry.
 * `colours`: those of the volume's controllers; the node's is added. CONFLICT when it may not. */
int volume_controller_admit(struct transition *transition, const struct volume *volume, struct node *node,
			    unsigned *colours, struct error *error);

/* Make the node, which is no controller of the volume, a standby of it; the caller stores the controllers. NOT_FOUND;
 * CONFLICT when it may not be one. */
int volume_standby_add(struct transition *transition, struct volume *volume, const char *node, struct error *error);

/* --- LDs ------------------------------------------------------------------------------------------------------ */

struct ld_place {
	struct leg *leg;	    /* NULL: it is leaving */
	struct group *group;	    /* NULL: it is leaving */
	struct leaving_ld *leaving; /* NULL: it is a member */
	struct ld *ld;
};

/* NOT_FOUND names the LD and the volume. */
int volume_ld_find(const struct volume *volume, uint64_t id, struct ld_place *ret_place, struct error *error);
/* The same for text ("ld7"); INVALID_ARGUMENT when it is none. */
int volume_ld_find_text(const struct volume *volume, const char *text, struct ld_place *ret_place, struct error *error);
size_t group_in_sync_count(const struct group *group);
/* Extents of each LD of a group. */
uint64_t group_extents(const struct leg *leg, const struct group *group);
/* Size of the thin blocks of a leg, which stays what it was made with. */
uint64_t leg_block_bytes(const struct leg *leg);
/* Its state changes now. Never a moment that it had before, whatever the leaders' clocks say: a rebuild goes by it. */
void volume_ld_since_set(struct ld *ld, uint64_t time_ms);
/* It is stale from now on, or was already: then only the reason is another one. Remembers whether it was in sync. */
void volume_ld_stale(struct ld *ld, enum stale_reason reason, uint64_t time_ms);
/* Nothing is said any more of what it failed to read. */
void volume_ld_errors_clear(struct ld *ld);
/* Number of LDs that are not freed, leaving ones included: of one disk, or of all (0). */
size_t volume_lds_count(const struct volume *volume, uint64_t disk);

/* Make a group where the leader placed it: check the placement against the state, and take the extents. */
int volume_group_make(struct transition *transition, uint64_t volume, enum spread spread,
		      const struct place_group *place, uint64_t extents, struct group *ret_group, struct error *error);
/* Take the extents of a new LD in sync; writes the disk's record. CONFLICT when the disk has no room. */
int volume_ld_make(struct transition *transition, uint64_t volume, struct disk *disk, uint64_t extents,
		   struct ld *ret_ld, struct error *error);
/* Give the extents back; the LD is freed, and a leaving one is no longer listed. */
int volume_ld_free(struct transition *transition, struct volume *volume, const struct ld_place *place,
		   struct error *error);

/* Whether the slot is past ASSEMBLING: its holder is in charge of its groups. */
bool volume_slot_is_served(const struct volume *volume, uint64_t slot);

/* The node of these disks, whose write caches lose what they hold, began anew. Whether anything changed. */
bool volume_disks_rebooted(struct volume *volume, const struct id_list *disks, uint64_t time_ms);

#endif
