/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the witness writes: blocks of 4 KiB that say who wrote them, where, and in which order. */
#ifndef TESTS_KERNEL_WITNESS_BLOCK_H
#define TESTS_KERNEL_WITNESS_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_BYTES 4096u
#define BLOCK_WORDS (BLOCK_BYTES / sizeof(uint64_t))

struct block_header {
	uint64_t magic;
	uint64_t run;	   /* random, of one journal */
	uint64_t number;   /* of the block on the device */
	uint64_t sequence; /* rises with each write of the run */
	uint64_t time_ns;  /* wall clock when it was made */
	uint64_t digest;   /* of all other words */
};

enum block_verdict {
	BLOCK_OURS,    /* written by this run, for this place, whole */
	BLOCK_ZERO,    /* never written */
	BLOCK_FOREIGN, /* another run's, another place's, torn, or garbage */
};

void block_fill(void *block, uint64_t run, uint64_t number, uint64_t sequence, uint64_t time_ns);

/* The sequence is set for BLOCK_OURS only. */
enum block_verdict block_inspect(const void *block, uint64_t run, uint64_t number, uint64_t *ret_sequence);

/* Whether the witness wrote this block, in any run; *ret_run is set if so. */
bool block_is_witness(const void *block, uint64_t *ret_run);

/* Of any run of words; for comparing, not against malice. */
uint64_t block_digest(const void *data, uint64_t bytes);

#endif
