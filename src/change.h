/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume.get that waits until its volume changes, job.wait until its job is over, and event.list until there is one.
 *
 * Every server waits by itself: what it applies tells it of the change, and only then is the leader asked, behind a
 * barrier as for any other read. So a thousand hosts that wait cost the leader nothing, and a follower's connection to
 * it does not fill up with requests that are not to be answered yet. Events are answered by the server itself. A server
 * that knows no leader may miss what changes, so its waiters become requests that wait for a leader, and fail as those
 * do.
 */
#ifndef DNVME_SRC_CHANGE_H
#define DNVME_SRC_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/list.h"

struct dnvmed;
struct request;

#define CHANGE_BUCKETS 256u

struct change_waits {
	struct list buckets[CHANGE_BUCKETS]; /* of requests (change_link), by volume */
	struct list changed;		     /* their volume changed: to be looked at before the loop sleeps */
	struct list due;		     /* all of them (state_link), in the order in which their time is over */
};

void change_init(struct change_waits *waits);

/* Whether the request waits now, as it asked to: its volume is there and has not changed. Takes it over if so. */
bool change_wait(struct request *request);

/* The parameters with which the request goes on to the leader, in its arena, when it has waited already; NULL for one
 * that goes as it came. */
const void *change_params_at_once(struct request *request);

/* A volume, something (of which there may be an event), or everything was changed by what was just applied. Answers
 * nothing by itself. */
void change_of_volume(struct dnvmed *dnvmed, uint64_t volume);
void change_of_something(struct dnvmed *dnvmed);
void change_of_all(struct dnvmed *dnvmed);

/* Before the loop sleeps: let go on what waits for nothing any more. Returns whether some are left for the next turn.
 */
bool change_prepare(struct dnvmed *dnvmed);

/* Those whose time is over, and all of them when nobody leads or the server stops. */
void change_tick(struct dnvmed *dnvmed);

#endif
