/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the Linux back end. Nothing outside this folder includes this header. */
#ifndef DNVME_AGENT_BACKEND_LINUX_LINUX_H
#define DNVME_AGENT_BACKEND_LINUX_LINUX_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>

#include "agent/backend/kernel.h"
#include "agent/backend/linux/caches.h"
#include "agent/backend/linux/known.h"
#include "agent/backend/linux/nvme_cache.h"
#include "agent/backend/linux/signatures.h"
#include "agent/backend/linux/tend.h"
#include "lib/base/buffer.h"

#define LINUX_MAPPER_DIRECTORY "/dev/mapper/"
#define LINUX_NVMET_ROOT "/sys/kernel/config/nvmet"
#define LINUX_FABRICS_DEVICE "/dev/nvme-fabrics"

struct dm_task;
struct dm_info;
struct drains;
struct thins;
struct sizes;
struct gate;
struct nft_ctx;
struct trace;

struct linux_kernel {
	struct kernel base;
	struct known *devices;	  /* of device-mapper, by name */
	struct known *ports;	  /* of the NVMe target, by number */
	struct known *subsystems; /* of the NVMe target, by NQN */
	struct drains *drains;
	struct thins *thins; /* that were deleted */
	struct sizes *sizes; /* that hosts were told */
	struct gate *gate;
	struct nvme_cache *nvme;
	struct trace *trace;
	pthread_mutex_t hosts_lock; /* nvmet hosts are shared by subsystems of different lanes */
	struct signatures *signatures;
	struct caches *caches; /* of disks */
	pthread_mutex_t rejects_lock;
	struct reject_reason *rejects;
	struct nft_ctx *rejects_context; /* NULL: not made yet */
	bool rejects_ready;		 /* the rules are loaded */
	struct tend tend;		 /* imports_tend()'s */
	uint64_t rejects_alone_ms;	 /* boot clock: what an agent before this one left has run out */
};

/* --- text files of sysfs, configfs and procfs (files.c) --- */

/* The first line; false when the file cannot be read. */
bool file_read(char *ret_text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* 0 when the file cannot be read or holds no number. */
uint64_t file_read_number(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `error` names the file and the value. */
int file_write(const char *value, struct error *error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The entries of a directory, sorted, without those that begin with a dot. A directory that is not there has none.
 * INTERNAL when memory is exhausted. */
int directory_list(struct arena *arena, const char *path, struct string_list *ret_names, struct error *error);

/* --- device-mapper (dm.c) --- */

int dm_open(struct error *error);
int dm_library_open(struct error *error); /* the same, and nothing in /dev is looked at */
void dm_close(void);
/* The error of a task that could not be run. */
int dm_task_failed(struct dm_task *task, const char *what, const char *name, struct error *error);
/* NOT_FOUND when there is no such device. */
int dm_info_read(const char *name, struct dm_info *ret_info, struct error *error);
/* A task on an existing device; NULL when memory is exhausted. */
struct dm_task *dm_task_on(int type, uint32_t major, uint32_t minor);
int dm_create(struct kernel *kernel, const char *name, const char *uuid, const struct observed_target_list *table,
	      struct error *error);
int dm_remove(struct kernel *kernel, const char *name, struct error *error);
int dm_reload(struct kernel *kernel, const char *name, const struct observed_target_list *table, struct error *error);
int dm_suspend(struct kernel *kernel, const char *name, struct error *error);
int dm_resume(struct kernel *kernel, const char *name, struct error *error);
int dm_message(struct kernel *kernel, const char *name, const char *message, struct error *error);
int dm_status(struct kernel *kernel, const char *name, struct arena *arena, const char **ret_status,
	      struct error *error);
int dm_has_target(struct kernel *kernel, const char *type, bool *ret_has, struct error *error);

/* --- which were drained (drain.c) --- */

struct drained {
	const char *name;
	uint64_t number;
};

struct drained_list {
	size_t count;
	struct drained *items;
};

struct drains *drains_make(void);	 /* NULL when memory is exhausted */
void drains_free(struct drains *drains); /* accepts NULL */
int dm_drain(struct kernel *kernel, const char *name, uint64_t number, struct error *error);
/* What is told of the devices is read before anything of them is looked at: what is seen then came after it. */
int drains_read(struct drains *drains, struct arena *arena, struct drained_list *ret_drained, struct error *error);
void drains_tell(struct drains *drains, const struct drained_list *drained, struct observed *observed);

/* --- thin devices of snapshots (thins.c) --- */

struct thins *thins_make(void);	      /* NULL when memory is exhausted */
void thins_free(struct thins *thins); /* accepts NULL */
/* Adds to the pools which were deleted. */
int thins_tell(struct thins *thins, struct arena *arena, struct observed *observed, struct error *error);
int thin_delete(struct kernel *kernel, const char *pool, uint64_t number, struct error *error);
/* As they are: a snapshot of thin device 0. Durable when it returns. */
int thin_snap(const char *pool, uint64_t number, struct error *error);

/* --- what holds up I/O for snapshots (pause.c) --- */

int pause_hold(struct kernel *kernel, const struct kernel_pause *pause, struct error *error);
int pause_snap(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
int pause_release(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
int pause_forget(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
/* First of all: nothing that was known of the devices that they may touch counts. */
int pauses_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error);
/* Changes when one of them comes further, or dies. */
uint64_t pauses_digest(uint64_t seed);

/* --- what device-mapper devices are there (dm_look.c) --- */

/* How each device in the list was seen. */
struct dm_sight_list {
	size_t count;
	struct dm_sight *items;
};

int dm_observe(struct known *devices, struct arena *arena, struct observed *observed, struct dm_sight_list *ret_sights,
	       struct error *error);
/* After the exports were observed too: a device that is known, and open just as often as what was observed explains, is
 * believed; others are asked. So a count that keeps a device from being removed is never an old one. */
int dm_opens_observe(struct known *devices, const struct dm_sight_list *sights, struct arena *arena,
		     struct observed *observed, struct error *error);
/* Names and event numbers of our devices. */
uint64_t dm_digest(uint64_t seed);

/* --- block devices (block.c, disks.c) --- */

int block_zero(struct kernel *kernel, const char *name, uint64_t start, uint64_t length, struct error *error);
int block_read(struct kernel *kernel, const char *name, uint64_t start, void *ret_data, size_t length,
	       struct error *error);
int block_write(struct kernel *kernel, const char *name, uint64_t start, const void *data, size_t length,
		struct error *error);
int block_flush(struct kernel *kernel, const char *name, uint64_t timeout_ms, struct error *error);
/* After the imports were observed. */
int disks_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error);
int disk_cache_off(struct kernel *kernel, const char *path, struct error *error);
int block_fill(struct kernel *kernel, const char *name, uint64_t start, const struct kernel_progress *progress,
	       struct error *error);

/* --- the NVMe target (nvmet.c) --- */

int nvmet_port_create(struct kernel *kernel, const char *mark, uint64_t id, const char *address, struct error *error);
int nvmet_port_remove(struct kernel *kernel, const char *mark, uint64_t id, struct error *error);
int nvmet_subsystem_create(struct kernel *kernel, const char *nqn, uint32_t cntlid_min, uint32_t cntlid_max,
			   struct error *error);
int nvmet_subsystem_remove(struct kernel *kernel, const char *nqn, struct error *error);
int nvmet_namespace_create(struct kernel *kernel, const char *nqn, const struct kernel_namespace *ns,
			   struct error *error);
int nvmet_namespace_set_group(struct kernel *kernel, const char *nqn, uint32_t nsid, uint32_t group,
			      struct error *error);
int nvmet_namespace_remove(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error);
int nvmet_host_allow(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error);
int nvmet_host_deny(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error);
int nvmet_port_link(struct kernel *kernel, uint64_t port, const char *nqn, struct error *error);
int nvmet_port_unlink(struct kernel *kernel, uint64_t port, const char *nqn, struct error *error);

/* What hosts are told of its namespaces (resize.c). */
struct sizes *sizes_make(void);	      /* NULL when memory is exhausted */
void sizes_free(struct sizes *sizes); /* accepts NULL */
void sizes_forget(struct sizes *sizes, const char *nqn, uint32_t nsid);
/* Adds to the namespaces what is known of them. */
void sizes_tell(struct sizes *sizes, struct observed *observed);
int nvmet_namespace_resize(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error);

/* What is there (nvmet_look.c). */
int nvmet_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error);

/* --- the NVMe initiator (fabrics.c) --- */

int fabrics_observe(struct nvme_cache *cache, struct arena *arena, struct observed *observed, struct error *error);
int fabrics_connect(struct kernel *kernel, const struct kernel_import *import, struct error *error);
int fabrics_rescan(struct kernel *kernel, const struct kernel_import *import, struct error *error);
int fabrics_disconnect(struct kernel *kernel, const struct kernel_import *import, struct error *error);
int fabrics_drop(struct kernel *kernel, const struct kernel_import *import, struct error *error);

/* --- connections that are answered with tcp-reset (reject.c); `reason` tells those who ask for the same apart --- */

int reject_port_begin(struct kernel *kernel, uint64_t port, const char *reason, struct error *error);
int reject_port_end(struct kernel *kernel, uint64_t port, const char *reason, struct error *error);
/* All that goes from here to the peer. */
int reject_peer_begin(struct kernel *kernel, const char *address, uint64_t port, const char *reason,
		      struct error *error);
int reject_peer_end(struct kernel *kernel, const char *address, uint64_t port, const char *reason, struct error *error);
/* Adds to the ports why they reject. */
int reject_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error);
void reject_open(struct linux_kernel *kernel);
void reject_close(struct linux_kernel *kernel);

/* --- what the initiator says of its connections (paths.c) --- */

int paths_check(struct kernel *kernel, const struct kernel_path_list *paths, bool *ret_all_there, struct error *error);

/* --- the gate (gate.c) --- */

/* NULL when memory is exhausted. Touches nothing in the kernel. The cache is borrowed. */
struct gate *gate_make(struct nvme_cache *nvme);
void gate_free(struct gate *gate); /* accepts NULL */
int gate_guard(struct kernel *kernel, uint64_t port, struct error *error);
int gate_refresh(struct kernel *kernel, uint64_t port, uint64_t until_ms, struct error *error);
int gate_open(struct kernel *kernel, uint64_t port, uint64_t until_ms, const struct string_list *harmless,
	      struct error *error);
int gate_shut(struct kernel *kernel, uint64_t port, struct error *error);
int gate_join(struct kernel *kernel, uint64_t gate, uint64_t port, struct error *error);
int gate_leave(struct kernel *kernel, uint64_t port, struct error *error);
int gate_admit(struct kernel *kernel, uint64_t port, struct kernel_peer_list *peers, uint64_t timeout_ms,
	       struct error *error);
int gate_read(struct kernel *kernel, uint64_t port, uint64_t *ret_remaining_ms, struct error *error);
int imports_tend(struct kernel *kernel, struct error *error);
int hosts_connections(struct kernel *kernel, uint64_t port, struct peer_visit **ret_visits, size_t *ret_count,
		      struct error *error);

/* Whether this process guards it, and it is. */
bool gate_is_shut(struct kernel *kernel);
/* A place from which legs are imported: before they are, and when none is any more. */
int gate_remote_add(struct kernel *kernel, const char *address, uint64_t port, struct error *error);
int gate_remote_remove(struct kernel *kernel, const char *address, uint64_t port, struct error *error);

/* Milliseconds that a port's element has left, as a set was listed; 0: it is not there; UINT64_MAX: it has no end
 * (gate_listing.c). */
uint64_t gate_listing_remaining(const char *listing, uint64_t port);

/* --- what goes out by the gate (gate_out.c) --- */

/* Commands that make its part of the table, and that note a place. Return 0 or -1. */
int gate_out_print(uint64_t port, struct buffer *commands);
int gate_out_element_print(const char *verb, const char *address, uint64_t port, struct buffer *commands);
/* Whether legs of another slot come by that subsystem. */
bool gate_out_is_leg(const char *nqn);
/* Commands that note every place that the kernel imports legs from. */
int gate_out_imports_print(struct nvme_cache *cache, struct buffer *commands, struct error *error);
/* CONFLICT when legs are imported, by another subsystem than those. */
int gate_out_find(struct nvme_cache *cache, const struct string_list *harmless, struct error *error);
/* UNAVAILABLE when a write to a volume is under way. `root`: "/sys". */
int gate_out_writes_find(const char *root, struct error *error);

/* --- I/O errors of LDs (trace.c) --- */

/* NULL when memory is exhausted. Touches nothing in the kernel. */
struct trace *trace_make(void);
void trace_free(struct trace *trace); /* accepts NULL */
/* Behind all else that is observed: what is said then is true of everything that was seen. */
int trace_observe(struct linux_kernel *kernel, struct arena *arena, struct observed *observed, struct error *error);
/* The number that the device of an LD shall have, so that the kernel records its errors; false for other devices. */
bool trace_device(struct linux_kernel *kernel, const char *uuid, uint64_t *ret_major, uint64_t *ret_minor);
int trace_forget(struct kernel *kernel, uint64_t ld, uint64_t rebuild_ms, struct error *error);
/* Changes with each error. */
uint64_t trace_digest(struct linux_kernel *kernel, uint64_t seed);

/* --- the state of imports (watch.c) --- */

uint64_t watch_digest(struct kernel *kernel);

#endif
