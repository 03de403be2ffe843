/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that sends keep-alives to the controllers of volumes that this host has connected: lib/net/keep_alive.h.
 */
#ifndef DNVME_CLIENT_CLI_HOST_KEEP_ALIVE_H
#define DNVME_CLIENT_CLI_HOST_KEEP_ALIVE_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

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
