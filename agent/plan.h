/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What to do next, from what is there and what shall be: a pure function.
 *
 * A plan is one wave. Its actions are in order; those of one lane run one after the other, and each one's
 * preconditions hold in the observed kernel or are made by earlier actions of the same lane. Lanes run side by side
 * and may fail or hang without the others. After the wave the kernel is observed again; an empty plan without notes
 * means that it is as desired.
 */
#ifndef DNVME_AGENT_PLAN_H
#define DNVME_AGENT_PLAN_H

#include "agent/action.h"
#include "agent/target.h"

struct action_list {
	size_t count;
	struct action *items;
};

enum plan_note_kind {
	PLAN_NOTE_WAITS, /* something else must happen first */
	PLAN_NOTE_FAILS, /* it will not come right by waiting */
};

struct plan_note {
	enum plan_note_kind kind;
	struct owner owner;
	char lane[OWNER_LANE_SIZE]; /* whose actions it waits for; may be empty */
	const char *text;
};

struct plan_note_list {
	size_t count;
	struct plan_note *items;
};

struct plan {
	struct action_list actions;
	struct plan_note_list notes;
	/* An export within reach of hosts or consumers that should not be as it is, and which the actions are to put
	 * right; NULL: there is none. */
	const char *exposed;
};

/* Everything lives in `arena`; nothing points into `observed` afterwards, but actions point into `target`.
 * INTERNAL when memory is exhausted. */
int plan_make(const struct observed *observed, const struct target *target, struct arena *arena, struct plan *ret_plan,
	      struct error *error);

/* One line for each action and note. Returns 0 or -1 when memory is exhausted. */
int plan_print(const struct plan *plan, struct buffer *output);

#endif
