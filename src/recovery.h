/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The majority of the servers is lost for good: dnvmed --recover on one that is left.
 *
 *   stopped ──► CHECK   the server as it would start: who belongs to its group, whether any of them answers, whether
 *                       all of them were named as lost
 *           ──► MARK    DIR/recovering
 *           ──► WRITE   it is the only one that votes, in a term far above the last one
 *   started ──► LEAD    but before it answers anybody, commit cluster_recover, which fences and holds every volume;
 *                       then remove DIR/recovering
 *
 * A restore (restore.h) leaves the same mark, with the command in it.
 *
 * Whatever happens in between, the same command again, or the start, goes on. A mark without a group of one means
 * nothing: then WRITE did not happen, and nothing was changed.
 */
#ifndef DNVME_SRC_RECOVERY_H
#define DNVME_SRC_RECOVERY_H

#include <stdbool.h>

#include "lib/base/error.h"

struct dnvmed;
struct options;

/* The name of the mark in the data directory. */
#define RECOVERY_MARK "recovering"

/* The mark of a restore that is not finished. */
#define RECOVERY_RESTORING "restoring"

/* Before a server starts: FAILED_PRECONDITION while a restore into its data directory is not finished. */
int recovery_check(const struct options *options, struct error *error);

/* All of the command; returns the exit status. `dnvmed` is uninitialized memory. Blocks. */
int recovery_run(struct dnvmed *dnvmed, const struct options *options);

/* At the start: whether there is a mark. */
void recovery_start(struct dnvmed *dnvmed);

/* This server leads, and holds everything: whether it has to wait for the command to be committed. */
bool recovery_is_pending(struct dnvmed *dnvmed);

#endif
