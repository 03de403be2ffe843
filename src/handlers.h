/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each method does. The way to the leader and back is request.c's.
 */
#ifndef DNVME_SRC_HANDLERS_H
#define DNVME_SRC_HANDLERS_H

#include "lib/base/error.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"

struct request;

struct handler {
	/* LOCAL and READ (behind a barrier), AGENT (behind a barrier): answer with request_reply(), or move on to
	 * WAIT_OTHERS. An error that is returned becomes the answer. */
	int (*answer)(struct request *request, struct error *error);
	/* MUTATE: check, decide, and fill in the one command of `command` (in the request's arena). A refusal is
	 * answered only after the state was read behind a barrier. */
	int (*prepare)(struct request *request, struct command *command, struct error *error);
	/* MUTATE, AGENT: the command took effect; NULL answers with mutation_reply. */
	void (*committed)(struct request *request, const struct outcome *outcome);
	/* MUTATE: whether a refusal with CONFLICT means that the plan went stale and is to be made again. */
	bool plan_again;
};

const struct handler *handler_of(enum method_id id);

/* Of handlers_mutate.c: whether all agents confirmed a detach. */
int handler_detach_check(struct request *request, const char **ret_waits_for, struct error *error);

#endif
