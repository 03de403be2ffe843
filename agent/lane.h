/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The actions of one lane of a plan, on their way through a thread. */
#ifndef DNVME_AGENT_LANE_H
#define DNVME_AGENT_LANE_H

#include "agent/plan.h"
#include "agent/worker.h"

/* A plan with its memory, shared by the lanes that run it. */
/* A target, for the plans that are made from it. */
struct target_box {
	size_t references;
	struct arena arena;
	struct target target;
};

struct target_box *target_box_make(void);
void target_box_release(struct target_box *box);

struct plan_box {
	size_t references;
	struct arena arena;
	struct target_box *wanted; /* the plan points into it */
	struct plan plan;
};

/* Has a reference of its own to the target. */
struct plan_box *plan_box_make(struct target_box *wanted);
void plan_box_release(struct plan_box *box);

struct lane_job {
	struct worker_job job;
	void *owner; /* for `done` */
	struct lane_job *next;
	struct plan_box *box;
	struct kernel *kernel;
	const char *lane; /* in the box */
	struct owner object;
	size_t *actions; /* indexes into the plan */
	size_t action_count;
	atomic_bool telling;  /* the present step says how far it came */
	bool finished;	      /* the loop's: ended while an observation was under way */
	atomic_bool unwanted; /* what takes long is to end early: nobody wants it any more */
	bool outdated;	      /* the loop's: what is desired changed since it began */
	/* Results, valid after the end. */
	struct error error; /* code 0: all went well */
	struct arena arena;
	struct observed_label_list labels; /* that were read */
	/* Labels that it writes or clears, known from the beginning: what was read of them is void from then on. */
	struct string_list rewritten;
};

/* The actions of the plan in that lane. NULL when memory is exhausted. Takes a reference to the box. */
struct lane_job *lane_job_make(struct plan_box *box, struct kernel *kernel, const char *lane);
void lane_job_free(struct lane_job *lane);

/* Whether it may let somebody in: it makes or changes an export. */
bool lane_job_exports(const struct lane_job *lane);

/* Whether it may have that mirror, which runs, go on without a member. */
bool lane_job_drops(const struct lane_job *lane, const char *mirror);

/* What the present step says about how far it came; false when it says nothing. */
bool lane_job_is_telling(struct lane_job *lane, char ret_step[WORKER_STEP_SIZE]);

/* The function for the thread: stops at the first failure. */
void lane_job_run(struct worker_job *job);

#endif
