/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether LMDB may be let loose on a data file: LMDB follows page numbers, offsets and lengths as they stand there, and
 * a damaged one ends the process or, worse, has it write over what is in use.
 *
 * Every page of the newest state is looked at once: where it is, what it holds, the order of its keys, and that nothing
 * is used twice or both used and free. What the values say is not looked at.
 */
#ifndef DNVME_STORE_VERIFY_H
#define DNVME_STORE_VERIFY_H

#include <stdint.h>

#include "lib/base/error.h"

enum store_verdict {
	STORE_VERDICT_SOUND,
	STORE_VERDICT_DAMAGED,
	STORE_VERDICT_FOREIGN, /* a sound file of LMDB without the table that says that it is ours */
	STORE_VERDICT_UNKNOWN, /* not a file of this version of LMDB's format: LMDB will say so */
};

struct store_verified {
	enum store_verdict verdict;
	const char *why; /* damaged: a literal */
	uint32_t page_bytes;
};

/* Look at a data file of `bytes` bytes. `identity` is the name of the table that makes it ours. INTERNAL when memory is
 * exhausted, or what the kernel says; otherwise *ret_verified has the answer. */
int store_verify(int fd, uint64_t bytes, const char *identity, struct store_verified *ret_verified,
		 struct error *error);

#endif
