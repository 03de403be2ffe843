/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster.backup: dumps of this server's state that clients read piece by piece.
 *
 * A dump is made at once, as for a Raft snapshot, and lies in memory while it is read: so it is of one revision, and
 * however slow its reader is, nothing waits for it. It goes when it was read, when its reader kept silent for
 * LIMIT_BACKUP_IDLE_MS, or after LIMIT_BACKUP_MS; there are LIMIT_BACKUPS at once at most.
 */
#ifndef DNVME_SRC_BACKUPS_H
#define DNVME_SRC_BACKUPS_H

#include "lib/base/error.h"

struct backups;
struct dnvmed;
struct request;

/* NULL when memory is exhausted; the second accepts NULL. */
struct backups *backups_make(void);
void backups_free(struct backups *backups);

/* The method. */
int cluster_backup_answer(struct request *request, struct error *error);

/* Drop those whose time is over. */
void backups_tick(struct dnvmed *dnvmed);

#endif
