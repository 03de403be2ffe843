/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The audit of the whole state: everything that is kept twice agrees, and no extent has two owners or none.
 *
 * First each volume and each disk is read and leaves its claims (on extents, on index entries, on counters) in
 * arrays; then the arrays are sorted and compared with what the tables say. A damaged record ends the audit with its
 * own error.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check_internal.h"
#include "fsm/events.h"
#include "fsm/extents.h"

/* One for which there is no memory is counted all the same. */
void finding(struct audit *audit, const char *format, ...)
{
	struct fsm_findings *findings = audit->findings;
	const char **item;
	char text[256];
	va_list arguments;

	if (findings->total++ >= LIMIT_FINDINGS)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	item = list_add(audit->findings_arena, &findings->texts, sizeof(*item));
	if (item == NULL)
		return;
	*item = arena_strdup(audit->findings_arena, text);
	if (*item == NULL)
		findings->texts.count--;
}

bool exists(struct audit *audit, enum store_table table, struct bytes key, int *ret_result)
{
	struct bytes value;
	int result = store_get(audit->state.txn, table, key, &value, audit->error);

	if (result != 0 && result != ERROR_NOT_FOUND)
		*ret_result = result;
	return result == 0;
}

int claim_add(struct audit *audit, struct claim claim)
{
	struct claim *item = list_add(audit->state.arena, &audit->claims, sizeof(*item));

	if (item == NULL)
		return state_nomem(&audit->state, audit->error);
	*item = claim;
	return 0;
}

/* --- nodes and disks ------------------------------------------------------------------------------------- */

static int count_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	(void)key;
	(void)value;
	(void)error;
	++*(uint64_t *)data;
	return 0;
}

static int node_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	struct node node;
	struct id_list disks;
	struct disk disk;
	struct key prefix;
	struct bytes bytes;
	uint64_t controllers = 0, ports[LIMIT_DISKS_PER_NODE + 1];
	size_t port_count = 0;
	int result = state_decode(&audit->state, STORE_TABLE_NODE, value, schema_node(), &node, error);

	if (result != 0)
		return result;
	if (key.size != strlen(node.name) || memcmp(key.data, node.name, key.size) != 0)
		finding(audit, "node \"%s\" is stored in the wrong place", node.name);
	bytes = key_text_nul(&prefix, node.name);
	result = state_walk(&audit->state, STORE_TABLE_NODE_VOLUME, bytes, bytes, count_visit, &controllers, error);
	if (result == 0)
		result = state_node_disks(&audit->state, node.name, &disks, error);
	if (result != 0)
		return result;
	if (node.draining && !node.cordoned)
		finding(audit, "node \"%s\" is drained and takes new controllers", node.name);
	if (controllers != node.controllers)
		finding(audit, "node \"%s\" counts %" PRIu64 " controllers, not %" PRIu64, node.name, node.controllers,
			controllers);
	if (disks.count > LIMIT_DISKS_PER_NODE)
		finding(audit, "node \"%s\" has %zu disks", node.name, disks.count);
	ports[port_count++] = node.port;
	for (size_t i = 0; i < disks.count && i < LIMIT_DISKS_PER_NODE; i++) {
		result = state_disk(&audit->state, disks.items[i], &disk, error);
		if (result == ERROR_NOT_FOUND && !audit->state.broken) {
			finding(audit, "node \"%s\" has disk d%" PRIu64 ", which is not there", node.name,
				disks.items[i]);
			continue;
		}
		if (result != 0)
			return result;
		for (size_t j = 0; j < port_count; j++) {
			if (ports[j] == disk.port)
				finding(audit, "port %" PRIu64 " of node \"%s\" is used twice", disk.port, node.name);
		}
		ports[port_count++] = disk.port;
	}
	return 0;
}

static int disk_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	struct disk disk;
	struct key index;
	uint64_t id = 0;
	int result = state_decode(&audit->state, STORE_TABLE_DISK, value, schema_disk(), &disk, error);

	if (result != 0)
		return result;
	if (key.size != 8 || key_read_id(key.data) != disk.id || disk.id > audit->counters.last_disk)
		finding(audit, "d%" PRIu64 " is stored in the wrong place", disk.id);
	result = state_get_id(&audit->state, STORE_TABLE_DISK_PATH, key_text_text(&index, disk.node, disk.path), &id,
			      error);
	if (audit->state.broken)
		return result;
	if (id != disk.id)
		finding(audit, "%s of node \"%s\" does not lead to d%" PRIu64, disk.path, disk.node, disk.id);
	result = 0;
	if (!exists(audit, STORE_TABLE_NODE, key_text(&index, disk.node), &result) && result == 0)
		finding(audit, "d%" PRIu64 " belongs to node \"%s\", which is not there", disk.id, disk.node);
	/* Two claims of no length stand for the ends of the disk. */
	if (result == 0)
		result = claim_add(audit, (struct claim){ disk.id, EXTENTS_RESERVED, 0, 0 });
	if (result == 0)
		result = claim_add(audit,
				   (struct claim){ disk.id, EXTENTS_RESERVED + disk.extents_total, 0, UINT64_MAX });
	return result;
}

static int free_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	uint64_t end, length;

	if (key.size != 16 || value.size != 8) {
		audit->state.broken = true;
		return error_set(error, ERROR_INTERNAL, "a run of free extents is damaged");
	}
	end = key_read_id(key.data + 8);
	length = key_read_id(value.data);
	if (length == 0 || length > end) {
		finding(audit, "a free run of d%" PRIu64 " has no beginning", key_read_id(key.data));
		return 0;
	}
	return claim_add(audit, (struct claim){ key_read_id(key.data), end - length, length, 0 });
}

static int claim_compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->disk != y->disk)
		return x->disk < y->disk ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return x->ld < y->ld ? -1 : x->ld > y->ld;
}

static size_t distinct_lds(struct audit *audit, size_t first, size_t last)
{
	struct id_list ids = { 0 };

	for (size_t i = first; i < last; i++) {
		uint64_t ld = audit->claims.items[i].ld, *id;

		if (ld == 0 || audit->claims.items[i].length == 0)
			continue;
		id = list_add(audit->state.arena, &ids, sizeof(*id));
		if (id == NULL)
			return SIZE_MAX;
		*id = ld;
	}
	id_list_normalize(&ids);
	return ids.count;
}

/* The claims on one disk, in order: they touch each other from one end of the disk to the other. */
static int disk_claims_audit(struct audit *audit, size_t first, size_t last)
{
	const struct claim *claims = audit->claims.items;
	uint64_t id = claims[first].disk, next = EXTENTS_RESERVED, free = 0;
	size_t lds = distinct_lds(audit, first, last);
	struct disk disk;
	int result;

	if (lds == SIZE_MAX)
		return state_nomem(&audit->state, audit->error);
	result = state_disk(&audit->state, id, &disk, audit->error);
	if (result == ERROR_NOT_FOUND && !audit->state.broken) {
		finding(audit, "d%" PRIu64 " is not there but has extents", id);
		return 0;
	}
	if (result != 0)
		return result;
	for (size_t i = first; i < last; i++) {
		if (claims[i].start < next)
			finding(audit, "extent %" PRIu64 " of d%" PRIu64 " has two owners (one is ld%" PRIu64 ")",
				claims[i].start, id, claims[i].ld);
		else if (claims[i].start > next)
			finding(audit, "extents %" PRIu64 " to %" PRIu64 " of d%" PRIu64 " have no owner", next,
				claims[i].start - 1, id);
		if (i > first && claims[i].ld == 0 && claims[i].length > 0 && claims[i - 1].ld == 0 &&
		    claims[i - 1].length > 0)
			finding(audit, "free runs of d%" PRIu64 " at extent %" PRIu64 " are not joined", id,
				claims[i].start);
		if (claims[i].ld == 0)
			free += claims[i].length;
		if (claims[i].start + claims[i].length > next)
			next = claims[i].start + claims[i].length;
	}
	if (next != EXTENTS_RESERVED + disk.extents_total)
		finding(audit, "d%" PRIu64 " is used beyond its end", id);
	if (free != disk.extents_free)
		finding(audit, "d%" PRIu64 " counts %" PRIu64 " free extents, not %" PRIu64, id, disk.extents_free,
			free);
	if (lds != disk.lds)
		finding(audit, "d%" PRIu64 " counts %" PRIu64 " LDs, not %zu", id, disk.lds, lds);
	return 0;
}

static int claims_audit(struct audit *audit)
{
	size_t count = audit->claims.count, lds = audit->lds.count;
	int result = 0;

	if (count > 0)
		qsort(audit->claims.items, count, sizeof(*audit->claims.items), claim_compare);
	for (size_t first = 0, last; result == 0 && first < count; first = last) {
		for (last = first; last < count && audit->claims.items[last].disk == audit->claims.items[first].disk;)
			last++;
		result = disk_claims_audit(audit, first, last);
	}
	id_list_normalize(&audit->lds);
	if (audit->lds.count != lds)
		finding(audit, "%zu LDs have the id of another", lds - audit->lds.count);
	return result;
}

/* --- the rest --------------------------------------------------------------------------------------------- */

/* Every entry that the records imply was found; so equal numbers mean that there are no others. */
static int index_audit(struct audit *audit, enum store_table table, uint64_t wanted)
{
	uint64_t count;
	int result = state_count(&audit->state, table, &count, audit->error);

	if (result == 0 && count != wanted)
		finding(audit, "table %s has %" PRIu64 " entries, not %" PRIu64, store_table_name(table), count,
			wanted);
	return result;
}

static int age_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	int result = 0;

	(void)value;
	(void)error;
	if (key.size != 8 + LIMIT_REQUEST_ID || key_read_id(key.data) > audit->counters.revision)
		finding(audit, "the age of a request is damaged");
	else if (!exists(audit, STORE_TABLE_REQUEST, (struct bytes){ key.data + 8, LIMIT_REQUEST_ID }, &result) &&
		 result == 0)
		finding(audit, "a request has an age but no outcome");
	return result;
}

static int request_audit(struct audit *audit)
{
	uint64_t count;
	struct bytes all = { NULL, 0 };
	int result = state_walk(&audit->state, STORE_TABLE_REQUEST_AGE, all, all, age_visit, audit, audit->error);

	if (result == 0)
		result = state_count(&audit->state, STORE_TABLE_REQUEST_AGE, &count, audit->error);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_REQUEST, count);
	if (result == 0 && count > LIMIT_DEDUPE_ENTRIES)
		finding(audit, "%" PRIu64 " outcomes are remembered, the limit is %u", count, LIMIT_DEDUPE_ENTRIES);
	return result;
}

static int job_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	struct operation operation;
	struct key age;
	int result = state_decode(&audit->state, STORE_TABLE_JOB, value, schema_operation(), &operation, error);

	if (result != 0)
		return result;
	if (key.size != 8 || key_read_id(key.data) != operation.id || operation.id > audit->counters.last_job)
		finding(audit, "j%" PRIu64 " is stored in the wrong place", operation.id);
	if (operation.revision > audit->counters.revision)
		finding(audit, "j%" PRIu64 " has a revision of the future", operation.id);
	if (operation_is_over(&operation) != (operation.state >= OPERATION_STATE_DONE) ||
	    operation_is_over(&operation) != (operation.over_revision > 0))
		finding(audit, "j%" PRIu64 " in phase %s is %s", operation.id,
			ENUM_NAME(operation_phase, operation.phase), ENUM_NAME(operation_state, operation.state));
	if (!operation_is_over(&operation))
		return 0;
	audit->jobs_over++;
	if (!exists(audit, STORE_TABLE_JOB_AGE, key_id_id(&age, operation.over_revision, operation.id), &result) &&
	    result == 0)
		finding(audit, "j%" PRIu64 " is over and has no age", operation.id);
	return result;
}

static int jobs_audit(struct audit *audit)
{
	struct bytes all = { NULL, 0 };
	int result = state_walk(&audit->state, STORE_TABLE_JOB, all, all, job_visit, audit, audit->error);

	/* Each volume's job was found; so equal numbers mean that there are no others. */
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_JOB, audit->jobs_running + audit->jobs_over);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_JOB_AGE, audit->jobs_over);
	if (result == 0 && audit->jobs_over > LIMIT_JOBS_KEPT)
		finding(audit, "%" PRIu64 " jobs that are over are kept, the limit is %u", audit->jobs_over,
			LIMIT_JOBS_KEPT);
	return result;
}

static int event_visit(void *data, struct bytes key, struct bytes value, struct error *error)
{
	struct audit *audit = data;
	struct event event;
	int result = state_decode(&audit->state, STORE_TABLE_EVENT, value, schema_event(), &event, error);

	if (result != 0)
		return result;
	if (key.size != 16 || key_read_id(key.data) != event.revision || key_read_id(key.data + 8) != event.index)
		finding(audit, "event %" PRIu64 ".%" PRIu64 " is stored in the wrong place", event.revision,
			event.index);
	if (event.revision > audit->counters.revision || event.revision <= audit->events_compacted)
		finding(audit, "event %" PRIu64 ".%" PRIu64 " is of a revision that has none", event.revision,
			event.index);
	/* Each revision's events are numbered from 1 on, without a gap. */
	if (event.index != (event.revision == audit->event_revision ? audit->event_index + 1 : 1))
		finding(audit, "event %" PRIu64 ".%" PRIu64 " follows on %" PRIu64 ".%" PRIu64, event.revision,
			event.index, audit->event_revision, audit->event_index);
	audit->event_revision = event.revision;
	audit->event_index = event.index;
	return 0;
}

static int events_audit(struct audit *audit)
{
	struct bytes all = { NULL, 0 };
	uint64_t count = 0;
	int result = events_compacted(&audit->state, &audit->events_compacted, audit->error);

	if (result == 0)
		result = state_walk(&audit->state, STORE_TABLE_EVENT, all, all, event_visit, audit, audit->error);
	if (result == 0)
		result = state_count(&audit->state, STORE_TABLE_EVENT, &count, audit->error);
	if (result == 0 && count > LIMIT_EVENTS_KEPT)
		finding(audit, "%" PRIu64 " events are kept, the limit is %u", count, LIMIT_EVENTS_KEPT);
	return result;
}

static int audit_run(struct audit *audit)
{
	struct bytes all = { NULL, 0 };
	struct state *state = &audit->state;
	uint64_t disks = 0;
	int result = counters_read(state, &audit->counters, audit->error);

	if (result == 0)
		result = state_walk(state, STORE_TABLE_VOLUME, all, all, volume_visit, audit, audit->error);
	if (result == 0)
		result = state_walk(state, STORE_TABLE_NODE, all, all, node_visit, audit, audit->error);
	if (result == 0)
		result = state_walk(state, STORE_TABLE_DISK, all, all, disk_visit, audit, audit->error);
	if (result == 0)
		result = state_walk(state, STORE_TABLE_FREE, all, all, free_visit, audit, audit->error);
	if (result == 0)
		result = claims_audit(audit);
	if (result == 0)
		result = state_count(state, STORE_TABLE_DISK, &disks, audit->error);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_DISK_PATH, disks);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_VOLUME_NAME, audit->volume_names);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_LEG_PORT, audit->leg_ports);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_NODE_VOLUME, audit->node_volumes);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_DISK_VOLUME, audit->disk_volumes);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_HOST_VOLUME, audit->host_volumes);
	if (result == 0)
		result = index_audit(audit, STORE_TABLE_TRANSITION, audit->transitions);
	if (result == 0)
		result = request_audit(audit);
	if (result == 0)
		result = jobs_audit(audit);
	if (result == 0)
		result = events_audit(audit);
	return result;
}

int fsm_audit(struct fsm *fsm, struct arena *arena, struct fsm_findings *ret_findings, struct error *error)
{
	struct fsm_findings findings = { .revision = fsm->counters.revision, .applied_index = fsm->counters.applied };
	struct arena records = ARENA_INIT;
	struct error failure;
	struct audit audit = {
		.state = { .arena = &records }, .error = &failure, .findings = &findings, .findings_arena = arena
	};
	int result = store_txn_begin(fsm->store, false, &audit.state.txn, error);

	if (result != 0)
		return result;
	result = audit_run(&audit);
	store_txn_abort(audit.state.txn);
	state_close(&audit.state);
	arena_free(&records);
	if (result != 0) {
		if (error != NULL)
			*error = failure;
		return result;
	}
	*ret_findings = findings;
	return 0;
}

int fsm_check(struct fsm *fsm, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct fsm_findings findings;
	int result = fsm_audit(fsm, &arena, &findings, error);

	if (result == 0 && findings.total > 0) {
		result = error_set(error, ERROR_FAILED_PRECONDITION, "the state contradicts itself");
		for (size_t i = 0; i < findings.texts.count; i++)
			error_detail(error, "%s", findings.texts.items[i]);
	}
	arena_free(&arena);
	return result;
}
