/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume drawn as a tree: controllers, legs, groups, disks. Pure. */
#ifndef DNVME_CLIENT_CLI_PICTURE_H
#define DNVME_CLIENT_CLI_PICTURE_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/model/records.h"

/* Append the picture; `utf8` chooses box drawing characters. Returns 0, or -1 when memory is exhausted. */
int picture_draw(const struct volume_status *status, bool utf8, struct buffer *output);

#endif
