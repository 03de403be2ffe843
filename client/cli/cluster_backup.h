/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme cluster backup. As struct cli_command says. */
#ifndef DNVME_CLIENT_CLI_CLUSTER_BACKUP_H
#define DNVME_CLIENT_CLI_CLUSTER_BACKUP_H

#include "client/cli/cli.h"

extern const struct argp_option cluster_backup_options[];
int cluster_backup_option(struct cli *cli, int key, const char *value, struct error *error);
int cluster_backup_run(struct cli *cli, struct error *error);

/* What the backup in `path` is of, in a line. */
int cluster_backup_print(const struct cli *cli, const char *path, const struct backup *backup, struct error *error);

#endif
