/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs: those that somebody asked for, which have records, and a view of what is under way besides, made from the
 * volumes' records and what agents report. */
#ifndef DNVME_SRC_HANDLERS_JOB_H
#define DNVME_SRC_HANDLERS_JOB_H

#include "lib/base/error.h"

struct request;

int job_list_answer(struct request *request, struct error *error);
int job_get_answer(struct request *request, struct error *error);

#endif
