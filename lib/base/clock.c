/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "lib/base/uuid.h"

static uint64_t clock_read_ms(clockid_t id)
{
	struct timespec now;

	if (clock_gettime(id, &now) != 0)
		abort();
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_boot_ms(void)
{
	return clock_read_ms(CLOCK_BOOTTIME);
}

uint64_t clock_wall_ms(void)
{
	return clock_read_ms(CLOCK_REALTIME);
}

void random_bytes(void *data, size_t size)
{
	char *at = data;

	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		at += got;
		size -= (size_t)got;
	}
}

int boot_id_read(uint8_t ret_id[16])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[40];
	int rv = -1;

	if (file == NULL)
		return -1;
	if (fscanf(file, "%36s", text) == 1)
		rv = uuid_text_parse(text, ret_id);
	fclose(file);
	return rv;
}
