/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who belongs to the group. The cluster's record says which servers are wanted, Raft's configuration who votes; the
 * leader asks each server how it is, and goes step by step from the one to the other (src/leader/group.h).
 *
 * A server that hears nothing of a leader, or is not wanted, asks the others whether it was removed; when the leader
 * says so, which it does for a number that was given away and belongs to nobody any more, it remembers that and ends.
 */
#ifndef DNVME_SRC_MEMBERSHIP_H
#define DNVME_SRC_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "src/leader/group.h"

struct dnvmed;
struct membership;

#define MEMBERSHIP_NAME_SIZE (LIMIT_NAME + 1)

/* NULL when memory is exhausted; accepts NULL. */
struct membership *membership_make(void);
void membership_free(struct membership *membership);

void membership_tick(struct dnvmed *dnvmed);

/* This server is ready to lead; it does not lead any more; it stops. */
void membership_leader_begin(struct dnvmed *dnvmed);
void membership_leader_end(struct dnvmed *dnvmed);
void membership_stop(struct dnvmed *dnvmed);

/* On the leader: the servers of the cluster's record in their order, and what is known of each. */
struct membership_view {
	struct group_view view;
	struct group_server servers[LIMIT_SERVERS];
	bool known; /* each of them answered, or had the time to */
};
void membership_view(const struct dnvmed *dnvmed, struct membership_view *ret_view);

/* On the leader: what a change waits for, in `arena`; NULL when none is under way, or memory is exhausted. */
const char *membership_waits_for(const struct dnvmed *dnvmed, struct arena *arena);

/* Whether this server leads, and knows that the one with this number was removed for good. */
bool membership_is_removed(const struct dnvmed *dnvmed, uint64_t id);

/* Its name, or "s" and its number. */
const char *membership_name(const struct server *server, char text[MEMBERSHIP_NAME_SIZE]);

/* Find a server by its name or "s" and its number. NOT_FOUND. */
int membership_find(const struct dnvmed *dnvmed, const char *name, const struct server **ret_server,
		    struct error *error);

#endif
