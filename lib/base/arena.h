/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An arena: many small allocations that are freed together.
 *
 * Everything that a decoder returns lives in the arena that was given to it.
 * Not thread-safe; one arena belongs to one operation.
 */
#ifndef DNVME_LIB_BASE_ARENA_H
#define DNVME_LIB_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used; /* bytes handed out from blocks[0] */
};

#define ARENA_INIT                                                                                                     \
	{                                                                                                              \
		0                                                                                                      \
	}

/* Zeroed memory, aligned for any type; NULL when memory is exhausted or `size * count` overflows. A size of 0
 * gives a valid pointer. Lives until arena_free(). */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);

/* The same, not zeroed: for who fills it at once. */
void *arena_room(struct arena *arena, size_t size);

/* A copy with a terminating NUL; NULL when memory is exhausted. */
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_strdup(struct arena *arena, const char *text);
void *arena_memdup(struct arena *arena, const void *data, size_t size);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Free everything that was allocated; the arena can be used again. */
void arena_free(struct arena *arena);

#endif
