/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated host with multipath: it has a path to each controller, sends again elsewhere what a lost path leaves
 * unanswered, and never gives up. It writes numbered blocks, one request at a time for each, and reads them back.
 */
#ifndef DNVME_TESTS_SIM_HOST_H
#define DNVME_TESTS_SIM_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/net/peer.h"

#define HOST_NQN "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001"

void host_begin(void);
/* Use a volume from now on. `slots`: how many active controllers it has. */
void host_use(const char *name, const char *nqn, uint64_t size_bytes, unsigned slots);
/* Do not use it any more: it is detached. */
void host_leave(const char *name);
/* No new requests; those that wait go on. */
void host_quiet(void);
bool host_is_quiet(char *ret_why, size_t size);
/* Every acknowledged write is on every member that the state calls in sync. */
void host_check_media(void);
/* Disks lost what their caches held: what no copy that counts has any more is not expected. */
void host_check_loss(void);
/* Its operator served the volume from copies that may lack writes: whatever it holds now is right. */
void host_forgive(const char *name);
uint64_t host_acknowledged(void);
/* Its connections to a node, as that one's kernel has them; at most `room`. Returns how many. */
size_t host_visits(size_t node, struct peer_visit *ret_visits, size_t room);
/* What a snapshot of a volume holds is of one moment, which lies between these two. */
void host_check_snapshot(const char *name, uint64_t number, uint64_t asked_at, uint64_t done_at);

#endif
