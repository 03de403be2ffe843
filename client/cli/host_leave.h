/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a host leaves a path, whatever became of its peer. Two steps, since the kernel deletes no controller in good time
 * that it calls live while the peer is dead: it waits a minute for the answer to a shutdown, and for what is in flight.
 *
 *   live, peer dead ────► end the connections ────► connecting ──► delete
 *   live, peer answers, nobody else there ─► the same
 *   live, peer answers ─► wait for its export to go ─┬► connecting ──► delete
 *                                                    └► reset ───────► delete
 *
 * Dead is a peer that refuses (its gate is shut: every packet is reset), or one that does not answer and of which
 * nothing was heard for a while on any connection. To end connections lets the kernel's error recovery run at once, so
 * that what is in flight goes on through another path; the next attempt comes a second later, and meanwhile the
 * deletion is quick. An attempt that gets in its way is ended, too.
 *
 * Which connection is whose the kernel does not say: all that lead there are ended, those of other volumes, too. With
 * one active controller they may be ended whenever it is dead. A volume with several must not lose its connection to a
 * silent peer sooner than after 3 s (docs/FAILURES.md, "Why a host must not be quicker than a node"),
 * unless its path leaves as well.
 *
 * Not a reset, if it can be helped: toward a peer that is dead, or about to shut its gate, it waits for that minute
 * itself, and the kernel then keeps requests that were queued but not sent. And where a peer is alive yet, no
 * keep-alive is under way that the kernel would wait for; once the gate is shut there is one.
 */
#ifndef DNVME_CLIENT_CLI_HOST_LEAVE_H
#define DNVME_CLIENT_CLI_HOST_LEAVE_H

#include "client/cli/host_sysfs.h"

/* What is done about a live path whose peer answers. */
enum host_leave_live { HOST_LEAVE_WAIT, HOST_LEAVE_RESET, HOST_LEAVE_AS_IT_IS };

struct host_leaving {
	const char *sysfs;
	struct host_controller controller;
	enum host_leave_live live;
	struct host_names others; /* of whatever volume, that leave, too, or have nothing to lose; borrowed */
};

/* Make the path one that can be deleted at once. UNAVAILABLE: not yet, try again soon. Blocks for seconds. Both are a
 * host_task_function over a struct host_leaving. */
int host_leave_free(const void *leaving, struct error *error);

/* Delete it. UNAVAILABLE: its first connection is still being made; that attempt is ended, try again. */
int host_leave_delete(const void *leaving, struct error *error);

/* Both. */
int host_leave(const void *leaving, struct error *error);

#endif
