/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All servers are lost for good, and there is a backup: dnvmed --restore FILE, in an empty data directory.
 *
 *   CHECK   the whole file, and its state, record by record; that nothing is in the directory; that no server that the
 *           backup names answers
 *   MARK    DIR/restoring: as long as it is there, no server starts here
 *   WRITE   the state as the first snapshot of a group of one, in a term above all that there may have been;
 *           DIR/recovering, as after a recovery (recovery.h), so that everything is fenced and held before this server
 *           answers anybody
 *   DONE    DIR/restoring goes
 *
 * What is interrupted begins anew with the same command.
 */
#ifndef DNVME_SRC_RESTORE_H
#define DNVME_SRC_RESTORE_H

struct options;

/* All of the command; returns the exit status. Blocks. */
int restore_run(const struct options *options);

#endif
