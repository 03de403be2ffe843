/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was seen of kernel objects that change only when somebody touches them, so that a look need not read all of them
 * each time.
 *
 * A record is used again as long as its stamp (what the kernel tells of the object without being asked for it) is the
 * same and no operation of this agent touched the object since it was read. What somebody else changes is found by a
 * full look, for which nothing is known: one is due every KNOWN_FULL_MS.
 *
 * Operations are told from any thread; looks do not overlap.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_KNOWN_H
#define DNVME_AGENT_BACKEND_LINUX_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/model/schema.h"

/* Below the interval at which an idle agent looks, so that each of its looks is a full one. */
#define KNOWN_FULL_MS 4500

struct known;

/* For records of one kind. NULL when memory is exhausted. */
struct known *known_make(const struct schema *schema);
void known_free(struct known *known); /* accepts NULL */

/* An operation on an object: KNOWN_CHANGE change = known_change_begin(…) ends with its block, with or without success.
 * Those on one object may overlap. `name` is borrowed until the end. (clang calls a variable that is only cleaned up
 * unused.) */
struct known_change {
	struct known *known;
	const char *name;
};

#define KNOWN_CHANGE __attribute__((unused, cleanup(known_change_end))) struct known_change

struct known_change known_change_begin(struct known *known, const char *name);
void known_change_end(struct known_change *change);

void known_look_begin(struct known *known, uint64_t now_ms);
/* Forget the objects that this look did not ask for: they are gone. */
void known_look_end(struct known *known);

/* The record of an object, in `arena`; false: it must be read. Either way `ret_ticket` is what known_keep() wants for
 * what is read from now on. */
bool known_get(struct known *known, const char *name, uint64_t stamp, struct arena *arena, void *ret_record,
	       uint64_t *ret_ticket);
/* Keep a copy of what was read since the ticket was given, unless the object was touched meanwhile. A record that
 * cannot be kept is read again. */
void known_keep(struct known *known, const char *name, uint64_t stamp, uint64_t ticket, const void *record);

#endif
