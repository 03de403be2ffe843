/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lines of the trace instance say about I/O errors of LDs. Pure.
 *
 *   … 32.376189: block_bio_complete: 252,524295 WS 0 + 8 [-5]    written by the kernel
 *   … 33.000000: tracing_mark_write: dnvme forget MINOR REBUILD_MS
 *   … 34.000000: tracing_mark_write: dnvme ld MINOR READS WRITES FORGOTTEN_US REBUILD_MS LAST_US     one of a summary
 *   … 34.000001: tracing_mark_write: dnvme known UPTO_US MISSED_US DROPPED                   its end
 *
 * The instance is a ring: the oldest lines go. A summary repeats what lines of before UPTO_US said, so that they may.
 * When lines went that no summary knows of, errors of every LD may have been missed.
 *
 * The device of an LD always has the same minor number, in a range that no other device is in: so a line tells whose
 * error it is long after the device went, and the kernel can tell errors of LDs from all others.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_TRACELOG_H
#define DNVME_AGENT_BACKEND_LINUX_TRACELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"

#define TRACELOG_MINORS (1u << 19) /* half of those that there are: from here to twice this */
#define TRACELOG_ENOUGH 100u	   /* errors of one LD: more are not recorded, they would push out others */

struct tracelog_ld {
	uint64_t minor, reads, writes;
	uint64_t forgotten_us; /* what is older does not count */
	uint64_t rebuild_ms;   /* for this rebuild */
	uint64_t last_us;      /* of the last one that counts; 0: not known */
};

struct tracelog {
	size_t count, capacity;
	struct tracelog_ld *lds; /* owned */
	uint64_t known_us;	 /* the last summary knows of everything before this moment */
	uint64_t missed_us;	 /* of before this moment errors may be missing; 0: none is */
	uint64_t dropped;	 /* lines that the kernel had no room for, as the last summary knows */
	uint64_t lines;		 /* since the last summary */
};

void tracelog_free(struct tracelog *log);

/* "252,524295" has the minor number of an LD. */
uint64_t tracelog_minor(uint64_t ld);

/* Take in a line; others than these are skipped. Returns 0, or -1 when memory is exhausted. */
int tracelog_line(struct tracelog *log, const char *line);

/* After all lines: those of before this moment were lost; so many had no room. */
void tracelog_lost(struct tracelog *log, uint64_t before_us, uint64_t dropped, uint64_t now_us);

/* Whether a summary should be written now. */
bool tracelog_is_due(const struct tracelog *log);

/* Append a summary of all that is older than `upto_us`, a mark in each line. Returns 0 or -1. */
int tracelog_summary(const struct tracelog *log, uint64_t upto_us, struct buffer *output);

/* Append which lines the kernel shall write: of devices of LDs that have not returned very many yet. */
int tracelog_filter(const struct tracelog *log, uint64_t major, struct buffer *output);

/* What is known of an LD; all zero when nothing is. */
struct tracelog_ld tracelog_get(const struct tracelog *log, uint64_t ld);

#endif
