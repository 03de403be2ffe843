/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serving a slot by force, and what that would mean; the shapes of struct handler's functions. */
#ifndef DNVME_SRC_HANDLERS_FORCE_H
#define DNVME_SRC_HANDLERS_FORCE_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int volume_force_plan_answer(struct request *request, struct error *error);
int volume_force_prepare(struct request *request, struct command *command, struct error *error);
void volume_force_committed(struct request *request, const struct outcome *outcome);

#endif
