/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All nodes and disks, kept decoded for placement, which looks at all of them each time: what a command changed is read
 * again, and nothing else. Of one thread.
 */
#ifndef DNVME_FSM_STOCK_H
#define DNVME_FSM_STOCK_H

#include "fsm/fsm.h"
#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct stock;

/* NULL when memory is exhausted. stock_free() accepts NULL. */
struct stock *stock_make(void);
void stock_free(struct stock *stock);

/* To be told of everything that the callback of the state machine hears. */
void stock_changed(struct stock *stock, const struct fsm_change *change);

/* Forget everything: the state is another one, or nobody asks any more. */
void stock_clear(struct stock *stock);

/* Nodes by name, and disks by id, as they are in the state. The lists live in `arena` and are the caller's, to change
 * as well; texts and lists within the records are borrowed until the state changes. INTERNAL when memory is exhausted
 * or the state cannot be read. */
int stock_list(struct stock *stock, struct fsm *fsm, struct arena *arena, struct node_list *ret_nodes,
	       struct disk_list *ret_disks, struct error *error);

#endif
