/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each kernel's imports follow what the other side exports and the network between them: a path that is unlinked or
 * reset is lost at once, one that is silent after the keep-alive; both are tried again each second.
 */
#include "tests/sim/fabric.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "tests/sim/host.h"
#include "tests/sim/io.h"
#include "tests/sim/mirror_text.h"
#include "tests/sim/snapshots.h"

#define LOOK_US (10 * WORLD_MS)
#define LOOK_ALWAYS 10 /* in so many looks all are looked at, whatever changed */
#define RECONNECT_US WORLD_SECOND
#define KEEP_ALIVE_US (3 * WORLD_SECOND)
#define AGENT_LOOK_US (400 * WORLD_MS) /* agents look at silent peers each 250 ms, and ask them for 150 */
#define PATH_SILENCE_US (1250 * WORLD_MS)
#define THINS_MAX 256

struct path {
	struct path *next;
	struct storage *node;
	uint64_t instance;
	bool live;
	uint64_t generation;	/* of connections */
	uint64_t try_at;	/* connecting */
	struct storage *target; /* live */
	char nqn[224];
	const unsigned *cuts_now;
	unsigned cuts;		/* live: what it has seen of them */
	uint64_t target_boots;	/* live */
	uint64_t unheard_since; /* live; 0: heard */
	uint64_t patience_us;	/* of its agent, since then */
	uint64_t shown_stamp;	/* live: changes of both kernels when it was shown last */
	bool seen;
};

struct rebuild {
	struct rebuild *next;
	struct storage *node;
	char name[128];
	uint64_t began_at, done_at, event;
};

static struct path *paths;
static struct rebuild *rebuilds;
static char *thins[THINS_MAX];
static size_t thin_count;
static struct world_event look;
static uint64_t looked_stamp;
static unsigned turns;
static bool gives_up;
static uint64_t silent_since[WORLD_MACHINES][WORLD_MACHINES];
static uint64_t unheard_since[NODES_MAX][NODES_MAX]; /* of the first by the second */

/* As kernel_sim_changes(), without the lock that nobody else takes. */
static uint64_t changes_of(const struct storage *node)
{
	return ((const struct sim_kernel *)node->kernel)->changes;
}

void fabric_gives_up(bool up)
{
	gives_up = up;
}

static bool both_hear(const struct storage *a, const struct storage *b)
{
	return machine_hears(a->machine, b->machine) && machine_hears(b->machine, a->machine);
}

/* By its gate, where that is the way out. */
static bool lets_out(struct storage *node, const char *nqn)
{
	struct process *before = world_current;
	bool out;

	node_enter(node);
	out = kernel_sim_lets_out(node->kernel, nqn);
	world_current = before;
	return out;
}

/* --- what a kernel asks the world ------------------------------------------------------------------------------- */

static bool world_heard(void *data, struct kernel *kernel, const char *address)
{
	struct storage *node = node_by_kernel(kernel), *other = node_by_address(address);
	uint64_t since;

	(void)data;
	if (other == NULL)
		return false;
	since = silent_since[node->machine->index][other->machine->index];
	return since == 0 || world_now - since < PATH_SILENCE_US;
}

static int world_connect(void *data, struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct storage *node = node_by_kernel(kernel), *other = node_by_address(import->address);
	struct process *before = world_current;
	struct kernel_sim_namespaces namespaces;
	enum kernel_sim_answer answer = KERNEL_SIM_RESET;

	(void)data;
	if (other == NULL || !both_hear(node, other) || !lets_out(node, import->nqn))
		return error_set(error, ERROR_UNAVAILABLE, "%s does not answer", import->address);
	node_enter(other);
	answer = kernel_sim_ask(other->kernel, import->port, import->nqn, import->host_nqn, node->address, true,
				&namespaces);
	world_current = before;
	if (answer == KERNEL_SIM_TAKEN)
		return 0;
	return error_set(error, ERROR_UNAVAILABLE, "%s port %" PRIu64 " refuses %s: %d", import->address, import->port,
			 import->nqn, answer);
}

/* The first path of a namespace's subsystem that answers. */
static int world_resolve(void *data, struct kernel *kernel, const uint8_t uuid[16], struct kernel **ret_kernel,
			 const char **ret_device, struct error *error)
{
	struct storage *node = node_by_kernel(kernel);
	struct sim_kernel *this = (struct sim_kernel *)kernel;
	static struct kernel_sim_namespaces namespaces;

	(void)data;
	for (size_t i = 0; i < this->observed.imports.count; i++) {
		const struct observed_import *import = &this->observed.imports.items[i];
		struct storage *other = node_by_address(import->address);
		struct process *before = world_current;
		bool goes_on;

		if (strcmp(import->state, "live") != 0 || other == NULL || !both_hear(node, other))
			continue;
		node_enter(other);
		goes_on = kernel_sim_goes_on(other->kernel, strtoull(import->trsvcid, NULL, 10), import->nqn,
					     &namespaces);
		world_current = before;
		for (size_t n = 0; goes_on && n < namespaces.count; n++) {
			if (!namespaces.items[n].optimized || memcmp(namespaces.items[n].uuid, uuid, 16) != 0)
				continue;
			*ret_kernel = other->kernel;
			*ret_device = namespaces.items[n].device;
			return 0;
		}
	}
	return error_set(error, ERROR_UNAVAILABLE, "no path to the namespace answers");
}

static size_t world_visits(void *data, struct kernel *kernel, struct peer_visit *ret_visits, size_t room)
{
	(void)data;
	return host_visits((size_t)(node_by_kernel(kernel) - nodes), ret_visits, room);
}

static bool world_thin_find(void *data, const char *identity, size_t length)
{
	(void)data;
	for (size_t i = 0; i < thin_count; i++) {
		if (strlen(thins[i]) == length && strncmp(thins[i], identity, length) == 0)
			return true;
	}
	return false;
}

static void world_thin_make(void *data, const char *identity, size_t length)
{
	if (world_thin_find(data, identity, length))
		return;
	if (thin_count == THINS_MAX)
		abort();
	thins[thin_count++] = strndup(identity, length);
}

static void world_thin_drop(void *data, const char *identity)
{
	(void)data;
	for (size_t i = thin_count; i-- > 0;) {
		if (strcmp(thins[i], identity) != 0)
			continue;
		free(thins[i]);
		thins[i] = thins[--thin_count];
	}
}

static void world_thin_snap(void *data, struct kernel *kernel, const char *pool, const char *identity)
{
	(void)data;
	snapshots_note(node_by_kernel(kernel), pool, identity);
}

const char *fabric_thin(size_t index)
{
	return index < thin_count ? thins[index] : NULL;
}

void fabric_attach(struct storage *node)
{
	const struct kernel_sim_world world = { .resolve = world_resolve,
						.connect = world_connect,
						.heard = world_heard,
						.visits = world_visits,
						.thin_find = world_thin_find,
						.thin_make = world_thin_make,
						.thin_drop = world_thin_drop,
						.thin_snap = world_thin_snap };

	kernel_sim_world_set(node->kernel, &world);
	kernel_sim_writing_set(node->kernel, io_is_writing, node);
}

/* --- paths ------------------------------------------------------------------------------------------------------ */

static struct path *path_get(struct storage *node, const struct kernel_sim_import *import)
{
	struct path *path = paths;

	while (path != NULL && (path->node != node || path->instance != import->instance))
		path = path->next;
	if (path != NULL)
		return path;
	/* Only a path makes it live; without its path its requests would wait for ever. */
	if (strcmp(import->state, "live") == 0)
		world_fail("the simulation has forgotten the path of %s to %s", node->name, import->nqn);
	path = calloc(1, sizeof(*path));
	if (path == NULL)
		abort();
	*path = (struct path){ .next = paths, .node = node, .instance = import->instance };
	/* The connection that was asked for is made. */
	path->try_at = world_now + world_between(300, 4000);
	paths = path;
	return path;
}

bool fabric_path_generation(const struct storage *node, uint64_t instance, uint64_t *ret_generation)
{
	const struct path *path = paths;

	while (path != NULL && (path->node != node || path->instance != instance))
		path = path->next;
	if (path == NULL || !path->live || *path->cuts_now != path->cuts || !lets_out(path->node, path->nqn))
		return false;
	*ret_generation = path->generation;
	return true;
}

static void path_lost(struct path *path, const struct kernel_sim_import *import, const char *why)
{
	world_trace("%s loses the path to %s at %s: %s", path->node->name, import->nqn, import->address, why);
	path->live = false;
	path->unheard_since = 0;
	path->try_at = world_now + RECONNECT_US;
	kernel_sim_import_show(path->node->kernel, path->instance, NULL);
}

/* false: the kernel gave the import up. */
static bool path_look(struct path *path, const struct kernel_sim_import *import)
{
	struct storage *other = node_by_address(import->address);
	static struct kernel_sim_namespaces namespaces;
	bool hears = other != NULL && both_hear(path->node, other), goes_on;
	enum kernel_sim_answer answer;
	uint64_t stamp;

	if (!path->live) {
		if (world_now < path->try_at)
			return true;
		path->try_at = world_now + RECONNECT_US;
		if (!hears || !lets_out(path->node, import->nqn))
			return true;
		node_enter(other);
		answer = kernel_sim_ask(other->kernel, import->port, import->nqn, import->host_nqn, path->node->address,
					false, &namespaces);
		node_leave();
		if (answer == KERNEL_SIM_TAKEN) {
			world_trace("%s has a path to %s at %s", path->node->name, import->nqn, import->address);
			path->live = true;
			path->shown_stamp = 0;
			path->generation++;
			path->target = other;
			snprintf(path->nqn, sizeof(path->nqn), "%s", import->nqn);
			path->cuts_now = io_cuts(other, import->nqn);
			path->cuts = *path->cuts_now;
			path->target_boots = other->machine->boots;
			kernel_sim_import_show(path->node->kernel, path->instance, &namespaces);
		} else if (answer != KERNEL_SIM_RESET && gives_up) {
			world_trace("%s gives up %s at %s: %d", path->node->name, import->nqn, import->address, answer);
			kernel_sim_import_lose(path->node->kernel, path->instance);
			return false;
		}
		return true;
	}
	if (!lets_out(path->node, import->nqn)) {
		path_lost(path, import, "its own gate is shut");
		return true;
	}
	if (other->machine->up && other->machine->boots != path->target_boots && hears) {
		path_lost(path, import, "it was booted anew");
		return true;
	}
	if (!hears) {
		if (path->unheard_since == 0) {
			path->unheard_since = world_now;
			path->patience_us = KERNEL_PEER_DEAD_MS * WORLD_MS + world_between(0, AGENT_LOOK_US);
		}
		if (world_now - path->unheard_since > KEEP_ALIVE_US)
			path_lost(path, import, "it is silent");
		else if (path->node->process != NULL && world_now - path->unheard_since > path->patience_us)
			path_lost(path, import, "it is silent, and the agent ends its connections");
		return true;
	}
	path->unheard_since = 0;
	if (*path->cuts_now != path->cuts) {
		path_lost(path, import, "unlinked");
		return true;
	}
	/* What is exported and what is seen of it is as it was when nothing changed; a gate shuts by itself. */
	stamp = changes_of(path->node) + changes_of(other);
	node_enter(other);
	goes_on = stamp == path->shown_stamp
			  ? kernel_sim_is_open(other->kernel, import->port)
			  : kernel_sim_goes_on(other->kernel, import->port, import->nqn, &namespaces);
	node_leave();
	if (!goes_on) {
		path_lost(path, import, "reset");
	} else if (stamp != path->shown_stamp) {
		path->shown_stamp = stamp;
		kernel_sim_import_show(path->node->kernel, path->instance, &namespaces);
	}
	return true;
}

/* --- mirrors ---------------------------------------------------------------------------------------------------- */

static void rebuild_look(struct storage *node, const struct observed_dm *dm)
{
	struct rebuild *rebuild = rebuilds;
	struct error error = { 0 };
	char name[128];

	while (rebuild != NULL && (rebuild->node != node || strcmp(rebuild->name, dm->name) != 0))
		rebuild = rebuild->next;
	if (rebuild == NULL) {
		rebuild = calloc(1, sizeof(*rebuild));
		if (rebuild == NULL)
			abort();
		rebuild->next = rebuilds;
		rebuild->node = node;
		snprintf(rebuild->name, sizeof(rebuild->name), "%s", dm->name);
		rebuilds = rebuild;
		rebuild->event = UINT64_MAX;
	}
	if (rebuild->event != dm->event) {
		rebuild->event = dm->event;
		rebuild->began_at = world_now;
		rebuild->done_at = world_now + world_between(100 * WORLD_MS, 4 * WORLD_SECOND);
	}
	snprintf(name, sizeof(name), "%s", dm->name);
	if (io_mirror_lost(node, name))
		return;
	if (world_now < rebuild->done_at || sim_dm_waits((struct sim_kernel *)node->kernel, dm, NULL) != 0)
		return;
	world_trace("%s has copied %s", node->name, name);
	io_mirror_copied(node, name, rebuild->began_at);
	node_enter(node);
	kernel_sim_rebuild_set(node->kernel, name, UINT64_MAX, &error);
	node_leave();
}

static void mirrors_look(struct storage *node)
{
	struct sim_kernel *kernel = (struct sim_kernel *)node->kernel;

	for (size_t i = 0; i < kernel->observed.dms.count; i++) {
		const struct observed_dm *dm = &kernel->observed.dms.items[i];
		struct group_status status;

		if (dm->status == NULL || strncmp(dm->status, "raid1 ", 6) != 0)
			continue;
		mirror_status(dm->status, &status);
		if (strchr(status.health, 'a') != NULL)
			rebuild_look(node, dm);
	}
}

/* --- the look --------------------------------------------------------------------------------------------------- */

/* A holder shuts out a consumer of which it heard nothing for a while: docs/FAILURES.md, "A stale write", 2. */
static void consumer_shut_out(struct storage *consumer, struct storage *holder)
{
	struct kernel_sim_import import;

	for (size_t i = 0; kernel_sim_import_at(consumer->kernel, i, &import); i++) {
		if (strcmp(import.address, holder->address) == 0 && strstr(import.nqn, ":leg:") != NULL)
			io_cut(holder, import.nqn);
	}
}

/* Whether every node hears every other one. */
static bool all_hear(void)
{
	for (size_t a = 0; a < node_count; a++) {
		const struct machine *machine = nodes[a].machine;

		if (!machine_runs(machine))
			return false;
		for (size_t b = 0; b < node_count; b++) {
			if (a != b && machine->cut_to[nodes[b].machine->index] > world_now)
				return false;
		}
	}
	return true;
}

static void silence_note(void)
{
	static bool hears[NODES_MAX][NODES_MAX]; /* the second the first */
	static bool all_heard;			 /* and what is noted says so */
	bool all = all_hear();

	if (all && all_heard)
		return;
	all_heard = all;

	for (size_t a = 0; a < node_count; a++) {
		for (size_t b = 0; b < node_count; b++)
			hears[a][b] = machine_hears(nodes[a].machine, nodes[b].machine);
	}
	for (size_t a = 0; a < node_count; a++) {
		for (size_t b = 0; b < node_count; b++) {
			uint64_t *since = &silent_since[nodes[a].machine->index][nodes[b].machine->index];

			if (hears[a][b] && hears[b][a])
				*since = 0;
			else if (*since == 0)
				*since = world_now;
			if (hears[a][b]) {
				unheard_since[a][b] = 0;
				continue;
			}
			if (unheard_since[a][b] == 0)
				unheard_since[a][b] = world_now;
			if (world_now - unheard_since[a][b] > LIMIT_PEER_SILENCE_MS * WORLD_MS)
				consumer_shut_out(&nodes[a], &nodes[b]);
		}
	}
}

static void paths_look(void)
{
	for (struct path *path = paths; path != NULL; path = path->next)
		path->seen = false;
	for (size_t n = 0; n < node_count; n++) {
		struct kernel_sim_import import;

		if (!machine_runs(nodes[n].machine))
			continue;
		/* One that is given up leaves the list, and the next one takes its place. */
		for (size_t i = 0; kernel_sim_import_at(nodes[n].kernel, i, &import);) {
			struct path *path = path_get(&nodes[n], &import);

			path->seen = true;
			if (path_look(path, &import))
				i++;
		}
		kernel_sim_superblocks_write(nodes[n].kernel);
		mirrors_look(&nodes[n]);
	}
	for (struct path **at = &paths; *at != NULL;) {
		struct path *path = *at;

		if (path->seen || !machine_runs(path->node->machine)) {
			at = &path->next;
			continue;
		}
		*at = path->next;
		free(path);
	}
}

static void on_look(struct world_event *event)
{
	uint64_t stamp = 0;

	event_at(event, world_now + LOOK_US);
	for (size_t n = 0; n < node_count; n++)
		stamp += changes_of(&nodes[n]);
	silence_note();
	if (stamp == looked_stamp && ++turns % LOOK_ALWAYS != 0)
		return;
	paths_look();
	looked_stamp = stamp;
}

void fabric_begin(void)
{
	event_init(&look, NULL, on_look, NULL);
	event_at(&look, LOOK_US);
}
