/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme cluster add-server|remove-server|replace-server|transfer. As struct cli_command says. */
#ifndef DNVME_CLIENT_CLI_CLUSTER_MEMBERS_H
#define DNVME_CLIENT_CLI_CLUSTER_MEMBERS_H

#include "client/cli/cli.h"

int cluster_add_server_run(struct cli *cli, struct error *error);
int cluster_remove_server_run(struct cli *cli, struct error *error);
int cluster_replace_server_run(struct cli *cli, struct error *error);
int cluster_transfer_run(struct cli *cli, struct error *error);

#endif
