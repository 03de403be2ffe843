/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room for log and snapshots. libraft keeps two segments ready. When it cannot make one, or cannot write a snapshot, it
 * tries again and again and says nothing; what it cannot write meanwhile waits in memory, and the others go on without
 * this server. Somebody must be told.
 */
#include <inttypes.h>
#include <sys/statvfs.h>

#include "lib/base/log.h"
#include "raft/internal.h"

#define SEGMENT_BYTES (UINT64_C(8) << 20) /* libraft's default */
#define SEGMENTS_READY 2
#define INTERVAL_MS 500
#define PATIENCE_MS 2000 /* to make a segment takes its time */

void room_tick(struct consensus *consensus)
{
	uint64_t now = uv_now(consensus->prepare.loop), bytes_free = UINT64_MAX;
	struct statvfs status;

	if (now < consensus->room_check_ms)
		return;
	consensus->room_check_ms = now + INTERVAL_MS;
	if (statvfs(consensus->directory, &status) == 0)
		bytes_free = (uint64_t)status.f_bavail * status.f_frsize;
	/* io.capacity: kibibytes that the segments can still take. */
	if (bytes_free >= SEGMENT_BYTES && consensus->io.capacity * UINT64_C(1024) >= SEGMENTS_READY * SEGMENT_BYTES) {
		if (consensus->statistics.room_short) {
			log_notice("the Raft log has room again", "directory=%s", consensus->directory);
			/* What is proposed next waits until libraft has heard of it, too. */
			consensus->no_space_since = 0;
		}
		consensus->room_short_since = 0;
		consensus->statistics.room_short = false;
		return;
	}
	if (consensus->room_short_since == 0)
		consensus->room_short_since = now > 0 ? now : 1;
	if (consensus->statistics.room_short || now - consensus->room_short_since < PATIENCE_MS)
		return;
	consensus->statistics.room_short = true;
	if (bytes_free < SEGMENT_BYTES)
		log_error("the disk is full: the Raft log of this server cannot grow, soon the others go on without it",
			  "directory=%s free=%" PRIu64 " needed=%" PRIu64 " hint=\"make room in the data directory\"",
			  consensus->directory, bytes_free, SEGMENTS_READY * SEGMENT_BYTES);
	else
		log_warning("the Raft log waits for its disk", "directory=%s for_ms=%" PRIu64, consensus->directory,
			    now - consensus->room_short_since);
}
