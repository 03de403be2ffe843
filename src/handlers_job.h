/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs: a view of what is under way, made from the volumes' records and what agents report; nothing is stored. */
#ifndef DNVME_SRC_HANDLERS_JOB_H
#define DNVME_SRC_HANDLERS_JOB_H

#include "lib/base/error.h"

struct request;

int job_list_answer(struct request *request, struct error *error);
int job_get_answer(struct request *request, struct error *error);

#endif
