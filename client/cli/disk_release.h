/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme disk release */
#ifndef DNVME_CLIENT_CLI_DISK_RELEASE_H
#define DNVME_CLIENT_CLI_DISK_RELEASE_H

#include "client/cli/cli.h"

extern const struct argp_option disk_release_options[];

int disk_release_option(struct cli *cli, int key, const char *value, struct error *error);
int disk_release_run(struct cli *cli, struct error *error);

#endif
