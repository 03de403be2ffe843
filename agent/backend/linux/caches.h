/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the write caches of disks were when they were asked last. To ask means to send a command to the disk, which may
 * take for ever; so it is done by threads of their own (signatures.h), again after half a minute, and at once after it
 * was changed.
 *
 * caches_look(), caches_wait() and caches_get() are for one thread, caches_off() is for any.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_CACHES_H
#define DNVME_AGENT_BACKEND_LINUX_CACHES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/backend/linux/write_cache.h"

/* One that could not be switched off is not tried again for so long. */
#define CACHES_RETRY_MS 300000

struct caches;

/* As write_cache.h has them. */
struct caches_device {
	enum write_cache (*ask)(const char *sys, const char *path);
	int (*off)(const char *sys, const char *path, struct error *error);
};

/* NULL when memory is exhausted. */
struct caches *caches_make(const struct caches_device *device);
void caches_free(struct caches *caches); /* accepts NULL */

/* As signatures_look() and signatures_wait(). */
int caches_look(struct caches *caches, const char *path, uint64_t now_ms);
void caches_wait(struct caches *caches, uint64_t patience_ms);

/* Of one that was looked at. As long as it does not answer it counts as one that is on and can be switched off. Returns
 * 0, or -1 when memory is exhausted. */
int caches_get(struct caches *caches, const char *path, uint64_t now_ms, bool *ret_volatile, bool *ret_switchable);

int caches_off(struct caches *caches, const char *path, uint64_t now_ms, struct error *error);

#endif
