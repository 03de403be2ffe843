/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The codec: records to MessagePack and back, driven by their schema.
 *
 * On sockets a record is a map from field names to values, enumerations and ids are text (CODEC_NAMED). In the
 * store and the Raft log it is a map from tags to values, enumerations and ids are numbers (CODEC_TAGGED). The
 * decoder takes either. Unknown fields are skipped; a missing or bad one is an error that names it with its path
 * ("legs[2].groups[0].members: …").
 */
#ifndef DNVME_LIB_WIRE_CODEC_H
#define DNVME_LIB_WIRE_CODEC_H

#include <msgpack/pack.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/schema.h"

enum codec_style { CODEC_NAMED, CODEC_TAGGED };

/* Append the record to `output`. Checks the same bounds as the decoder (INVALID_ARGUMENT naming the field); INTERNAL
 * when memory is exhausted; `output` then keeps what it held. */
int codec_encode(const struct schema *schema, const void *record, enum codec_style style, struct buffer *output,
		 struct error *error);

/* Decode one record that fills `input` exactly. Everything that `ret_record` points to lives in `arena`.
 * INVALID_ARGUMENT (naming the field), TOO_LARGE (depth, elements), INTERNAL (memory). */
int codec_decode(const struct schema *schema, struct bytes input, struct arena *arena, void *ret_record,
		 struct error *error);

/* The same of a record that must be understood as a whole: UNSUPPORTED (naming it) when there is a field, or a value of
 * an enumeration, that this version does not know. */
int codec_decode_known(const struct schema *schema, struct bytes input, struct arena *arena, void *ret_record,
		       struct error *error);

/* As codec_decode() from a value that is part of a frame, whose size and depth were looked at before. */
int codec_decode_value(const struct schema *schema, struct bytes value, struct arena *arena, void *ret_record,
		       struct error *error);

/* A copy that shares nothing with the record, as encoding and decoding would make it: an optional field that is empty
 * is absent. Bounds are not checked. INTERNAL (memory). */
int codec_copy(const struct schema *schema, const void *record, struct arena *arena, void *ret_record,
	       struct error *error);

/* A copy of a record in one piece, for who copies the same one again and again. All zeros: none yet. */
struct codec_packed {
	const struct schema *schema;
	struct buffer block;	/* begins with the record; where it has a pointer, there is an offset in the block */
	struct buffer pointers; /* size_t each: where in the block one is */
};

/* Replaces what was packed there before. INTERNAL (memory): then there is none. */
int codec_pack(const struct schema *schema, const void *record, struct codec_packed *packed, struct error *error);
void codec_packed_free(struct codec_packed *packed);
/* The same as codec_copy() of the record that was packed. */
int codec_unpack(const struct codec_packed *packed, struct arena *arena, void *ret_record, struct error *error);

/* Check a record that a program built: the bounds of the schema. INVALID_ARGUMENT naming the field. */
int codec_validate(const struct schema *schema, const void *record, struct error *error);

/* Decode errors name a field by its path; a codec never prints. A writer for msgpack_packer that appends to a
 * struct buffer. */
int codec_buffer_write(void *buffer, const char *data, size_t size);

#endif
