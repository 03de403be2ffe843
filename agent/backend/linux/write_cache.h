/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The write cache of a disk, as the disk itself tells: what the kernel believes (queue/write_cache) decides only
 * whether it sends flushes, and is neither the truth nor ever changed here.
 *
 * NVMe: feature 06h of the controller, so of all its namespaces. SCSI and SATA: the caching mode page, which the kernel
 * writes when its cache_type is written. virtio-blk: cache_type, where its device can change it. Of all others only
 * what the kernel believes is known.
 *
 * These functions send commands to the disk, and may not return for long.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_WRITE_CACHE_H
#define DNVME_AGENT_BACKEND_LINUX_WRITE_CACHE_H

#include "lib/base/error.h"

enum write_cache {
	WRITE_CACHE_OFF,   /* or there is none, or it keeps what it holds */
	WRITE_CACHE_ON,	   /* and it can be switched off */
	WRITE_CACHE_FIXED, /* it is on and cannot be, or it cannot be told */
};

/* `sys`: "/sys"; `path`: the disk in /dev. */
enum write_cache write_cache_ask(const char *sys, const char *path);

/* Switch it off, where the disk can for good, and have on the medium what it held. Succeeds only when the disk says
 * afterwards that it is off; FAILED_PRECONDITION otherwise. */
int write_cache_off(const char *sys, const char *path, struct error *error);

#endif
