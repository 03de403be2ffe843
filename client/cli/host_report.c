/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_report.h"

#include <json-c/json.h>
#include <string.h>

#include "client/cli/host_plan.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/wire/json.h"

#define CALL_MS 3000u
#define REFUSED_MS 60000u

void host_report_add(struct host_report_batch *batch, const struct volume_status *status, const char *host_nqn,
		     const struct host_controller *known, size_t count, struct host_told *told, uint64_t now_ms)
{
	const char **names = batch->names[batch->count];
	size_t live = 0, lost = 0;
	uint64_t bits = 0, every_ms;

	if (batch->count == LIMIT_REPORT_VOLUMES || !host_plan_is_usable(status, host_nqn))
		return;
	/* Live ones from the front, lost ones from the end. */
	for (size_t i = 0; i < status->paths.count && live + lost < LIMIT_COLOURS; i++) {
		const struct volume_path *path = &status->paths.items[i];

		if (path->role == CONTROLLER_ROLE_RETIRED)
			continue;
		if (host_plan_is_live(path, host_nqn, known, count)) {
			names[live++] = path->node;
			bits |= UINT64_C(1) << (i % 64);
		} else {
			names[LIMIT_COLOURS - ++lost] = path->node;
		}
	}
	if (told->at_ms == 0 || told->revision != status->volume->revision || told->live != bits)
		every_ms = HOST_REPORT_NEWS_MS;
	else
		every_ms = lost > 0 ? HOST_REPORT_LOST_MS : HOST_REPORT_LIVE_MS;
	if (told->at_ms != 0 && now_ms - told->at_ms < every_ms)
		return;
	*told = (struct host_told){ now_ms, status->volume->revision, bits };
	batch->items[batch->count++] = (struct host_reach){ .volume = status->volume->id,
							    .live = { live, names },
							    .lost = { lost, names + LIMIT_COLOURS - lost } };
}

bool host_reporter_is_free(const struct host_reporter *reporter, uint64_t now_ms)
{
	return reporter->pending == NULL && (!reporter->refused || now_ms - reporter->refused_ms >= REFUSED_MS);
}

static void on_answer(struct dnvme *dnvme, const struct dnvme_error *failure, struct dnvme_result *result, void *data)
{
	struct host_reporter *reporter = data;

	(void)dnvme;
	reporter->pending = NULL;
	if (failure == NULL) {
		reporter->refused = false;
		dnvme_result_free(result);
		return;
	}
	if (failure->code != DNVME_UNSUPPORTED)
		return;
	if (!reporter->refused)
		log_notice("the servers do not ask which controllers this host reaches", NULL);
	reporter->refused = true;
	reporter->refused_ms = clock_boot_ms();
}

void host_reporter_send(struct host_reporter *reporter, const struct host_report_batch *batch)
{
	const struct host_report report = { .host_nqn = reporter->host_nqn,
					    .volumes = { batch->count, (struct host_reach *)batch->items } };
	struct dnvme_call_options options = DNVME_CALL_OPTIONS_INIT;
	struct json_object *params;
	struct dnvme_error failure;

	if (batch->count == 0)
		return;
	params = json_record_make(schema_host_report(), &report);
	if (params == NULL)
		return;
	options.timeout_ms = CALL_MS;
	if (dnvme_start(reporter->dnvme, "host.report", json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN),
			&options, on_answer, reporter, &reporter->pending, &failure) != DNVME_OK)
		reporter->pending = NULL;
	json_object_put(params);
}

void host_reporter_end(struct host_reporter *reporter)
{
	if (reporter->pending != NULL)
		dnvme_cancel(reporter->dnvme, reporter->pending);
	reporter->pending = NULL;
}
