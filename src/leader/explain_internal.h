/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rooms of explain.h share: explain.c has how it is, explain_held.c who holds what, explain_found.c what is
 * wrong, explain_next.c the rest. */
#ifndef DNVME_SRC_LEADER_EXPLAIN_INTERNAL_H
#define DNVME_SRC_LEADER_EXPLAIN_INTERNAL_H

#include "src/leader/explain.h"

struct explained_ld;

/* A group that is part of its leg. */
struct explained_group {
	size_t leg, index, slot;
	const struct group *group;
	size_t copies;			 /* that can be relied on, as far as is known */
	bool served;			 /* its holder says that it reads and writes a copy in sync */
	const struct explained_ld *last; /* the only such one; NULL: there are none, or several */
	uint64_t since_ms;		 /* wall clock since when one is missing; 0: none is, or it is not known */
};

/* A member of one. */
struct explained_ld {
	const struct explained_group *group;
	const struct ld *ld;
	const struct online_disk *disk;	    /* NULL: its node was forgotten */
	const struct member_status *status; /* what the holder says of it; NULL: nothing in this epoch */
	uint64_t rate_bytes;		    /* rebuilding */
	uint64_t path_lost_ms;		    /* for how long the holder has had no path to it; 0: it has one */
	bool well;			    /* beyond doubt */
	bool counts;			    /* as a copy: nothing is known against it */
	bool leaves;
};

struct explaining {
	const struct explain_input *input;
	const struct online_view *view;
	const struct volume *volume;
	struct arena *arena;
	struct volume_explanation *out;
	struct explained_group *groups;
	size_t group_count;
	struct explained_ld *lds;
	size_t ld_count;
	struct placement_view placement; /* the input's, with disks of our own */
	size_t placed;			 /* LDs that a place was looked for */
	bool failed;			 /* memory is exhausted */
};

/* A text in the arena, not longer than LIMIT_TEXT; "" when memory is exhausted. */
const char *explain_say(struct explaining *this, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for one more in a list of at most `limit`; NULL: there is none. */
void *explain_room(struct explaining *this, struct any_list *list, size_t size, size_t limit);

/* Texts are borrowed. What does not fit any more is counted (findings) or left away; what was said is not repeated. */
void explain_finding(struct explaining *this, const char *object, const char *seen, uint64_t since_ms,
		     const char *meaning);
void explain_prospect(struct explaining *this, const struct prospect *prospect);
void explain_advice(struct explaining *this, const char *text, const char *command);

/* The wall clock so long ago. */
uint64_t explain_ago(const struct explaining *this, uint64_t ms);

/* Since when a member is not to be relied on, on the wall clock; 0: not known. */
uint64_t explain_missing_since(const struct explaining *this, const struct explained_ld *seen);

/* "leg 0", or "group 1 of leg 0" where there are several. */
const char *explain_group_text(struct explaining *this, const struct explained_group *group);

void explain_held(struct explaining *this);  /* out->slots, controllers, members, hosts */
void explain_found(struct explaining *this); /* out->findings, out->stops_if */
void explain_next(struct explaining *this);  /* out->prospects */
void explain_help(struct explaining *this);  /* out->advice, behind explain_next() */

#endif
