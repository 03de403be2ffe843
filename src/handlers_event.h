/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events: each server tells what it applied itself, so that those who watch cost the leader nothing. */
#ifndef DNVME_SRC_HANDLERS_EVENT_H
#define DNVME_SRC_HANDLERS_EVENT_H

#include <stdbool.h>

#include "lib/base/error.h"

struct request;

int event_list_answer(struct request *request, struct error *error);

/* Whether there is nothing to tell a request yet. What was looked at in vain is not looked at again. */
bool event_list_is_empty(struct request *request);

#endif
