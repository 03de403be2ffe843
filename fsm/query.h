/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the state machine: a read in a transaction of its own. */
#ifndef DNVME_FSM_QUERY_H
#define DNVME_FSM_QUERY_H

#include "fsm/state.h"

/* What is read lives in `arena`. */
int query_open(struct fsm *fsm, struct arena *arena, struct state *ret_state, struct error *error);
void query_close(struct state *state);

#endif
