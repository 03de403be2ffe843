/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/log.h"

struct target_box *target_box_make(void)
{
	struct target_box *box = calloc(1, sizeof(*box));

	if (box != NULL)
		box->references = 1;
	return box;
}

void target_box_release(struct target_box *box)
{
	if (box == NULL || --box->references > 0)
		return;
	arena_free(&box->arena);
	free(box);
}

struct plan_box *plan_box_make(struct target_box *wanted)
{
	struct plan_box *box = calloc(1, sizeof(*box));

	if (box == NULL)
		return NULL;
	box->references = 1;
	box->wanted = wanted;
	wanted->references++;
	return box;
}

void plan_box_release(struct plan_box *box)
{
	if (box == NULL || --box->references > 0)
		return;
	target_box_release(box->wanted);
	arena_free(&box->arena);
	free(box);
}

/* What a label device is known to hold changes with these, even if they fail half-way. Not with a mark: until it is
 * known to be there, its absence only has the work done again that it bears witness of. */
static int note_rewritten(struct lane_job *lane, const struct action *action)
{
	if (action->kind == ACTION_LABEL_WRITE || action->kind == ACTION_LABEL_CHECK)
		return list_push_string(&lane->arena, &lane->rewritten, action->name);
	for (size_t i = 0; i < action->zeros.count; i++) {
		if (list_push_string(&lane->arena, &lane->rewritten, action->zeros.items[i].device) != 0)
			return -1;
	}
	return 0;
}

struct lane_job *lane_job_make(struct plan_box *box, struct kernel *kernel, const char *lane)
{
	struct lane_job *job = calloc(1, sizeof(*job));
	const struct action_list *actions = &box->plan.actions;

	if (job == NULL)
		return NULL;
	job->actions = calloc(actions->count, sizeof(*job->actions));
	if (job->actions == NULL) {
		free(job);
		return NULL;
	}
	for (size_t i = 0; i < actions->count; i++) {
		if (strcmp(actions->items[i].owner.lane, lane) != 0)
			continue;
		job->actions[job->action_count++] = i;
		job->object = actions->items[i].owner;
		if (note_rewritten(job, &actions->items[i]) != 0) {
			arena_free(&job->arena);
			free(job->actions);
			free(job);
			return NULL;
		}
	}
	job->box = box;
	job->lane = lane;
	job->kernel = kernel;
	box->references++;
	return job;
}

void lane_job_free(struct lane_job *lane)
{
	if (lane == NULL)
		return;
	plan_box_release(lane->box);
	arena_free(&lane->arena);
	free(lane->actions);
	free(lane);
}

bool lane_job_is_telling(struct lane_job *lane, char ret_step[WORKER_STEP_SIZE])
{
	if (!atomic_load(&lane->telling))
		return false;
	worker_step_get(&lane->job, ret_step);
	return true;
}

bool lane_job_exports(const struct lane_job *lane)
{
	for (size_t i = 0; i < lane->action_count; i++) {
		enum action_kind kind = lane->box->plan.actions.items[lane->actions[i]].kind;

		if (kind == ACTION_NAMESPACE_CREATE || kind == ACTION_NAMESPACE_GROUP || kind == ACTION_HOST_ALLOW ||
		    kind == ACTION_LINK)
			return true;
	}
	return false;
}

/* An import is dropped for the mirrors whose survivors are named, or nothing is known of whose. */
static bool drops(const struct action *action, const char *mirror)
{
	if (action->kind == ACTION_DM_RELOAD)
		return action->suspend && strcmp(action->name, mirror) == 0;
	if (action->kind != ACTION_DROP)
		return false;
	for (size_t i = 0; i < action->survivors.count; i++) {
		if (strcmp(action->survivors.items[i].mirror, mirror) == 0)
			return true;
	}
	return action->survivors.count == 0;
}

bool lane_job_drops(const struct lane_job *lane, const char *mirror)
{
	for (size_t i = 0; i < lane->action_count; i++) {
		if (drops(&lane->box->plan.actions.items[lane->actions[i]], mirror))
			return true;
	}
	return false;
}

struct telling {
	struct lane_job *lane;
	const char *name;
	unsigned percent; /* told last */
};

static bool tell(void *data, uint64_t done, uint64_t total)
{
	struct telling *telling = data;
	unsigned percent = total > 0 ? (unsigned)(done / (total / 100 + 1)) : 0;
	char text[WORKER_STEP_SIZE];

	if (percent != telling->percent) {
		telling->percent = percent;
		snprintf(text, sizeof(text), "mapping blocks of %s: %u %%", telling->name, percent);
		worker_step(&telling->lane->job, text);
	}
	return !worker_is_stopping(&telling->lane->job) && !atomic_load(&telling->lane->unwanted);
}

/* It takes long, says how far it came, and ends when the program does, or when the plan has it no more. */
static int fill(struct lane_job *lane, const struct action *action)
{
	struct telling telling = { lane, action->name, 100 };
	const struct kernel_progress progress = { &telling, tell };
	int code;

	tell(&telling, 0, 1);
	atomic_store(&lane->telling, true);
	code = lane->kernel->operations->block_fill(lane->kernel, action->name, action->start, &progress, &lane->error);
	atomic_store(&lane->telling, false);
	return code;
}

void lane_job_run(struct worker_job *job)
{
	struct lane_job *lane = (struct lane_job *)job;

	for (size_t i = 0; i < lane->action_count && lane->error.code == 0 && !worker_is_stopping(job); i++) {
		const struct action *action = &lane->box->plan.actions.items[lane->actions[i]];
		struct observed_label label = { 0 }, *added;
		struct buffer text = BUFFER_INIT;

		if (action_print(action, &text) != 0 || buffer_append(&text, "", 1) != 0) {
			buffer_free(&text);
			error_set_nomem(&lane->error);
			return;
		}
		worker_step(job, (const char *)text.data);
		log_info("doing", "what=\"%s\"", (const char *)text.data);
		if ((action->kind == ACTION_FILL
			     ? fill(lane, action)
			     : action_execute(action, lane->kernel, &lane->arena, &label, &lane->error)) != 0)
			log_failure(LOG_LEVEL_WARNING, (const char *)text.data, &lane->error);
		buffer_free(&text);
		if (label.device == NULL)
			continue;
		added = LIST_PUSH(&lane->arena, &lane->labels);
		if (added == NULL)
			error_set_nomem(&lane->error);
		else
			*added = label;
	}
}
