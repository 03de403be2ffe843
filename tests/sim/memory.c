/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/memory.h"

#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define PARTS 1024
#define SEGMENTS 128
#define RUNS 65536
#define PAGES_AT_ONCE 4096
#define PAGEMAP_THERE (UINT64_C(3) << 62) /* in memory, or swapped out: docs of the kernel, pagemap */

struct range {
	uint8_t *start;
	size_t size;
	const size_t *used; /* NULL: `size` */
	bool zeroed;
};

/* Pages in a row, with what they held. */
struct run {
	uint8_t *start;
	const uint8_t *kept;
	size_t size;
};

/* Not part of what is put back. */
struct kept {
	int pagemap;
	struct range
		ranges[PARTS + SEGMENTS]; /* the parts first: how much of them is used says what is in the segments */
	size_t range_count;
	struct run runs[RUNS]; /* in order of their ranges */
	size_t run_count;
	size_t run_begin[PARTS + SEGMENTS + 1]; /* of each range */
	uint64_t entries[PAGES_AT_ONCE];
};

static struct range parts[PARTS];
static size_t part_count;
static struct kept *kept;

void *memory_room(size_t size)
{
	void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		abort();
	return room;
}

void memory_part(void *start, const size_t *used, bool zeroed)
{
	if (part_count == PARTS || kept != NULL)
		abort();
	parts[part_count++] = (struct range){ .start = start, .used = used, .zeroed = zeroed };
}

static size_t pages_of(const struct range *range)
{
	return ((range->used != NULL ? *range->used : range->size) + PAGE - 1) / PAGE;
}

/* Calls for each row of pages that are there. */
static void pages_walk(const struct range *range, void (*visit)(const struct range *range, uint8_t *start, size_t size))
{
	size_t pages = pages_of(range), first = (uintptr_t)range->start / PAGE, begin = 0, length = 0;

	for (size_t at = 0; at < pages; at += PAGES_AT_ONCE) {
		size_t count = pages - at < PAGES_AT_ONCE ? pages - at : PAGES_AT_ONCE;
		ssize_t size = (ssize_t)(count * sizeof(kept->entries[0]));

		if (pread(kept->pagemap, kept->entries, (size_t)size, (off_t)((first + at) * sizeof(uint64_t))) !=
		    size) {
			perror("sim: /proc/self/pagemap");
			abort();
		}
		for (size_t i = 0; i < count; i++) {
			if ((kept->entries[i] & PAGEMAP_THERE) == 0)
				continue;
			if (begin + length == at + i && length > 0) {
				length++;
				continue;
			}
			if (length > 0)
				visit(range, range->start + begin * PAGE, length * PAGE);
			begin = at + i;
			length = 1;
		}
	}
	if (length > 0)
		visit(range, range->start + begin * PAGE, length * PAGE);
}

/* --- keep ------------------------------------------------------------------------------------------------------- */

/* The C library's own: its streams, and what the loader needs. */
static bool is_put_back(const char *library)
{
	static const char *const others[] = { "libc.so", "ld-linux", "linux-vdso", "libm.so" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strstr(library, others[i]) != NULL)
			return false;
	}
	return true;
}

static void segment_add(uintptr_t begin, uintptr_t end)
{
	begin = begin / PAGE * PAGE;
	end = (end + PAGE - 1) / PAGE * PAGE;
	if (begin >= end)
		return;
	if (kept->range_count == PARTS + SEGMENTS)
		abort();
	kept->ranges[kept->range_count++] =
		(struct range){ .start = (uint8_t *)begin, .size = end - begin, .zeroed = true };
}

/* What can be written of a library: not what the loader made read-only behind itself. */
static int on_library(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t read_only = 0;

	(void)size;
	(void)data;
	if (!is_put_back(info->dlpi_name))
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type == PT_GNU_RELRO)
			read_only = (info->dlpi_addr + header->p_vaddr + header->p_memsz) / PAGE * PAGE;
	}
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + header->p_vaddr, end = begin + header->p_memsz;

		if (header->p_type != PT_LOAD || (header->p_flags & PF_W) == 0)
			continue;
		if (read_only > begin && read_only <= end + PAGE)
			begin = read_only;
		segment_add(begin, end);
	}
	return 0;
}

static void page_note(const struct range *range, uint8_t *start, size_t size)
{
	(void)range;
	if (kept->run_count == RUNS)
		abort();
	kept->runs[kept->run_count++] = (struct run){ .start = start, .size = size };
}

static void runs_keep(void)
{
	uint8_t *room;
	size_t size = 0;

	for (size_t i = 0; i < kept->run_count; i++)
		size += kept->runs[i].size;
	room = memory_room(size);
	for (size_t i = 0; i < kept->run_count; i++) {
		kept->runs[i].kept = memcpy(room, kept->runs[i].start, kept->runs[i].size);
		room += kept->runs[i].size;
	}
}

void memory_keep(void)
{
	/* Found first, so that nothing of this is in the middle of a change when it is copied. */
	kept = memory_room(sizeof(*kept));
	kept->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	memcpy(kept->ranges, parts, part_count * sizeof(parts[0]));
	kept->range_count = part_count;
	dl_iterate_phdr(on_library, NULL);
	fflush(stdout);
	for (size_t i = 0; i < kept->range_count; i++) {
		kept->run_begin[i] = kept->run_count;
		pages_walk(&kept->ranges[i], page_note);
	}
	kept->run_begin[kept->range_count] = kept->run_count;
	runs_keep();
}

/* --- put back --------------------------------------------------------------------------------------------------- */

/* What is there and was not kept: its run's place in order is searched from the front of the range on. */
static void page_clear(const struct range *range, uint8_t *start, size_t size)
{
	size_t index = (size_t)(range - kept->ranges);
	uint8_t *end = start + size;

	for (size_t i = kept->run_begin[index]; i < kept->run_begin[index + 1] && start < end; i++) {
		const struct run *run = &kept->runs[i];

		if (run->start + run->size <= start)
			continue;
		if (run->start >= end)
			break;
		if (run->start > start)
			memset(start, 0, (size_t)(run->start - start));
		start = run->start + run->size;
	}
	if (start < end)
		memset(start, 0, (size_t)(end - start));
}

void memory_put_back(void)
{
	fflush(stdout);
	for (size_t i = 0; i < kept->range_count; i++) {
		if (kept->ranges[i].zeroed)
			pages_walk(&kept->ranges[i], page_clear);
	}
	for (size_t i = 0; i < kept->run_count; i++)
		memcpy(kept->runs[i].start, kept->runs[i].kept, kept->runs[i].size);
}
