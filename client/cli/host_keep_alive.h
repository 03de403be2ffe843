/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keep-alives of our own toward the controllers of volumes, so that nothing waits for the kernel's.
 *
 * Linux 6.1 to 6.11 send a keep-alive from a work item that waits for the answer, and everything by which a path is
 * given up waits for that work item: the error recovery, a reset, a deletion. So a host whose controller has died
 * stands still until that command times out, however soon it hears that another one serves. The kernel sends none while
 * anything else is answered. So each path gets a small administrative command (Get Features) each second, with a
 * timeout that is what the keep-alive timeout was. It does the same, and nobody waits for it: it is what notices that a
 * controller is silent. The kernel's own timeout is raised meanwhile (Set Features 0Fh, NVMe base specification, "Keep
 * Alive Timer"), so that the first keep-alive behind the last answer, a quarter of it later, comes when all is over.
 *
 *   usual (2 s, 3 s) ── our first is answered ──► watched (24 s, 25 s)
 *         ▲                                            │
 *         └──────── we end, and the path is live ──────┘
 *
 * All that is done by a process with a thread for each path, since such a command may be stuck in the kernel as long as
 * the path is; it ends with its parent. Paths with another keep-alive timeout were made by hand, and are left alone.
 */
#ifndef DNVME_CLIENT_CLI_HOST_KEEP_ALIVE_H
#define DNVME_CLIENT_CLI_HOST_KEEP_ALIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

/* The timeouts, in seconds, of a path with this one: as it is without us, and while we are there. False: not ours. */
bool host_keep_alive_known(unsigned keep_alive_s, unsigned *ret_usual_s, unsigned *ret_watched_s);

/* What is sent to a controller. */
struct host_keep_alive_device {
	/* Send one keep-alive, and wait for its answer at most `timeout_ms`; whether it came. */
	bool (*ask)(void *data, const char *controller, unsigned timeout_ms);
	/* Set the keep-alive timeout at both ends. */
	bool (*set)(void *data, const char *controller, unsigned keep_alive_s, unsigned timeout_ms);
	void *data;
};

/* One keep-alive to a controller of sysfs, if it is live and ours; raises its timeout when it was answered. Blocks. */
void host_keep_alive_send(const char *sysfs, const struct host_keep_alive_device *device, const char *controller);

/* Set it back, if it is live. Blocks. */
void host_keep_alive_restore(const char *sysfs, const struct host_keep_alive_device *device, const char *controller);

/* The process. */
struct host_keep_alive {
	pid_t pid;	   /* 0: it does not run */
	uint64_t begin_ms; /* not to be started before; boot clock */
};

/* Start it for all paths of `host_nqn`, if it does not run. Call it again and again: it is started anew when it died.
 */
int host_keep_alive_start(struct host_keep_alive *keep_alive, const char *host_nqn, uint64_t now_ms,
			  struct error *error);

/* Have it set everything back and end; does not wait for that. */
void host_keep_alive_stop(struct host_keep_alive *keep_alive);

#endif
