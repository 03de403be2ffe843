/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What commands on members of groups share. */
#ifndef DNVME_FSM_MEMBER_H
#define DNVME_FSM_MEMBER_H

#include "fsm/volume.h"

/* The volume, the slot and the member that a command is about. */
struct member_subject {
	struct volume volume;
	struct slot *slot;
	struct ld_place place;
};

/* The volume is online, its slot in that epoch, and the LD belongs to it, or leaves it. CONFLICT, NOT_FOUND,
 * INVALID_ARGUMENT */
int member_subject_read(struct transition *transition, uint64_t volume, uint64_t slot, uint64_t epoch, uint64_t ld,
			struct member_subject *ret_subject, struct error *error);

/* The disk of a new LD beside the others of the group, or in the place of the subject. CONFLICT "stale placement": it
 * is gone or cordoned, or on a node with another member. */
int member_disk_read(struct transition *transition, const struct member_subject *subject, uint64_t id,
		     struct disk *ret_disk, struct error *error);

/* The LD (copied) is listed as leaving. NO_CAPACITY when too many do. The caller stores the volume. */
int member_leave(struct transition *transition, struct volume *volume, uint64_t slot, const struct ld *ld,
		 struct error *error);

#endif
