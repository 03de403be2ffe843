/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for a job that somebody asked for. */
#ifndef DNVME_CLIENT_CLI_JOB_WAIT_H
#define DNVME_CLIENT_CLI_JOB_WAIT_H

#include "client/cli/cli.h"

/* Whether an id is that of a job that somebody asked for. */
bool job_is_asked_for(const char *id);

/* Ask until the job is over, and tell on a terminal how far it came. Returns 0 when it is done; FAILED_PRECONDITION or
 * CANCELLED with what came of it; DEADLINE_EXCEEDED with what it waits for. */
int job_await(struct cli *cli, const char *id, struct job *ret_job, struct error *error);

#endif
