/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether paths are there, from sysfs, and from what their sockets heard. Of a controller that came back after a fence,
 * the kernel reads the ANA states before it calls it live: so one that is live shows no state of the connection before.
 */
#include "agent/backend/linux/linux.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/list.h"
#include "lib/model/names.h"
#include "lib/net/peer.h"

#define SYS_NVME "/sys/class/nvme"

/* "traddr=10.0.0.1,trsvcid=4421,src_addr=…" leads there. */
static bool address_is(const char *text, const struct kernel_path *path)
{
	char wanted[LIMIT_ADDRESS + 48];
	size_t length =
		(size_t)snprintf(wanted, sizeof(wanted), "traddr=%s,trsvcid=%" PRIu64, path->address, path->port);

	return strncmp(text, wanted, length) == 0 && (text[length] == ',' || text[length] == '\0');
}

/* nvme3 shows the paths nvme0c3n1, nvme0c3n2, … of its namespaces; without native multipath nvme3n1, …, and no state.
 */
static int namespaces_check(struct arena *arena, const char *controller, bool *ret_accessible, struct error *error)
{
	struct string_list names;
	char directory[64], text[32];
	size_t seen = 0;
	int code;

	snprintf(directory, sizeof(directory), SYS_NVME "/%.32s", controller);
	code = directory_list(arena, directory, &names, error);
	if (code != 0)
		return code;
	*ret_accessible = false;
	for (size_t i = 0; i < names.count; i++) {
		unsigned subsystem, nsid;

		if (sscanf(names.items[i], "nvme%uc%*un%u", &subsystem, &nsid) != 2 &&
		    sscanf(names.items[i], "nvme%un%u", &subsystem, &nsid) != 2)
			continue;
		seen++;
		if (file_read(text, sizeof(text), "%s/%s/ana_state", directory, names.items[i]) &&
		    strcmp(text, "optimized") != 0 && strcmp(text, "non-optimized") != 0)
			return 0;
	}
	*ret_accessible = seen > 0;
	return 0;
}

int paths_check(struct kernel *kernel, const struct kernel_path_list *paths, bool *ret_all_there, struct error *error)
{
	char nqn[NAMES_NQN_SIZE], address[256], state[32];
	struct arena arena = ARENA_INIT;
	struct string_list names = { 0 };
	bool *found, accessible, all = true;
	struct peer_place *places;
	uint64_t *silent_ms;
	int code = directory_list(&arena, SYS_NVME, &names, error);

	(void)kernel;
	found = arena_alloc_array(&arena, paths->count + 1, sizeof(*found));
	if (code == 0 && found == NULL)
		code = error_set_nomem(error);
	if (code == 0)
		memset(found, 0, (paths->count + 1) * sizeof(*found));
	for (size_t i = 0; code == 0 && all && i < names.count; i++) {
		if (!file_read(nqn, sizeof(nqn), SYS_NVME "/%s/subsysnqn", names.items[i]) ||
		    strncmp(nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) != 0 ||
		    !file_read(address, sizeof(address), SYS_NVME "/%s/address", names.items[i]))
			continue;
		for (size_t j = 0; code == 0 && all && j < paths->count; j++) {
			if (found[j] || strcmp(nqn, paths->items[j].nqn) != 0 || !address_is(address, &paths->items[j]))
				continue;
			found[j] = true;
			all = file_read(state, sizeof(state), SYS_NVME "/%s/state", names.items[i]) &&
			      strcmp(state, "live") == 0;
			if (!all)
				break;
			code = namespaces_check(&arena, names.items[i], &accessible, error);
			all = code == 0 && accessible;
		}
	}
	silent_ms = arena_alloc_array(&arena, paths->count + 1, sizeof(*silent_ms));
	places = arena_alloc_array(&arena, paths->count + 1, sizeof(*places));
	if (code == 0 && (silent_ms == NULL || places == NULL))
		code = error_set_nomem(error);
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
