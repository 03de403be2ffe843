/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: what a command changed, for those who watch.
 *
 * No command says what happened. Each record that one writes is kept as it was before (struct journal), and what is
 * new in it when the command succeeded is told here. So no event can be forgotten, none tells of something that was
 * refused, and all replicas have the same ones, under the same numbers: the revision, and a number in it from 1 on.
 *
 * The last LIMIT_EVENTS_KEPT are kept, whole revisions only. Who asks for what went before is told COMPACTED, and has
 * to read the objects anew.
 */
#ifndef DNVME_FSM_EVENTS_H
#define DNVME_FSM_EVENTS_H

#include "fsm/state.h"

/* META: revision up to which events are not kept any more. */
#define META_EVENTS_COMPACTED "events-compacted"

/* Write the events of a command that succeeded, in its transaction, and drop the oldest. */
int events_write(struct transition *transition, struct error *error);

/* 0 when none was dropped yet. */
int events_compacted(struct state *state, uint64_t *ret_revision, struct error *error);

/* --- what changed between two records of one object (event_differences.c) ------------------------------------------
 */

/* Append to `events`; `before` or `after` is NULL when the object is new or gone. Revision, number and time are left to
 * the caller. Texts are those of the records. Returns ERROR_INTERNAL when memory is exhausted. */
int event_of_cluster(struct arena *arena, const struct cluster *before, const struct cluster *after,
		     struct event_list *events, struct error *error);
int event_of_node(struct arena *arena, const struct node *before, const struct node *after, struct event_list *events,
		  struct error *error);
int event_of_disk(struct arena *arena, const struct disk *before, const struct disk *after, struct event_list *events,
		  struct error *error);
int event_of_volume(struct arena *arena, const struct volume *before, const struct volume *after,
		    struct event_list *events, struct error *error);
int event_of_job(struct arena *arena, const struct operation *before, const struct operation *after,
		 struct event_list *events, struct error *error);

#endif
