/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The heap of the whole program, in two rooms of memory.c: so that all of it is put back with them. Blocks of one size
 * make a list when they are free; they are not joined, as runs are short. Whoever frees what is not his, or writes
 * behind a block's end, ends the program when the block that he hit is freed.
 *
 * Large blocks are whole pages of their own, which are zeros until they are touched, as the C library has them: LMDB
 * asks for megabytes of which it uses little.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/memory.h"

#define ROOM_BYTES (UINT64_C(4) << 30) /* of addresses, of each kind of blocks */
#define PAGE_BYTES ((size_t)4096)
#define LARGE_BYTES ((size_t)256 << 10)
#define STEP 16 /* small sizes, and what blocks are aligned to */
#define STEPS 64
#define STEPS_BYTES (STEP * STEPS)
#define CLASSES 192

#define MARK_USED UINT32_C(0x75736564)
#define MARK_FREE UINT32_C(0x66726565)
#define MARK_ALIGNED UINT32_C(0x616c6967) /* in a block, `number` bytes behind its beginning */

struct head {
	uint32_t mark;
	uint32_t number;   /* of its class */
	struct head *next; /* free */
};
_Static_assert(sizeof(struct head) == STEP, "a block begins aligned behind its head");

static uint8_t *small, *large;
static size_t small_used, large_used;
static struct head *spare[CLASSES];

/* Sizes with their heads: in steps of 16 up to 1024, then four of each doubling. */
static unsigned class_of(size_t size)
{
	unsigned shift;

	if (size <= STEPS_BYTES)
		return (unsigned)((size + STEP - 1) / STEP);
	shift = 63 - (unsigned)__builtin_clzll(size - 1);
	return STEPS + 1 + (shift - 10) * 4 + (unsigned)((size - 1) >> (shift - 2) & 3);
}

static size_t class_bytes(unsigned number)
{
	unsigned shift;

	if (number <= STEPS)
		return (size_t)number * STEP;
	shift = 10 + (number - STEPS - 1) / 4;
	return ((size_t)1 << shift) + (((number - STEPS - 1) % 4 + 1) << (shift - 2));
}

static void begin(void)
{
	small = memory_room(ROOM_BYTES);
	large = memory_room(ROOM_BYTES);
	memory_part(small, &small_used, false);
	memory_part(large, &large_used, true);
}

static struct head *block_make(unsigned number)
{
	size_t size = class_bytes(number), *used = &small_used;
	uint8_t *room = small;

	if (small == NULL) {
		begin();
		room = small;
	}
	if (size >= LARGE_BYTES) {
		size = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
		used = &large_used;
		room = large;
	}
	if (size > ROOM_BYTES - *used)
		return NULL;
	*used += size;
	return (struct head *)(room + *used - size);
}

/* `ret_fresh`: its bytes were never touched, and are zeros when it is large. */
static void *take(size_t size, bool *ret_fresh)
{
	struct head *head;
	unsigned number;

	if (size > ROOM_BYTES / 2) {
		errno = ENOMEM;
		return NULL;
	}
	number = class_of(size + sizeof(*head));
	head = spare[number];
	*ret_fresh = head == NULL;
	if (head != NULL) {
		if (head->mark != MARK_FREE)
			abort();
		spare[number] = head->next;
	} else {
		head = block_make(number);
		if (head == NULL) {
			errno = ENOMEM;
			return NULL;
		}
		head->number = number;
	}
	head->mark = MARK_USED;
	return head + 1;
}

static struct head *head_of(void *block)
{
	struct head *head = (struct head *)block - 1;

	if (head->mark == MARK_ALIGNED)
		head = (struct head *)((uint8_t *)block - head->number) - 1;
	if (head->mark != MARK_USED)
		abort();
	return head;
}

/* Of a block, from its address on. */
static size_t bytes_of(void *block)
{
	struct head *head = head_of(block);

	return class_bytes(head->number) - (size_t)((uint8_t *)block - (uint8_t *)head);
}

static void give_back(void *block)
{
	struct head *head = head_of(block);

	head->mark = MARK_FREE;
	head->next = spare[head->number];
	spare[head->number] = head;
}

static void *take_aligned(size_t alignment, size_t size)
{
	uint8_t *block, *aligned;
	bool fresh;

	if (alignment <= STEP)
		return take(size, &fresh);
	if (alignment > UINT32_MAX / 2 || size > ROOM_BYTES / 4) {
		errno = ENOMEM;
		return NULL;
	}
	block = take(size + alignment + sizeof(struct head), &fresh);
	if (block == NULL)
		return NULL;
	aligned = (uint8_t *)(((uintptr_t)block + sizeof(struct head) + alignment - 1) & ~(uintptr_t)(alignment - 1));
	((struct head *)aligned)[-1] = (struct head){ .mark = MARK_ALIGNED, .number = (uint32_t)(aligned - block) };
	return aligned;
}

/* --- the C library's names -------------------------------------------------------------------------------------- */

void *malloc(size_t size)
{
	bool fresh;

	return take(size, &fresh);
}

void free(void *block)
{
	if (block != NULL)
		give_back(block);
}

void *calloc(size_t count, size_t size)
{
	size_t total;
	bool fresh;
	void *block;

	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	block = take(total, &fresh);
	if (block == NULL)
		return NULL;
	if (class_bytes(head_of(block)->number) < LARGE_BYTES) {
		memset(block, 0, total);
	} else if (!fresh) {
		struct head *head = head_of(block), kept = *head;

		madvise(head, sizeof(*head) + total, MADV_DONTNEED);
		*head = kept;
	}
	return block;
}

void *realloc(void *block, size_t size)
{
	void *other;
	size_t has;
	bool fresh;

	if (block == NULL)
		return take(size, &fresh);
	has = bytes_of(block);
	if (size <= has)
		return block;
	other = take(size, &fresh);
	if (other == NULL)
		return NULL;
	memcpy(other, block, has);
	give_back(block);
	return other;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return take_aligned(alignment, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
	return take_aligned(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
	void *block = take_aligned(alignment, size);

	if (block == NULL)
		return ENOMEM;
	*ret_block = block;
	return 0;
}

size_t malloc_usable_size(void *block);
size_t malloc_usable_size(void *block)
{
	return block != NULL ? bytes_of(block) : 0;
}
