/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme node forget */
#ifndef DNVME_CLIENT_CLI_NODE_FORGET_H
#define DNVME_CLIENT_CLI_NODE_FORGET_H

#include "client/cli/cli.h"

extern const struct argp_option node_forget_options[];

int node_forget_option(struct cli *cli, int key, const char *value, struct error *error);
int node_forget_run(struct cli *cli, struct error *error);

#endif
