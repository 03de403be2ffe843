/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forgetting a node, and what that would mean; the shapes of struct handler's functions. */
#ifndef DNVME_SRC_HANDLERS_FORGET_H
#define DNVME_SRC_HANDLERS_FORGET_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int node_forget_plan_answer(struct request *request, struct error *error);
int node_forget_prepare(struct request *request, struct command *command, struct error *error);
void node_forget_committed(struct request *request, const struct outcome *outcome);

#endif
