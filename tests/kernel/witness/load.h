/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that write, and read back what was acknowledged, until they are told to stop. */
#ifndef TESTS_KERNEL_WITNESS_LOAD_H
#define TESTS_KERNEL_WITNESS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct load_options {
	const char *device;
	const char *journal;
	uint64_t threads;
	uint64_t seconds;	/* 0: until SIGTERM or SIGINT */
	uint64_t grace;		/* how long threads may take to end; what hangs then is counted as stuck */
	uint64_t first, length; /* blocks; length 0: to the end */
	uint64_t read_percent;
	uint64_t blocks_max; /* blocks of one write: 1 to this */
	uint64_t rate;	     /* writes a second of all threads; 0: no limit */
	bool fresh;	     /* each block once, a different 64 KiB each time as long as there are some */
	bool blank;	     /* the device was empty: what this journal did not write must be zero */
	bool watch;	     /* read only, and note in the journal what was read: another host writes */
};

/* Prints one line of JSON. 0: all is well; 1: errors, stale reads, foreign data, or stuck threads. */
int load_run(const struct load_options *options);

#endif
