/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme host connect|disconnect: this machine as an initiator. */
#ifndef DNVME_CLIENT_CLI_HOST_CONNECT_H
#define DNVME_CLIENT_CLI_HOST_CONNECT_H

#include "client/cli/cli.h"

/* Connect every path of the volume in cli->arguments[0], or of all that the host is attached to (cli->all); wait for
 * the block device, print it. One volume that fails does not keep the others from being connected. */
int host_connect_run(struct cli *cli, struct error *error);

/* Remove every controller of the volume (or NQN) in cli->arguments[0]. */
int host_disconnect_run(struct cli *cli, struct error *error);

#endif
