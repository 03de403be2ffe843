/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer to one call: the bytes, the record, and the public view of it, all in one arena. */
#ifndef DNVME_CLIENT_RESULT_H
#define DNVME_CLIENT_RESULT_H

#include <msgpack/object.h>

#include "client/dnvme.h"
#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"

struct dnvme_result {
	const struct method *method;
	struct arena arena;
	struct buffer payload; /* the answer as it came */
	const void *record;    /* of the method's reply schema */
	char *json;	       /* made on demand; malloc */
	const struct dnvme_cluster *cluster;
	const struct dnvme_server *const *servers;
	size_t server_count;
	const struct dnvme_node *const *nodes;
	size_t node_count;
	const struct dnvme_disk *const *disks;
	size_t disk_count;
	const struct dnvme_volume *const *volumes;
	size_t volume_count;
	const struct dnvme_host *const *hosts;
	size_t host_count;
	const struct dnvme_job *const *jobs;
	size_t job_count;
	const struct dnvme_snapshot *const *snapshots;
	size_t snapshot_count;
	int more;
};

/* Take an answer (borrowed, copied). INTERNAL: it is not of the form that the method promises, or no memory. */
int result_make(const struct method *method, struct bytes answer, struct dnvme_result **ret_result,
		struct error *error);

/* Fill the views from the record. INTERNAL: no memory. */
int result_view_make(struct dnvme_result *result, struct error *error);

#endif
