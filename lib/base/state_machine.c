/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/state_machine.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"

void state_machine_init(struct state_machine *machine, const struct state_machine_table *table, int state)
{
	if (state < 0 || state >= table->state_count) {
		log_error("state machine started in an unknown state", "machine=%s state=%d", table->name, state);
		abort();
	}
	machine->table = table;
	machine->state = state;
}

bool state_machine_allows(const struct state_machine_table *table, int from, int to)
{
	for (size_t i = 0; i < table->edge_count; i++) {
		if (table->edges[i].from == from && table->edges[i].to == to)
			return true;
	}
	return false;
}

void state_machine_move(struct state_machine *machine, int to)
{
	const struct state_machine_table *table = machine->table;

	if (to < 0 || to >= table->state_count || !state_machine_allows(table, machine->state, to)) {
		log_error("state machine has no such move", "machine=%s from=%s to=%s", table->name,
			  table->state_names[machine->state],
			  to >= 0 && to < table->state_count ? table->state_names[to] : "unknown");
		abort();
	}
	machine->state = to;
}

const char *state_machine_name(const struct state_machine *machine)
{
	return machine->table->state_names[machine->state];
}
