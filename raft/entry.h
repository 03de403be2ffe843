/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Raft entry: several commands packed together, so that one write to disk and one round trip carry them all.
 *
 *   magic u32 | count u32 | length u32 ... | command bytes ... | zero padding to a multiple of 8
 *
 * Numbers are little endian. libraft loses or refuses entries whose length is not a multiple of 8.
 */
#ifndef DNVME_RAFT_ENTRY_H
#define DNVME_RAFT_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

/* Bytes of an entry with `count` commands of `total` bytes. Both are bounded by LIMIT_ENTRY_BYTES. */
size_t entry_size(size_t count, size_t total);

/* Write into `memory` of entry_size() bytes. */
void entry_pack(const struct bytes *commands, size_t count, uint8_t *memory);

/* Take apart; *ret_commands (malloc, the caller frees it) points into `entry`. FAILED_PRECONDITION when it is damaged
 * or of another version, INTERNAL when memory is exhausted. */
int entry_unpack(struct bytes entry, struct bytes **ret_commands, size_t *ret_count, struct error *error);

#endif
