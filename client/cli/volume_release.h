/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume release */
#ifndef DNVME_CLIENT_CLI_VOLUME_RELEASE_H
#define DNVME_CLIENT_CLI_VOLUME_RELEASE_H

#include "client/cli/cli.h"

extern const struct argp_option volume_release_options[];

int volume_release_option(struct cli *cli, int key, const char *value, struct error *error);
int volume_release_run(struct cli *cli, struct error *error);

#endif
