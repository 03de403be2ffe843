/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A group while one of its LDs is moved to another disk: it has one member more.
 *
 *   a  b  c          b is to lie on another disk
 *   a  d  c  b       the new LD d has the place of b, and is rebuilt; b comes last, and counts as before
 *   a  d  c          d is in sync, the holder let go of b, and b left
 *
 * So whoever stays keeps its place. The order is that of the mirror's table: the one that leaves is its end.
 */
#ifndef DNVME_LIB_MODEL_MOVING_H
#define DNVME_LIB_MODEL_MOVING_H

#include <stddef.h>

#include "lib/model/records.h"

/* The member that leaves for another disk; NULL when none does. Borrowed from the group. */
const struct ld *moving_ld(const struct volume *volume, const struct group *group);

/* The place that a member has, or had before it was moved: its label and the number of its namespace say it. */
size_t moving_place(const struct volume *volume, const struct group *group, size_t member);

/* Whether any group of the volume has a member that leaves for another disk. */
bool moving_any(const struct volume *volume);

#endif
