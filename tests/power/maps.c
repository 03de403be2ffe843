/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/power/recorder.h"

#define MAPS_MAX 8
#define SHADOW_BYTES (UINT64_C(4) << 30) /* of addresses; only what holds data is touched */
#define SECTOR 512u
#define CHUNK (64u << 10)

struct map {
	int fd;
	uint64_t inode;
	uint8_t *shadow;
};

static struct map maps[MAPS_MAX];
static size_t map_count;

/* Tell what differs from the shadow, sector by sector. */
static void chunk_compare(const struct map *map, uint64_t offset, const uint8_t *now, size_t size, bool tell)
{
	uint8_t *before = map->shadow + offset;

	for (size_t at = 0; at < size;) {
		size_t end = at;

		while (end < size && memcmp(before + end, now + end, SECTOR) != 0)
			end += SECTOR;
		if (end == at) {
			at += SECTOR;
			continue;
		}
		memcpy(before + at, now + at, end - at);
		if (tell)
			record_write(&(struct record){ .kind = RECORD_STORE,
						       .inode = map->inode,
						       .a = offset + at,
						       .data = now + at,
						       .size = end - at });
		at = end;
	}
}

static void map_scan(const struct map *map, bool tell)
{
	static uint8_t chunk[CHUNK];
	off_t from = lseek(map->fd, 0, SEEK_DATA), to;

	while (from >= 0) {
		to = lseek(map->fd, from, SEEK_HOLE);
		if (to < 0 || (uint64_t)to > SHADOW_BYTES)
			give_up("cannot compare a mapped file");
		from -= from % SECTOR;
		while (from < to) {
			size_t size = to - from < (off_t)sizeof(chunk) ? (size_t)(to - from) : sizeof(chunk);
			ssize_t got = pread(map->fd, chunk, size, from);

			if (got <= 0)
				give_up("cannot read a mapped file");
			/* A file may end within a sector. */
			memset(chunk + got, 0, (SECTOR - (size_t)got % SECTOR) % SECTOR);
			chunk_compare(map, (uint64_t)from, chunk, ((size_t)got + SECTOR - 1) / SECTOR * SECTOR, tell);
			from += got;
		}
		from = lseek(map->fd, to, SEEK_DATA);
	}
}

void maps_watch(const char *path, uint64_t inode)
{
	struct map *map = &maps[map_count];
	struct stat status;

	for (size_t i = 0; i < map_count; i++) {
		if (maps[i].inode != inode)
			continue;
		/* An inode may have been given to another file. */
		if (fstat(maps[i].fd, &status) == 0 && status.st_nlink > 0)
			return;
		map = &maps[i];
		close(map->fd);
		munmap(map->shadow, SHADOW_BYTES);
		break;
	}
	if (map == &maps[MAPS_MAX])
		give_up("too many mapped files");
	map->fd = open(path, O_RDONLY | O_CLOEXEC);
	map->inode = inode;
	map->shadow =
		mmap(NULL, SHADOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map->fd < 0 || map->shadow == MAP_FAILED)
		give_up("cannot watch the map of %s", path);
	map_scan(map, false); /* what is there by now was written by calls */
	if (map == &maps[map_count])
		map_count++;
}

void maps_scan(void)
{
	for (size_t i = 0; i < map_count; i++)
		map_scan(&maps[i], true);
}
