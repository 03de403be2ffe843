/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values as text for people, and as JSON for files. */
#ifndef DNVME_AGENT_TEXT_H
#define DNVME_AGENT_TEXT_H

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

/* One line for each thing. Returns 0 or -1 when memory is exhausted. */
int text_observed_print(const struct observed *observed, struct buffer *output);

/* Append the record as JSON with a newline. INTERNAL when memory is exhausted. */
int text_json_print(const struct schema *schema, const void *record, struct buffer *output, struct error *error);

/* Read a record from a JSON file, as text_json_print() writes it. Everything lives in `arena`. NOT_FOUND,
 * INVALID_ARGUMENT (naming the field). */
int text_json_load(const struct schema *schema, const char *path, struct arena *arena, void *ret_record,
		   struct error *error);

/* The same from text in memory. */
int text_json_parse(const struct schema *schema, const char *text, size_t length, struct arena *arena, void *ret_record,
		    struct error *error);

#endif
