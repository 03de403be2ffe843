/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume set */
#ifndef DNVME_CLIENT_CLI_VOLUME_SET_H
#define DNVME_CLIENT_CLI_VOLUME_SET_H

#include "client/cli/cli.h"

extern const struct argp_option volume_set_options[];
int volume_set_option(struct cli *cli, int key, const char *value, struct error *error);
int volume_set_run(struct cli *cli, struct error *error);

#endif
