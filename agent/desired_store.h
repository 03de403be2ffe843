/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The desired state as the leader told it, in parts. Nothing of a part counts before the one marked complete came.
 */
#ifndef DNVME_AGENT_DESIRED_STORE_H
#define DNVME_AGENT_DESIRED_STORE_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct desired_store;

/* NULL when memory is exhausted. */
struct desired_store *desired_store_make(void);
void desired_store_free(struct desired_store *store);

/* Take one part; copied. *ret_complete says that the state changed. On failure (INTERNAL, or INVALID_ARGUMENT for a
 * part that belongs to another cluster than the state) the unfinished parts are forgotten, the state stays. */
int desired_store_take(struct desired_store *store, const struct desired *part, bool *ret_complete,
		       struct error *error);

/* Forget parts of an unfinished state: the session that sent them is gone. */
void desired_store_abort(struct desired_store *store);

/* Whether there is a complete state. */
bool desired_store_is_complete(const struct desired_store *store);

/* Another number after each change of the state. */
uint64_t desired_store_version(const struct desired_store *store);

/* The state. Lists are made in `arena`, objects are borrowed until the store changes. */
int desired_store_get(const struct desired_store *store, struct arena *arena, struct desired *ret_desired,
		      struct error *error);

/* The leader was told that this object is absent: no need to say it again. */
void desired_store_forget_removed(struct desired_store *store, enum object_kind kind, const char *id,
				  uint64_t revision);

#endif
