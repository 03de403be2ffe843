/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From records to the structs of dnvme.h.
 *
 * The records follow the schema and change with it; the public structs only grow at their end. Everything lives in
 * the result's arena, strings are shared with the record.
 */
#include "client/result.h"

#include <string.h>

#include "lib/base/uuid.h"
#include "lib/model/names.h"

/* Makes `ret_views`, an array of pointers to `count` zeroed structs that MAKE then fills one by one. `arena` and
 * `error` are those of the function around it. */
#define VIEW_LIST(count_, type, ret_items, ret_views)                                                                  \
	struct type **ret_views = arena_alloc_array(arena, (count_), sizeof(*ret_views));                              \
	struct type *ret_items = arena_alloc_array(arena, (count_), sizeof(*ret_items));                               \
	if (ret_views == NULL || ret_items == NULL)                                                                    \
		return error_set_nomem(error);                                                                         \
	for (size_t view_index = 0; view_index < (count_); view_index++)                                               \
	ret_views[view_index] = &ret_items[view_index]

static int id_text(struct arena *arena, const char *prefix, uint64_t id, const char **ret_text, struct error *error)
{
	char text[NAMES_ID_SIZE];
	char *copy;

	names_id_format(prefix, id, text);
	copy = arena_strdup(arena, text);
	if (copy == NULL)
		return error_set_nomem(error);
	*ret_text = copy;
	return 0;
}

static int problems_view(struct arena *arena, const struct object_status_list *list,
			 const struct dnvme_problem *const **ret_views, size_t *ret_count, struct error *error)
{
	VIEW_LIST(list->count, dnvme_problem, items, views);

	for (size_t i = 0; i < list->count; i++) {
		items[i].kind = ENUM_NAME(object_kind, list->items[i].kind);
		items[i].id = list->items[i].id;
		items[i].state = ENUM_NAME(object_state, list->items[i].state);
		items[i].message = list->items[i].message;
	}
	*ret_views = (const struct dnvme_problem *const *)views;
	*ret_count = list->count;
	return 0;
}

static int servers_view(struct arena *arena, const struct server_info *list, size_t count, struct dnvme_result *result,
			struct error *error)
{
	VIEW_LIST(count, dnvme_server, items, views);

	for (size_t i = 0; i < count; i++) {
		items[i].id = (unsigned)list[i].id;
		items[i].raft_address = list[i].raft_address;
		items[i].api_address = list[i].api_address;
		items[i].role = ENUM_NAME(server_role, list[i].role);
		items[i].version = list[i].version;
		items[i].cluster_id = list[i].cluster;
		items[i].term = list[i].term;
		items[i].applied_index = list[i].applied_index;
		items[i].leader = (unsigned)list[i].leader;
		items[i].reachable = list[i].reachable;
		items[i].name = list[i].name;
		items[i].membership = list[i].membership != 0 ? ENUM_NAME(server_membership, list[i].membership) : NULL;
	}
	result->servers = (const struct dnvme_server *const *)views;
	result->server_count = count;
	return 0;
}

static int cluster_view(struct arena *arena, const struct cluster_status *status, struct dnvme_result *result,
			struct error *error)
{
	struct dnvme_cluster *view = arena_alloc(arena, sizeof(*view));

	if (view == NULL)
		return error_set_nomem(error);
	view->id = status->id;
	view->name = status->name;
	view->revision = status->revision;
	view->leader = (unsigned)status->leader;
	view->nodes = status->nodes;
	view->disks = status->disks;
	view->volumes = status->volumes;
	view->bytes_total = status->bytes_total;
	view->bytes_free = status->bytes_free;
	view->waits_for = status->waits_for;
	result->cluster = view;
	return servers_view(arena, status->servers.items, status->servers.count, result, error);
}

static int nodes_view(struct arena *arena, const struct node_status *list, size_t count, struct dnvme_result *result,
		      struct error *error)
{
	VIEW_LIST(count, dnvme_node, items, views);

	for (size_t i = 0; i < count; i++) {
		const struct node *node = list[i].node;
		int rc = problems_view(arena, &list[i].problems, &items[i].problems, &items[i].problem_count, error);

		if (rc != 0)
			return rc;
		items[i].name = node->name;
		items[i].address = node->address;
		items[i].port = (unsigned)node->port;
		items[i].health = ENUM_NAME(health, list[i].health);
		items[i].version = node->version;
		items[i].cordoned = node->cordoned;
		items[i].draining = node->draining;
		items[i].storage_only = node->storage_only;
		items[i].writethrough = node->writethrough;
		items[i].controllers = node->controllers;
		items[i].heartbeat_age_ms = list[i].heartbeat_age_ms;
	}
	result->nodes = (const struct dnvme_node *const *)views;
	result->node_count = count;
	return 0;
}

static int disks_view(struct arena *arena, const struct disk *list, size_t count, struct dnvme_result *result,
		      struct error *error)
{
	VIEW_LIST(count, dnvme_disk, items, views);

	for (size_t i = 0; i < count; i++) {
		int rc = id_text(arena, "d", list[i].id, &items[i].id, error);

		if (rc != 0)
			return rc;
		items[i].node = list[i].node;
		items[i].path = list[i].path;
		items[i].port = (unsigned)list[i].port;
		items[i].size_bytes = list[i].size_bytes;
		items[i].extents_total = list[i].extents_total;
		items[i].extents_free = list[i].extents_free;
		items[i].lds = list[i].lds;
		items[i].cordoned = list[i].cordoned;
		items[i].serial = list[i].serial;
	}
	result->disks = (const struct dnvme_disk *const *)views;
	result->disk_count = count;
	return 0;
}

static int members_view(struct arena *arena, const struct ld_list *list, struct dnvme_group *group, struct error *error)
{
	VIEW_LIST(list->count, dnvme_member, items, views);

	for (size_t i = 0; i < list->count; i++) {
		int rc = id_text(arena, "ld", list->items[i].id, &items[i].id, error);

		if (rc == 0)
			rc = id_text(arena, "d", list->items[i].disk, &items[i].disk, error);
		if (rc != 0)
			return rc;
		items[i].state = ENUM_NAME(ld_state, list->items[i].state);
	}
	group->members = (const struct dnvme_member *const *)views;
	group->member_count = list->count;
	return 0;
}

static int groups_view(struct arena *arena, const struct group_list *list, struct dnvme_leg *leg, struct error *error)
{
	VIEW_LIST(list->count, dnvme_group, items, views);

	for (size_t i = 0; i < list->count; i++) {
		int rc = members_view(arena, &list->items[i].members, &items[i], error);

		if (rc != 0)
			return rc;
	}
	leg->groups = (const struct dnvme_group *const *)views;
	leg->group_count = list->count;
	return 0;
}

static int legs_view(struct arena *arena, const struct leg_list *list, struct dnvme_volume *volume, struct error *error)
{
	VIEW_LIST(list->count, dnvme_leg, items, views);

	for (size_t i = 0; i < list->count; i++) {
		int rc = groups_view(arena, &list->items[i].groups, &items[i], error);

		if (rc != 0)
			return rc;
		items[i].slot = (unsigned)list->items[i].slot;
		items[i].state = ENUM_NAME(leg_state, list->items[i].state);
		items[i].size_bytes = list->items[i].size_bytes;
	}
	volume->legs = (const struct dnvme_leg *const *)views;
	volume->leg_count = list->count;
	return 0;
}

static int controllers_view(struct arena *arena, const struct volume *record, struct dnvme_volume *volume,
			    struct error *error)
{
	VIEW_LIST(record->controllers.count, dnvme_controller, items, views);

	for (size_t i = 0; i < record->controllers.count; i++) {
		const struct controller *controller = &record->controllers.items[i];

		items[i].node = controller->node;
		items[i].role = ENUM_NAME(controller_role, controller->role);
		items[i].slot = (unsigned)controller->slot;
		if (controller->role == CONTROLLER_ROLE_ACTIVE && controller->slot < record->slots.count) {
			items[i].epoch = record->slots.items[controller->slot].epoch;
			items[i].phase = ENUM_NAME(slot_phase, record->slots.items[controller->slot].phase);
		} else if (controller->role == CONTROLLER_ROLE_RETIRED) {
			items[i].epoch = controller->epoch;
		}
	}
	volume->controllers = (const struct dnvme_controller *const *)views;
	volume->controller_count = record->controllers.count;
	return 0;
}

static int volume_fill(struct arena *arena, const struct volume *record, struct dnvme_volume *view, struct error *error)
{
	char text[UUID_TEXT_SIZE];
	int rc;

	uuid_text_format(record->uuid, text);
	view->uuid = arena_strdup(arena, text);
	if (view->uuid == NULL)
		return error_set_nomem(error);
	view->name = record->name;
	view->phase = ENUM_NAME(volume_phase, record->phase);
	view->size_bytes = record->size_bytes;
	view->copies = (unsigned)record->copies;
	view->standbys = (unsigned)record->standbys;
	view->legs_per_controller = (unsigned)record->legs_per_controller;
	view->spread = ENUM_NAME(spread, record->spread);
	view->provision = ENUM_NAME(provision, record->provision);
	view->durability = ENUM_NAME(durability, record->durability != 0 ? record->durability : DURABILITY_FLUSH);
	view->revision = record->revision;
	view->host_count = record->hosts.count;
	view->hosts = record->hosts.items;
	rc = id_text(arena, "v", record->id, &view->id, error);
	if (rc == 0)
		rc = controllers_view(arena, record, view, error);
	return rc != 0 ? rc : legs_view(arena, &record->legs, view, error);
}

static int volumes_view(struct arena *arena, const struct volume *list, size_t count, struct dnvme_result *result,
			struct error *error)
{
	VIEW_LIST(count, dnvme_volume, items, views);

	for (size_t i = 0; i < count; i++) {
		int rc = volume_fill(arena, &list[i], &items[i], error);

		if (rc != 0)
			return rc;
	}
	result->volumes = (const struct dnvme_volume *const *)views;
	result->volume_count = count;
	return 0;
}

static int paths_view(struct arena *arena, const struct volume_path_list *list, struct dnvme_volume *volume,
		      struct error *error)
{
	VIEW_LIST(list->count, dnvme_path, items, views);

	for (size_t i = 0; i < list->count; i++) {
		items[i].node = list->items[i].node;
		items[i].address = list->items[i].address;
		items[i].port = (unsigned)list->items[i].port;
		items[i].role = ENUM_NAME(controller_role, list->items[i].role);
	}
	volume->paths = (const struct dnvme_path *const *)views;
	volume->path_count = list->count;
	return 0;
}

static int volume_status_view(struct arena *arena, const struct volume_status *status, struct dnvme_result *result,
			      struct error *error)
{
	VIEW_LIST(1, dnvme_volume, items, views);
	int rc = volume_fill(arena, status->volume, &items[0], error);

	if (rc == 0)
		rc = paths_view(arena, &status->paths, &items[0], error);
	if (rc == 0)
		rc = problems_view(arena, &status->problems, &items[0].problems, &items[0].problem_count, error);
	if (rc != 0)
		return rc;
	items[0].nqn = status->nqn;
	items[0].waits_for = status->waits_for;
	result->volumes = (const struct dnvme_volume *const *)views;
	result->volume_count = 1;
	return 0;
}

static int hosts_view(struct arena *arena, const struct host_list *list, struct dnvme_result *result,
		      struct error *error)
{
	VIEW_LIST(list->count, dnvme_host, items, views);

	for (size_t i = 0; i < list->count; i++) {
		items[i].nqn = list->items[i].nqn;
		items[i].volume_count = list->items[i].volumes.count;
		items[i].volumes = list->items[i].volumes.items;
	}
	result->hosts = (const struct dnvme_host *const *)views;
	result->host_count = list->count;
	return 0;
}

static int operation_view(struct arena *arena, const struct operation *operation, struct dnvme_job *job,
			  struct error *error)
{
	job->state = ENUM_NAME(operation_state, operation->state);
	job->volume = arena_printf(arena, "v%llu", (unsigned long long)operation->volume);
	job->created_ms = operation->created_ms;
	job->finished_ms = operation->finished_ms;
	job->deadline_ms = operation->deadline_ms;
	job->revision = operation->revision;
	job->error = operation->error != NULL ? operation->error->message : NULL;
	job->error_code = operation->error != NULL ? operation->error->code : NULL;
	return job->volume != NULL ? 0 : error_set_nomem(error);
}

static int jobs_view(struct arena *arena, const struct job *list, size_t count, struct dnvme_result *result,
		     struct error *error)
{
	VIEW_LIST(count, dnvme_job, items, views);

	for (size_t i = 0; i < count; i++) {
		items[i].id = list[i].id;
		items[i].kind = ENUM_NAME(job_kind, list[i].kind);
		items[i].target = list[i].target;
		items[i].phase = list[i].phase;
		items[i].node = list[i].node;
		items[i].since_ms = list[i].since_ms;
		items[i].done_bytes = list[i].done_bytes;
		items[i].total_bytes = list[i].total_bytes;
		items[i].rate_bytes = list[i].rate_bytes;
		items[i].eta_ms = list[i].eta_ms;
		items[i].waits_for = list[i].waits_for;
		if (list[i].operation != NULL && operation_view(arena, list[i].operation, &items[i], error) != 0)
			return error->code;
	}
	result->jobs = (const struct dnvme_job *const *)views;
	result->job_count = count;
	return 0;
}

static int snapshots_view(struct arena *arena, const char *volume, const struct snapshot *list, size_t count,
			  struct dnvme_result *result, struct dnvme_snapshot **ret_items, struct error *error)
{
	VIEW_LIST(count, dnvme_snapshot, items, views);

	for (size_t i = 0; i < count; i++) {
		items[i].volume = volume;
		items[i].name = list[i].name;
		items[i].state = ENUM_NAME(snapshot_state, list[i].state);
		items[i].created_ms = list[i].created_ms;
		items[i].moment_ms = list[i].moment_ms;
		items[i].size_bytes = list[i].size_bytes;
		items[i].number = list[i].thin;
	}
	result->snapshots = (const struct dnvme_snapshot *const *)views;
	result->snapshot_count = count;
	*ret_items = items;
	return 0;
}

static int snapshot_status_view(struct arena *arena, const struct snapshot_status *status, struct dnvme_result *result,
				struct error *error)
{
	struct dnvme_snapshot *items;
	int rc = snapshots_view(arena, status->volume_name, status->snapshot, 1, result, &items, error);

	if (rc != 0)
		return rc;
	items[0].waits_for = status->waits_for;
	if (status->operation == 0)
		return 0;
	items[0].job = arena_printf(arena, "j%llu", (unsigned long long)status->operation);
	return items[0].job != NULL ? 0 : error_set_nomem(error);
}

int result_view_make(struct dnvme_result *result, struct error *error)
{
	const struct schema *schema = result->method->reply();
	struct arena *arena = &result->arena;
	const void *record = result->record;

	if (schema == schema_server_info())
		return servers_view(arena, record, 1, result, error);
	if (schema == schema_cluster_status())
		return cluster_view(arena, record, result, error);
	if (schema == schema_node_status())
		return nodes_view(arena, record, 1, result, error);
	if (schema == schema_node_page()) {
		const struct node_page *page = record;

		result->more = page->more;
		return nodes_view(arena, page->nodes.items, page->nodes.count, result, error);
	}
	if (schema == schema_disk())
		return disks_view(arena, record, 1, result, error);
	if (schema == schema_disk_page()) {
		const struct disk_page *page = record;

		result->more = page->more;
		return disks_view(arena, page->disks.items, page->disks.count, result, error);
	}
	if (schema == schema_volume_status())
		return volume_status_view(arena, record, result, error);
	if (schema == schema_volume_page()) {
		const struct volume_page *page = record;

		result->more = page->more;
		return volumes_view(arena, page->volumes.items, page->volumes.count, result, error);
	}
	if (schema == schema_job())
		return jobs_view(arena, record, 1, result, error);
	if (schema == schema_job_page()) {
		const struct job_page *page = record;

		result->more = page->more;
		return jobs_view(arena, page->jobs.items, page->jobs.count, result, error);
	}
	if (schema == schema_snapshot_status())
		return snapshot_status_view(arena, record, result, error);
	if (schema == schema_snapshot_page()) {
		const struct snapshot_page *page = record;
		struct dnvme_snapshot *items;

		return snapshots_view(arena, page->volume_name, page->snapshots.items, page->snapshots.count, result,
				      &items, error);
	}
	if (schema == schema_host_page()) {
		const struct host_page *page = record;

		result->more = page->more;
		return hosts_view(arena, &page->hosts, result, error);
	}
	return 0;
}
