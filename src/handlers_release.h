/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An operator goes on with a volume, or a disk, that is held; the shapes of struct handler's functions. */
#ifndef DNVME_SRC_HANDLERS_RELEASE_H
#define DNVME_SRC_HANDLERS_RELEASE_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int volume_release_prepare(struct request *request, struct command *command, struct error *error);
void volume_release_committed(struct request *request, const struct outcome *outcome);
int disk_release_prepare(struct request *request, struct command *command, struct error *error);
void disk_release_committed(struct request *request, const struct outcome *outcome);

#endif
