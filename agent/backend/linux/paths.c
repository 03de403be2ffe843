/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether paths are there, from sysfs, and from what their sockets heard. Of a controller that came back after a fence,
 * the kernel reads the ANA states before it calls it live: so one that is live shows no state of the connection before.
 */
#include "agent/backend/linux/linux.h"

#include <stdlib.h>
#include <string.h>

#include "lib/net/peer.h"

int paths_check(struct kernel *kernel, const struct kernel_path_list *paths, bool *ret_all_there, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	bool *found = arena_alloc_array(&arena, paths->count + 1, sizeof(*found)), all = true;
	uint64_t *silent_ms = arena_alloc_array(&arena, paths->count + 1, sizeof(*silent_ms));
	struct peer_place *places = arena_alloc_array(&arena, paths->count + 1, sizeof(*places));
	int code = nvme_cache_look(((struct linux_kernel *)kernel)->nvme, NVME_PATHS, &arena, &seen, error);

	if (code == 0 && (found == NULL || silent_ms == NULL || places == NULL))
		code = error_set_nomem(error);
	for (size_t i = 0; code == 0 && all && i < seen.count; i++) {
		const struct nvme_controller_seen *controller = &seen.items[i];

		for (size_t j = 0; all && j < paths->count; j++) {
			const struct kernel_path *path = &paths->items[j];

			if (found[j] || strcmp(controller->nqn, path->nqn) != 0 ||
			    strcmp(controller->address, path->address) != 0 ||
			    strtoull(controller->trsvcid, NULL, 10) != path->port)
				continue;
			found[j] = true;
			all = strcmp(controller->state, "live") == 0 && controller->accessible;
		}
	}
	for (size_t j = 0; code == 0 && j < paths->count; j++)
		places[j] = (struct peer_place){ paths->items[j].address, paths->items[j].port };
	if (code == 0 && all)
		code = peers_silence(places, paths->count, silent_ms, error);
	for (size_t j = 0; code == 0 && j < paths->count; j++)
		all = all && (found[j] ? silent_ms[j] < KERNEL_PATH_SILENCE_MS : paths->items[j].may_lack);
	arena_free(&arena);
	if (code == 0)
		*ret_all_there = all;
	return code;
}
