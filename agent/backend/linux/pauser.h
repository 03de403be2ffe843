/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that holds up the I/O of a volume while a snapshot is made: `dnvme-agent pause`. It is started by an
 * agent and outlives it.
 *
 *   ABOUT ──► HELD ──► MADE        its clock runs from the beginning
 *     └────────┴────────┴──► OVER  at the limit; when it is told to let go; when something fails
 *
 * What may block is done by a thread, so that the clock waits for nothing. SIGUSR1: make the thin devices. SIGTERM: let
 * go. What it did, pause_file.h has.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_PAUSER_H
#define DNVME_AGENT_BACKEND_LINUX_PAUSER_H

#include <signal.h>

#define PAUSER_DIRECTORY "/run/dnvme"
#define PAUSER_SNAP SIGUSR1
#define PAUSER_RELEASE SIGTERM

/* Its arguments: "pause", volume and number as numbers, the limit in milliseconds, the top; then pool and thin device
 * of each leg. Its exit status: 0 once it holds, or is over; what goes on is another process then. */

#endif
