/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume extend */
#ifndef DNVME_CLIENT_CLI_VOLUME_EXTEND_H
#define DNVME_CLIENT_CLI_VOLUME_EXTEND_H

#include "client/cli/cli.h"

extern const struct argp_option volume_extend_options[];
int volume_extend_option(struct cli *cli, int key, const char *value, struct error *error);
int volume_extend_run(struct cli *cli, struct error *error);

#endif
