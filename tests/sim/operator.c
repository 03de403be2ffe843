/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/operator.h"

#include <json.h>
#include <stdio.h>
#include <string.h>

#include "client/dnvme.h"
#include "tests/sim/host.h"
#include "tests/sim/world.h"

/* The revision that the plan is about; 0: it is refused. */
static uint64_t plan_revision(struct dnvme *dnvme, const char *volume, unsigned slot)
{
	struct dnvme_result *result;
	struct dnvme_error error;
	struct json_object *plan, *revision;
	char params[128];
	uint64_t found = 0;

	snprintf(params, sizeof(params), "{\"volume\":\"%s\",\"slot\":%u}", volume, slot);
	if (dnvme_call(dnvme, "volume.force_plan", params, NULL, &result, &error) != 0)
		return 0;
	plan = json_tokener_parse(dnvme_result_json(result));
	if (plan != NULL && json_object_object_get_ex(plan, "revision", &revision))
		found = json_object_get_uint64(revision);
	json_object_put(plan);
	dnvme_result_free(result);
	return found;
}

static void force(struct dnvme *dnvme, const char *volume, unsigned slot)
{
	uint64_t revision = plan_revision(dnvme, volume, slot);
	struct dnvme_error error;
	char params[160];
	int rc;

	if (revision == 0)
		return;
	snprintf(params, sizeof(params), "{\"volume\":\"%s\",\"slot\":%u,\"revision\":%llu}", volume, slot,
		 (unsigned long long)revision);
	host_forgive(volume);
	rc = dnvme_call(dnvme, "volume.force", params, NULL, NULL, &error);
	world_trace("force %s slot %u: %s", volume, slot, rc != 0 ? error.message : "done");
}

void operator_look(struct dnvme *dnvme, const char *volume)
{
	static const char words[] = "dnvme volume force ";
	const struct dnvme_volume *found;
	struct dnvme_result *result;
	struct dnvme_error error;
	const char *at;
	unsigned slot;

	if (dnvme_volume_get(dnvme, volume, NULL, &result, &error) != 0)
		return;
	found = dnvme_result_volume(result, 0);
	at = found->waits_for != NULL ? strstr(found->waits_for, words) : NULL;
	if (at != NULL && sscanf(at + strlen(words), "%*s --slot %u", &slot) == 1)
		force(dnvme, volume, slot);
	dnvme_result_free(result);
}
