/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the steps of an online volume look at, and what comes of them. Pure: everything comes in as values.
 *
 *   slots.h     which slot moves, or takes the next phase of its move
 *   members.h   which LD is given up, rebuilt, in sync again, replaced, freed
 *   standbys.h  which controllers come and go
 *   moves.h     which LD moves to another disk, as its own is drained
 *   operations.h  what a job that somebody asked for waits for
 *
 * Each step gives at most one command; so commands that depend on one another are never under way at once.
 */
#ifndef DNVME_SRC_LEADER_ONLINE_H
#define DNVME_SRC_LEADER_ONLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "src/leader/moments.h"
#include "src/leader/reach.h"
#include "src/leader/reported.h"

#define ONLINE_LOOK_NEVER UINT64_MAX

struct online_node {
	const char *name;
	enum health health;
	uint64_t heard_ms;   /* when this leader heard of it last; if it never did: when it began to lead */
	uint64_t offline_ms; /* how long it has been offline; 0 while it is not */
	bool cordoned, draining;
	bool moves;	      /* its agent can move LDs to other disks */
	bool unable;	      /* its kernel lacks what the volume's durability needs: it came up as another kernel */
	uint64_t controllers; /* its load */
	uint8_t boot_id[16];
	const struct reported *reported; /* NULL: nothing */
};

struct online_disk {
	uint64_t id;
	const struct online_node *node; /* NULL: unknown */
	bool draining;			/* LDs are to be moved away */
	bool held;			/* since a restore: nothing is copied to it */
	bool gone;			/* its node is online and has no such block device */
};

struct online_view {
	const struct volume *volume;	 /* without groups that are not part of their legs */
	const struct volume *whole;	 /* with them */
	const struct online_node *nodes; /* of controllers and disks */
	size_t node_count;
	const struct online_disk *disks; /* of all LDs that are not freed, leaving ones included */
	size_t disk_count;
	const struct moments *moments;
	const struct reach *reach;	      /* what hosts say of their paths; NULL: nothing */
	uint64_t rebuilds[LIMIT_CONTROLLERS]; /* under way at the holder of each slot, of all volumes */
	uint64_t now_ms, leader_since_ms;     /* the leader's boot clock */
	uint64_t wall_ms;
	uint64_t rebuild_after_ms; /* as set by the operator; 0: the default */
};

#define ONLINE_PROSPECTS 64u

/* What the rules wait for, and what they will do when some time is over if nothing happens until then. */
struct online_prospect {
	const char *text;
	uint64_t after_ms;   /* from now on; ONLINE_LOOK_NEVER: when what the text names happened */
	uint64_t replace_ld; /* another disk takes the place of this LD then; 0: of none */
};

struct online_outlook {
	size_t count;
	struct online_prospect items[ONLINE_PROSPECTS]; /* the first ones, if there are more */
};

struct online_step {
	struct command *command; /* propose this (without time); NULL: nothing */
	bool add_standby;	 /* or find a node for a standby and propose controller_add */
	uint64_t replace_ld;	 /* or find a disk that takes this LD's place and propose ld_replace; 0: none */
	uint64_t replace_slot;
	uint64_t move_ld; /* or find a disk that this LD moves to and propose ld_move; 0: none */
	uint64_t move_slot;
	const char *waits_for;	/* the first thing that is waited for; NULL when nothing is */
	uint64_t look_again_ms; /* from now on, at the latest; ONLINE_LOOK_NEVER: when something happens */
	bool placeless;		/* placement found nothing: look again when nodes or disks changed */
	struct online_outlook
		*outlook; /* filled in with all that is waited for, not only the first; NULL: nobody asks */
};

#define ONLINE_STEP_INIT                                                                                               \
	{                                                                                                              \
		.look_again_ms = ONLINE_LOOK_NEVER                                                                     \
	}

/* All four steps: the first command wins, in the order of the list above. Everything in `ret_step` lives in `arena`.
 * INTERNAL when memory is exhausted. */
int online_step(const struct online_view *view, struct arena *arena, struct online_step *ret_step, struct error *error);

/* The same, and what each rule waits for, or is about to do (`outlook`, filled in from its count on); texts in `arena`.
 */
int online_foresee(const struct online_view *view, struct arena *arena, struct online_outlook *outlook,
		   struct online_step *ret_step, struct error *error);

/* --- for the steps ------------------------------------------------------------------------------------------------ */

/* NULL when the view has no such node, disk or status. A status of before the volume's revision is returned, too. */
const struct online_node *online_node(const struct online_view *view, const char *name);
const struct online_disk *online_disk(const struct online_view *view, uint64_t id);
const struct object_status *online_export(const struct online_view *view, uint64_t disk, uint64_t slot);
const struct object_status *online_controller(const struct online_view *view, const char *node);
const struct reported_health *online_health(const struct online_view *view, const char *node);

bool online_is(const struct online_node *node, enum health health);

/* Whether an object is in this state at the volume's revision or a later one. */
bool online_at(const struct online_view *view, const struct object_status *status, enum object_state state);

/* Whether the Disk Node took in what is wanted of an LD's export: it is made (`made`), or made or gone. Nothing of
 * an older epoch reaches the medium then. Never while its node is offline. */
bool online_export_confirmed(const struct online_view *view, uint64_t disk, uint64_t slot, bool made);

/* The I/O errors that an LD returned, or may have, since it was made equal to the others last, as its Disk Node told.
 * NULL: there were none. */
const struct ld_errors *online_errors_told(const struct online_view *view, const struct ld *ld, uint64_t slot);

/* The same, unless all of them are excused: its group may have dropped it, unknown to this leader. */
const struct ld_errors *online_errors(const struct online_view *view, const struct ld *ld, uint64_t slot);

/* Look again after so long. */
void online_look(struct online_step *step, uint64_t after_ms);

/* Keep the first sentence. `text` may be NULL: memory is exhausted. */
int online_wait(struct online_step *step, const char *text, struct error *error);
/* The same, where online_expect() has told what comes of it. */
int online_wait_expected(struct online_step *step, const char *text, struct error *error);
/* What the rule will do after so long, if nothing happens until then: for those who ask (online_foresee), and no reason
 * to look again. `replace_ld`: as in struct online_prospect. INTERNAL when memory is exhausted. */
int online_expect(struct online_step *step, struct arena *arena, uint64_t after_ms, uint64_t replace_ld,
		  struct error *error, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Whether one sentence more would be of use to anybody. */
bool online_is_asked(const struct online_step *step);
int online_wait_export(const struct online_view *view, uint64_t disk, uint64_t slot, struct arena *arena,
		       struct online_step *step, struct error *error);
int online_wait_controller(const struct online_view *view, const char *node, enum object_state state,
			   struct arena *arena, struct online_step *step, struct error *error);

/* A command to be filled in; NULL when memory is exhausted. */
struct command *online_command(struct arena *arena, size_t size, void *ret_record, struct error *error);

/* The job goes on to its next phase, if the volume is as it was looked at. */
int online_job_advance(const struct online_view *view, const struct operation *operation, enum operation_phase to,
		       struct arena *arena, struct online_step *step, struct error *error);

/* Append "ld<id>" to a list that has room for LIMIT_LEGS * LIMIT_COPIES (made at the first call). A full list stays
 * as it is: the rest follows with the next command. */
int online_ld_append(struct string_list *lds, uint64_t ld, struct arena *arena, struct error *error);

#endif
