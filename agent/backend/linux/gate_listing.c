/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libnftables prints of a set with timeouts. */
#include "agent/backend/linux/linux.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "1h2m3s456ms", up to something else. */
static uint64_t duration_parse(const char *text)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	uint64_t total = 0;

	while (*text >= '0' && *text <= '9') {
		char *end;
		uint64_t number = strtoull(text, &end, 10);
		size_t i = 0;

		while (i < sizeof(units) / sizeof(units[0]) && strncmp(end, units[i].name, strlen(units[i].name)) != 0)
			i++;
		if (i == sizeof(units) / sizeof(units[0]))
			break;
		total += number * units[i].ms;
		text = end + strlen(units[i].name);
	}
	return total;
}

/* Of "elements = { 4420 timeout 2s expires 1s876ms, 4430 … }". */
uint64_t gate_listing_remaining(const char *listing, uint64_t port)
{
	static const char expires[] = " expires ";
	const char *at = strstr(listing, "elements = {");
	char wanted[24];

	snprintf(wanted, sizeof(wanted), "%" PRIu64, port);
	if (at == NULL)
		return 0;
	at += strlen("elements = {");
	while (at != NULL && *at != '}') {
		size_t length = strcspn(at, ",}");
		const char *number = at + strspn(at, " \t\n"), *found;

		if (strncmp(number, wanted, strlen(wanted)) == 0 && number[strlen(wanted)] == ' ') {
			found = strstr(number, expires);
			/* Without a time somebody else made it. */
			if (found == NULL || found > at + length)
				return UINT64_MAX;
			return duration_parse(found + strlen(expires));
		}
		at = at[length] == ',' ? at + length + 1 : NULL;
	}
	return 0;
}
