/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NVMe initiator: connecting through libnvme, observing through sysfs.
 *
 * libnvme's tree is not used to observe, because it asks each namespace to identify itself, and that waits for ever
 * when the import is frozen.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnvme.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "agent/backend/linux/gate_joins.h"
#include "agent/list.h"
#include "lib/base/limits.h"
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
/* One, and not the kernel's default of one for each processor. What goes by one connection keeps its order: of two, one
 * may lose a packet, and the write in it would come behind later ones to the same block (docs/FAILURES.md, "A stale
 * write", "What remains"). And a node has many imports. */
#define IO_QUEUES 1

/*
 * How long the kernel waits for each answer of a target. Toward a live one a lost connection ends the wait. While a
 * connection is made, or made anew, it does not, not even a reset does: an import whose target goes away just then is
 * there, useless, until that time is over. Meanwhile no other import of the node is made, as the kernel makes one at a
 * time, and who deletes that one waits, too.
 */
#define ADMIN_TIMEOUT_FILE "/sys/module/nvme_core/parameters/admin_timeout"

/* How long a peer may take to answer a connection before it counts as dead. */
#define PEER_ANSWER_MS 150
/* And how long until an attempt to make an import is given up: one packet that was lost is sent again after 1 s. */
#define CONNECT_ANSWER_MS 1500
/* What the kernel needs to notice that the connections are gone; without SOCK_DESTROY, that it may not send. */
#define CONNECTING_WAIT_MS 5000
#define CONNECTING_POLL_NS 2000000L
/* What a kernel needs to read its namespaces anew. */
#define RESCAN_WAIT_MS 500
#define RESCAN_POLL_NS 10000000L

_Static_assert(GATE_JOINING_MS + 200 < RECONNECT_DELAY_S * 1000, "a reconnect is not taken for the same import");
_Static_assert(KEEP_ALIVE_S == LIMIT_IMPORT_KEEP_ALIVE_S, "what the timeouts of hosts are chosen by");

int fabrics_observe(struct nvme_cache *cache, struct arena *arena, struct observed *observed, struct error *error)
{
	struct nvme_seen seen;
	int code = nvme_cache_look(cache, NVME_NAMESPACES, arena, &seen, error);

	for (size_t i = 0; code == 0 && i < seen.count; i++) {
		const struct nvme_controller_seen *controller = &seen.items[i];
		struct observed_import *import = LIST_PUSH(arena, &observed->imports);

		if (import == NULL)
			return error_set_nomem(error);
		import->instance = strtoull(controller->name + strlen("nvme"), NULL, 10);
		import->nqn = controller->nqn;
		import->address = controller->address;
		import->trsvcid = controller->trsvcid;
		import->host_nqn = controller->host_nqn;
		import->state = controller->state;
		import->ana = controller->ana;
		import->paths = controller->paths;
	}
	if (code == 0)
		observed->import_namespaces = seen.namespaces;
	return code;
}

/* The name of the controller ("nvme3") of an import, in the arena; NULL when there is none. Of several, the one that
 * was made last: one that is going may still be there. */
static const char *controller_find(struct kernel *kernel, struct arena *arena, const struct kernel_import *import)
{
	struct nvme_seen seen = { 0 };
	const char *name = NULL;
	uint64_t highest = 0;

	if (nvme_cache_look(((struct linux_kernel *)kernel)->nvme, NVME_CONTROLLERS, arena, &seen, NULL) != 0)
		return NULL;
	for (size_t i = 0; i < seen.count; i++) {
		const struct nvme_controller_seen *controller = &seen.items[i];
		uint64_t instance = strtoull(controller->name + strlen("nvme"), NULL, 10);

		if ((name == NULL || instance > highest) && strcmp(controller->nqn, import->nqn) == 0 &&
		    strcmp(controller->address, import->address) == 0 &&
		    strtoull(controller->trsvcid, NULL, 10) == import->port &&
		    strcmp(controller->host_nqn, import->host_nqn) == 0) {
			name = controller->name;
			highest = instance;
		}
	}
	return name;
}

/* An attempt is dear, as the kernel makes a controller for it, and toward a silent peer it lasts for minutes: so that
 * somebody listens is found out first. A node that takes over is asked several times a second until it does. */
static int somebody_listens(const struct kernel_import *import, struct error *error)
{
	enum peer_answer answer = peer_try(import->address, import->port, CONNECT_ANSWER_MS);

	if (answer == PEER_ANSWERS)
		return 0;
	error_set(error, ERROR_UNAVAILABLE, "%s %s at port %" PRIu64 ", where %s is to be", import->address,
		  answer == PEER_REFUSES ? "refuses" : "does not answer", import->port, import->nqn);
	error_hint(error, answer == PEER_REFUSES ? "the node there does not export it yet, or lets nobody in at present"
						 : "see whether the node is up and what its firewall lets through");
	return error->code;
}

static int connect_it(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct nvme_fabrics_config config;
	struct arena arena = ARENA_INIT;
	char trsvcid[16], host_id[UUID_TEXT_SIZE];
	const char *name = NULL;
	nvme_root_t root;
	nvme_host_t host;
	nvme_ctrl_t controller = NULL;
	int code = somebody_listens(import, error), problem;

	if (code != 0)
		return code;
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
	/* The kernel refuses a second connection of the same kind. And it also fails when the connection stands but its
	 * namespaces could not be read: then all is well. */
	if (nvmf_add_ctrl(host, controller, &config) == 0) {
		name = nvme_ctrl_get_name(controller);
	} else {
		problem = errno;
		name = controller_find(kernel, &arena, import);
		if (name == NULL) {
			code = error_set(error, ERROR_UNAVAILABLE, "cannot connect to %s at %s:%s: %s", import->nqn,
					 import->address, trsvcid, nvme_errno_to_string(problem));
			error_hint(error, "the kernel log says more; the other node may not export it yet");
		}
		nvme_free_ctrl(controller); /* it did not get into the tree */
	}
	if (name != NULL)
		code = file_write(CTRL_LOSS_NEVER, error, SYS_NVME "/%s/ctrl_loss_tmo", name);
cleanup:
	if (root != NULL)
		nvme_free_tree(root);
	arena_free(&arena);
	return code;
}

/* The kernel has one such time for all its controllers, and takes it for each command that it begins from then on. So
 * local disks have it too, and only nodes with imports change it; a shorter one is left as it is. A kernel that lets
 * nobody change it can do all else: it is only slower to give up. */
static void admin_timeout_lower(void)
{
	char was[32], wanted[32];
	struct error error = { 0 };
	uint64_t seconds;

	if (!file_read(was, sizeof(was), ADMIN_TIMEOUT_FILE))
		return;
	seconds = strtoull(was, NULL, 10);
	if (seconds > 0 && seconds <= LIMIT_ADMIN_TIMEOUT_S)
		return;
	snprintf(wanted, sizeof(wanted), "%u", LIMIT_ADMIN_TIMEOUT_S);
	if (file_write(wanted, &error, ADMIN_TIMEOUT_FILE) != 0)
		log_failure(LOG_LEVEL_WARNING, "an import may hang for as long as the kernel waits for an answer",
			    &error);
	else
		log_notice("the kernel waits less long for answers of NVMe controllers", "was_s=%s is_s=%s", was,
			   wanted);
}

/* What goes to a leg of another slot goes by the gate. Noted before, and once more when it is there, should its place
 * have been forgotten meanwhile. */
int fabrics_connect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	bool leg = gate_out_is_leg(import->nqn);
	int code = leg ? gate_remote_add(kernel, import->address, import->port, error) : 0;

	admin_timeout_lower();
	if (code == 0)
		code = connect_it(kernel, import, error);
	if (code == 0 && leg)
		code = gate_remote_add(kernel, import->address, import->port, error);
	return code;
}

/* Nothing is imported from there any more; else it stays. */
static void leg_forget(struct kernel *kernel, const struct kernel_import *import)
{
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	struct error error = { 0 };
	bool needed =
		nvme_cache_look(((struct linux_kernel *)kernel)->nvme, NVME_CONTROLLERS, &arena, &seen, &error) != 0;

	for (size_t i = 0; i < seen.count && !needed; i++)
		needed = strcmp(seen.items[i].address, import->address) == 0 &&
			 strtoull(seen.items[i].trsvcid, NULL, 10) == import->port;
	arena_free(&arena);
	if (!needed && gate_remote_remove(kernel, import->address, import->port, &error) != 0)
		log_failure(LOG_LEVEL_WARNING, "cannot forget where legs were", &error);
}

int fabrics_disconnect(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct arena arena = ARENA_INIT;
	const char *name = controller_find(kernel, &arena, import);
	int code = 0;

	(void)kernel;
	if (name != NULL)
		code = file_write("1", error, SYS_NVME "/%s/delete_controller", name);
	/* Gone meanwhile, or being deleted already. */
	if (code != 0 && controller_find(kernel, &arena, import) == NULL) {
		error_clear(error);
		code = 0;
	}
	arena_free(&arena);
	if (code == 0 && gate_out_is_leg(import->nqn))
		leg_forget(kernel, import);
	return code;
}

/* Whether the namespaces that are expected are there, with their sizes. */
static bool shows_all(struct kernel *kernel, const struct kernel_import *import)
{
	struct arena arena = ARENA_INIT;
	struct nvme_seen seen = { 0 };
	size_t found = 0;

	if (nvme_cache_look(((struct linux_kernel *)kernel)->nvme, NVME_NAMESPACES, &arena, &seen, NULL) != 0)
		seen.namespaces.count = 0;
	for (size_t i = 0; i < import->expected.count; i++) {
		for (size_t j = 0; j < seen.namespaces.count; j++) {
			if (memcmp(seen.namespaces.items[j].uuid, import->expected.items[i].uuid, 16) == 0 &&
			    seen.namespaces.items[j].size_bytes >= import->expected.items[i].size_bytes) {
				found++;
				break;
			}
		}
	}
	arena_free(&arena);
	return found == import->expected.count;
}

/* The kernel looks by itself when the other side tells it; this is for who was not told. */
int fabrics_rescan(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	const struct timespec pause = { .tv_nsec = RESCAN_POLL_NS };
	struct arena arena = ARENA_INIT;
	const char *name = controller_find(kernel, &arena, import);
	bool all = false;
	int code = 0;

	if (name == NULL)
		code = error_set(error, ERROR_NOT_FOUND, "%s is not imported", import->nqn);
	else
		code = file_write("1", error, SYS_NVME "/%s/rescan_controller", name);
	arena_free(&arena);
	for (long waited = 0; code == 0 && !(all = shows_all(kernel, import)) && waited < RESCAN_WAIT_MS * 1000000L;
	     waited += RESCAN_POLL_NS)
		nanosleep(&pause, NULL);
	if (code == 0 && !all)
		code = error_set(error, ERROR_UNAVAILABLE,
				 "%s at %s:%" PRIu64 " does not show all that is expected yet", import->nqn,
				 import->address, import->port);
	return code;
}

/* Until a controller is no longer live or gone: to delete one that is live toward a dead peer waits for the peer. */
static bool wait_until_connecting(const char *name)
{
	const struct timespec pause = { .tv_nsec = CONNECTING_POLL_NS };
	char path[64], state[32];
	bool done = false;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), SYS_NVME "/%.32s/state", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	for (long waited = 0; waited < CONNECTING_WAIT_MS * 1000000L && !done; waited += CONNECTING_POLL_NS) {
		length = pread(fd, state, sizeof(state) - 1, 0);
		state[length > 0 ? length : 0] = '\0';
		done = length < 0 || strcmp(state, "connecting\n") == 0 ||
		       strncmp(state, "deleting", strlen("deleting")) == 0;
		if (!done)
			nanosleep(&pause, NULL);
	}
	close(fd);
	return done;
}

int fabrics_drop(struct kernel *kernel, const struct kernel_import *import, struct error *error)
{
	struct arena arena = ARENA_INIT;
	const char *name = controller_find(kernel, &arena, import);
	enum peer_answer answer = PEER_ANSWERS;
	struct error ignored;
	const struct peer_place place = { import->address, import->port };
	uint64_t silent_ms = UINT64_MAX;
	char state[32] = "";
	int code = 0;

	if (name != NULL && gate_out_is_leg(import->nqn) && gate_is_shut(kernel)) {
		/* Nothing goes there, and no answer comes: as with a dead peer. */
		answer = PEER_SILENT;
	} else if (name != NULL) {
		file_read(state, sizeof(state), SYS_NVME "/%s/state", name);
		answer = peer_try(import->address, import->port, PEER_ANSWER_MS);
		/* It was heard of just now. When it refuses, it lives, and lets in nobody at present who has no
		 * connection: other imports from it go on. When it does not answer, that has to be seen. */
		if (answer != PEER_ANSWERS && peers_silence(&place, 1, &silent_ms, NULL) == 0 &&
		    silent_ms < KERNEL_PATH_SILENCE_MS) {
			if (answer == PEER_SILENT)
				code = error_set(error, ERROR_UNAVAILABLE,
						 "%s does not answer, but was heard of %" PRIu64 " ms ago",
						 import->address, silent_ms);
			answer = PEER_ANSWERS;
		}
	}
	if (code != 0) {
		arena_free(&arena);
		return code;
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
