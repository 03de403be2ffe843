/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moments for people. */
#ifndef DNVME_CLIENT_CLI_WHEN_H
#define DNVME_CLIENT_CLI_WHEN_H

#include <stdint.h>

#define WHEN_TEXT_SIZE 24

/* Milliseconds of the wall clock as "2026-11-26T19:13:16Z"; "an unknown time" for 0. */
const char *when_format(uint64_t wall_ms, char text[WHEN_TEXT_SIZE]);

#endif
