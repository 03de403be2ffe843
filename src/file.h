/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small files that survive power loss. All calls block on disk. */
#ifndef DNVME_SRC_FILE_H
#define DNVME_SRC_FILE_H

#include <stddef.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/limits.h"

#define FILE_PATH_SIZE (LIMIT_PATH + 64)

/* Replace DIRECTORY/NAME as a whole: after a crash it holds the old content or the new. NO_CAPACITY, PERMISSION_DENIED,
 * INTERNAL. */
int file_write(const char *directory, const char *name, struct bytes content, struct error *error);

/* Remove it if it is there, for good. */
int file_remove(const char *directory, const char *name, struct error *error);

/* Append the content. NOT_FOUND, TOO_LARGE when it has more than `max` bytes. */
int file_read(const char *path, size_t max, struct buffer *output, struct error *error);

/* Make a directory that only the owner enters, if it is not there; its parents must be. */
int file_directory_make(const char *path, struct error *error);

#endif
