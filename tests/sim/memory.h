/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All memory that a run changes: the heap, static data, stacks of coroutines, the bytes of files. It is kept once, when
 * a family's cluster stands, and put back after each run: that costs a copy of some megabytes, where a fork for each
 * run cost a call of the kernel for each page that the run touched.
 *
 * malloc() and its like are this heap's, in libraries, too. What is not put back: the program's own stack, memory that
 * processes share, and the C library's data, in which nothing may stay that a run left there.
 */
#ifndef DNVME_TESTS_SIM_MEMORY_H
#define DNVME_TESTS_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of address space, all zeros, which are memory where they are touched, for ever. Aborts when there is no room.
 */
void *memory_room(size_t size);
/* A part of a room, of which the first `*used` bytes, as that number is then, are kept and put back. `zeroed`: what was
 * not touched when it was kept is zeros again behind a run; otherwise it is anything. Before memory_keep(). */
void memory_part(void *start, const size_t *used, bool zeroed);

/* Keep everything, once in a process, in no coroutine. */
void memory_keep(void);
/* As it was when it was kept; in no coroutine, and by who called memory_keep() or what that called. */
void memory_put_back(void);

#endif
