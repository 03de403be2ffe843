/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume force */
#ifndef DNVME_CLIENT_CLI_VOLUME_FORCE_H
#define DNVME_CLIENT_CLI_VOLUME_FORCE_H

#include "client/cli/cli.h"

extern const struct argp_option volume_force_options[];

int volume_force_option(struct cli *cli, int key, const char *value, struct error *error);
int volume_force_run(struct cli *cli, struct error *error);

#endif
