/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes volumes from phase to phase on the leader: looks at those that something happened to, or that are due, asks
 * src/leader/volumes.h and, once a volume is online, src/leader/online.h, and proposes what they say; one proposal at a
 * time for each volume.
 */
#ifndef DNVME_SRC_DRIVER_H
#define DNVME_SRC_DRIVER_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "src/leader/volumes.h"

struct dnvmed;
struct driver;

/* NULL when memory is exhausted. To be freed when consensus is closed; accepts NULL. */
struct driver *driver_make(void);
void driver_free(struct driver *driver);

/* This server is ready to lead: look at every volume that somebody has work with. */
void driver_leader_begin(struct dnvmed *dnvmed);
void driver_leader_end(struct dnvmed *dnvmed);

/* Something happened to a volume: it changed, or an agent reported on it. */
void driver_volume_dirty(struct dnvmed *dnvmed, uint64_t volume);

/* A node is another than before: its health, its flags, its block devices. Its volumes are looked at. */
void driver_node_changed(struct dnvmed *dnvmed, const char *node);

/* What placement looks at may be another than before: a record of a node or a disk, or what is believed of a node.
 * Volumes for which it found nothing are looked at again, in a while. */
void driver_places_changed(struct dnvmed *dnvmed);

/* The operator changed settings: what waits may wait for another time. */
void driver_settings_changed(struct dnvmed *dnvmed);

/* Look at what is dirty, before the loop sleeps. */
void driver_prepare(struct dnvmed *dnvmed);

/* Look at what is due, and repeat what found the queue of proposals full. */
void driver_tick(struct dnvmed *dnvmed);

/* A volume's parts with what the leader knows of them. */
int driver_parts(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
		 struct volumes_parts *ret_parts, struct error *error);

/* What a volume waits for (in `arena`), NULL when for nothing. */
int driver_waits_for(struct dnvmed *dnvmed, const struct volume *volume, const struct volumes_parts *parts,
		     struct arena *arena, const char **ret_waits_for, struct error *error);

/* What the job that works on an online volume waits for (in `arena`), NULL when for nothing, or there is none. */
int driver_operation_waits_for(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
			       const char **ret_waits_for, struct error *error);

/* Since when this leader has seen the volume's slots and LDs as they are; borrowed until something changes. */
const struct moments *driver_moments(struct dnvmed *dnvmed, uint64_t volume);

#endif
