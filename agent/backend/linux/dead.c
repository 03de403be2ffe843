/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends connections to peers that are dead. */
#include "agent/backend/linux/linux.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/model/names.h"
#include "lib/net/peer.h"

#define ANSWER_MS 150

_Static_assert(KERNEL_PEER_DEAD_MS > LIMIT_PEER_SILENCE_MS, "the peer has shut us out by then");
_Static_assert(KERNEL_PEER_DEAD_MS + ANSWER_MS + 250 < LIMIT_IMPORT_KEEP_ALIVE_S * 1000,
	       "seen, asked and ended before a keep-alive times out");

/* This node may be a host, too. */
static bool is_import(const struct nvme_controller_seen *controller)
{
	return strncmp(controller->nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) == 0 &&
	       (strstr(controller->nqn, ":slot:") != NULL || strstr(controller->nqn, ":leg:") != NULL);
}

/* Where our imports come from, each place once, of those that the kernel calls live. */
static size_t places_find(const struct nvme_seen *seen, struct peer_place *places)
{
	size_t count = 0;

	for (size_t i = 0; i < seen->count; i++) {
		const struct nvme_controller_seen *controller = &seen->items[i];
		struct peer_place place = { controller->address, strtoull(controller->trsvcid, NULL, 10) };
		size_t at = 0;

		if (!is_import(controller) || strcmp(controller->state, "live") != 0)
			continue;
		while (at < count && (places[at].port != place.port || strcmp(places[at].address, place.address) != 0))
			at++;
		if (at == count)
			places[count++] = place;
	}
	return count;
}

/* A peer that refuses lives: its reset ends the connection with the next packet. */
static int place_end(const struct peer_place *place, uint64_t silent_ms, struct error *error)
{
	if (peer_try(place->address, place->port, ANSWER_MS) != PEER_SILENT)
		return 0;
	log_notice("a peer is silent: its connections are ended", "address=%s:%" PRIu64 " silent_ms=%" PRIu64,
		   place->address, place->port, silent_ms);
	return peer_disconnect(place->address, place->port, PEER_EVERY_CONNECTION, error);
}

int imports_tend(struct kernel *kernel, struct error *error)
{
	struct linux_kernel *this = (struct linux_kernel *)kernel;
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	int code = nvme_cache_look(this->nvme, NVME_CONTROLLERS, &arena, &seen, error);
	struct peer_place *places = arena_alloc_array(&arena, seen.count + 1, sizeof(*places));
	uint64_t *silent_ms = arena_alloc_array(&arena, seen.count + 1, sizeof(*silent_ms));
	size_t count = 0;

	if (code == 0 && (places == NULL || silent_ms == NULL))
		code = error_set_nomem(error);
	if (code == 0)
		count = places_find(&seen, places);
	if (count > 0)
		code = peers_silence(places, count, silent_ms, error);
	/* UINT64_MAX: without a connection there is nothing to be ended. */
	for (size_t i = 0; code == 0 && i < count; i++) {
		if (silent_ms[i] >= KERNEL_PEER_DEAD_MS && silent_ms[i] != UINT64_MAX)
			code = place_end(&places[i], silent_ms[i], error);
	}
	arena_free(&arena);
	return code != 0 || count == 0 ? code : tend_start(&this->tend, error);
}
