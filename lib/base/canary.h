/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bugs, for the tests that must find them: a checker that never saw anything proves nothing. They are in builds
 * with DNVME_CANARIES only; in every other one canary() is false and the code behind it is gone.
 */
#ifndef DNVME_LIB_BASE_CANARY_H
#define DNVME_LIB_BASE_CANARY_H

#include <stdbool.h>

#ifdef DNVME_CANARIES
#include <stdlib.h>
#include <string.h>

/* Whether the environment asks for this bug, as DNVME_CANARY. The names are listed in docs/TESTING.md. */
static inline bool canary(const char *name)
{
	const char *planted = getenv("DNVME_CANARY");

	return planted != NULL && strcmp(planted, name) == 0;
}
#else
#define canary(name) false
#endif

#endif
