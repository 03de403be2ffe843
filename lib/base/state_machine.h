/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state-machine helper.
 *
 * An operation names its states and its allowed moves in a table, the drawing
 * stands above the table, and every move is checked against it. A move that
 * the table lacks is a programming error and ends the program.
 */
#ifndef DNVME_LIB_BASE_STATE_MACHINE_H
#define DNVME_LIB_BASE_STATE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

struct state_machine_edge {
	int from;
	int to;
};

struct state_machine_table {
	const char *name;
	const char *const *state_names; /* indexed by state */
	int state_count;
	const struct state_machine_edge *edges;
	size_t edge_count;
};

struct state_machine {
	const struct state_machine_table *table;
	int state;
};

/* Start in `state`. */
void state_machine_init(struct state_machine *machine, const struct state_machine_table *table, int state);

/* Whether the table has the edge. */
bool state_machine_allows(const struct state_machine_table *table, int from, int to);

/* Go to `to`; aborts with both names when the table lacks the edge. */
void state_machine_move(struct state_machine *machine, int to);

/* The name of the present state. */
const char *state_machine_name(const struct state_machine *machine);

#endif
