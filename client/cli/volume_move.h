/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume move */
#ifndef DNVME_CLIENT_CLI_VOLUME_MOVE_H
#define DNVME_CLIENT_CLI_VOLUME_MOVE_H

#include "client/cli/cli.h"

extern const struct argp_option volume_move_options[];
int volume_move_option(struct cli *cli, int key, const char *value, struct error *error);
int volume_move_run(struct cli *cli, struct error *error);

#endif
