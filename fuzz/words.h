/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small world in which random records live: values by the name of their field. */
#ifndef DNVME_FUZZ_WORDS_H
#define DNVME_FUZZ_WORDS_H

#include "fuzz/fuzz.h"

/* Stands for "the present one" where a command names a revision or an epoch: fuzz/command.c puts it in. */
#define WORDS_PRESENT UINT64_MAX

/* A number for a field of this name; false: any will do. */
bool words_number(const char *field, struct dice *dice, uint64_t *ret_value);

/* A text for a field of this name; `label`: it must be a DNS label. */
void words_text(const char *field, bool label, struct dice *dice, char *ret_text, size_t size);

/* Every list of words, for the dictionaries: NULL behind the last one. */
const char *words_at(size_t index);

#endif
