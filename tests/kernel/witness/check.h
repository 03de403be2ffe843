/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done with a journal or a device afterwards. Each prints JSON or lines and returns the exit status. */
#ifndef TESTS_KERNEL_WITNESS_CHECK_H
#define TESTS_KERNEL_WITNESS_CHECK_H

#include <stdbool.h>
#include <stdint.h>

/* Opens a block device with O_DIRECT, a plain file without; its blocks of 4 KiB. 0, or an errno. */
int device_open(const char *path, int flags, int *ret_fd, uint64_t *ret_blocks);

/* Is each acknowledged write, or a later one, on the device? */
int check_run(const char *device, const char *journal, bool blank);
/* How many writes a journal holds, and when the last one was acknowledged. */
int check_status(const char *journal);
/* A line for each 64 KiB that is not all zero: number, digest, blocks of a witness in it. Offset and length in bytes.
 */
int check_digest(const char *device, uint64_t offset, uint64_t length);

#endif
