/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz/fuzz.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DIRECTORIES 4

static char directories[DIRECTORIES][128];
static unsigned directory_count;

void fuzz_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

void dice_init(struct dice *dice, uint64_t seed)
{
	dice->state = seed * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0xd1b54a32d192ed03);
	if (dice->state == 0)
		dice->state = 1;
}

uint64_t dice_roll(struct dice *dice, uint64_t sides)
{
	/* xorshift64* */
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return sides == 0 ? 0 : (dice->state * UINT64_C(2685821657736338717) >> 31) % sides;
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static void directories_remove(void)
{
	for (unsigned i = 0; i < directory_count; i++)
		nftw(directories[i], entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

void fuzz_directory(const char *name, char *ret_path, size_t size)
{
	const char *parent = getenv("TMPDIR");
	char *path = directories[directory_count];

	FUZZ_REQUIRE(directory_count < DIRECTORIES, "too many directories");
	snprintf(path, sizeof(directories[0]), "%s/dnvme-%s-XXXXXX",
		 parent != NULL && strlen(parent) < 80 ? parent : "/tmp", name);
	FUZZ_REQUIRE(mkdtemp(path) != NULL && strlen(path) < size, "cannot make %s", path);
	if (directory_count++ == 0)
		atexit(directories_remove);
	strcpy(ret_path, path);
}

void fuzz_file_write(struct fuzz_file *file, struct bytes data)
{
	if (file->fd == 0) {
		file->fd = memfd_create("dnvme-fuzz", MFD_CLOEXEC);
		FUZZ_REQUIRE(file->fd > 0, "no memory for a file");
		snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
	}
	FUZZ_REQUIRE(ftruncate(file->fd, 0) == 0 && pwrite(file->fd, data.data, data.size, 0) == (ssize_t)data.size,
		     "cannot write a file");
}

size_t fuzz_give(const struct buffer *made, uint8_t *data, size_t max_size)
{
	if (made->size == 0 || made->size > max_size)
		return 0;
	memcpy(data, made->data, made->size);
	return made->size;
}
