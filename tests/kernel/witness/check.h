/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done with a journal or a device afterwards. Each prints JSON or lines and returns the exit status. */
#ifndef TESTS_KERNEL_WITNESS_CHECK_H
#define TESTS_KERNEL_WITNESS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens a block device with O_DIRECT, a plain file without; its blocks of 4 KiB. 0, or an errno. */
int device_open(const char *path, int flags, int *ret_fd, uint64_t *ret_blocks);

/* Is each acknowledged write, or a later one, on the device? */
int check_run(const char *device, const char *journal, bool blank);
/* How many writes a journal holds, and when the last one was acknowledged. */
int check_status(const char *journal);
#define CHECK_RUNS_MAX 16

struct check_range {
	uint64_t offset, length; /* in bytes; length 0: to the end */
	size_t run_count;
	uint64_t runs[CHECK_RUNS_MAX];
};

/* A line for each 64 KiB that is not all zero: number, digest, blocks in it that a witness wrote. With runs, theirs
 * only: what the space held before it became part of the device was written by others. */
int check_digest(const char *device, const struct check_range *range);

#endif
