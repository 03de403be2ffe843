/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that sends keep-alives to Disk Nodes: `dnvme-agent keep-alive` (lib/net/keep_alive.h).
 *
 * Not to the holders of remote legs: what is written there of old writes (docs/FAILURES.md, "A stale write") needs that
 * their kernels end what is silent, after the timeout that a raised one would raise there, too.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_TEND_H
#define DNVME_AGENT_BACKEND_LINUX_TEND_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

struct tend {
	pid_t pid;	   /* 0: it does not run */
	uint64_t begin_ms; /* not to be started before; boot clock */
};

/* Start it if it does not run. */
int tend_start(struct tend *tend, struct error *error);

#endif
