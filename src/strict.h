/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the codec skips for the sake of other versions, a client is told about: fields that a method does not have. */
#ifndef DNVME_SRC_STRICT_H
#define DNVME_SRC_STRICT_H

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/schema.h"

/* Of a value that is part of a frame: INVALID_ARGUMENT with the path of the first unknown field, and the known ones as
 * a hint. What is wrong with known fields is left to the decoder. */
int strict_check(const struct schema *schema, struct bytes bytes, struct error *error);

#endif
