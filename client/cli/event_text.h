/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event as a sentence. */
#ifndef DNVME_CLIENT_CLI_EVENT_TEXT_H
#define DNVME_CLIENT_CLI_EVENT_TEXT_H

#include "lib/base/arena.h"
#include "lib/model/records.h"

/* In the arena; NULL when memory is exhausted. A kind that this program does not know is shown by its name or number.
 */
const char *event_text(const struct event *event, struct arena *arena);

#endif
