/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether anything is under way to a device. To disable a namespace the kernel waits for what is, and meanwhile keeps
 * everybody from nvmet's configfs, and every new connection from its controller: nvmet_ns_enable_store() holds
 * nvmet_config_sem (drivers/nvme/target/configfs.c; so in 6.1.192 and 6.12.117). Over a path that froze, or a disk that
 * hangs, that is for ever, and for all exports of the node. So whoever disables one waits here first, where nobody else
 * does.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_QUIET_H
#define DNVME_AGENT_BACKEND_LINUX_QUIET_H

#include <stdint.h>

#include "lib/base/error.h"

/* Wait until two looks, 10 ms apart, find no request under way to the device (what was received before its connections
 * were ended may begin in between), and the device not suspended, where requests wait uncounted. `root` is /sys; a
 * device that is not there has none. UNAVAILABLE, with the number, when that is not so within `limit_ms`. Blocks. */
int quiet_await(const char *root, uint32_t major, uint32_t minor, uint64_t limit_ms, struct error *error);

#endif
