/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme disk drain|undrain, and what node drain does with disks. */
#ifndef DNVME_CLIENT_CLI_DISK_DRAIN_H
#define DNVME_CLIENT_CLI_DISK_DRAIN_H

#include "client/cli/cli.h"

extern const struct argp_option disk_drain_options[];
int disk_drain_option(struct cli *cli, int key, const char *value, struct error *error);

int disk_drain_run(struct cli *cli, struct error *error);
int disk_undrain_run(struct cli *cli, struct error *error);

/* Print which LDs of these disks would move where. */
int disk_drain_plan(struct cli *cli, const struct string_list *disks, struct error *error);
/* Begin to empty these disks, all or none of them. */
int disk_drain_begin(struct cli *cli, const struct string_list *disks, struct mutation_reply *ret_reply,
		     struct error *error);
/* Until no LD is left on them. */
int disk_drain_wait(struct cli *cli, const struct string_list *disks, struct error *error);

#endif
