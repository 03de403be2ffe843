/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated gate, and what the simulated initiator says of its paths. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "agent/list.h"
#include "lib/base/clock.h"

static struct sim_gate *gate_find(struct sim_kernel *this, uint64_t port)
{
	for (size_t i = 0; i < this->gate_count; i++) {
		if (this->gates[i].port == port)
			return &this->gates[i];
	}
	return NULL;
}

static int not_guarded(uint64_t port, struct error *error)
{
	return error_set(error, ERROR_FAILED_PRECONDITION, "port %" PRIu64 " is not guarded", port);
}

/* No change of what `observe` shows. */
static int gate_end(struct sim_kernel *this, int code)
{
	pthread_mutex_unlock(&this->lock);
	return code;
}

int sim_gate_guard(struct kernel *kernel, uint64_t port, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "gate_guard", "", error);

	if (code != 0)
		return code;
	if (gate_find(this, port) == NULL) {
		if (this->gate_count == SIM_GATES)
			code = error_set(error, ERROR_INTERNAL, "more than %u guarded ports", SIM_GATES);
		else
			this->gates[this->gate_count++] = (struct sim_gate){ .port = port };
	}
	return gate_end(this, code);
}

static int until_set(struct sim_gate *gate, uint64_t until_ms, struct error *error)
{
	gate->until_ms = until_ms;
	if (until_ms > clock_boot_ms())
		return 0;
	return error_set(error, ERROR_DEADLINE_EXCEEDED, "too late to refresh the gate of port %" PRIu64, gate->port);
}

int sim_gate_refresh(struct kernel *kernel, uint64_t port, uint64_t until_ms, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_gate *gate;
	int code = sim_begin(this, "gate_refresh", "", error);

	if (code != 0)
		return code;
	gate = gate_find(this, port);
	if (gate == NULL)
		code = not_guarded(port, error);
	else if (gate->until_ms <= clock_boot_ms())
		code = error_set(error, ERROR_NOT_FOUND, "the gate of port %" PRIu64 " has run out", port);
	else
		code = until_set(gate, until_ms, error);
	return gate_end(this, code);
}

static bool is_leg(const char *nqn)
{
	return strstr(nqn, ":leg:") != NULL;
}

void kernel_sim_writing_set(struct kernel *kernel, kernel_sim_writing writing, void *data)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;

	pthread_mutex_lock(&this->lock);
	this->writing = writing;
	this->writing_data = data;
	pthread_mutex_unlock(&this->lock);
}

/* The volume that is written to; NULL: none. */
static const char *written_find(struct sim_kernel *this)
{
	for (size_t i = 0; this->writing != NULL && i < this->observed.dms.count; i++) {
		const char *name = this->observed.dms.items[i].name;

		if (strncmp(name, "dnvme-volume-", 13) == 0 && this->writing(this->writing_data, name))
			return name;
	}
	return NULL;
}

int sim_gate_open(struct kernel *kernel, uint64_t port, uint64_t until_ms, const struct string_list *harmless,
		  struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_gate *gate;
	const char *written;
	int code = sim_begin(this, "gate_open", "", error);

	if (code != 0)
		return code;
	gate = gate_find(this, port);
	if (gate == NULL)
		return gate_end(this, not_guarded(port, error));
	for (size_t i = 0; gate->until_ms <= clock_boot_ms() && i < this->observed.imports.count; i++) {
		const char *nqn = this->observed.imports.items[i].nqn;

		if (is_leg(nqn) && !list_has_string(harmless, nqn))
			return gate_end(this, error_set(error, ERROR_CONFLICT,
							"%s is imported since before the gate was shut", nqn));
	}
	written = gate->until_ms <= clock_boot_ms() ? written_find(this) : NULL;
	if (written != NULL)
		return gate_end(this, error_set(error, ERROR_UNAVAILABLE,
						"a write to %s from before the gate was shut is under way", written));
	return gate_end(this, until_set(gate, until_ms, error));
}

bool kernel_sim_lets_out(struct kernel *kernel, const char *nqn)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	bool out = !is_leg(nqn) || this->gate_count == 0;

	for (size_t i = 0; i < this->gate_count; i++)
		out = out || this->gates[i].until_ms > clock_boot_ms();
	return out;
}

int sim_gate_shut(struct kernel *kernel, uint64_t port, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_gate *gate;
	int code = sim_begin(this, "gate_shut", "", error);

	if (code != 0)
		return code;
	gate = gate_find(this, port);
	if (gate == NULL)
		return gate_end(this, not_guarded(port, error));
	gate->until_ms = 0;
	return gate_end(this, 0);
}

static size_t joined_find(const struct sim_kernel *this, uint64_t port)
{
	size_t i = 0;

	while (i < this->joined_count && this->joined[i] != port)
		i++;
	return i;
}

static int join(struct sim_kernel *this, uint64_t port, struct error *error)
{
	if (joined_find(this, port) < this->joined_count)
		return 0;
	if (this->joined_count == SIM_JOINED)
		return error_set(error, ERROR_INTERNAL, "more than %u ports behind a gate", SIM_JOINED);
	this->joined[this->joined_count++] = port;
	return 0;
}

int sim_gate_join(struct kernel *kernel, uint64_t gate, uint64_t port, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "gate_join", "", error);

	(void)gate;
	return code != 0 ? code : gate_end(this, join(this, port, error));
}

int sim_gate_leave(struct kernel *kernel, uint64_t port, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "gate_leave", "", error);
	size_t index;

	if (code != 0)
		return code;
	index = joined_find(this, port);
	if (index < this->joined_count)
		this->joined[index] = this->joined[--this->joined_count];
	return gate_end(this, 0);
}

bool kernel_sim_is_joined(struct kernel *kernel, uint64_t port)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	bool is;

	pthread_mutex_lock(&this->lock);
	is = joined_find(this, port) < this->joined_count;
	pthread_mutex_unlock(&this->lock);
	return is;
}

static struct sim_peer *peer_find(struct sim_kernel *this, const char *address, uint64_t port)
{
	for (size_t i = 0; i < this->peer_count; i++) {
		if (strcmp(this->peers[i].address, address) == 0 && this->peers[i].port == port)
			return &this->peers[i];
	}
	return NULL;
}

int sim_gate_admit(struct kernel *kernel, uint64_t port, struct kernel_peer_list *peers, uint64_t timeout_ms,
		   struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "gate_admit", "", error);

	if (code != 0)
		return code;
	if (gate_find(this, port) == NULL)
		return gate_end(this, not_guarded(port, error));
	for (size_t i = 0; i < this->peer_count; i++)
		this->peers[i].until_ms = 0;
	for (size_t i = 0; i < peers->count; i++) {
		struct sim_peer *peer = peer_find(this, peers->items[i].address, peers->items[i].port);

		if (join(this, peers->items[i].port, error) != 0)
			return gate_end(this, (int)error->code);
		if (peer == NULL && this->peer_count == SIM_PEERS)
			return gate_end(this, error_set(error, ERROR_INTERNAL, "more than %u peers", SIM_PEERS));
		if (peer == NULL)
			peer = &this->peers[this->peer_count++];
		snprintf(peer->address, sizeof(peer->address), "%s", peers->items[i].address);
		peer->port = peers->items[i].port;
		peer->until_ms = peers->items[i].admitted ? clock_boot_ms() + timeout_ms : 0;
		if (peer->volume != peers->items[i].volume || peer->generation != peers->items[i].generation)
			peer->joined = false;
		peer->volume = peers->items[i].volume;
		peer->generation = peers->items[i].generation;
		peers->items[i].joined = peer->joined && peer->generation != 0;
	}
	return gate_end(this, 0);
}

static bool lets_in(const struct sim_peer *peer)
{
	return peer != NULL && peer->until_ms > clock_boot_ms() && !(peer->joined && peer->generation != 0);
}

bool kernel_sim_lets_in(struct kernel *kernel, const char *address, uint64_t port)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	bool in;

	pthread_mutex_lock(&this->lock);
	in = lets_in(peer_find(this, address, port));
	pthread_mutex_unlock(&this->lock);
	return in;
}

bool kernel_sim_peer_join(struct kernel *kernel, const char *address, uint64_t port)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_peer *peer;
	bool in;

	pthread_mutex_lock(&this->lock);
	peer = peer_find(this, address, port);
	in = lets_in(peer);
	if (in)
		peer->joined = true;
	pthread_mutex_unlock(&this->lock);
	return in;
}

int sim_gate_read(struct kernel *kernel, uint64_t port, uint64_t *ret_remaining_ms, struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	struct sim_gate *gate;
	uint64_t now = clock_boot_ms();
	int code = sim_begin(this, "gate_read", "", error);

	if (code != 0)
		return code;
	gate = gate_find(this, port);
	if (gate == NULL)
		return gate_end(this, not_guarded(port, error));
	*ret_remaining_ms = gate->until_ms > now ? gate->until_ms - now : 0;
	return gate_end(this, 0);
}

/* Without a world there are no hosts. */
int sim_hosts_look(struct kernel *kernel, uint64_t port, struct peer_visit **ret_visits, size_t *ret_count,
		   struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = sim_begin(this, "hosts_look", "", error);

	(void)port;
	if (code != 0)
		return code;
	*ret_visits = NULL;
	*ret_count = 0;
	if (this->world.resolve == NULL)
		return gate_end(this, 0);
	*ret_visits = calloc(SIM_VISITS, sizeof(**ret_visits));
	if (*ret_visits == NULL)
		return gate_end(this, error_set_nomem(error));
	*ret_count = this->world.visits(this->world.data, kernel, *ret_visits, SIM_VISITS);
	return gate_end(this, 0);
}

/* A path knows no silence here. In the simulation the world gives it up (tests/sim/fabric.c). */
int sim_imports_tend(struct kernel *kernel, struct error *error)
{
	(void)kernel;
	(void)error;
	return 0;
}

static bool path_is_there(struct sim_kernel *this, const struct kernel_path *path)
{
	char port[24];

	snprintf(port, sizeof(port), "%" PRIu64, path->port);
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		const struct observed_import *import = &this->observed.imports.items[i];

		if (strcmp(import->nqn, path->nqn) == 0 && strcmp(import->address, path->address) == 0 &&
		    strcmp(import->trsvcid, port) == 0)
			return strcmp(import->state, "live") == 0 &&
			       (this->world.resolve == NULL ||
				this->world.heard(this->world.data, &this->base, path->address)) &&
			       (import->ana == NULL || import->ana[0] == '\0' || strcmp(import->ana, "optimized") == 0);
	}
	return path->may_lack;
}

int sim_imports_check(struct kernel *kernel, const struct kernel_path_list *paths, bool *ret_all_there,
		      struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	bool all = true;
	int code = sim_begin(this, "imports_check", "", error);

	if (code != 0)
		return code;
	for (size_t i = 0; i < paths->count; i++)
		all = all && path_is_there(this, &paths->items[i]);
	*ret_all_there = all;
	return gate_end(this, 0);
}

int kernel_sim_import_set(struct kernel *kernel, const char *nqn, const char *state, const char *ana,
			  struct error *error)
{
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	int code = 0;

	pthread_mutex_lock(&this->lock);
	for (size_t i = 0; code == 0 && i < this->observed.imports.count; i++) {
		struct observed_import *import = &this->observed.imports.items[i];

		if (strcmp(import->nqn, nqn) != 0)
			continue;
		import->state = arena_strdup(&this->arena, state);
		import->ana = arena_strdup(&this->arena, ana);
		if (import->state == NULL || import->ana == NULL)
			code = error_set_nomem(error);
	}
	return sim_end(this, code, error);
}
