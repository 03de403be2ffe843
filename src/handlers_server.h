/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods that change which servers there are, and who leads. As struct handler says. */
#ifndef DNVME_SRC_HANDLERS_SERVER_H
#define DNVME_SRC_HANDLERS_SERVER_H

#include "src/handlers.h"

int cluster_add_server_prepare(struct request *request, struct command *command, struct error *error);
int cluster_remove_server_prepare(struct request *request, struct command *command, struct error *error);
int cluster_transfer_answer(struct request *request, struct error *error);

#endif
