/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The leader's side of the hosts: what they say of their paths, by volume. In memory only; hosts repeat it.
 */
#ifndef DNVME_SRC_HOSTS_H
#define DNVME_SRC_HOSTS_H

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/model/records.h"
#include "src/leader/reach.h"

struct dnvmed;
struct hosts;

/* NULL when memory is exhausted; hosts_free() accepts NULL. */
struct hosts *hosts_make(void);
void hosts_free(struct hosts *hosts);

/* This server leads no more: forget everything. */
void hosts_leader_end(struct dnvmed *dnvmed);

/* A host that is attached to the volume says which of its controllers it reaches. */
int hosts_said(struct dnvmed *dnvmed, const char *host_nqn, const struct host_reach *said, struct error *error);

/* What hosts say of a volume, borrowed; NULL when they say nothing. */
const struct reach *hosts_reach(const struct dnvmed *dnvmed, uint64_t volume);

/* Forget what was not repeated. */
void hosts_tick(struct dnvmed *dnvmed);

#endif
