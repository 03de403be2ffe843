/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/result.h"

#include <stdlib.h>
#include <string.h>

#include "lib/wire/codec.h"
#include "lib/wire/json.h"

void dnvme_result_free(struct dnvme_result *result)
{
	if (result == NULL)
		return;
	free(result->json);
	buffer_free(&result->payload);
	arena_free(&result->arena);
	free(result);
}

int result_make(const struct method *method, struct bytes answer, struct dnvme_result **ret_result, struct error *error)
{
	const struct schema *schema = method->reply();
	struct dnvme_result *result = calloc(1, sizeof(*result));
	void *record;
	int rc;

	if (result == NULL)
		return error_set_nomem(error);
	result->method = method;
	record = arena_alloc(&result->arena, schema->size);
	if (record == NULL) {
		rc = error_set_nomem(error);
		goto cleanup;
	}
	rc = codec_decode_value(schema, answer, &result->arena, record, error);
	if (rc != 0) {
		if (rc != ERROR_INTERNAL) {
			error_prefix(error, "the answer to %s is not understood", method->name);
			error_hint(error, "client and servers may be of different versions");
			if (error != NULL)
				error->code = ERROR_INTERNAL;
			rc = ERROR_INTERNAL;
		}
		goto cleanup;
	}
	result->record = record;
	rc = buffer_append(&result->payload, answer.data, answer.size) == 0 ? 0 : error_set_nomem(error);
	if (rc == 0)
		rc = result_view_make(result, error);
	if (rc != 0)
		goto cleanup;
	*ret_result = result;
	return 0;
cleanup:
	dnvme_result_free(result);
	return rc;
}

const char *dnvme_result_json(struct dnvme_result *result)
{
	struct json_object *object;
	const char *text;

	if (result->json != NULL)
		return result->json;
	object = json_record_make(result->method->reply(), result->record);
	if (object == NULL)
		return NULL;
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text != NULL)
		result->json = strdup(text);
	json_object_put(object);
	return result->json;
}

const void *dnvme_result_msgpack(const struct dnvme_result *result, size_t *ret_size)
{
	*ret_size = result->payload.size;
	return result->payload.data;
}

uint64_t dnvme_result_revision(const struct dnvme_result *result)
{
	if (result->method->reply() != schema_mutation_reply())
		return 0;
	return ((const struct mutation_reply *)result->record)->revision;
}

const char *dnvme_result_id(const struct dnvme_result *result)
{
	if (result->method->reply() != schema_mutation_reply())
		return NULL;
	return ((const struct mutation_reply *)result->record)->id;
}

const struct dnvme_cluster *dnvme_result_cluster(const struct dnvme_result *result)
{
	return result->cluster;
}

const struct dnvme_server *dnvme_result_server(const struct dnvme_result *result, size_t index)
{
	return index < result->server_count ? result->servers[index] : NULL;
}

const struct dnvme_node *dnvme_result_node(const struct dnvme_result *result, size_t index)
{
	return index < result->node_count ? result->nodes[index] : NULL;
}

const struct dnvme_disk *dnvme_result_disk(const struct dnvme_result *result, size_t index)
{
	return index < result->disk_count ? result->disks[index] : NULL;
}

const struct dnvme_volume *dnvme_result_volume(const struct dnvme_result *result, size_t index)
{
	return index < result->volume_count ? result->volumes[index] : NULL;
}

const struct dnvme_host *dnvme_result_host(const struct dnvme_result *result, size_t index)
{
	return index < result->host_count ? result->hosts[index] : NULL;
}

const struct dnvme_job *dnvme_result_job(const struct dnvme_result *result, size_t index)
{
	return index < result->job_count ? result->jobs[index] : NULL;
}

const struct dnvme_snapshot *dnvme_result_snapshot(const struct dnvme_result *result, size_t index)
{
	return index < result->snapshot_count ? result->snapshots[index] : NULL;
}

int dnvme_result_more(const struct dnvme_result *result)
{
	return result->more;
}
