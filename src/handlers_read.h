/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods that read, behind a barrier on the leader; the shape of struct handler's `answer`. */
#ifndef DNVME_SRC_HANDLERS_READ_H
#define DNVME_SRC_HANDLERS_READ_H

#include "lib/base/error.h"

struct request;

int cluster_status_answer(struct request *request, struct error *error);
int node_list_answer(struct request *request, struct error *error);
int node_get_answer(struct request *request, struct error *error);
int disk_list_answer(struct request *request, struct error *error);
int disk_get_answer(struct request *request, struct error *error);
int volume_list_answer(struct request *request, struct error *error);
int volume_get_answer(struct request *request, struct error *error);
int host_list_answer(struct request *request, struct error *error);

#endif
