/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the log says of the next step of a volume, once it is applied. */
#ifndef DNVME_SRC_DRIVER_NOTE_H
#define DNVME_SRC_DRIVER_NOTE_H

#include <stdint.h>

#include "lib/model/records.h"

struct driver_note {
	const char *message;
	char fields[256]; /* cut off if they are too long */
};

/* To be freed with free(). NULL: nothing is to be said of that command, or memory is exhausted. */
struct driver_note *driver_note_make(uint64_t volume, const struct command *command);

#endif
