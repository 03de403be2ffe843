/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel in memory.
 *
 * It checks what a real one checks: a device that is open cannot be removed, a table must name devices that exist
 * and are large enough, a thin device needs its id in the pool, an import under a device cannot go. It holds the
 * blocks that were written (labels), and nothing else of the data.
 *
 * Imports always succeed at once and show exactly the namespaces that the desired state expects, whether or not
 * another simulated node exports them: a simulated node knows nothing of other nodes. A namespace of which it knows no
 * block yet, or only of an older epoch, shows the label that a Disk Node which formatted and fenced it would show.
 */
#ifndef DNVME_AGENT_BACKEND_SIM_SIM_H
#define DNVME_AGENT_BACKEND_SIM_SIM_H

#include "agent/backend/kernel.h"

/* `state_path` NULL: it begins empty and is forgotten. Otherwise it is read from that file if there is one, and
 * written after each change. */
int kernel_sim_open(const char *state_path, struct kernel **ret_kernel, struct error *error);

/* A disk as "PATH=SIZE" or "PATH=SIZE:USED-BY", SIZE in bytes or with KiB, MiB, GiB, TiB; USED-BY is what somebody else
 * has on it. INVALID_ARGUMENT. A known path keeps its size. */
int kernel_sim_disk_add(struct kernel *kernel, const char *text, struct error *error);

/* The write cache of a disk, which is on from now on, and after each power cut. For tests. */
enum kernel_sim_cache {
	KERNEL_SIM_CACHE_NONE,	     /* or it keeps what it holds */
	KERNEL_SIM_CACHE_SWITCHABLE, /* cache_off() switches it off */
	KERNEL_SIM_CACHE_FIXED,
};
void kernel_sim_disk_cache_set(struct kernel *kernel, const char *path, enum kernel_sim_cache cache);
/* Whether it loses what it holds now. */
bool kernel_sim_disk_is_volatile(struct kernel *kernel, uint64_t minor);

/* A device that is not ours: nothing may touch it. For tests. */
int kernel_sim_foreign_add(struct kernel *kernel, const char *name, const char *uuid, const char *nqn,
			   struct error *error);

/* From now on the LDs of this node show a label of epoch 1 where none was written: their holders, which are simulated
 * by other processes, write theirs to no medium that this one sees. */
void kernel_sim_labels_assume(struct kernel *kernel);

/* From now on it is a kernel without the write-through target. */
void kernel_sim_writethrough_lack(struct kernel *kernel);

/* Called before each operation, on the thread that runs it. Non-zero makes the operation fail with that code. It may
 * block, as a kernel call may. For tests. */
typedef int (*kernel_sim_fault)(void *data, const char *operation, const char *name, struct error *error);
void kernel_sim_fault_set(struct kernel *kernel, kernel_sim_fault fault, void *data);

/* What becomes of the import of a subsystem from an address: its state ("live", "connecting") and ANA state
 * ("optimized", "inaccessible"), which must be literals. What would wait for I/O through such an import then fails,
 * where a real kernel would hang. For tests. */
void kernel_sim_path_set(struct kernel *kernel, const char *nqn, const char *address, const char *state,
			 const char *ana);
/* Of how many namespaces it is a path. */
void kernel_sim_paths_set(struct kernel *kernel, const char *nqn, const char *address, uint64_t paths);

/* What a path to that subsystem looks like from now on: "live" or "connecting", "optimized" or "inaccessible". For
 * tests. */
int kernel_sim_import_set(struct kernel *kernel, const char *nqn, const char *state, const char *ana,
			  struct error *error);
/* What happens to member `index` of the mirror `name`: it fails; or it is rebuilt up to so many sectors. For tests. */
int kernel_sim_member_fail(struct kernel *kernel, const char *name, unsigned index, struct error *error);
/* Whether the superblocks of the others say who failed: before that a mirror acknowledges nothing. */
bool kernel_sim_failures_are_known(struct kernel *kernel, const char *name);
int kernel_sim_rebuild_set(struct kernel *kernel, const char *name, uint64_t sectors, struct error *error);
/* Rebuilds that begin from now on complete at once, or only when kernel_sim_rebuild_set() says so. For tests. */
void kernel_sim_rebuild_hold(struct kernel *kernel, bool hold);

/* An LD returned so many I/O errors, or (none) some may have been missed. For tests. */
int kernel_sim_errors_add(struct kernel *kernel, uint64_t ld, uint64_t reads, uint64_t writes, struct error *error);

/* Whether a new connection from an address to a port that joined a gate would get in, as gate_admit() left it. For
 * tests. */
bool kernel_sim_lets_in(struct kernel *kernel, const char *address, uint64_t port);
/* One comes, and is let in or not. For tests. */
bool kernel_sim_peer_join(struct kernel *kernel, const char *address, uint64_t port);
/* Whether a port is behind a gate. For tests. */
bool kernel_sim_is_joined(struct kernel *kernel, uint64_t port);

/* A power cut: what lies on disks and imported namespaces stays, everything else is gone. For tests. */
int kernel_sim_reboot(struct kernel *kernel, struct error *error);

/*
 * A world with other nodes in it. With one, an import shows what its other side exports, as kernel_sim_import_show()
 * says; what lies on an imported namespace lies in the kernel that exports it; and a mirror's copying takes until
 * kernel_sim_rebuild_set() says so. Must be set before the first operation.
 */
struct kernel_sim_world {
	void *data;
	/* Where a namespace that was imported lies: the kernel that exports it now, and the device there. UNAVAILABLE
	 * when no path answers. */
	int (*resolve)(void *data, struct kernel *kernel, const uint8_t uuid[16], struct kernel **ret_kernel,
		       const char **ret_device, struct error *error);
	/* A connection is asked for. On success it is there, "connecting", and the world goes on with it. */
	int (*connect)(void *data, struct kernel *kernel, const struct kernel_import *import, struct error *error);
	/* Whether something was heard from that address of late. */
	bool (*heard)(void *data, struct kernel *kernel, const char *address);
	/* Thin devices lie on media: whether a pool has one (by the identity of the pool), and that it was made. */
	bool (*thin_find)(void *data, const char *identity, size_t length);
	void (*thin_make)(void *data, const char *identity, size_t length);
	void (*thin_drop)(void *data, const char *identity);
	/* The connections that hosts have to that kernel; at most `room`. Returns how many. */
	size_t (*visits)(void *data, struct kernel *kernel, struct peer_visit *ret_visits, size_t room);
	/* One was made of what a pool of that kernel holds now. */
	void (*thin_snap)(void *data, struct kernel *kernel, const char *pool, const char *identity);
};
void kernel_sim_world_set(struct kernel *kernel, const struct kernel_sim_world *world);

/* Whether writes to a device are under way; without it none are. */
typedef bool (*kernel_sim_writing)(void *data, const char *device);
void kernel_sim_writing_set(struct kernel *kernel, kernel_sim_writing writing, void *data);

/* What a connection that is asked for meets. */
enum kernel_sim_answer {
	KERNEL_SIM_RESET,	 /* nobody listens, or the port rejects */
	KERNEL_SIM_NO_SUBSYSTEM, /* the kernel says so: from Linux 6.10 on a host gives up */
	KERNEL_SIM_NO_HOST,
	KERNEL_SIM_TAKEN,
};

struct kernel_sim_namespace {
	uint8_t uuid[16];
	uint32_t nsid;
	uint64_t size_bytes;
	bool optimized;
	char device[128];
};

struct kernel_sim_namespaces {
	size_t count;
	struct kernel_sim_namespace items[64];
};

/* Its clock must be this kernel's. A probe only asks whether somebody listens and lets it in. */
enum kernel_sim_answer kernel_sim_ask(struct kernel *kernel, uint64_t port, const char *nqn, const char *host_nqn,
				      const char *from_address, bool probe,
				      struct kernel_sim_namespaces *ret_namespaces);
/* The same for a connection that stands: whether it goes on. A host that is denied keeps it, as in nvmet. */
/* Whether the gate of a port lets anybody in. */
bool kernel_sim_is_open(struct kernel *kernel, uint64_t port);
bool kernel_sim_goes_on(struct kernel *kernel, uint64_t port, const char *nqn,
			struct kernel_sim_namespaces *ret_namespaces);

/* Whether what is sent to that subsystem leaves this kernel: to legs of other slots by an open gate alone. Its clock
 * must be this kernel's. */
bool kernel_sim_lets_out(struct kernel *kernel, const char *nqn);

struct kernel_sim_import {
	uint64_t instance, port;
	const char *nqn, *address, *host_nqn, *state; /* borrowed until the next change */
};
/* false: there are not so many. */
bool kernel_sim_import_at(struct kernel *kernel, size_t index, struct kernel_sim_import *ret_import);
/* `namespaces` NULL: it is connecting. */
void kernel_sim_import_show(struct kernel *kernel, uint64_t instance, const struct kernel_sim_namespaces *namespaces);
/* Write the superblocks of mirrors that waited for a path. */
void kernel_sim_superblocks_write(struct kernel *kernel);
/* The kernel gave it up. */
void kernel_sim_import_lose(struct kernel *kernel, uint64_t instance);

/* Let go what holds up I/O for longer than it was to: done before each operation, and by whoever sends I/O. Its clock
 * must be this kernel's. */
void kernel_sim_pauses_look(struct kernel *kernel);
/* The process that holds up the I/O of a volume dies. For tests. */
void kernel_sim_pause_kill(struct kernel *kernel, uint64_t volume);
/* Whether a pool has a thin device of that number. For tests. */
bool kernel_sim_thin_exists(struct kernel *kernel, const char *pool, uint64_t number);

/* A fill ends only when it is told to. */
void kernel_sim_fill_forever(struct kernel *kernel);

/* Operations that changed something so far. */
uint64_t kernel_sim_changes(struct kernel *kernel);

#endif
