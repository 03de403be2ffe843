/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of a witness: what it asked for and what was acknowledged, in the order in which it happened. It is
 * appended to with one write(2) a record, so that it survives the death of the witness at any point; half a record at
 * its end does not count. `tests/kernel/rig.py` reads it too.
 */
#ifndef TESTS_KERNEL_WITNESS_JOURNAL_H
#define TESTS_KERNEL_WITNESS_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

enum journal_kind {
	JOURNAL_RUN = 1,    /* block: blocks of the device, sequence: the run; the first record */
	JOURNAL_ISSUED = 2, /* a write is about to be sent */
	JOURNAL_DONE = 3,   /* it was acknowledged */
	JOURNAL_FAILED = 4, /* it ended with `error`: nobody knows whether it is on the medium */
	JOURNAL_READ = 5,   /* `watch`: sequence read, 0 for none; the time is when the read began */
	JOURNAL_END = 6,    /* the witness ended in order: there is no write beyond those above */
};

struct journal_record {
	uint16_t kind;
	uint16_t count; /* blocks from `block` on; the sequences rise by one each */
	int32_t error;
	uint64_t block;
	uint64_t sequence;
	uint64_t time_ns; /* wall clock */
};

struct journal {
	int fd;
	uint64_t run;
	uint64_t blocks;
};

/* What a journal says about each block. Sequence 0: never. */
struct journal_state {
	uint64_t run;
	uint64_t blocks;
	uint64_t *issued;
	uint64_t *done;
	uint64_t sequence_max;
	uint64_t writes_issued;
	uint64_t writes_done;
	uint64_t last_done_ns;
	bool complete; /* ended in order */
};

/* Opens for appending; makes a run when the file is new or empty. 0, or an errno. */
int journal_open(const char *path, uint64_t blocks, struct journal *ret_journal);
/* Appends; aborts when it cannot, as nothing could be trusted after that. */
void journal_append(struct journal *journal, enum journal_kind kind, uint64_t block, uint32_t count, uint64_t sequence,
		    int error, uint64_t time_ns);
/* 0, or an errno; EBADMSG when it is no journal. A journal without records is ENODATA. */
int journal_load(const char *path, struct journal_state *ret_state);
void journal_state_free(struct journal_state *state);

uint64_t journal_now_ns(void);

#endif
