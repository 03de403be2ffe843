/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_host.h"

#include <string.h>

#include "lib/model/names.h"
#include "src/dnvmed.h"
#include "src/hosts.h"
#include "src/request.h"

/* Whoever is not attached has no say, and takes no memory. */
static int is_attached(struct request *request, const char *nqn, uint64_t id, bool *ret_attached, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct volume volume;
	int rv = fsm_volume_get(request->dnvmed->fsm, id, &arena, &volume, error);

	*ret_attached = false;
	for (size_t i = 0; rv == 0 && i < volume.hosts.count; i++)
		*ret_attached = *ret_attached || strcmp(volume.hosts.items[i], nqn) == 0;
	arena_free(&arena);
	return rv == ERROR_NOT_FOUND ? 0 : rv;
}

int host_report_answer(struct request *request, struct error *error)
{
	const struct host_report *report = request->params;
	const struct empty nothing = { 0 };
	bool attached;

	if (names_nqn_check("host_nqn", report->host_nqn, error) != 0)
		return error->code;
	for (size_t i = 0; i < report->volumes.count; i++) {
		/* One that was deleted or detached meanwhile is left out, for the sake of the others. */
		if (is_attached(request, report->host_nqn, report->volumes.items[i].volume, &attached, error) != 0)
			return error->code;
		if (attached && hosts_said(request->dnvmed, report->host_nqn, &report->volumes.items[i], error) != 0)
			return error->code;
	}
	error_clear(error);
	request_reply(request, &nothing);
	return 0;
}
