/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the simulated kernel. Nothing outside this folder includes this header. */
#ifndef DNVME_AGENT_BACKEND_SIM_SIM_STATE_H
#define DNVME_AGENT_BACKEND_SIM_SIM_STATE_H

#include <pthread.h>

#include "agent/backend/sim/sim.h"

#define SIM_DM_MAJOR 253
#define SIM_NVME_MAJOR 259
#define SIM_DISK_MAJOR 8
#define SIM_DM_HINTS 64
#define SIM_GATES 8
#define SIM_PEERS 16
#define SIM_JOINED 64
#define SIM_VISITS 256
#define SIM_CACHES LIMIT_DISKS_PER_NODE

struct sim_gate {
	uint64_t port, until_ms;
};

struct sim_peer {
	char address[LIMIT_ADDRESS + 1];
	uint64_t port;
	uint64_t until_ms; /* 0: not admitted */
	uint64_t volume, generation;
	bool joined; /* let in, in this generation */
};

struct sim_kernel {
	struct kernel base;
	pthread_mutex_t lock;
	struct arena arena; /* holds `state`; made new from time to time, see sim_changed() */
	struct sim_state state;
	struct observed observed;
	size_t dm_hints[SIM_DM_HINTS]; /* places of devices, by their names' hashes; they may be out of date */
	char *path;
	uint64_t changes, compacted;
	bool assume_labels, lacks_writethrough, fills_forever;
	struct sim_gate gates[SIM_GATES]; /* of this process only: a new one finds no port guarded */
	size_t gate_count;
	uint64_t joined[SIM_JOINED]; /* ports behind a gate */
	size_t joined_count;
	struct sim_peer peers[SIM_PEERS];
	size_t peer_count;
	struct sim_cache { /* of disks that have one, by their minors */
		uint64_t minor;
		bool switchable;
	} caches[SIM_CACHES];
	size_t cache_count;
	bool hold_rebuilds;
	bool superblocks_wait; /* some could not be written: their paths do not answer */
	kernel_sim_fault fault;
	void *fault_data;
	struct kernel_sim_world world; /* resolve NULL: there is none */
	kernel_sim_writing writing;    /* NULL: nobody writes */
	void *writing_data;
};

/* Every operation begins and ends with these. sim_begin() returns what the fault says, without the lock then. */
int sim_begin(struct sim_kernel *this, const char *operation, const char *name, struct error *error);
/* `code` 0: something may have changed. Keeps the file, gives the lock back, returns the code to return. */
int sim_end(struct sim_kernel *this, int code, struct error *error);

#define SIM_KEY_SIZE 160

/* Where a byte lies. `key`: the hexadecimal uuid of an imported namespace, or the path of a disk. */
struct sim_place {
	struct sim_kernel *kernel; /* another one in a world */
	char key[SIM_KEY_SIZE];
	uint64_t start;
};

/* Down through linears to what is at the bottom. */
int sim_block_place(struct sim_kernel *this, const char *name, uint64_t start, struct sim_place *ret_place,
		    struct error *error);
/* The block so many bytes behind the place. */
struct sim_block *sim_block_find(const struct sim_place *place, uint64_t offset);
int sim_block_put(const struct sim_place *place, uint64_t offset, const void *data);
int sim_import_add(struct sim_kernel *this, const struct kernel_import *import, struct observed_import **ret_import,
		   struct error *error);
/* A device with epoch has the same content as it had in another. */
size_t sim_identity_length(const char *uuid);
int sim_thin_add(struct sim_kernel *this, const char *pool_uuid);
bool sim_thin_exists(struct sim_kernel *this, const char *identity);
bool sim_thin_is_made(struct sim_kernel *this, const struct observed_dm *pool, uint64_t number);
void sim_thin_remove(struct sim_kernel *this, const char *identity);
/* Called with the lock held: what has to let go by now does; somebody resumed a device. */
void sim_pauses_look(struct sim_kernel *this);
void sim_pauses_touch(struct sim_kernel *this, const char *name);
int sim_pause_hold(struct kernel *kernel, const struct kernel_pause *wanted, struct error *error);
int sim_pause_snap(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
int sim_pause_release(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
int sim_pause_forget(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
int sim_thin_delete(struct kernel *kernel, const char *name, uint64_t number, struct error *error);
uint64_t sim_watch(struct kernel *kernel);
int sim_namespace_resize(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error);
int sim_import_rescan(struct kernel *kernel, const struct kernel_import *import, struct error *error);
uint64_t sim_table_sectors(const struct observed_target_list *table);
int sim_block_fill(struct kernel *kernel, const char *name, uint64_t start, const struct kernel_progress *progress,
		   struct error *error);

/* Mirrors (sim_raid.c). Called with the lock held, for a table that was checked. */
int sim_raid_start(struct sim_kernel *this, struct observed_dm *dm, struct error *error);

void sim_list_remove(void *list, size_t index, size_t item_size);

struct observed_dm *sim_dm_find(struct sim_kernel *this, const char *name);
/* By "major:minor …"; NULL when it is no device-mapper device. */
struct observed_dm *sim_dm_by_number(struct sim_kernel *this, const char *number);
int sim_dm_create(struct kernel *kernel, const char *name, const char *uuid, const struct observed_target_list *table,
		  struct error *error);
int sim_dm_remove(struct kernel *kernel, const char *name, struct error *error);
int sim_dm_reload(struct kernel *kernel, const char *name, const struct observed_target_list *table,
		  struct error *error);
int sim_dm_suspend(struct kernel *kernel, const char *name, struct error *error);
int sim_dm_resume(struct kernel *kernel, const char *name, struct error *error);
int sim_dm_status(struct kernel *kernel, const char *name, struct arena *arena, const char **ret_status,
		  struct error *error);
int sim_block_flush(struct kernel *kernel, const char *name, uint64_t timeout_ms, struct error *error);
int sim_dm_drain(struct kernel *kernel, const char *name, uint64_t number, struct error *error);
int sim_dm_message(struct kernel *kernel, const char *name, const char *message, struct error *error);
int sim_dm_has_target(struct kernel *kernel, const char *type, bool *ret_has, struct error *error);
int sim_block_zero(struct kernel *kernel, const char *name, uint64_t start, uint64_t length, struct error *error);
int sim_block_read(struct kernel *kernel, const char *name, uint64_t start, void *ret_data, size_t length,
		   struct error *error);
int sim_block_write(struct kernel *kernel, const char *name, uint64_t start, const void *data, size_t length,
		    struct error *error);

/* FAILED_PRECONDITION when an import that does not answer lies below the device: a real kernel would wait for it. */
int sim_dm_waits(struct sim_kernel *this, const struct observed_dm *dm, struct error *error);

int sim_port_create(struct kernel *kernel, const char *mark, uint64_t id, const char *address, struct error *error);
int sim_port_remove(struct kernel *kernel, const char *mark, uint64_t id, struct error *error);
int sim_subsystem_create(struct kernel *kernel, const char *nqn, uint32_t cntlid_min, uint32_t cntlid_max,
			 struct error *error);
int sim_subsystem_remove(struct kernel *kernel, const char *nqn, struct error *error);
int sim_namespace_create(struct kernel *kernel, const char *nqn, const struct kernel_namespace *wanted,
			 struct error *error);
int sim_namespace_set_group(struct kernel *kernel, const char *nqn, uint32_t nsid, uint32_t group, struct error *error);
int sim_namespace_remove(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error);
int sim_host_allow(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error);
int sim_host_deny(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error);
int sim_port_link(struct kernel *kernel, uint64_t id, const char *nqn, struct error *error);
int sim_port_unlink(struct kernel *kernel, uint64_t id, const char *nqn, struct error *error);
int sim_port_reject(struct kernel *kernel, uint64_t port, const char *reason, struct error *error);
int sim_port_admit(struct kernel *kernel, uint64_t port, const char *reason, struct error *error);
int sim_import_connect(struct kernel *kernel, const struct kernel_import *import, struct error *error);
int sim_import_disconnect(struct kernel *kernel, const struct kernel_import *import, struct error *error);
int sim_import_drop(struct kernel *kernel, const struct kernel_import *import, struct error *error);

int sim_gate_guard(struct kernel *kernel, uint64_t port, struct error *error);
int sim_gate_refresh(struct kernel *kernel, uint64_t port, uint64_t until_ms, struct error *error);
int sim_gate_open(struct kernel *kernel, uint64_t port, uint64_t until_ms, const struct string_list *harmless,
		  struct error *error);
int sim_gate_shut(struct kernel *kernel, uint64_t port, struct error *error);
int sim_gate_join(struct kernel *kernel, uint64_t gate, uint64_t port, struct error *error);
int sim_gate_leave(struct kernel *kernel, uint64_t port, struct error *error);
int sim_gate_admit(struct kernel *kernel, uint64_t port, struct kernel_peer_list *peers, uint64_t timeout_ms,
		   struct error *error);
int sim_gate_read(struct kernel *kernel, uint64_t port, uint64_t *ret_remaining_ms, struct error *error);
int sim_hosts_look(struct kernel *kernel, uint64_t port, struct peer_visit **ret_visits, size_t *ret_count,
		   struct error *error);
int sim_imports_tend(struct kernel *kernel, struct error *error);
/* As they are after power came (sim_cache.c). Called with the lock held. */
void sim_caches_on(struct sim_kernel *this);
int sim_cache_off(struct kernel *kernel, const char *path, struct error *error);
int sim_errors_forget(struct kernel *kernel, uint64_t ld, uint64_t rebuild_ms, struct error *error);
int sim_imports_check(struct kernel *kernel, const struct kernel_path_list *paths, bool *ret_all_there,
		      struct error *error);

#endif
