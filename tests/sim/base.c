/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for lib/base/clock.c and lib/base/log.c, and for a few calls of the C library. */
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <xxhash.h>

#include "lib/base/clock.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "tests/sim/memory.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

uint64_t clock_boot_ms(void)
{
	return machine_boot_us(world_current->machine) / WORLD_MS;
}

uint64_t clock_wall_ms(void)
{
	return (uint64_t)(world_current->machine->wall_us + (int64_t)world_now) / WORLD_MS;
}

void random_bytes(void *data, size_t size)
{
	uint8_t *at = data;

	while (size > 0) {
		uint64_t value = world_random();
		size_t part = size < sizeof(value) ? size : sizeof(value);

		memcpy(at, &value, part);
		at += part;
		size -= part;
	}
}

int boot_id_read(uint8_t ret_id[16])
{
	memcpy(ret_id, world_current->machine->boot_id, 16);
	return 0;
}

void log_open(const char *program, enum log_target target, enum log_level level)
{
	(void)program;
	(void)target;
	(void)level;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	(void)text;
	*ret_level = LOG_LEVEL_INFO;
	return 0;
}

void log_message(enum log_level level, const char *message, const char *fields, ...)
{
	va_list arguments;

	if (level > LOG_LEVEL_INFO)
		return;
	va_start(arguments, fields);
	trace(message, fields, arguments);
	va_end(arguments);
}

void log_failure(enum log_level level, const char *what, const struct error *error)
{
	log_message(level, what, "%s%s%s", error->message, error->hint[0] != '\0' ? " hint: " : "", error->hint);
}

/* Options of sockets that do not exist (linked as setsockopt() of everything but the C library). */
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	(void)fd;
	(void)level;
	(void)option;
	(void)value;
	(void)size;
	return 0;
}

/* libuuid asks the kernel itself. */
void __wrap_uuid_generate_random(uint8_t ret_uuid[16]);
void __wrap_uuid_generate_random(uint8_t ret_uuid[16])
{
	random_bytes(ret_uuid, 16);
	ret_uuid[6] = (uint8_t)((ret_uuid[6] & 0x0f) | 0x40);
	ret_uuid[8] = (uint8_t)((ret_uuid[8] & 0x3f) | 0x80);
}

#define UUIDS 1024 /* that are remembered; a power of two */

struct uuid_known {
	uint8_t space[16], uuid[16];
	char name[95];
	uint8_t length; /* of the name; 0: none is known here */
};

/* Agents make those of all their exports again for each new desired state, by SHA-1. A name has the same one in each
 * run: so they are remembered where nothing is put back. */
void __real_uuid_generate_sha1(uint8_t ret_uuid[16], const uint8_t space[16], const char *name, size_t length);
void __wrap_uuid_generate_sha1(uint8_t ret_uuid[16], const uint8_t space[16], const char *name, size_t length);
void __wrap_uuid_generate_sha1(uint8_t ret_uuid[16], const uint8_t space[16], const char *name, size_t length)
{
	static struct uuid_known *all;
	struct uuid_known *known;

	if (all == NULL)
		all = memory_room(UUIDS * sizeof(*all));
	known = &all[XXH64(name, length, 0) % UUIDS];
	if (length == 0 || length > sizeof(known->name)) {
		__real_uuid_generate_sha1(ret_uuid, space, name, length);
		return;
	}
	if (known->length != length || memcmp(known->space, space, sizeof(known->space)) != 0 ||
	    memcmp(known->name, name, length) != 0) {
		__real_uuid_generate_sha1(known->uuid, space, name, length);
		memcpy(known->space, space, sizeof(known->space));
		memcpy(known->name, name, length);
		known->length = (uint8_t)length;
	}
	memcpy(ret_uuid, known->uuid, sizeof(known->uuid));
}
