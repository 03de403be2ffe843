/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_job.h"

#include <stdlib.h>
#include <string.h>

#include "lib/model/moving.h"
#include "lib/model/names.h"
#include "src/agents.h"
#include "src/dnvmed.h"
#include "src/driver.h"
#include "src/handlers_operation.h"
#include "src/page.h"
#include "src/request.h"

/* Volumes that are read at once. */
#define CHUNK 64u

/* Jobs of a volume come in the order of this key: slots, then LDs, then nodes. */
struct job_key {
	enum { JOB_RANK_SLOT, JOB_RANK_LD, JOB_RANK_CLEAN } rank;
	uint64_t number; /* of the slot or LD */
	char node[LIMIT_NAME + 1];
};

struct entry {
	struct job_key key;
	struct job job;
};

struct entries {
	size_t count;
	struct entry *items;
};

static int key_compare(const struct job_key *a, const struct job_key *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return strcmp(a->node, b->node);
}

/* "v3.s0.e5", "v3.ld12", "v3.clean.nodeb". */
static int id_parse(const char *id, uint64_t *ret_volume, struct job_key *ret_key)
{
	char text[NAMES_ID_SIZE];
	const char *dot = strchr(id, '.'), *rest, *end;
	struct job_key key = { 0 };
	size_t length = dot != NULL ? (size_t)(dot - id) : sizeof(text);

	if (length >= sizeof(text))
		return -1;
	memcpy(text, id, length);
	text[length] = '\0';
	if (names_id_parse("v", text, ret_volume) != 0)
		return -1;
	rest = dot + 1;
	if (strncmp(rest, "clean.", 6) == 0 && strlen(rest + 6) <= LIMIT_NAME) {
		key.rank = JOB_RANK_CLEAN;
		memcpy(key.node, rest + 6, strlen(rest + 6) + 1);
	} else if (names_id_parse("ld", rest, &key.number) == 0) {
		key.rank = JOB_RANK_LD;
	} else {
		end = strchr(rest, '.');
		length = end != NULL ? (size_t)(end - rest) : sizeof(text);
		if (length < 2 || length >= sizeof(text) || rest[0] != 's' || end[1] != 'e')
			return -1;
		memcpy(text, rest, length);
		text[length] = '\0';
		key.rank = JOB_RANK_SLOT;
		/* Ids begin with 1, slots with 0. */
		if (strcmp(text, "s0") != 0 && names_id_parse("s", text, &key.number) != 0)
			return -1;
	}
	*ret_key = key;
	return 0;
}

/* --- the jobs of a volume --------------------------------------------------------------------------------------- */

static struct job *entry_add(struct arena *arena, struct entries *entries, struct job_key key)
{
	struct entry *entry = list_grow(arena, (struct any_list *)entries, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	*entry = (struct entry){ .key = key };
	return &entry->job;
}

static int texts_check(const struct job *job, struct error *error)
{
	return job->id != NULL && job->target != NULL ? 0 : error_set_nomem(error);
}

static int slots_add(const struct volume *volume, struct arena *arena, struct entries *entries, struct error *error)
{
	for (size_t i = 0; i < volume->slots.count; i++) {
		const struct slot *slot = &volume->slots.items[i];
		struct job *job;

		if (slot->phase == SLOT_PHASE_SERVING)
			continue;
		job = entry_add(arena, entries, (struct job_key){ .rank = JOB_RANK_SLOT, .number = i });
		if (job == NULL)
			return error_set_nomem(error);
		*job = (struct job){ .id = arena_printf(arena, "v%llu.s%zu.e%llu", (unsigned long long)volume->id, i,
							(unsigned long long)slot->epoch),
				     .kind = slot->reason == MOVE_REASON_DRAIN	   ? JOB_KIND_DRAIN
					     : slot->reason == MOVE_REASON_RESTART ? JOB_KIND_RESTART
					     : slot->reason == MOVE_REASON_FORCE   ? JOB_KIND_FORCE
					     : slot->reason == MOVE_REASON_ASKED   ? JOB_KIND_MOVE_SLOT
										   : JOB_KIND_FAILOVER,
				     .target = arena_printf(arena, "slot %zu of volume %s", i, volume->name),
				     .phase = ENUM_NAME(slot_phase, slot->phase),
				     .node = slot->holder,
				     .since_ms = slot->since_ms };
		if (texts_check(job, error) != 0)
			return error->code;
	}
	return 0;
}

static void progress(struct dnvmed *dnvmed, const struct volume *volume, const struct leg *leg, const struct ld *ld,
		     struct job *job)
{
	const struct slot *slot = &volume->slots.items[leg->slot];
	const struct agent *agent = agents_get(dnvmed, slot->holder);
	const struct reported_health *health = agent != NULL ? reported_health_get(&agent->reported, volume->id) : NULL;
	const struct member_status *member;
	size_t index = 0;

	member = reported_member(health, ld->id, slot->epoch, &index);
	if (member == NULL || ld->state != LD_STATE_REBUILDING)
		return;
	job->done_bytes = member->done_bytes;
	job->total_bytes = member->total_bytes;
	job->rate_bytes = health->rates[index];
	if (job->rate_bytes > 0 && job->total_bytes > job->done_bytes)
		job->eta_ms = (job->total_bytes - job->done_bytes) / (job->rate_bytes / 1000 + 1);
}

static int ld_add(struct dnvmed *dnvmed, const struct volume *volume, const struct ld *ld, enum job_kind kind,
		  struct arena *arena, struct entries *entries, struct job **ret_job, struct error *error)
{
	struct job *job = entry_add(arena, entries, (struct job_key){ .rank = JOB_RANK_LD, .number = ld->id });
	struct disk disk;

	if (job == NULL)
		return error_set_nomem(error);
	if (fsm_disk_get(dnvmed->fsm, ld->disk, arena, &disk, error) != 0)
		return error->code;
	*job = (struct job){
		.id = arena_printf(arena, "v%llu.ld%llu", (unsigned long long)volume->id, (unsigned long long)ld->id),
		.kind = kind,
		.target = arena_printf(arena, "ld%llu on d%llu of node %s, volume %s", (unsigned long long)ld->id,
				       (unsigned long long)ld->disk, disk.node, volume->name),
		.phase = kind == JOB_KIND_RELEASE ? "leaving" : ENUM_NAME(ld_state, ld->state),
		.node = disk.node,
		.since_ms = ld->since_ms
	};
	*ret_job = job;
	return texts_check(job, error);
}

/* Its node was forgotten, and its disk with it. */
static int lost_add(const struct volume *volume, const struct leg *leg, const struct ld *ld, struct arena *arena,
		    struct entries *entries, struct error *error)
{
	struct job *job = entry_add(arena, entries, (struct job_key){ .rank = JOB_RANK_LD, .number = ld->id });

	if (job == NULL)
		return error_set_nomem(error);
	*job = (struct job){ .id = arena_printf(arena, "v%llu.ld%llu", (unsigned long long)volume->id,
						(unsigned long long)ld->id),
			     .kind = JOB_KIND_REBUILD,
			     .target = arena_printf(arena, "ld%llu, lost with its node, volume %s",
						    (unsigned long long)ld->id, volume->name),
			     .phase = ENUM_NAME(stale_reason, STALE_REASON_LOST),
			     .node = volume->slots.items[leg->slot].holder,
			     .since_ms = ld->since_ms };
	return texts_check(job, error);
}

static int lds_add(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena, struct entries *entries,
		   struct error *error)
{
	struct job *job;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];

				/* Of one that is not part of its leg, the job that made it tells. */
				if (leg->groups.items[g].state != 0)
					continue;
				if (ld->state == LD_STATE_FREED &&
				    lost_add(volume, leg, ld, arena, entries, error) != 0)
					return error->code;
				if (ld->state != LD_STATE_STALE && ld->state != LD_STATE_REBUILDING)
					continue;
				if (ld_add(dnvmed, volume, ld,
					   ld->moves != 0 || ld == moving_ld(volume, &leg->groups.items[g])
						   ? JOB_KIND_MOVE
						   : JOB_KIND_REBUILD,
					   arena, entries, &job, error) != 0)
					return error->code;
				job->node = volume->slots.items[leg->slot].holder;
				progress(dnvmed, volume, leg, ld, job);
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		const struct ld *ld = volume->leaving.items[i].ld;

		if (ld->state != LD_STATE_FREED &&
		    ld_add(dnvmed, volume, ld, JOB_KIND_RELEASE, arena, entries, &job, error) != 0)
			return error->code;
	}
	return 0;
}

static int cleans_add(const struct volume *volume, struct arena *arena, struct entries *entries, struct error *error)
{
	for (size_t i = 0; i < volume->controllers.count; i++) {
		const struct controller *controller = &volume->controllers.items[i];
		struct job_key key = { .rank = JOB_RANK_CLEAN };
		struct job *job;

		if (controller->role != CONTROLLER_ROLE_RETIRED || strlen(controller->node) > LIMIT_NAME)
			continue;
		memcpy(key.node, controller->node, strlen(controller->node) + 1);
		job = entry_add(arena, entries, key);
		if (job == NULL)
			return error_set_nomem(error);
		*job = (struct job){
			.id = arena_printf(arena, "v%llu.clean.%s", (unsigned long long)volume->id, controller->node),
			.kind = JOB_KIND_CLEAN,
			.target = arena_printf(arena, "what node %s has of volume %s", controller->node, volume->name),
			.phase = ENUM_NAME(controller_role, controller->role),
			.node = controller->node
		};
		if (texts_check(job, error) != 0)
			return error->code;
	}
	return 0;
}

static int entry_compare(const void *a, const void *b)
{
	return key_compare(&((const struct entry *)a)->key, &((const struct entry *)b)->key);
}

static int entries_make(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
			struct entries *entries, struct error *error)
{
	*entries = (struct entries){ 0 };
	if (volume->phase != VOLUME_PHASE_ONLINE)
		return 0;
	if (slots_add(volume, arena, entries, error) != 0 || lds_add(dnvmed, volume, arena, entries, error) != 0 ||
	    cleans_add(volume, arena, entries, error) != 0)
		return error->code;
	if (entries->count > 1)
		qsort(entries->items, entries->count, sizeof(*entries->items), entry_compare);
	return 0;
}

/* --- methods ---------------------------------------------------------------------------------------------------- */

static int kind_parse(const char *filter, int *ret_kind, struct error *error)
{
	const struct enum_schema *schema = enum_schema_job_kind();

	*ret_kind = 0;
	if (filter == NULL || filter[0] == '\0')
		return 0;
	*ret_kind = enum_schema_parse(schema, filter);
	if (*ret_kind >= 0)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "filter: \"%s\" is not a kind of jobs", filter);
	for (size_t i = 0; i < schema->count; i++)
		error_detail(error, "%s", schema->values[i].name);
	return error->code;
}

static int bad_id(const char *field, const char *id, struct error *error)
{
	error_set(error, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is not the id of a job", field, id);
	return error_hint(error, "ids of jobs are like j7, v3.s0.e5 or v3.ld12; run: dnvme job list");
}

static int volume_jobs(struct dnvmed *dnvmed, uint64_t volume_id, struct arena *arena, struct entries *entries,
		       struct error *error)
{
	struct volume volume;
	int rv = fsm_volume_get(dnvmed->fsm, volume_id, arena, &volume, error);

	*entries = (struct entries){ 0 };
	if (rv == ERROR_NOT_FOUND) {
		error_clear(error);
		return 0;
	}
	return rv != 0 ? rv : entries_make(dnvmed, &volume, arena, entries, error);
}

/* What a page is to have. */
struct filter {
	int kind;	      /* 0: any */
	int state;	      /* 0: any */
	const char *name;     /* of the volume; NULL: any */
	uint64_t volume;      /* its id; 0: there is none of that name */
	bool volume_is_known; /* it exists */
};

static int state_parse(const char *text, int *ret_state, struct error *error)
{
	const struct enum_schema *schema = enum_schema_operation_state();

	*ret_state = 0;
	if (text == NULL || text[0] == '\0')
		return 0;
	*ret_state = enum_schema_parse(schema, text);
	if (*ret_state >= 0)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "state: \"%s\" is not a state of jobs", text);
	for (size_t i = 0; i < schema->count; i++)
		error_detail(error, "%s", schema->values[i].name);
	return error->code;
}

static int filter_make(struct request *request, struct filter *ret_filter, struct error *error)
{
	const struct job_list_request *params = request->params;
	struct filter filter = { 0 };
	struct volume volume;
	int rv;

	if (kind_parse(params->filter, &filter.kind, error) != 0 ||
	    state_parse(params->state, &filter.state, error) != 0)
		return error->code;
	if (params->volume != NULL && params->volume[0] != '\0') {
		filter.name = params->volume;
		rv = fsm_volume_find(request->dnvmed->fsm, params->volume, &request->arena, &volume, error);
		if (rv != 0 && rv != ERROR_NOT_FOUND)
			return rv;
		filter.volume_is_known = rv == 0;
		/* Jobs of one that was deleted are kept. */
		if (rv == 0)
			filter.volume = volume.id;
		else if (names_id_parse("v", params->volume, &filter.volume) != 0)
			filter.volume = 0;
		error_clear(error);
	}
	*ret_filter = filter;
	return 0;
}

static bool operation_passes(const struct filter *filter, const struct operation *operation)
{
	return (filter->kind == 0 || operation->kind == (enum job_kind)filter->kind) &&
	       (filter->state == 0 || operation->state == (enum operation_state)filter->state) &&
	       (filter->name == NULL || operation->volume == filter->volume ||
		(!filter->volume_is_known && strcmp(operation->volume_name, filter->name) == 0));
}

static int operations_list(struct request *request, const struct filter *filter, uint64_t after, struct page *page,
			   struct job_page *answer, struct error *error)
{
	bool more = true;

	while (more && !page->full) {
		struct operation_list operations;

		if (fsm_operation_list(request->dnvmed->fsm, after, CHUNK, &request->arena, &operations, &more,
				       error) != 0)
			return error->code;
		for (size_t i = 0; i < operations.count && !page->full; i++) {
			struct job job;

			after = operations.items[i].id;
			if (!operation_passes(filter, &operations.items[i]))
				continue;
			if (operation_job(&operations.items[i], &request->arena, &job, error) != 0 ||
			    page_add(page, &request->arena, &answer->jobs, &job, error) != 0)
				return error->code;
		}
	}
	return 0;
}

/* Jobs that nobody asked for, volume by volume. */
static int entries_list(struct request *request, const struct filter *filter, uint64_t after_volume,
			const struct job_key *after, struct page *page, struct job_page *answer, struct error *error)
{
	/* Of this volume there may be more. */
	uint64_t *ids, behind = after_volume > 0 ? after_volume - 1 : 0;
	size_t count = CHUNK;

	while (count == CHUNK && !page->full) {
		if (fsm_transition_list(request->dnvmed->fsm, behind, CHUNK, &request->arena, &ids, &count, error) != 0)
			return error->code;
		for (size_t i = 0; i < count && !page->full; i++) {
			struct entries entries;

			behind = ids[i];
			if (filter->name != NULL && ids[i] != filter->volume)
				continue;
			if (volume_jobs(request->dnvmed, ids[i], &request->arena, &entries, error) != 0)
				return error->code;
			for (size_t j = 0; j < entries.count && !page->full; j++) {
				const struct entry *entry = &entries.items[j];

				if (ids[i] == after_volume && key_compare(&entry->key, after) <= 0)
					continue;
				if ((filter->kind == 0 || entry->job.kind == (enum job_kind)filter->kind) &&
				    page_add(page, &request->arena, &answer->jobs, &entry->job, error) != 0)
					return error->code;
			}
		}
	}
	return 0;
}

int job_list_answer(struct request *request, struct error *error)
{
	const struct job_list_request *params = request->params;
	struct job_page answer = { 0 };
	struct job_key after_key = { 0 };
	uint64_t after_volume = 0, after_operation = 0;
	struct filter filter;
	struct page page;
	int rv = filter_make(request, &filter, error);

	/* Those that somebody asked for come first. */
	if (rv == 0 && params->after != NULL && params->after[0] != '\0' &&
	    names_id_parse("j", params->after, &after_operation) != 0) {
		after_operation = UINT64_MAX;
		if (id_parse(params->after, &after_volume, &after_key) != 0)
			rv = bad_id("after", params->after, error);
	}
	page_open(&page, schema_job(), params->limit);
	if (rv == 0 && after_operation < UINT64_MAX)
		rv = operations_list(request, &filter, after_operation, &page, &answer, error);
	if (rv == 0 && filter.state == 0)
		rv = entries_list(request, &filter, after_volume, &after_key, &page, &answer, error);
	page_close(&page);
	answer.more = page.full;
	if (rv == 0)
		request_reply(request, &answer);
	return rv;
}

int job_get_answer(struct request *request, struct error *error)
{
	const struct job_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct volumes_parts parts;
	struct entries entries;
	struct volume volume;
	struct job_key key;
	struct job asked;
	uint64_t id;

	if (names_id_parse("j", params->id, &id) == 0) {
		if (operation_job_get(dnvmed, id, &request->arena, &asked, error) != 0)
			return error->code;
		request_reply(request, &asked);
		return 0;
	}
	if (id_parse(params->id, &id, &key) != 0)
		return bad_id("id", params->id, error);
	if (volume_jobs(dnvmed, id, &request->arena, &entries, error) != 0)
		return error->code;
	for (size_t i = 0; i < entries.count; i++) {
		struct job *job = &entries.items[i].job;

		if (strcmp(job->id, params->id) != 0)
			continue;
		if (fsm_volume_get(dnvmed->fsm, id, &request->arena, &volume, error) != 0 ||
		    driver_parts(dnvmed, &volume, &request->arena, &parts, error) != 0 ||
		    driver_waits_for(dnvmed, &volume, &parts, &request->arena, &job->waits_for, error) != 0)
			return error->code;
		request_reply(request, job);
		return 0;
	}
	return error_set(error, ERROR_NOT_FOUND, "id: there is no job \"%s\"; it is over, or never was", params->id);
}
