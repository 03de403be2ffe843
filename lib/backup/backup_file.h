/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A backup of the replicated state in a file. Its body is the dump that Raft snapshots hold, too (store/dump.c). All
 * numbers are little endian.
 *
 *     header   magic 8 | format version 4 | size of the record 4 | record "backup", tagged | XXH3-64 of all before
 *     piece    size 4 | zero 4 | bytes | XXH3-64 of size, zero and bytes, seeded with the piece's number from 0 on
 *     end      zero 4 | zero 4 | XXH3-128 of everything before
 *
 * Nothing comes behind the end. Each byte is under a checksum, and so is where it stands: a file that was cut,
 * lengthened or put together of two is refused, and the message says where.
 */
#ifndef DNVME_LIB_BACKUP_BACKUP_FILE_H
#define DNVME_LIB_BACKUP_BACKUP_FILE_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

/* Makes one from beginning to end; the bytes are written in the order in which they come. */
struct backup_encoder {
	void *hash; /* owned */
	uint64_t pieces, state_bytes, wanted_bytes;
};

/* Each appends to `output` what is to be written next. backup_encode_begin() must be followed by backup_encode_close().
 * INVALID_ARGUMENT (a field of `backup`; a piece that is empty or larger than LIMIT_BACKUP_PIECE_BYTES; the pieces do
 * not add up to state_bytes), INTERNAL (memory is exhausted). */
int backup_encode_begin(struct backup_encoder *encoder, const struct backup *backup, struct buffer *output,
			struct error *error);
int backup_encode_piece(struct backup_encoder *encoder, struct bytes piece, struct buffer *output, struct error *error);
int backup_encode_end(struct backup_encoder *encoder, struct buffer *output, struct error *error);
void backup_encode_close(struct backup_encoder *encoder); /* also after a failure; may be repeated */

/* Check a whole file; the record lives in `arena`. The body, which is a dump of the state, is appended to `state`
 * (NULL: it is only checked). FAILED_PRECONDITION: not a backup, of another version, or damaged, and where. INTERNAL:
 * memory is exhausted. On failure `state` is as it was. */
int backup_decode(struct bytes file, struct arena *arena, struct backup *ret_backup, struct buffer *state,
		  struct error *error);

/* The same of a file on disk, which is read into memory; each error begins with its path. NOT_FOUND, TOO_LARGE,
 * PERMISSION_DENIED, INTERNAL besides. Blocks on disk. */
int backup_file_read(const char *path, struct arena *arena, struct backup *ret_backup, struct buffer *state,
		     struct error *error);

#endif
