/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes volumes from phase to phase on the leader: looks at those that something happened to, asks
 * src/leader/volumes.h, and proposes what it says; one proposal at a time for each volume.
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

/* This server is ready to lead: look at every volume that is not online. */
void driver_leader_begin(struct dnvmed *dnvmed);
void driver_leader_end(struct dnvmed *dnvmed);

/* Something happened to a volume: it changed, or an agent reported on it. */
void driver_volume_dirty(struct dnvmed *dnvmed, uint64_t volume);

/* Some node is believed to be in another state of health than before. */
void driver_health_changed(struct dnvmed *dnvmed);

/* Look at what is dirty, before the loop sleeps. */
void driver_prepare(struct dnvmed *dnvmed);

/* Repeat what found the queue of proposals full. */
void driver_tick(struct dnvmed *dnvmed);

/* A volume's parts with what the leader knows of them. */
int driver_parts(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
		 struct volumes_parts *ret_parts, struct error *error);

#endif
