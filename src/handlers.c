/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which function serves which method, and what a server says of itself. */
#include "src/handlers.h"

#include "src/agents.h"
#include "src/audit.h"
#include "src/backups.h"
#include "src/bootstrap.h"
#include "src/dnvmed.h"
#include "src/handlers_controller.h"
#include "src/handlers_drain.h"
#include "src/handlers_event.h"
#include "src/handlers_explain.h"
#include "src/handlers_force.h"
#include "src/handlers_forget.h"
#include "src/handlers_host.h"
#include "src/handlers_job.h"
#include "src/handlers_mutate.h"
#include "src/handlers_operation.h"
#include "src/handlers_read.h"
#include "src/handlers_release.h"
#include "src/handlers_server.h"
#include "src/handlers_snapshot.h"
#include "src/membership.h"
#include "src/request.h"

static int server_info_answer(struct request *request, struct error *error)
{
	const struct server_info_request *params = request->params;
	struct server_info info;
	int rv = dnvmed_info(request->dnvmed, params->digest, &request->arena, &info, error);

	if (rv != 0)
		return rv;
	info.removed = membership_is_removed(request->dnvmed, params->asker);
	request_reply(request, &info);
	return 0;
}

static const struct handler handlers[METHOD_ID_COUNT] = {
	[METHOD_ID_SERVER_INFO] = { .answer = server_info_answer },
	[METHOD_ID_SERVER_JOIN] = { .answer = bootstrap_join_answer },
	[METHOD_ID_CLUSTER_INIT] = { .answer = bootstrap_init_answer },
	[METHOD_ID_CLUSTER_STATUS] = { .answer = cluster_status_answer },
	[METHOD_ID_CLUSTER_ADD_SERVER] = { .prepare = cluster_add_server_prepare },
	[METHOD_ID_CLUSTER_REMOVE_SERVER] = { .prepare = cluster_remove_server_prepare },
	[METHOD_ID_CLUSTER_TRANSFER] = { .answer = cluster_transfer_answer },
	[METHOD_ID_CLUSTER_SET] = { .prepare = cluster_set_prepare },
	[METHOD_ID_NODE_LIST] = { .answer = node_list_answer },
	[METHOD_ID_NODE_GET] = { .answer = node_get_answer },
	[METHOD_ID_NODE_CORDON] = { .prepare = node_cordon_prepare },
	[METHOD_ID_NODE_UNCORDON] = { .prepare = node_uncordon_prepare },
	[METHOD_ID_NODE_DRAIN] = { .prepare = node_drain_prepare },
	[METHOD_ID_NODE_FORGET_PLAN] = { .answer = node_forget_plan_answer },
	[METHOD_ID_NODE_FORGET] = { .prepare = node_forget_prepare, .committed = node_forget_committed },
	[METHOD_ID_DISK_ADD] = { .prepare = disk_add_prepare, .committed = disk_add_committed },
	[METHOD_ID_DISK_LIST] = { .answer = disk_list_answer },
	[METHOD_ID_DISK_GET] = { .answer = disk_get_answer },
	[METHOD_ID_DISK_REMOVE] = { .prepare = disk_remove_prepare },
	[METHOD_ID_DISK_DRAIN_PLAN] = { .answer = disk_drain_plan_answer },
	[METHOD_ID_DISK_DRAIN] = { .prepare = disk_drain_prepare },
	[METHOD_ID_DISK_UNDRAIN] = { .prepare = disk_undrain_prepare },
	[METHOD_ID_VOLUME_CREATE] = { .prepare = volume_create_prepare, .plan_again = true },
	[METHOD_ID_VOLUME_LIST] = { .answer = volume_list_answer },
	[METHOD_ID_VOLUME_GET] = { .answer = volume_get_answer },
	[METHOD_ID_VOLUME_DELETE] = { .prepare = volume_delete_prepare },
	[METHOD_ID_VOLUME_EXTEND] = { .prepare = volume_extend_prepare, .plan_again = true },
	[METHOD_ID_VOLUME_ATTACH] = { .prepare = volume_attach_prepare },
	[METHOD_ID_VOLUME_DETACH] = { .prepare = volume_detach_prepare, .committed = volume_detach_committed },
	[METHOD_ID_VOLUME_FORCE_PLAN] = { .answer = volume_force_plan_answer },
	[METHOD_ID_VOLUME_FORCE] = { .prepare = volume_force_prepare, .committed = volume_force_committed },
	[METHOD_ID_SNAPSHOT_CREATE] = { .prepare = snapshot_create_prepare, .plan_again = true },
	[METHOD_ID_SNAPSHOT_LIST] = { .answer = snapshot_list_answer },
	[METHOD_ID_SNAPSHOT_GET] = { .answer = snapshot_get_answer },
	[METHOD_ID_SNAPSHOT_DELETE] = { .prepare = snapshot_delete_prepare },
	[METHOD_ID_SNAPSHOT_ATTACH] = { .prepare = snapshot_attach_prepare },
	[METHOD_ID_SNAPSHOT_DETACH] = { .prepare = snapshot_detach_prepare },
	[METHOD_ID_HOST_LIST] = { .answer = host_list_answer },
	[METHOD_ID_HOST_REPORT] = { .answer = host_report_answer },
	[METHOD_ID_JOB_LIST] = { .answer = job_list_answer },
	[METHOD_ID_JOB_GET] = { .answer = job_get_answer },
	[METHOD_ID_JOB_WAIT] = { .answer = job_wait_answer },
	[METHOD_ID_JOB_CANCEL] = { .prepare = job_cancel_prepare },
	[METHOD_ID_JOB_FORGET_PLAN] = { .answer = job_forget_plan_answer },
	[METHOD_ID_JOB_FORGET] = { .prepare = job_forget_prepare },
	[METHOD_ID_EVENT_LIST] = { .answer = event_list_answer },
	[METHOD_ID_AGENT_HELLO] = { .answer = agents_hello, .committed = agents_hello_committed },
	[METHOD_ID_AGENT_HEARTBEAT] = { .answer = agents_heartbeat },
	[METHOD_ID_VOLUME_RELEASE] = { .prepare = volume_release_prepare, .committed = volume_release_committed },
	[METHOD_ID_VOLUME_EXPLAIN] = { .answer = volume_explain_answer },
	[METHOD_ID_VOLUME_MOVE] = { .prepare = volume_move_prepare, .plan_again = true },
	[METHOD_ID_VOLUME_SET] = { .prepare = volume_set_prepare },
	[METHOD_ID_DISK_RELEASE] = { .prepare = disk_release_prepare, .committed = disk_release_committed },
	[METHOD_ID_CLUSTER_BACKUP] = { .answer = cluster_backup_answer },
	[METHOD_ID_CLUSTER_CHECK] = { .answer = cluster_check_answer },
};

const struct handler *handler_of(enum method_id id)
{
	return &handlers[id];
}
