/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether servers that are said to be lost run all the same. */
#ifndef DNVME_SRC_PROBE_H
#define DNVME_SRC_PROBE_H

#include <stdbool.h>

/* Whether anything takes connections at this address, "IPv4:port", or that cannot be found out. Blocks for 2 s at most.
 */
bool probe_answers(const char *address);

#endif
