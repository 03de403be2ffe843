/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NVMe initiator: connecting through libnvme, observing through sysfs.
 *
 * libnvme's tree is not used to observe, because it asks each namespace to identify itself, and that waits for ever
 * when the import is frozen.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <inttypes.h>
#include <libnvme.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "agent/list.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"
#include "lib/net/peer.h"

#define SYS_NVME "/sys/class/nvme"
#define SYS_BLOCK "/sys/block"

/* A path that is lost queues its I/O and reconnects for ever: an LD is dropped by decision, never by a timer. */
#define CTRL_LOSS_NEVER "-1"
/* Until that is written: libnvme before 1.4 does not pass -1 on, and the agent may die in between. In seconds. */
#define CTRL_LOSS_FIRST 1000000000
#define FAST_IO_FAIL_OFF 0 /* libnvme leaves the option out, and the kernel's own default is never */
#define KEEP_ALIVE_S 2
#define RECONNECT_DELAY_S 1
/* Few, and not the kernel's default of one for each processor: a node has many imports. */
#define IO_QUEUES 2

/* How long a peer may take to answer a connection before it counts as dead. */
#define PEER_ANSWER_MS 150
/* What the kernel needs to notice that the connections are gone; without SOCK_DESTROY, that it may not send. */
#define CONNECTING_WAIT_MS 5000
#define CONNECTING_POLL_NS 2000000L

/* "traddr=10.0.0.1,trsvcid=4421,src_addr=…": the value of a key. */
static bool address_part(const char *text, const char *key, char *ret_value, size_t size)
{
	size_t length = strlen(key);

	for (const char *at = text; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
		if (strncmp(at, key, length) == 0 && at[length] == '=') {
			snprintf(ret_value, size, "%.*s", (int)strcspn(at + length + 1, ","), at + length + 1);
			return true;
		}
	}
	return false;
}

struct fabrics_controller {
	char nqn[NAMES_NQN_SIZE], address[LIMIT_ADDRESS + 1], trsvcid[16], host_nqn[NAMES_NQN_SIZE], state[32];
};

/* false when the controller is none of ours, or gone. */
static bool controller_read(const char *name, struct fabrics_controller *ret)
{
	char text[256];

	memset(ret, 0, sizeof(*ret));
	if (!file_read(ret->nqn, sizeof(ret->nqn), SYS_NVME "/%s/subsysnqn", name) ||
	    strncmp(ret->nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) != 0 ||
	    !file_read(text, sizeof(text), SYS_NVME "/%s/address", name) ||
	    !address_part(text, "traddr", ret->address, sizeof(ret->address)) ||
	    !address_part(text, "trsvcid", ret->trsvcid, sizeof(ret->trsvcid)))
		return false;
	file_read(ret->host_nqn, sizeof(ret->host_nqn), SYS_NVME "/%s/hostnqn", name);
	return file_read(ret->state, sizeof(ret->state), SYS_NVME "/%s/state", name);
}

/* The worst ANA state of a controller's paths, which appear below it as nvme<subsystem>c<controller>n<head>. */
int fabrics_ana_read(struct arena *arena, const char *name, const char **ret_ana, struct error *error)
{
	static const char *const states[] = { "",	"optimized",	"non-optimized",
					      "change", "inaccessible", "persistent-loss" };
	size_t worst = 0, count = sizeof(states) / sizeof(states[0]);
	char path[64], text[32];
	struct string_list names;
	int code;

	snprintf(path, sizeof(path), SYS_NVME "/%.32s", name);
	code = directory_list(arena, path, &names, error);
	if (code != 0)
		return code;
	for (size_t i = 0; i < names.count; i++) {
		unsigned subsystem, controller, head;

		if (sscanf(names.items[i], "nvme%uc%un%u", &subsystem, &controller, &head) != 3 ||
		    !file_read(text, sizeof(text), "%s/%s/ana_state", path, names.items[i]))
			continue;
		for (size_t j = worst + 1; j < count; j++) {
			if (strcmp(text, states[j]) == 0)
				worst = j;
		}
	}
	*ret_ana = states[worst];
	return 0;
}

static int controller_observe(struct arena *arena, const char *name, struct observed *observed, struct error *error)
{
	struct observed_import *import;
	struct fabrics_controller controller;
	const char *ana;
	int code;

	if (!controller_read(name, &controller))
		return 0;
	code = fabrics_ana_read(arena, name, &ana, error);
	if (code != 0)
		return code;
	import = LIST_PUSH(arena, &observed->imports);
	if (import == NULL)
		return error_set_nomem(error);
	import->instance = strtoull(name + strlen("nvme"), NULL, 10);
	import->nqn = arena_strdup(arena, controller.nqn);
	import->address = arena_strdup(arena, controller.address);
	import->trsvcid = arena_strdup(arena, controller.trsvcid);
	import->host_nqn = arena_strdup(arena, controller.host_nqn);
	import->state = arena_strdup(arena, controller.state);
	import->ana = ana;
	if (import->nqn == NULL || import->address == NULL || import->trsvcid == NULL || import->host_nqn == NULL ||
	    import->state == NULL || import->ana == NULL)
		return error_set_nomem(error);
	return 0;
}

_Static_assert(KEEP_ALIVE_S == LIMIT_IMPORT_KEEP_ALIVE_S, "what the timeouts of hosts are chosen by");

/* nvme0n1 is a namespace, nvme0c1n1 one of its paths. */
static bool is_namespace(const char *name)
{
	unsigned subsystem, nsid;
	int end = 0;

	return sscanf(name, "nvme%un%u%n", &subsystem, &nsid, &end) == 2 && name[end] == '\0';
}

static int namespace_observe(struct arena *arena, const char *name, struct observed *observed, struct error *error)
{
	struct observed_import_namespace ns = { 0 }, *added;
	char nqn[NAMES_NQN_SIZE], text[64], path[64];
	unsigned major_number, minor_number;

	if (!is_namespace(name) || !file_read(nqn, sizeof(nqn), SYS_BLOCK "/%s/device/subsysnqn", name) ||
	    strncmp(nqn, NAMES_NQN_PREFIX, strlen(NAMES_NQN_PREFIX)) != 0 ||
	    !file_read(text, sizeof(text), SYS_BLOCK "/%s/dev", name) ||
	    sscanf(text, "%u:%u", &major_number, &minor_number) != 2 ||
	    !file_read(text, sizeof(text), SYS_BLOCK "/%s/uuid", name) || uuid_text_parse(text, ns.uuid) != 0 ||
	    __builtin_mul_overflow(file_read_number(SYS_BLOCK "/%s/size", name), UINT64_C(512), &ns.size_bytes))
		return 0;
	snprintf(path, sizeof(path), "/dev/%.48s", name);
	ns.major = major_number;
	ns.minor = minor_number;
	ns.nsid = file_read_number(SYS_BLOCK "/%s/nsid", name);
	ns.nqn = arena_strdup(arena, nqn);
	ns.path = arena_strdup(arena, path);
	added = LIST_PUSH(arena, &observed->import_namespaces);
	if (ns.nqn == NULL || ns.path == NULL || added == NULL)
		return error_set_nomem(error);
	*added = ns;
	return 0;
}

int fabrics_observe(struct arena *arena, struct observed *observed, struct error *error)
{
	struct string_list names;
	int code = directory_list(arena, SYS_NVME, &names, error);

	for (size_t i = 0; code == 0 && i < names.count; i++)
		code = controller_observe(arena, names.items[i], observed, error);
	if (code == 0)
		code = directory_list(arena, SYS_BLOCK, &names, error);
	for (size_t i = 0; code == 0 && i < names.count; i++)
		code = namespace_observe(arena, names.items[i], observed, error);
	return code;
}

/* The name of the controller ("nvme3") of an import, in the arena; NULL when there is none. */
static const char *controller_find(struct arena *arena, const struct kernel_import *import)
{
	struct fabrics_controller controller;
	struct string_list names;
	char trsvcid[16];

	snprintf(trsvcid, sizeof(trsvcid), "%" PRIu64, import->port);
	if (directory_list(arena, SYS_NVME, &names, NULL) != 0)
		return NULL;
	for (size_t i = 0; i < names.count; i++) {
		if (controller_read(names.items[i], &controller) && strcmp(controller.nqn, import->nqn) == 0 &&
		    strcmp(controller.address, import->address) == 0 && strcmp(controller.trsvcid, trsvcid) == 0 &&
		    strcmp(controller.host_nqn, import->host_nqn) == 0)
			return names.items[i];
	}
	return NULL;
}

int fabrics_connect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct nvme_fabrics_config config;
	struct arena arena = ARENA_INIT;
	char trsvcid[16], host_id[UUID_TEXT_SIZE];
	const char *name;
	nvme_root_t root;
	nvme_host_t host;
	nvme_ctrl_t controller = NULL;
	int code = 0, problem;

	(void)kernel;
	name = controller_find(&arena, import);
	if (name != NULL)
		goto cleanup_arena;
	snprintf(trsvcid, sizeof(trsvcid), "%" PRIu64, import->port);
	uuid_text_format(import->host_id, host_id);
	nvmf_default_config(&config);
	config.ctrl_loss_tmo = CTRL_LOSS_FIRST;
	config.fast_io_fail_tmo = FAST_IO_FAIL_OFF;
	config.keep_alive_tmo = KEEP_ALIVE_S;
	config.reconnect_delay = RECONNECT_DELAY_S;
	config.nr_io_queues = IO_QUEUES;
	/* A root of its own for each call: libnvme's tree is not safe between threads. */
	root = nvme_create_root(NULL, LOG_CRIT);
	host = root != NULL ? nvme_lookup_host(root, import->host_nqn, host_id) : NULL;
	if (host != NULL)
		controller = nvme_create_ctrl(root, import->nqn, "tcp", import->address, NULL, NULL, trsvcid);
	if (controller == NULL) {
		code = error_set_nomem(error);
		goto cleanup;
	}
	/* It also fails when the connection stands but its namespaces could not be read: then all is well. */
	if (nvmf_add_ctrl(host, controller, &config) != 0) {
		problem = errno;
		if (controller_find(&arena, import) == NULL) {
			code = error_set(error, ERROR_UNAVAILABLE, "cannot connect to %s at %s:%s: %s", import->nqn,
					 import->address, trsvcid, nvme_errno_to_string(problem));
			error_hint(error, "the kernel log says more; the other node may not export it yet");
		}
		nvme_free_ctrl(controller); /* it did not get into the tree */
	}
	if (code == 0)
		name = controller_find(&arena, import);
	if (name != NULL)
		code = file_write(CTRL_LOSS_NEVER, error, SYS_NVME "/%s/ctrl_loss_tmo", name);
cleanup:
	if (root != NULL)
		nvme_free_tree(root);
cleanup_arena:
	arena_free(&arena);
	return code;
}

int fabrics_disconnect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct arena arena = ARENA_INIT;
	const char *name = controller_find(&arena, import);
	int code = 0;

	(void)kernel;
	if (name != NULL)
		code = file_write("1", error, SYS_NVME "/%s/delete_controller", name);
	/* Gone meanwhile, or being deleted already. */
	if (code != 0 && controller_find(&arena, import) == NULL) {
		error_clear(error);
		code = 0;
	}
	arena_free(&arena);
	return code;
}

/* Until a controller is no longer live or gone: to delete one that is live toward a dead peer waits for the peer. */
static bool wait_until_connecting(const char *name)
{
	const struct timespec pause = { .tv_nsec = CONNECTING_POLL_NS };
	char state[32];

	for (long waited = 0; waited < CONNECTING_WAIT_MS * 1000000L; waited += CONNECTING_POLL_NS) {
		if (!file_read(state, sizeof(state), SYS_NVME "/%s/state", name) || strcmp(state, "connecting") == 0 ||
		    strncmp(state, "deleting", strlen("deleting")) == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

int fabrics_drop(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct arena arena = ARENA_INIT;
	const char *name = controller_find(&arena, import);
	enum peer_answer answer = PEER_ANSWERS;
	struct error ignored;
	const struct peer_place place = { import->address, import->port };
	uint64_t silent_ms = UINT64_MAX;
	char state[32] = "";
	int code = 0;

	if (name != NULL) {
		file_read(state, sizeof(state), SYS_NVME "/%s/state", name);
		answer = peer_try(import->address, import->port, PEER_ANSWER_MS);
		/* It lives, and lets in nobody at present who has no connection: other imports from it go on. */
		if (answer == PEER_REFUSES && peers_silence(&place, 1, &silent_ms, NULL) == 0 &&
		    silent_ms < KERNEL_PATH_SILENCE_MS)
			answer = PEER_ANSWERS;
	}
	/* A peer that answers lets go at once, and other imports from it go on. */
	if (answer == PEER_ANSWERS || (answer == PEER_REFUSES && strcmp(state, "connecting") == 0)) {
		arena_free(&arena);
		return fabrics_disconnect(kernel, import, error);
	}
	/* Both are a matter of speed: without them the kernel notices the peer's silence by itself. */
	if (reject_peer_begin(kernel, import->address, import->port, import->nqn, &ignored) != 0)
		log_failure(LOG_LEVEL_WARNING, "cannot reject connections to a dead peer", &ignored);
	if (peer_disconnect(import->address, import->port, PEER_EVERY_CONNECTION, &ignored) != 0)
		log_failure(LOG_LEVEL_WARNING, "cannot end connections to a dead peer", &ignored);
	if (wait_until_connecting(name))
		code = fabrics_disconnect(kernel, import, error);
	else
		code = error_set(error, ERROR_UNAVAILABLE, "%s does not let go of %s", name, import->nqn);
	if (reject_peer_end(kernel, import->address, import->port, import->nqn, &ignored) != 0)
		log_failure(LOG_LEVEL_WARNING, "cannot admit connections to a peer again", &ignored);
	arena_free(&arena);
	return code;
}
