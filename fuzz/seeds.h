/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The beginnings of the corpora, made from the schema and the small world; the same ones each time. */
#ifndef DNVME_FUZZ_SEEDS_H
#define DNVME_FUZZ_SEEDS_H

#include "fuzz/shape.h"

/* Write one input of a target into the folder of corpora. */
void seed_write(const char *target, struct bytes input);

/* Of what is made of the schema alone (seeds_wire.c), of commands (seeds_commands.c), of the state and of agents
 * (seeds_state.c), and of text (seeds_text.c). */
void seeds_wire(void);
void seeds_commands(void);
void seeds_state(void);
void seeds_text(void);

#endif
