/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods on the controllers of a volume that is in use; the shapes of struct handler's functions. */
#ifndef DNVME_SRC_HANDLERS_CONTROLLER_H
#define DNVME_SRC_HANDLERS_CONTROLLER_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int volume_set_prepare(struct request *request, struct command *command, struct error *error);
int volume_move_prepare(struct request *request, struct command *command, struct error *error);

#endif
