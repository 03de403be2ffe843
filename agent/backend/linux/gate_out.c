/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other side of the gate: what goes out to the legs that this kernel imports from other controllers.
 *
 *   table inet dnvme {
 *           set held { type inet_service; flags timeout; }      the gate was never shut since it was opened
 *           set remote4, remote6 { type ipv4_addr . inet_service, ...; }   where the legs are that are imported
 *           chain out { hook output: daddr . dport in @remote, the guarded port in neither @lease nor @lease_other:
 *                                    reject with tcp reset }
 *   }
 *
 * When the gate is shut, hosts go elsewhere. So what waits here for the leg of another slot must not be sent any more,
 * and TCP would send it for as long as the connection stands: docs/FAILURES.md, "A stale write".
 *
 * No packet is looked up in `held`, so that its element may be replaced at any moment. It runs out with the gate, and
 * a refresh deletes it first: a transaction that deletes what is not there fails as a whole, and what ran out counts as
 * not there. So what is shut stays shut until somebody opens it.
 *
 * Who opens it looks at the writes that are under way, too: while it is shut none begins.
 */
#include "agent/backend/linux/linux.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/buffer.h"
#include "lib/model/names.h"

#define TABLE "inet dnvme"
/* Whatever the packet's port is, that one is looked up. */
#define GATE " tcp dport & 0 | %" PRIu64 " "
#define OUT_RULE(n, ip)                                                                                                \
	"add rule " TABLE " out " ip " daddr . tcp dport @remote" n GATE "!= @lease" GATE "!= @lease_other "           \
	"reject with tcp reset\n"

int gate_out_print(uint64_t port, struct buffer *commands)
{
	return buffer_printf(commands,
			     "add set " TABLE " held { type inet_service ; flags timeout ; }\n"
			     "add set " TABLE " remote4 { type ipv4_addr . inet_service ; }\n"
			     "add set " TABLE " remote6 { type ipv6_addr . inet_service ; }\n"
			     "add chain " TABLE " out { type filter hook output priority 0 ; policy accept ; }\n"
			     "flush chain " TABLE " out\n" OUT_RULE("4", "ip") OUT_RULE("6", "ip6"),
			     port, port, port, port);
}

int gate_out_element_print(const char *verb, const char *address, uint64_t port, struct buffer *commands)
{
	return buffer_printf(commands, "%s element " TABLE " remote%c { %s . %" PRIu64 " }\n", verb,
			     strchr(address, ':') != NULL ? '6' : '4', address, port);
}

bool gate_out_is_leg(const char *nqn)
{
	return strncmp(nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) == 0 && strstr(nqn, ":leg:") != NULL;
}

int gate_out_imports_print(struct nvme_cache *cache, struct buffer *commands, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	int code = nvme_cache_look(cache, NVME_CONTROLLERS, &arena, &seen, error);

	for (size_t i = 0; code == 0 && i < seen.count; i++) {
		if (gate_out_is_leg(seen.items[i].nqn) &&
		    gate_out_element_print("add", seen.items[i].address, strtoull(seen.items[i].trsvcid, NULL, 10),
					   commands) != 0)
			code = error_set_nomem(error);
	}
	arena_free(&arena);
	return code;
}

int gate_out_find(struct nvme_cache *cache, const struct string_list *harmless, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	int code = nvme_cache_look(cache, NVME_CONTROLLERS, &arena, &seen, error);

	for (size_t i = 0; code == 0 && i < seen.count; i++) {
		const char *nqn = seen.items[i].nqn;

		if (gate_out_is_leg(nqn) && !list_has_string(harmless, nqn))
			code = error_set(error, ERROR_CONFLICT, "%s is imported since before the gate was shut", nqn);
	}
	arena_free(&arena);
	return code;
}

/* A device that is suspended keeps requests that it does not count. */
static bool is_writing(const char *root, const char *device, char *ret_name, size_t size)
{
	static const char prefix[] = NAMES_DM_PREFIX "volume-";
	uint64_t reads = 0, writes = 0;
	char text[64] = "";

	if (!file_read(ret_name, size, "%s/block/%s/dm/name", root, device) ||
	    strncmp(ret_name, prefix, strlen(prefix)) != 0)
		return false;
	if (file_read_number("%s/block/%s/dm/suspended", root, device) != 0)
		return true;
	return file_read(text, sizeof(text), "%s/block/%s/inflight", root, device) &&
	       sscanf(text, "%" SCNu64 " %" SCNu64, &reads, &writes) == 2 && writes > 0;
}

int gate_out_writes_find(const char *root, struct error *error)
{
	struct arena arena = ARENA_INIT;
	struct string_list devices = { 0 };
	char path[PATH_MAX], name[NAMES_DM_SIZE];
	int code;

	snprintf(path, sizeof(path), "%s/block", root);
	code = directory_list(&arena, path, &devices, error);
	for (size_t i = 0; code == 0 && i < devices.count; i++) {
		if (is_writing(root, devices.items[i], name, sizeof(name)))
			code = error_set(error, ERROR_UNAVAILABLE,
					 "a write to %s from before the gate was shut is under way", name);
	}
	arena_free(&arena);
	return code;
}
