/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel shall hold, derived from the desired state: a pure function.
 *
 * Devices in tables are references that the plan resolves: "@name" a device-mapper device, "%uuid" an imported
 * namespace, "=path" a disk.
 */
#ifndef DNVME_AGENT_TARGET_H
#define DNVME_AGENT_TARGET_H

#include "agent/backend/kernel.h"
#include "agent/name_index.h"
#include "agent/owner.h"

struct target_label {
	const char *device; /* dm name of the slice */
	const char *uuid;   /* and its uuid */
	struct ld_label label;
};

struct target_label_list {
	size_t count;
	struct target_label *items;
};

/* A leg that this node assembles. */
struct target_leg {
	bool format; /* wipe and format unless all labels say that this was done */
	bool thick;  /* map every block before the labels are written */
	bool anew; /* a group that is not part of its leg yet: what was formatted in an earlier epoch does not count */
	struct owner owner;
	const char *thin;		 /* dm name of the thin device: with it the leg is made, and is labelled */
	const char *top;		 /* dm name of what all others use: the thin device, or what stands on it */
	struct target_label_list labels; /* of the members in sync: they decide */
	/* Of one that grows: the blocks from here on are to be mapped, until a label in `marks` says that they are. */
	uint64_t fill_from_bytes, fill_to_bytes;
	struct target_label_list marks;
};

struct target_zero {
	const char *device;
	uint64_t start, length;
};

struct target_zero_list {
	size_t count;
	struct target_zero *items;
};

/* An LD of a mirror. Devices and label are NULL for one that is stale. */
struct target_member {
	uint64_t ld;
	enum ld_state state;
	bool unlabelled; /* rebuilding: whatever is in place of a label does not matter */
	bool resync;	 /* rebuilding: by what the group's bitmap says that it missed */
	bool withheld;	 /* in sync, but its group must not go on with it alone */
	const char *raid_metadata, *raid_data;
	uint64_t raid_metadata_bytes;
	struct target_label label; /* of a member that holds everything */
};

/* A mirror: which members its running table has, and how it comes to have others, is for the plan to find out. */
struct target_group {
	size_t count;
	size_t copies; /* without the one that leaves for another disk */
	size_t places; /* of a table with those in sync: that one has none any more when it is stale */
	struct target_member members[LIMIT_MEMBERS];
	uint64_t sectors, region_sectors;
	uint64_t rebuild_kib; /* KiB a second, 0: no limit */
};

enum target_dm_role {
	TARGET_DM_PLAIN,
	TARGET_DM_STORE,  /* group, pool or thin device of a leg: made only when the leg's labels are known */
	TARGET_DM_VOLUME, /* top of a volume: its table may be replaced while it is in use */
	TARGET_DM_PARKED, /* errors only, under an export that is shut out */
};

struct target_disk {
	struct owner owner;
	const char *path;
	bool volatile_cache; /* its write cache may be on */
};

struct target_disk_list {
	size_t count;
	struct target_disk *items;
};

/* What the label of an LD must say before its Disk Node exports it, and its disk be. */
struct target_guard {
	uint64_t ld, volume, epoch;
	uint64_t rebuild_ms; /* since_ms of the rebuild that it is in; 0: none */
	bool formatted;	     /* there must be a label */
	const struct target_disk *disk;
};

struct target_dm {
	const char *name;
	const char *uuid;
	enum target_dm_role role;
	struct owner owner;
	struct observed_target_list table;
	const struct target_guard *guard; /* of an LD; NULL */
	bool may_grow;			  /* to a larger table of the same kind, while it is in use */
	uint64_t drain; /* I/O that was under way when this number was asked for shall end; 0: none was */
	/* Of TARGET_DM_STORE, used only when the leg is being formatted: */
	const struct target_leg *leg;
	const struct target_group *group;	  /* of a mirror; `table` has its members in sync */
	struct observed_target_list format_table; /* instead of `table`, when not empty */
	struct target_zero_list zeros;		  /* regions to clear before */
	const char *message_device, *message;	  /* message to send before */
};

struct target_dm_list {
	size_t count;
	struct target_dm *items;
};

struct target_import {
	struct owner owner;
	struct kernel_import import;
};

struct target_import_list {
	size_t count;
	struct target_import *items;
};

struct target_port {
	struct owner owner;
	uint64_t id;
	const char *address;
	uint64_t gate; /* of exports to consumers: the port whose lease counts here, too; 0 */
};

struct target_port_list {
	size_t count;
	struct target_port *items;
};

struct kernel_namespace_list {
	size_t count;
	struct kernel_namespace *items;
};

struct target_subsystem {
	struct owner owner;
	const char *nqn;
	uint32_t cntlid_min, cntlid_max;
	uint64_t port;
	bool parked; /* its host is shut out, and goes on queueing */
	bool closed; /* other hosts than `hosts` may not connect any more; connections that are there go on */
	bool waits;  /* what it exports may be long in coming, so the port is opened without it */
	struct string_list hosts;
	struct kernel_namespace_list namespaces;
};

struct target_subsystem_list {
	size_t count;
	struct target_subsystem *items;
};

/* An attempt to make a snapshot, and what this node is to do for it. */
struct target_pause {
	struct owner owner;
	enum pause_phase phase;
	struct kernel_pause pause;
};

struct target_pause_list {
	size_t count;
	struct target_pause *items;
};

/* A thin device that is not to be in a pool. */
struct target_drop {
	struct owner owner;
	const char *pool;
	const char *device; /* that has it open while hosts read it */
	uint64_t volume, number;
};

struct target_drop_list {
	size_t count;
	struct target_drop *items;
};

/* What cannot be made because the desired state contradicts itself. */
struct target_problem {
	struct owner owner;
	const char *text;
};

struct target_problem_list {
	size_t count;
	struct target_problem *items;
};

struct target {
	const char *cluster;
	const char *host_nqn; /* only imports made as this host are ours */
	struct target_disk_list disks;
	struct target_port_list ports;
	struct target_import_list imports;
	struct target_dm_list dms; /* each behind those that it lies on */
	struct name_index dms_by_name, dms_by_uuid;
	struct target_subsystem_list subsystems;
	struct name_index subsystems_by_nqn;
	struct target_pause_list pauses;
	struct target_drop_list drops;
	struct target_problem_list problems;
};

/* Everything lives in `arena`; nothing points into `desired` afterwards. INTERNAL when memory is exhausted. */
int target_build(const struct desired *desired, struct arena *arena, struct target *ret_target, struct error *error);

/* Shared by the parts of the builder; each returns 0 or -1 when memory is exhausted. */
struct target_builder {
	const struct desired *desired;
	struct arena *arena;
	struct target *target;
};
int target_table_add(struct arena *arena, struct observed_target_list *table, uint64_t length, const char *type,
		     const char *format, ...) __attribute__((format(printf, 5, 6)));
struct target_dm *target_dm_add(struct target_builder *builder, const struct owner *owner, const char *kind,
				const char *name_id, const char *uuid_id, uint64_t epoch);
int target_import_add(struct target_builder *builder, const char *nqn, const char *address, uint64_t port,
		      const uint8_t uuid[16], uint64_t size_bytes, bool late);
int target_problem_add(struct target_builder *builder, const struct owner *owner, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The groups, pool and thin device of a local leg, and its exports to consumers. */
int target_leg_add(struct target_builder *builder, const struct desired_volume *volume, const struct desired_leg *leg);
/* NULL when memory is exhausted. */
struct target_subsystem *target_subsystem_add(struct target_builder *builder, const char *nqn, uint64_t port);
int target_port_add(struct target_builder *builder, const struct owner *owner, uint64_t id, const char *address,
		    uint64_t gate);
/* The snapshots that hosts read. */
int target_snapshot_reads_add(struct target_builder *builder, const struct desired_volume *volume);
/* What an active controller does for snapshots. */
int target_snapshots_add(struct target_builder *builder, const struct desired_volume *volume);

#endif
