/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/handlers_release.h"

#include <inttypes.h>

#include "lib/base/log.h"
#include "src/dnvmed.h"
#include "src/driver_online.h"
#include "src/leader/online.h"
#include "src/request.h"

/* Which members that are in sync have not confirmed the fence: without them nobody can tell whether another one has
 * everything, and the first thing that would become of them is to be given up. */
static unsigned absent_tell(const struct online_view *view, struct error *error)
{
	const struct volume *volume = view->volume;
	unsigned absent = 0;

	for (size_t l = 0; l < volume->legs.count; l++) {
		const struct leg *leg = &volume->legs.items[l];

		for (size_t g = 0; g < leg->groups.count; g++) {
			for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
				const struct ld *ld = &leg->groups.items[g].members.items[m];
				const struct online_disk *disk = online_disk(view, ld->disk);

				if (ld->state != LD_STATE_IN_SYNC ||
				    online_export_confirmed(view, ld->disk, leg->slot, true))
					continue;
				if (absent++ == 0)
					error_set(error, ERROR_FAILED_PRECONDITION,
						  "not every copy of volume \"%s\" that is in sync is there and fenced",
						  volume->name);
				error_detail(error, "ld%" PRIu64 " on d%" PRIu64 " of node %s", ld->id, ld->disk,
					     disk != NULL && disk->node != NULL ? disk->node->name : "?");
			}
		}
	}
	return absent;
}

static int members_check(struct request *request, const struct volume *volume, struct error *error)
{
	static const struct moments none; /* what is decided here has no history */
	const struct volume_release_request *params = request->params;
	struct online_view view;

	if (params->incomplete || volume->hold == NULL || volume->phase != VOLUME_PHASE_ONLINE)
		return 0;
	if (driver_online_view(request->dnvmed, volume, &none, &request->arena, &view, error) != 0)
		return error->code;
	if (absent_tell(&view, error) == 0)
		return 0;
	return error_hint(error,
			  "bring their nodes back; if that is hopeless: dnvme volume release %s --yes --force, "
			  "which gives these copies up",
			  volume->name);
}

int volume_release_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct volume_release_request *params = request->params;
	struct command_volume_release *release = arena_alloc(&request->arena, sizeof(*release));
	struct volume volume;

	if (release == NULL)
		return error_set_nomem(error);
	if (fsm_volume_find(request->dnvmed->fsm, params->volume, &request->arena, &volume, error) != 0 ||
	    members_check(request, &volume, error) != 0)
		return error->code;
	*release = (struct command_volume_release){ .id = volume.id,
						    .revision = params->revision != 0 ? params->revision
										      : volume.revision };
	command->volume_release = release;
	return 0;
}

void volume_release_committed(struct request *request, const struct outcome *outcome)
{
	const struct volume_release_request *params = request->params;
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };

	log_warning("a volume is released: what the state says of it is right, says its operator",
		    "volume=%s revision=%" PRIu64 " incomplete=%s by=\"%s\"", params->volume, outcome->revision,
		    params->incomplete ? "yes" : "no", params->by != NULL ? params->by : "");
	request_reply(request, &reply);
}

int disk_release_prepare(struct request *request, struct command *command, struct error *error)
{
	const struct disk_release_request *params = request->params;
	struct command_disk_release *release = arena_alloc(&request->arena, sizeof(*release));

	if (release == NULL)
		return error_set_nomem(error);
	*release = (struct command_disk_release){ .disks = params->disks };
	command->disk_release = release;
	return 0;
}

void disk_release_committed(struct request *request, const struct outcome *outcome)
{
	const struct disk_release_request *params = request->params;
	struct mutation_reply reply = { .revision = outcome->revision, .id = outcome->id };

	for (size_t i = 0; i < params->disks.count; i++)
		log_warning("a disk is released: what lies where the state sees free extents may be overwritten",
			    "disk=%s revision=%" PRIu64 " by=\"%s\"", params->disks.items[i], outcome->revision,
			    params->by != NULL ? params->by : "");
	request_reply(request, &reply);
}
