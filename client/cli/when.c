/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/when.h"

#include <stdio.h>
#include <time.h>

const char *when_format(uint64_t wall_ms, char text[WHEN_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm calendar;

	if (wall_ms == 0 || gmtime_r(&seconds, &calendar) == NULL ||
	    strftime(text, WHEN_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &calendar) == 0)
		snprintf(text, WHEN_TEXT_SIZE, "an unknown time");
	return text;
}
