/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether `dnvme host watch` follows all volumes of this machine: it holds a lock as long as it runs.
 *
 * Who connects a volume chooses the keep-alive by that (docs/FAILURES.md, "Hosts").
 */
#ifndef DNVME_CLIENT_CLI_HOST_FOLLOWER_H
#define DNVME_CLIENT_CLI_HOST_FOLLOWER_H

#include <stdbool.h>

#define HOST_FOLLOWER_PATH "/run/dnvme/host-watch.lock"

/* Take the lock, beside others that have it, until the process ends. Without a place for it nobody hears of the
 * follower: false. */
bool host_follower_begin(const char *path);

bool host_follower_is_there(const char *path);

#endif
