/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme host watch: keeps the paths of connected volumes as the control plane lists them, until it is told to stop. */
#ifndef DNVME_CLIENT_CLI_HOST_WATCH_H
#define DNVME_CLIENT_CLI_HOST_WATCH_H

#include "client/cli/cli.h"

/* Watch the volumes in cli->arguments, or all that are connected. Returns 0 after SIGTERM or SIGINT. */
int host_watch_run(struct cli *cli, struct error *error);

#endif
