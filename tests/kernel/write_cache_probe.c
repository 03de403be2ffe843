/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks each disk for its write cache, switches it off, and asks again, as the agent does. One line for each. */
#include <stdio.h>

#include "agent/backend/linux/write_cache.h"

int main(int argc, char **argv)
{
	static const char *const names[] = { "off", "on", "fixed" };

	for (int i = 1; i < argc; i++) {
		struct error error = { 0 };
		enum write_cache before = write_cache_ask("/sys", argv[i]);
		int code = write_cache_off("/sys", argv[i], &error);

		printf("%s was %s, is %s%s%s\n", argv[i], names[before], names[write_cache_ask("/sys", argv[i])],
		       code != 0 ? ": " : "", error.message);
	}
	return 0;
}
