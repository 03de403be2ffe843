/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies on disks that nobody seems to use: filesystems, members of RAIDs and volume groups, partition tables.
 *
 * To find out means to read from the disk, and a read may take for ever on one that is dying. So each disk is read by a
 * thread of its own, and only when something was written to it since it was read last; who asks waits for a bounded
 * time. A disk that does not answer counts as used.
 *
 * One thread at a time calls these functions, the reading threads are their own affair.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_SIGNATURES_H
#define DNVME_AGENT_BACKEND_LINUX_SIGNATURES_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/limits.h"

#define SIGNATURES_TEXT_SIZE (LIMIT_USED_BY + 1)
/* Writes that the kernel does not count (statistics switched off, commands passed through) show after this time. */
#define SIGNATURES_AGE_MS 30000

struct signatures;

/* What lies on a device, as "filesystem ext4", or why that cannot be told; an empty text: nothing that is known. */
typedef void (*signatures_reader)(const char *path, char ret_text[SIGNATURES_TEXT_SIZE]);

/* With libblkid. */
void signatures_read(const char *path, char ret_text[SIGNATURES_TEXT_SIZE]);

/* NULL when memory is exhausted. */
struct signatures *signatures_make(signatures_reader reader);
/* Accepts NULL. A thread that does not return keeps what it needs. */
void signatures_free(struct signatures *signatures);

/* Begin to read the device, unless it was read already under the same `stamp` (a text that changes with each write to
 * it), within SIGNATURES_AGE_MS before `now_ms`. What was not asked for since the last signatures_wait() is forgotten
 * there. Returns 0, or -1 when memory is exhausted. */
int signatures_look(struct signatures *signatures, const char *path, const char *stamp, uint64_t now_ms);

/* Until what was begun has ended, but at most so long. What is late is not waited for again. */
void signatures_wait(struct signatures *signatures, uint64_t patience_ms);

/* What lies on a device that was looked at; NULL: nothing. The text lives in `arena`. Returns 0, or -1 when memory is
 * exhausted. */
int signatures_get(struct signatures *signatures, const char *path, struct arena *arena, const char **ret_text);

#endif
