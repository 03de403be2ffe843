/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods that change state; the shapes of struct handler's `prepare` and `committed`. */
#ifndef DNVME_SRC_HANDLERS_MUTATE_H
#define DNVME_SRC_HANDLERS_MUTATE_H

#include "lib/base/error.h"
#include "lib/model/records.h"

struct request;

int cluster_set_prepare(struct request *request, struct command *command, struct error *error);
int node_drain_prepare(struct request *request, struct command *command, struct error *error);
int node_cordon_prepare(struct request *request, struct command *command, struct error *error);
int node_uncordon_prepare(struct request *request, struct command *command, struct error *error);
int disk_add_prepare(struct request *request, struct command *command, struct error *error);
void disk_add_committed(struct request *request, const struct outcome *outcome);
int disk_remove_prepare(struct request *request, struct command *command, struct error *error);
int volume_create_prepare(struct request *request, struct command *command, struct error *error);
int volume_delete_prepare(struct request *request, struct command *command, struct error *error);
int volume_attach_prepare(struct request *request, struct command *command, struct error *error);
int volume_detach_prepare(struct request *request, struct command *command, struct error *error);
void volume_detach_committed(struct request *request, const struct outcome *outcome);

#endif
