/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls with C arguments: each fills a request record and runs its method. */
#include <stddef.h>
#include <string.h>

#include "client/handle.h"
#include "lib/base/limits.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"

static int refuse(struct dnvme_error *ret_error, const char *text)
{
	struct error error;

	error_set(&error, ERROR_INVALID_ARGUMENT, "%s", text);
	return client_error_export(&error, ret_error);
}

static int run_name(struct dnvme *dnvme, enum method_id method, const char *name,
		    const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		    struct dnvme_error *error)
{
	struct name_request request = { .name = name };

	if (name == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, method, &request, options, ret_result, error);
}

static int run_list(struct dnvme *dnvme, enum method_id method, const struct dnvme_list_options *list,
		    const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		    struct dnvme_error *error)
{
	struct list_request request = { 0 };

	if (list != NULL) {
		if (list->size != sizeof(*list))
			return refuse(error, "the size of the list's options is wrong: use DNVME_LIST_OPTIONS_INIT");
		request.after = list->after;
		request.filter = list->filter;
		request.limit = list->limit;
	}
	return client_run(dnvme, method, &request, options, ret_result, error);
}

static int run_host(struct dnvme *dnvme, enum method_id method, const char *volume, const char *host_nqn,
		    const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		    struct dnvme_error *error)
{
	struct volume_host_request request = { .volume = volume, .host_nqn = host_nqn };

	if (volume == NULL || host_nqn == NULL)
		return refuse(error, volume == NULL ? "no volume is given" : "no host NQN is given");
	return client_run(dnvme, method, &request, options, ret_result, error);
}

int dnvme_server_info(struct dnvme *dnvme, const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error)
{
	struct server_info_request request = { 0 };

	return client_run(dnvme, METHOD_ID_SERVER_INFO, &request, options, ret_result, error);
}

int dnvme_cluster_init(struct dnvme *dnvme, const char *name, const struct dnvme_server_spec *servers,
		       size_t server_count, const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		       struct dnvme_error *error)
{
	struct server items[LIMIT_SERVERS];
	struct cluster_init_request request = { .name = name, .servers = { server_count, items } };

	if (name == NULL)
		return refuse(error, "no name is given");
	if (server_count > LIMIT_SERVERS)
		return refuse(error, "too many servers are given");
	for (size_t i = 0; i < server_count; i++) {
		if (servers[i].raft_address == NULL || servers[i].api_address == NULL)
			return refuse(error, "a server has no address");
		items[i] = (struct server){
			.id = servers[i].id,
			.raft_address = servers[i].raft_address,
			.api_address = servers[i].api_address,
		};
	}
	return client_run(dnvme, METHOD_ID_CLUSTER_INIT, &request, options, ret_result, error);
}

int dnvme_cluster_status(struct dnvme *dnvme, const struct dnvme_call_options *options,
			 struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct server_info_request request = { 0 };

	return client_run(dnvme, METHOD_ID_CLUSTER_STATUS, &request, options, ret_result, error);
}

int dnvme_cluster_add_server(struct dnvme *dnvme, const char *name, const struct dnvme_server_spec *server,
			     const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			     struct dnvme_error *error)
{
	struct server_add_request request = { .name = name };

	if (name == NULL)
		return refuse(error, "no name is given");
	if (server == NULL || server->raft_address == NULL || server->api_address == NULL)
		return refuse(error, "the server has no address");
	request.id = server->id;
	request.raft_address = server->raft_address;
	request.api_address = server->api_address;
	return client_run(dnvme, METHOD_ID_CLUSTER_ADD_SERVER, &request, options, ret_result, error);
}

#define NAME_METHOD(function, method)                                                                                  \
	int function(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,                  \
		     struct dnvme_result **ret_result, struct dnvme_error *error)                                      \
	{                                                                                                              \
		return run_name(dnvme, method, name, options, ret_result, error);                                      \
	}
#define LIST_METHOD(function, method)                                                                                  \
	int function(struct dnvme *dnvme, const struct dnvme_list_options *list,                                       \
		     const struct dnvme_call_options *options, struct dnvme_result **ret_result,                       \
		     struct dnvme_error *error)                                                                        \
	{                                                                                                              \
		return run_list(dnvme, method, list, options, ret_result, error);                                      \
	}
#define HOST_METHOD(function, method)                                                                                  \
	int function(struct dnvme *dnvme, const char *volume, const char *host_nqn,                                    \
		     const struct dnvme_call_options *options, struct dnvme_result **ret_result,                       \
		     struct dnvme_error *error)                                                                        \
	{                                                                                                              \
		return run_host(dnvme, method, volume, host_nqn, options, ret_result, error);                          \
	}

LIST_METHOD(dnvme_node_list, METHOD_ID_NODE_LIST)
NAME_METHOD(dnvme_cluster_remove_server, METHOD_ID_CLUSTER_REMOVE_SERVER)
NAME_METHOD(dnvme_cluster_transfer, METHOD_ID_CLUSTER_TRANSFER)
NAME_METHOD(dnvme_node_get, METHOD_ID_NODE_GET)
NAME_METHOD(dnvme_node_cordon, METHOD_ID_NODE_CORDON)
NAME_METHOD(dnvme_node_uncordon, METHOD_ID_NODE_UNCORDON)
NAME_METHOD(dnvme_node_drain, METHOD_ID_NODE_DRAIN)
LIST_METHOD(dnvme_disk_list, METHOD_ID_DISK_LIST)
NAME_METHOD(dnvme_disk_get, METHOD_ID_DISK_GET)
NAME_METHOD(dnvme_disk_remove, METHOD_ID_DISK_REMOVE)
LIST_METHOD(dnvme_volume_list, METHOD_ID_VOLUME_LIST)
NAME_METHOD(dnvme_volume_delete, METHOD_ID_VOLUME_DELETE)
HOST_METHOD(dnvme_volume_attach, METHOD_ID_VOLUME_ATTACH)
HOST_METHOD(dnvme_volume_detach, METHOD_ID_VOLUME_DETACH)
LIST_METHOD(dnvme_host_list, METHOD_ID_HOST_LIST)

int dnvme_node_forget(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		      struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct node_forget_request request = { .name = name };

	if (name == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, METHOD_ID_NODE_FORGET, &request, options, ret_result, error);
}

int dnvme_job_get(struct dnvme *dnvme, const char *id, const struct dnvme_call_options *options,
		  struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct job_request request = { .id = id };

	if (id == NULL)
		return refuse(error, "no job is given");
	return client_run(dnvme, METHOD_ID_JOB_GET, &request, options, ret_result, error);
}

int dnvme_job_list(struct dnvme *dnvme, const struct dnvme_list_options *list, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct job_list_request request = { 0 };

	if (list != NULL) {
		if (list->size != sizeof(*list))
			return refuse(error, "the size of the list's options is wrong: use DNVME_LIST_OPTIONS_INIT");
		request.after = list->after;
		request.filter = list->filter;
		request.limit = list->limit;
	}
	return client_run(dnvme, METHOD_ID_JOB_LIST, &request, options, ret_result, error);
}

int dnvme_job_wait(struct dnvme *dnvme, const char *id, unsigned wait_ms, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct job_wait_request request = { .id = id, .wait_ms = wait_ms };

	if (id == NULL)
		return refuse(error, "no job is given");
	return client_run(dnvme, METHOD_ID_JOB_WAIT, &request, options, ret_result, error);
}

int dnvme_job_cancel(struct dnvme *dnvme, const char *id, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct job_cancel_request request = { .id = id };

	if (id == NULL)
		return refuse(error, "no job is given");
	return client_run(dnvme, METHOD_ID_JOB_CANCEL, &request, options, ret_result, error);
}

int dnvme_job_forget(struct dnvme *dnvme, const char *id, uint64_t revision, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct job_forget_request request = { .id = id, .revision = revision };

	if (id == NULL)
		return refuse(error, "no job is given");
	return client_run(dnvme, METHOD_ID_JOB_FORGET, &request, options, ret_result, error);
}

int dnvme_event_list(struct dnvme *dnvme, const struct dnvme_event_options *events,
		     const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		     struct dnvme_error *error)
{
	struct event_list_request request = { 0 };

	if (events != NULL) {
		if (events->size != sizeof(*events))
			return refuse(error, "the size of the events' options is wrong: use DNVME_EVENT_OPTIONS_INIT");
		request.after_revision = events->after_revision;
		request.after_index = events->after_index;
		request.limit = events->limit;
		request.volume = events->volume;
		request.node = events->node;
		request.wait_ms = events->wait_ms;
	}
	return client_run(dnvme, METHOD_ID_EVENT_LIST, &request, options, ret_result, error);
}

int dnvme_volume_extend(struct dnvme *dnvme, const char *name, uint64_t size_bytes, uint64_t deadline_ms,
			const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			struct dnvme_error *error)
{
	struct volume_extend_request request = { .name = name, .size_bytes = size_bytes, .deadline_ms = deadline_ms };

	if (name == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, METHOD_ID_VOLUME_EXTEND, &request, options, ret_result, error);
}

int dnvme_snapshot_create(struct dnvme *dnvme, const char *volume, const struct dnvme_snapshot_spec *spec,
			  const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			  struct dnvme_error *error)
{
	struct snapshot_create_request request = { .volume = volume };

	if (spec == NULL || spec->size != sizeof(*spec))
		return refuse(error, "the size of the snapshot's description is wrong: use DNVME_SNAPSHOT_SPEC_INIT");
	if (volume == NULL || spec->name == NULL)
		return refuse(error, "no name is given");
	request.name = spec->name;
	request.pause_limit_ms = spec->pause_limit_ms;
	request.deadline_ms = spec->deadline_ms;
	request.accept_flush = spec->accept_flush != 0;
	return client_run(dnvme, METHOD_ID_SNAPSHOT_CREATE, &request, options, ret_result, error);
}

int dnvme_snapshot_list(struct dnvme *dnvme, const char *volume, const struct dnvme_call_options *options,
			struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct name_request request = { .name = volume };

	if (volume == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, METHOD_ID_SNAPSHOT_LIST, &request, options, ret_result, error);
}

int dnvme_snapshot_get(struct dnvme *dnvme, const char *volume, const char *name,
		       const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		       struct dnvme_error *error)
{
	struct snapshot_request request = { .volume = volume, .name = name };

	if (volume == NULL || name == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, METHOD_ID_SNAPSHOT_GET, &request, options, ret_result, error);
}

int dnvme_snapshot_delete(struct dnvme *dnvme, const char *volume, const char *name,
			  const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			  struct dnvme_error *error)
{
	struct snapshot_delete_request request = { .volume = volume, .name = name };

	if (volume == NULL || name == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, METHOD_ID_SNAPSHOT_DELETE, &request, options, ret_result, error);
}

int dnvme_cluster_set(struct dnvme *dnvme, const struct dnvme_settings *settings,
		      const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error)
{
	struct settings record = { 0 };
	struct cluster_set_request request = { .settings = &record };

	if (settings == NULL || settings->size != sizeof(*settings))
		return refuse(error, "the size of the settings is wrong: use DNVME_SETTINGS_INIT");
	record.rebuild_after_ms = settings->rebuild_after_ms;
	record.rebuild_rate_bytes = settings->rebuild_rate_bytes;
	return client_run(dnvme, METHOD_ID_CLUSTER_SET, &request, options, ret_result, error);
}

int dnvme_volume_wait(struct dnvme *dnvme, const char *name, uint64_t after_revision, unsigned wait_ms,
		      const struct dnvme_call_options *options, struct dnvme_result **ret_result,
		      struct dnvme_error *error)
{
	struct volume_get_request request = { .name = name, .after_revision = after_revision, .wait_ms = wait_ms };

	if (name == NULL)
		return refuse(error, "no name is given");
	return client_run(dnvme, METHOD_ID_VOLUME_GET, &request, options, ret_result, error);
}

int dnvme_volume_get(struct dnvme *dnvme, const char *name, const struct dnvme_call_options *options,
		     struct dnvme_result **ret_result, struct dnvme_error *error)
{
	return dnvme_volume_wait(dnvme, name, 0, 0, options, ret_result, error);
}

int dnvme_disk_add(struct dnvme *dnvme, const char *node, const char *path, const struct dnvme_call_options *options,
		   struct dnvme_result **ret_result, struct dnvme_error *error)
{
	struct disk_add_request request = { .node = node, .path = path };

	if (node == NULL || path == NULL)
		return refuse(error, node == NULL ? "no node is given" : "no device path is given");
	return client_run(dnvme, METHOD_ID_DISK_ADD, &request, options, ret_result, error);
}

/* 0 when the text is absent, the number of its name, or -1. */
static int enum_number(const struct enum_schema *schema, const char *text)
{
	return text == NULL ? 0 : enum_schema_parse(schema, text);
}

int dnvme_volume_create(struct dnvme *dnvme, const struct dnvme_volume_spec *spec,
			const struct dnvme_call_options *options, struct dnvme_result **ret_result,
			struct dnvme_error *error)
{
	struct volume_create_request request;
	struct dnvme_volume_spec whole = { 0 };
	int spread, provision, durability;

	/* A caller from before a field was appended leaves it out. */
	if (spec == NULL || spec->size < offsetof(struct dnvme_volume_spec, durability) || spec->size > sizeof(*spec))
		return refuse(error, "the size of the volume's description is wrong: use DNVME_VOLUME_SPEC_INIT");
	memcpy(&whole, spec, spec->size);
	spec = &whole;
	if (spec->name == NULL)
		return refuse(error, "no name is given");
	spread = enum_number(enum_schema_spread(), spec->spread);
	if (spread < 0)
		return refuse(error, "spread is none of node, rack, zone");
	provision = enum_number(enum_schema_provision(), spec->provision);
	if (provision < 0)
		return refuse(error, "provision is none of thin, thick");
	durability = enum_number(enum_schema_durability(), spec->durability);
	if (durability < 0)
		return refuse(error, "durability is none of flush, strict");
	request = (struct volume_create_request){
		.name = spec->name,
		.size_bytes = spec->size_bytes,
		.copies = spec->copies,
		.controllers = spec->controllers,
		.standbys = spec->standbys,
		.legs = spec->legs,
		.spread = (enum spread)spread,
		.provision = (enum provision)provision,
		.durability = (enum durability)durability,
	};
	return client_run(dnvme, METHOD_ID_VOLUME_CREATE, &request, options, ret_result, error);
}
