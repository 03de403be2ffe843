/* SPDX-License-Identifier: GPL-2.0-or-later */
/* There and back: what decodes must encode to something that decodes to the same. */
#ifndef DNVME_FUZZ_ROUND_H
#define DNVME_FUZZ_ROUND_H

#include "fuzz/fuzz.h"
#include "lib/model/schema.h"

/* A record that was decoded goes through both styles of the codec, and through JSON, and stays what it is. */
void round_trip(const struct schema *schema, const void *record);

#endif
