/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods that empty disks. */
#ifndef DNVME_SRC_HANDLERS_DRAIN_H
#define DNVME_SRC_HANDLERS_DRAIN_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int disk_drain_plan_answer(struct request *request, struct error *error);
int disk_drain_prepare(struct request *request, struct command *command, struct error *error);
int disk_undrain_prepare(struct request *request, struct command *command, struct error *error);

#endif
