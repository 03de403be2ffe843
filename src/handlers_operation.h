/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs that somebody asked for: to begin one, to look at it, to undo and to forget it. */
#ifndef DNVME_SRC_HANDLERS_OPERATION_H
#define DNVME_SRC_HANDLERS_OPERATION_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct dnvmed;
struct request;

int volume_extend_prepare(struct request *request, struct command *command, struct error *error);
int job_cancel_prepare(struct request *request, struct command *command, struct error *error);
int job_forget_prepare(struct request *request, struct command *command, struct error *error);
int job_forget_plan_answer(struct request *request, struct error *error);
int job_wait_answer(struct request *request, struct error *error);

/* The job as job.list and job.get tell it; `operation` is borrowed. Without what it waits for. */
int operation_job(const struct operation *operation, struct arena *arena, struct job *ret_job, struct error *error);

/* The same by id, and with what it waits for. NOT_FOUND names it. */
int operation_job_get(struct dnvmed *dnvmed, uint64_t id, struct arena *arena, struct job *ret_job,
		      struct error *error);

#endif
