/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records made up by their schema, so that each field holds something, and as one line of text. */
#ifndef DNVME_TESTS_UNIT_TEST_RECORDED_RIG_H
#define DNVME_TESTS_UNIT_TEST_RECORDED_RIG_H

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/model/schema.h"

/* Every field has a value that depends on its tag, records in it what they need; lives in the arena. */
void *recorded_fill(const struct schema *schema, struct arena *arena);

/* Tag, name, type and presence of each field: "1:id:id! 2:name:name …"; in the arena. */
const char *recorded_fields(const struct schema *schema, struct arena *arena);
/* The same of one field. */
const char *recorded_field(const struct schema_field *field, struct arena *arena);

/* Bytes as digits, and back; the arena owns what they return. */
const char *recorded_hex(struct bytes bytes, struct arena *arena);
struct bytes recorded_unhex(const char *text, struct arena *arena);

/* The same MessagePack, but each map has one more field, of a version that is yet to come. */
void recorded_foreign(struct bytes frame, struct buffer *output);

#endif
