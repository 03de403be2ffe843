/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots: to begin one, to look at them, to have hosts read them, to drop one. */
#ifndef DNVME_SRC_HANDLERS_SNAPSHOT_H
#define DNVME_SRC_HANDLERS_SNAPSHOT_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int snapshot_create_prepare(struct request *request, struct command *command, struct error *error);
int snapshot_delete_prepare(struct request *request, struct command *command, struct error *error);
int snapshot_attach_prepare(struct request *request, struct command *command, struct error *error);
int snapshot_detach_prepare(struct request *request, struct command *command, struct error *error);
int snapshot_list_answer(struct request *request, struct error *error);
int snapshot_get_answer(struct request *request, struct error *error);

#endif
