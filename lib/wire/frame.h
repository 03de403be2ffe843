/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames: where one MessagePack value ends in a stream of bytes.
 *
 * The scanner takes input in pieces of any size, keeps no copy, and bounds total bytes, depth, number of values and
 * every declared length before anything is allocated for them. What it accepts, the MessagePack library unpacks
 * without surprises.
 */
#ifndef DNVME_LIB_WIRE_FRAME_H
#define DNVME_LIB_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/limits.h"

struct frame_scanner {
	size_t max_bytes;
	size_t bytes;	 /* of this frame, so far */
	size_t elements; /* values that were begun */
	uint64_t skip;	 /* payload bytes still to pass over */
	unsigned depth;
	uint64_t pending[LIMIT_FRAME_DEPTH]; /* values missing at each depth */
	uint8_t header[9];		     /* a value's type byte and length, which may arrive in pieces */
	unsigned header_size;
};

/* Begin; `max_bytes` is the largest frame. */
void frame_scanner_init(struct frame_scanner *scanner, size_t max_bytes);

/* Look at `size` more bytes. On success *ret_used says how many belong to the present frame and *ret_complete
 * whether it ended there (the scanner is then ready for the next one). TOO_LARGE (frame, depth, elements, string)
 * or INVALID_ARGUMENT (the byte 0xc1): the connection cannot be used any more. */
int frame_scanner_feed(struct frame_scanner *scanner, const uint8_t *data, size_t size, size_t *ret_used,
		       int *ret_complete, struct error *error);

/* Whether a frame was begun and has not ended. */
int frame_scanner_is_partial(const struct frame_scanner *scanner);

#endif
