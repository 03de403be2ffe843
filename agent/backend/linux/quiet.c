/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/quiet.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "agent/backend/linux/linux.h"
#include "lib/base/clock.h"

#define LOOK_INTERVAL_MS 10
#define LOOKS 2

/* An error that says what is under way; none: nothing is. */
static int look(const char *root, uint32_t major, uint32_t minor, struct error *error)
{
	uint64_t reads = 0, writes = 0;
	char text[64] = "", name[128] = "";

	if (!file_read(text, sizeof(text), "%s/dev/block/%" PRIu32 ":%" PRIu32 "/inflight", root, major, minor) ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &reads, &writes) != 2)
		return 0;
	if (!file_read(name, sizeof(name), "%s/dev/block/%" PRIu32 ":%" PRIu32 "/dm/name", root, major, minor))
		snprintf(name, sizeof(name), "%" PRIu32 ":%" PRIu32, major, minor);
	if (file_read_number("%s/dev/block/%" PRIu32 ":%" PRIu32 "/dm/suspended", root, major, minor) != 0)
		return error_set(error, ERROR_UNAVAILABLE, "%s is suspended", name);
	if (reads + writes == 0)
		return 0;
	return error_set(error, ERROR_UNAVAILABLE, "%" PRIu64 " requests to %s are under way", reads + writes, name);
}

int quiet_await(const char *root, uint32_t major, uint32_t minor, uint64_t limit_ms, struct error *error)
{
	const struct timespec interval = { .tv_nsec = LOOK_INTERVAL_MS * 1000 * 1000 };
	uint64_t begin_ms = clock_boot_ms();
	unsigned looks = 0;

	for (;;) {
		struct error seen = { 0 };

		looks = look(root, major, minor, &seen) == 0 ? looks + 1 : 0;
		if (looks == LOOKS)
			return 0;
		if (looks == 0 && clock_boot_ms() - begin_ms >= limit_ms) {
			*error = seen;
			return seen.code;
		}
		nanosleep(&interval, NULL);
	}
}
