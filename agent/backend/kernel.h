/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel as the agent sees it: the one place where it is touched.
 *
 * Two implementations stand behind this table: agent/backend/linux and agent/backend/sim. Every operation is
 * idempotent: to make what is there as asked, or to remove what is gone, succeeds. Every operation may block for long
 * and may be called from any thread; two operations on the same object never run at once (the reconciler's lanes see
 * to that). On failure `error` names the object and what the kernel said.
 *
 * A device in a table is written as "major:minor", or as "@name" for a device-mapper device by name, which the
 * implementation resolves when it loads the table.
 */
#ifndef DNVME_AGENT_BACKEND_KERNEL_H
#define DNVME_AGENT_BACKEND_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "lib/net/peer.h"

#define KERNEL_ANA_OPTIMIZED 1	  /* nvmet makes group 1 with every port */
#define KERNEL_ANA_INACCESSIBLE 2 /* never a group in state "change": it arms a timer in every host of the port */

/* nvmet ports have no name of their own: a disabled referral whose name begins so says whose a port is. */
#define KERNEL_PORT_MARK_PREFIX "dnvme-"

/* The reason to reject connections to a port while the first of its subsystems are linked; other reasons are NQNs. */
#define KERNEL_REJECT_OPENING "opening"

/* A path of which nothing was heard for so long is not there. Keep-alives are answered every second. */
#define KERNEL_PATH_SILENCE_MS 1250

/* A peer that we import from, of which nothing was heard for so long, and which does not answer, is dead. */
#define KERNEL_PEER_DEAD_MS 1500

/* A member that takes longer to flush its cache is looked at again before its mirror relies on it. */
#define KERNEL_FLUSH_MS 1000

/* The target of kmod/: a write is acknowledged when it is durable, its mapping included. */
#define KERNEL_WRITETHROUGH "writethrough"

/* A stock target that may have other devices for writes and for flushes than for reads, and need not delay anything. */
#define KERNEL_DELAY "delay"

/* What the other side exports when all is well. A real kernel finds out; a simulated one shows just this. */
struct kernel_expected {
	uint8_t uuid[16];
	uint64_t size_bytes;
	bool late;		      /* it may come, or grow, after the import was made */
	const struct ld_label *label; /* of a member that was formatted before; NULL */
};

struct kernel_expected_list {
	size_t count;
	struct kernel_expected *items;
};

struct kernel_import {
	const char *nqn;
	const char *address;
	uint64_t port;
	const char *host_nqn;
	uint8_t host_id[16];
	struct kernel_expected_list expected;
};

/* The way to what another node exports. */
struct kernel_path {
	const char *nqn;
	const char *address;
	uint64_t port;
	bool may_lack; /* it need not be imported; when it is, it must be there as the others */
};

struct kernel_path_list {
	size_t count;
	struct kernel_path *items;
};

struct kernel_namespace {
	uint32_t nsid;
	const char *device; /* name of a device-mapper device */
	uint8_t uuid[16];   /* NGUID too */
	uint32_t group;
	uint64_t size_bytes; /* that hosts are to be told; 0: that of the device when it was enabled */
};

/* A node that imports legs of a volume from this one: the address that it connects from, and the volume's port. */
struct kernel_peer {
	const char *address;
	uint64_t port;
	bool admitted; /* it may open connections */
	/* It is let in once in each generation of its volume: the connections of one import, made one right after the
	 * other. 0: as often as it comes. */
	uint64_t volume, generation;
	bool joined; /* out: it was let in, in this generation */
};

struct kernel_peer_list {
	size_t count;
	struct kernel_peer *items;
};

/* The pool and the thin device of a leg that this node assembles. */
struct kernel_pause_leg {
	const char *pool, *thin;
};

struct kernel_pause_leg_list {
	size_t count;
	struct kernel_pause_leg *items;
};

/* An attempt to make a snapshot. Numbers of a volume are never used twice. */
struct kernel_pause {
	uint64_t volume, number;
	uint64_t limit_ms;
	const char *top; /* the device that all I/O of the volume's hosts comes through */
	struct kernel_pause_leg_list legs;
};

/* The progress of an operation that takes long, called on the thread that does it, from time to time. */
struct kernel_progress {
	void *data;
	/* false: end as soon as possible, with CANCELLED. */
	bool (*tell)(void *data, uint64_t done, uint64_t total);
};

struct kernel {
	const struct kernel_operations *operations;
};

struct kernel_operations {
	/* Everything that carries our prefix (of any cluster), all nvmet ports and hosts, all disks. What it points
	 * to lives in `arena`. Does not wait for I/O that is frozen. */
	int (*observe)(struct kernel *kernel, struct arena *arena, struct observed *ret_observed, struct error *error);

	/* Create, load and start. FAILED_PRECONDITION when a device of that name or uuid exists. */
	int (*dm_create)(struct kernel *kernel, const char *name, const char *uuid,
			 const struct observed_target_list *table, struct error *error);
	int (*dm_remove)(struct kernel *kernel, const char *name, struct error *error);
	/* Load another table and switch to it, without waiting for I/O of the old one to be flushed. */
	int (*dm_reload)(struct kernel *kernel, const char *name, const struct observed_target_list *table,
			 struct error *error);
	int (*dm_suspend)(struct kernel *kernel, const char *name, struct error *error);
	int (*dm_resume)(struct kernel *kernel, const char *name, struct error *error);
	/* Wait until all I/O ended that is under way in a device, while new I/O waits. `observe` tells the highest
	 * number of each device with what it saw after that. Forgotten by the next process. */
	int (*dm_drain)(struct kernel *kernel, const char *name, uint64_t number, struct error *error);
	/* What a mirror says of itself now, in `arena`. */
	int (*dm_status)(struct kernel *kernel, const char *name, struct arena *arena, const char **ret_status,
			 struct error *error);
	/* A message to the first target. "File exists" counts as done. */
	int (*dm_message)(struct kernel *kernel, const char *name, const char *message, struct error *error);

	/* Hold up the I/O of a volume's top, once for each number: what is under way ends, what is new waits. A process
	 * does that which outlives this one, and lets go when the limit is over, whatever happens. `observe` tells how
	 * far it came, and so whether it succeeded; this waits for it. FAILED_PRECONDITION when another attempt of the
	 * volume is under way. */
	int (*pause_hold)(struct kernel *kernel, const struct kernel_pause *pause, struct error *error);
	/* Have it make the thin devices of that number, of those of the legs as they are; they are held up meanwhile,
	 * too. It does that only while it holds. "File exists" counts as made. */
	int (*pause_snap)(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
	/* Have it let go, and say whether it held up to then. */
	int (*pause_release)(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
	/* One that is over need not be told of any more. */
	int (*pause_forget)(struct kernel *kernel, uint64_t volume, uint64_t number, struct error *error);
	/* Delete a thin device from a pool, durably; one that is not there counts as deleted. `observe` tells, of each
	 * pool as long as it is there, which were, as far as this process knows. */
	int (*thin_delete)(struct kernel *kernel, const char *pool, uint64_t number, struct error *error);

	/* Whether the kernel has a target of that type, or a module with it that it can load. May wait for the module.
	 */
	int (*dm_has_target)(struct kernel *kernel, const char *type, bool *ret_has, struct error *error);

	/* Regions of a device-mapper device; durable when they return. `start` and `length` are multiples of 4096. */
	int (*block_zero)(struct kernel *kernel, const char *name, uint64_t start, uint64_t length,
			  struct error *error);
	int (*block_read)(struct kernel *kernel, const char *name, uint64_t start, void *ret_data, size_t length,
			  struct error *error);
	int (*block_write)(struct kernel *kernel, const char *name, uint64_t start, const void *data, size_t length,
			   struct error *error);

	/* Have all that was written to a device before on its medium, past every cache. UNAVAILABLE when that was not
	 * answered in so many milliseconds; it may still be under way then. */
	int (*block_flush)(struct kernel *kernel, const char *name, uint64_t timeout_ms, struct error *error);

	/* Write zeros over a device from `start` (bytes) on, past every cache; durable when it returns. `progress` may
	 * be NULL. */
	int (*block_fill)(struct kernel *kernel, const char *name, uint64_t start,
			  const struct kernel_progress *progress, struct error *error);

	/* A marked port with its two ANA groups. FAILED_PRECONDITION when a port of that number is somebody else's. */
	int (*port_create)(struct kernel *kernel, const char *mark, uint64_t id, const char *address,
			   struct error *error);
	int (*port_remove)(struct kernel *kernel, const char *mark, uint64_t id, struct error *error);
	int (*subsystem_create)(struct kernel *kernel, const char *nqn, uint32_t cntlid_min, uint32_t cntlid_max,
				struct error *error);
	int (*subsystem_remove)(struct kernel *kernel, const char *nqn, struct error *error);
	/* Create and enable. */
	int (*namespace_create)(struct kernel *kernel, const char *nqn, const struct kernel_namespace *ns,
				struct error *error);
	int (*namespace_set_group)(struct kernel *kernel, const char *nqn, uint32_t nsid, uint32_t group,
				   struct error *error);
	/* Tell hosts the size that the device has by now; NULL: this kernel is not asked to. `observe` tells which one
	 * they know, as far as this process knows. */
	int (*namespace_resize)(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error);
	/* Disable, which waits for what is in flight, and remove. */
	/* Disable and remove, once nothing is under way to its device: UNAVAILABLE, and nothing done, when there still
	 * is after a second, so that a path that froze holds up nothing but this. */
	int (*namespace_remove)(struct kernel *kernel, const char *nqn, uint32_t nsid, struct error *error);
	int (*host_allow)(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error);
	/* Also removes the host itself when no subsystem admits it any more. Live connections stay: unlink first. */
	int (*host_deny)(struct kernel *kernel, const char *nqn, const char *host_nqn, struct error *error);
	int (*port_link)(struct kernel *kernel, uint64_t port, const char *nqn, struct error *error);
	/* Drops the connections to the subsystem through this port. */
	int (*port_unlink)(struct kernel *kernel, uint64_t port, const char *nqn, struct error *error);

	/* Answer new connections to the port with tcp-reset, until `reason` and all others that were named for the
	 * port are taken back: a host that is told "no such subsystem" may give up for ever. Connections that stand
	 * go on. The port need not be there yet. Ends by itself after half a minute, should nobody take it back. */
	int (*port_reject)(struct kernel *kernel, uint64_t port, const char *reason, struct error *error);
	int (*port_admit)(struct kernel *kernel, uint64_t port, const char *reason, struct error *error);

	/* A number that changes when an import comes, goes, or changes its state or accessibility, and when a
	 * device-mapper device has an event (a mirror lost a member, or completed one), and with each I/O error of an
	 * LD. Cheap, waits for nothing. */
	uint64_t (*watch)(struct kernel *kernel);
	/* Frozen, never failed: no I/O timeout, endless reconnecting. */
	int (*import_connect)(struct kernel *kernel, const struct kernel_import *import, struct error *error);
	int (*import_disconnect)(struct kernel *kernel, const struct kernel_import *import, struct error *error);
	/* Look for namespaces that are new, or larger than they were, as `expected` says. UNAVAILABLE when they are not
	 * there yet; NULL: this kernel is not asked to. */
	int (*import_rescan)(struct kernel *kernel, const struct kernel_import *import, struct error *error);
	/* Give a path up at once, whether its other side lives or not. What waits on it goes to another path of the
	 * subsystem, or fails when there is none. */
	int (*import_drop)(struct kernel *kernel, const struct kernel_import *import, struct error *error);

	/* Whether each path is imported, live, heard of of late, shows a namespace, and all that it shows are
	 * accessible. From what the kernel knows of its connections: sends nothing, waits for no I/O, costs little for
	 * hundreds. */
	int (*imports_check)(struct kernel *kernel, const struct kernel_path_list *paths, bool *ret_all_there,
			     struct error *error);

	/* To be called each quarter of a second, by one thread at a time: starts what sends keep-alives to Disk Nodes,
	 * if it does not run (lib/net/keep_alive.h), and ends connections to peers that are silent for
	 * KERNEL_PEER_DEAD_MS and do not answer, so that their paths are given up soon. Blocks for 150 ms for each. */
	int (*imports_tend)(struct kernel *kernel, struct error *error);

	/* The gate before a TCP port on which this node serves: packets to it pass while the port's element is there,
	 * those of established connections too, and are answered with a reset otherwise. The element runs out by
	 * itself, whatever becomes of this process.
	 *
	 * Guard the port. An element that is there, from an earlier process, is left as it is; once guarded, the port
	 * is unguarded at no moment. FAILED_PRECONDITION, with a hint, where the kernel cannot do it. */
	int (*gate_guard)(struct kernel *kernel, uint64_t port, struct error *error);
	/* The element, which is there, runs until `until_ms` on the boot clock from now on. When that moment is past,
	 * before the call or after it, the gate is shut and DEADLINE_EXCEEDED is returned. NOT_FOUND when it had run
	 * out: the gate stays shut. Guards the port again when somebody took the rules away. */
	int (*gate_refresh)(struct kernel *kernel, uint64_t port, uint64_t until_ms, struct error *error);
	/* The same, whether it was there or not. While a gate is shut nothing goes from here to the legs of other
	 * slots that are imported. So it stays shut, and CONFLICT is returned, when some are, by another subsystem than
	 * the `harmless`: what waits for them may be older than what hosts wrote elsewhere. UNAVAILABLE, and it stays
	 * shut, while a write to a volume that began before it was shut is under way: a host that comes back repeats
	 * that by another connection, which may be quicker. */
	int (*gate_open)(struct kernel *kernel, uint64_t port, uint64_t until_ms, const struct string_list *harmless,
			 struct error *error);
	/* Shut at once. */
	int (*gate_shut)(struct kernel *kernel, uint64_t port, struct error *error);
	/* From now on `port`, that of a volume's legs, is open only while the gate is, too; new connections to it come
	 * in only from peers that gate_admit() admitted there; and those that stand go on as long as something comes
	 * from the peer, at any port that joined, at least every LIMIT_PEER_SILENCE_MS: then all that comes is answered
	 * with a reset, and new ones get in when the old ones must be gone. */
	int (*gate_join)(struct kernel *kernel, uint64_t gate, uint64_t port, struct error *error);
	int (*gate_leave)(struct kernel *kernel, uint64_t port, struct error *error);
	/* Of these peers, let new connections in from those that are admitted, for `timeout_ms` from now on, and answer
	 * those of all others with a reset. Ports that are named join. The kernel itself remembers who was let in,
	 * whatever becomes of this process: no reconnect is too quick for that. Probes (peer_try()) do not count. Says
	 * who was, if anybody is admitted. */
	int (*gate_admit)(struct kernel *kernel, uint64_t port, struct kernel_peer_list *peers, uint64_t timeout_ms,
			  struct error *error);
	/* Milliseconds that are left; 0: shut. FAILED_PRECONDITION when the port is not guarded. */
	int (*gate_read)(struct kernel *kernel, uint64_t port, uint64_t *ret_remaining_ms, struct error *error);

	/* The connections that hosts have to a port here, as peer_visits() has them. */
	int (*hosts_look)(struct kernel *kernel, uint64_t port, struct peer_visit **ret_visits, size_t *ret_count,
			  struct error *error);

	/* The kernel itself records which LDs return I/O errors, whatever becomes of this process, until the machine
	 * boots; `observe` tells. From now on what an LD returned before does not count: it is rebuilt, in the rebuild
	 * that began at `rebuild_ms`, or (0) nothing of value was on it. */
	int (*errors_forget)(struct kernel *kernel, uint64_t ld, uint64_t rebuild_ms, struct error *error);

	/* Switch the volatile write cache of a disk off, and have on its medium what it held. The disk is asked whether
	 * it is off then, and `observe` tells from now on what it said. FAILED_PRECONDITION when it is on all the same:
	 * then that disk is not switchable for some time. What a kernel believes of a cache is never changed: it would
	 * not flush any more. */
	int (*cache_off)(struct kernel *kernel, const char *path, struct error *error);

	/* Accepts NULL. No operation may be under way. */
	void (*close)(struct kernel *kernel);
};

/* The kernel of this machine. `error` tells what is missing (device-mapper control, configfs, NVMe fabrics). */
int kernel_linux_open(struct kernel **ret_kernel, struct error *error);

/* What the program is when that is its first argument: the process that holds up the I/O of a volume. The backend
 * starts it; nobody else does. Returns the exit status. */
#define KERNEL_LINUX_PAUSE "pause"

/* The process that sends keep-alives to Disk Nodes: "keep-alive", and the number of the agent's process. */
#define KERNEL_LINUX_KEEP_ALIVE "keep-alive"
int kernel_linux_keep_alive(const char *parent);
int kernel_linux_pause(int argument_count, char **arguments);

/* A kernel in memory; see agent/backend/sim/sim.h for what it knows. */

#endif
