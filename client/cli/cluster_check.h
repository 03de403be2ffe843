/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme cluster check. As struct cli_command says. */
#ifndef DNVME_CLIENT_CLI_CLUSTER_CHECK_H
#define DNVME_CLIENT_CLI_CLUSTER_CHECK_H

#include "client/cli/cli.h"

extern const struct argp_option cluster_check_options[];
int cluster_check_option(struct cli *cli, int key, const char *value, struct error *error);
int cluster_check_run(struct cli *cli, struct error *error);

#endif
