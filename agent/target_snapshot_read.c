/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots that hosts read, on a controller of their volume. docs/ARCHITECTURE.md, "A snapshot that hosts read".
 *
 *   each own leg    snapthin in the leg's pool, and on it snapread, which takes no writes: they go to snaperror
 *   for the others  the snapreads as one subsystem, at a port of the volume's own
 *   for hosts       snapshot: own and imported legs striped; errors while the slot is not served
 *
 * All of it is in a lane of its own: the volume waits for none of it.
 */
#include "agent/target.h"

#include <inttypes.h>
#include <stdio.h>

#include "agent/list.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

struct snapshot_builder {
	struct target_builder *builder;
	const struct desired_volume *volume;
	const struct desired_snapshot *snapshot;
	struct owner owner;
	uint64_t leg_sectors, port;
};

static struct target_dm *dm_add(struct snapshot_builder *this, const char *kind, const struct desired_leg *leg)
{
	char id[NAMES_ID_SIZE * 3];

	if (leg == NULL)
		return target_dm_add(this->builder, &this->owner, kind, this->owner.id, this->owner.id, 0);
	snprintf(id, sizeof(id), "v%" PRIu64 ".l%" PRIu64 ".t%" PRIu64, this->volume->id, leg->index,
		 this->snapshot->thin);
	return target_dm_add(this->builder, &this->owner, kind, id, id, leg->epoch);
}

/* A device that is marked read-only nvmet does not open, and what lies on such a one may be written all the same: so
 * writes have another device than reads, where they fail. Flushes change nothing. */
static int leg_add(struct snapshot_builder *this, const struct desired_leg *leg, const char *errors)
{
	struct arena *arena = this->builder->arena;
	struct target_dm *thin = dm_add(this, "snapthin", leg), *read;
	const char *name;

	if (thin == NULL)
		return -1;
	name = thin->name;
	if (target_table_add(arena, &thin->table, this->leg_sectors, "thin",
			     "@" NAMES_DM_PREFIX "pool-v%" PRIu64 ".l%" PRIu64 " %" PRIu64, this->volume->id,
			     leg->index, this->snapshot->thin) != 0)
		return -1;
	read = dm_add(this, "snapread", leg);
	return read == NULL ? -1
			    : target_table_add(arena, &read->table, this->leg_sectors, KERNEL_DELAY,
					       "@%s 0 0 @%s 0 0 @%s 0 0", name, errors, name);
}

static int legs_add(struct snapshot_builder *this)
{
	struct target_dm *errors = dm_add(this, "snaperror", NULL);
	const char *name;

	if (errors == NULL)
		return -1;
	name = errors->name;
	if (target_table_add(this->builder->arena, &errors->table, this->leg_sectors, "error", "%s", "") != 0)
		return -1;
	for (size_t i = 0; i < this->volume->legs.count; i++) {
		if (this->volume->legs.items[i].local && leg_add(this, &this->volume->legs.items[i], name) != 0)
			return -1;
	}
	return 0;
}

/* The volume's own port for all of its snapshots. Disks came first; the node's port comes last, and must not lose. */
static int port_add(struct snapshot_builder *this)
{
	const struct target_port_list *ports = &this->builder->target->ports;
	struct owner owner;

	owner_port_make(0, this->port, &owner);
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->items[i].id == this->port)
			return ports->items[i].owner.kind == 0 ? 0 : 1; /* 0: it was added for another snapshot */
	}
	if (this->port == this->builder->desired->port)
		return 1;
	return target_port_add(this->builder, &owner, this->port, this->builder->desired->address, 0);
}

/* The same for all other controllers: what is read never changes, so it does not matter who reads it when. */
static int consumers_add(struct snapshot_builder *this)
{
	struct target_subsystem *subsystem = NULL;
	char nqn[NAMES_NQN_SIZE], id[NAMES_ID_SIZE * 3], name[NAMES_DM_SIZE];
	const char *cluster = this->builder->target->cluster;

	for (size_t i = 0; i < this->volume->legs.count; i++) {
		const struct desired_leg *leg = &this->volume->legs.items[i];
		struct kernel_namespace *ns;

		if (!leg->local)
			continue;
		if (subsystem == NULL) {
			names_snapshot_leg_nqn(cluster, this->volume->id, leg->slot, this->snapshot->thin, nqn);
			subsystem = target_subsystem_add(this->builder, nqn, this->port);
			if (subsystem == NULL)
				return -1;
			subsystem->owner = this->owner;
			/* A node that leaves does no harm; to drop it would drop all others with it. */
			subsystem->closed = true;
			for (size_t j = 0; j < this->snapshot->controllers.count; j++) {
				if (list_push_string(this->builder->arena, &subsystem->hosts,
						     this->snapshot->controllers.items[j]) != 0)
					return -1;
			}
		}
		ns = LIST_PUSH(this->builder->arena, &subsystem->namespaces);
		if (ns == NULL)
			return -1;
		snprintf(id, sizeof(id), "v%" PRIu64 ".l%" PRIu64 ".t%" PRIu64, this->volume->id, leg->index,
			 this->snapshot->thin);
		names_dm_name("snapread", id, name);
		ns->device = arena_strdup(this->builder->arena, name);
		ns->nsid = (uint32_t)leg->nsid;
		ns->group = KERNEL_ANA_OPTIMIZED;
		names_snapshot_leg_uuid(cluster, this->volume->id, leg->index, this->snapshot->thin, ns->uuid);
		if (ns->device == NULL)
			return -1;
	}
	return 0;
}

static int imports_add(struct snapshot_builder *this)
{
	const char *cluster = this->builder->target->cluster;
	char nqn[NAMES_NQN_SIZE];
	uint8_t uuid[16];

	for (size_t i = 0; i < this->volume->legs.count; i++) {
		const struct desired_leg *leg = &this->volume->legs.items[i];

		if (leg->local)
			continue;
		if (leg->address == NULL)
			return target_problem_add(this->builder, &this->owner, "remote leg %" PRIu64 " has no address",
						  leg->index);
		names_snapshot_leg_nqn(cluster, this->volume->id, leg->slot, this->snapshot->thin, nqn);
		names_snapshot_leg_uuid(cluster, this->volume->id, leg->index, this->snapshot->thin, uuid);
		if (target_import_add(this->builder, nqn, leg->address, this->port, uuid,
				      this->leg_sectors * LIMIT_SECTOR_BYTES, false) != 0)
			return -1;
	}
	return 0;
}

static int stripe_add(struct snapshot_builder *this, struct target_dm *dm, uint64_t sectors)
{
	const struct desired_leg_list *legs = &this->volume->legs;
	char params[LIMIT_DM_PARAMS + 1], text[UUID_TEXT_SIZE];
	uint8_t uuid[16];
	size_t used = (size_t)snprintf(params, sizeof(params), "%zu %" PRIu64, legs->count,
				       this->volume->stripe_bytes / LIMIT_SECTOR_BYTES);

	/* At most LIMIT_LEGS entries of 50 bytes: fits. */
	for (size_t i = 0; i < legs->count; i++) {
		const struct desired_leg *leg = &legs->items[i];

		names_snapshot_leg_uuid(this->builder->target->cluster, this->volume->id, leg->index,
					this->snapshot->thin, uuid);
		uuid_text_format(uuid, text);
		if (leg->local)
			used += (size_t)snprintf(params + used, sizeof(params) - used,
						 " @" NAMES_DM_PREFIX "snapread-v%" PRIu64 ".l%" PRIu64 ".t%" PRIu64
						 " 0",
						 this->volume->id, leg->index, this->snapshot->thin);
		else
			used += (size_t)snprintf(params + used, sizeof(params) - used, " %%%s 0", text);
	}
	return target_table_add(this->builder->arena, &dm->table, sectors, "striped", "%s", params);
}

static int top_add(struct snapshot_builder *this)
{
	const struct desired_snapshot *snapshot = this->snapshot;
	const char *cluster = this->builder->target->cluster;
	uint64_t sectors = snapshot->size_bytes / LIMIT_SECTOR_BYTES;
	struct target_dm *dm = dm_add(this, "snapshot", NULL);
	struct target_subsystem *subsystem;
	struct kernel_namespace *ns;
	char nqn[NAMES_NQN_SIZE];
	int result;

	if (dm == NULL)
		return -1;
	dm->role = TARGET_DM_VOLUME;
	result = snapshot->served ? stripe_add(this, dm, sectors)
				  : target_table_add(this->builder->arena, &dm->table, sectors, "error", "%s", "");
	if (result != 0)
		return result;
	names_snapshot_nqn(cluster, this->volume->id, snapshot->thin, nqn);
	subsystem = target_subsystem_add(this->builder, nqn, this->builder->desired->port);
	if (subsystem == NULL)
		return -1;
	subsystem->owner = this->owner;
	subsystem->waits = true;
	for (size_t i = 0; i < snapshot->hosts.count; i++) {
		if (list_push_string(this->builder->arena, &subsystem->hosts, snapshot->hosts.items[i]) != 0)
			return -1;
	}
	ns = LIST_PUSH(this->builder->arena, &subsystem->namespaces);
	if (ns == NULL)
		return -1;
	ns->nsid = 1;
	ns->device = dm->name;
	ns->group = snapshot->served ? KERNEL_ANA_OPTIMIZED : KERNEL_ANA_INACCESSIBLE;
	names_snapshot_uuid(cluster, this->volume->id, snapshot->thin, ns->uuid);
	return 0;
}

static int snapshot_add(struct snapshot_builder *this)
{
	size_t problems = this->builder->target->problems.count;
	int result;

	owner_snapshot_make(this->volume->id, this->snapshot->thin, &this->owner);
	if (!this->snapshot->served)
		return top_add(this);
	if (this->volume->legs.count == 0)
		return target_problem_add(this->builder, &this->owner, "it has no legs");
	this->leg_sectors = this->snapshot->size_bytes / this->volume->legs.count / LIMIT_SECTOR_BYTES;
	if (this->leg_sectors * LIMIT_SECTOR_BYTES * this->volume->legs.count != this->snapshot->size_bytes)
		return target_problem_add(this->builder, &this->owner,
					  "%" PRIu64 " bytes are no whole sectors of %zu legs",
					  this->snapshot->size_bytes, this->volume->legs.count);
	if (this->volume->leg_port != 0) {
		this->port = this->volume->leg_port - LIMIT_SNAPSHOT_PORT_OFFSET;
		result = port_add(this);
		if (result == 1)
			return target_problem_add(this->builder, &this->owner,
						  "nvmet port %" PRIu64 " is used by something else", this->port);
		if (result != 0 || imports_add(this) != 0)
			return -1;
	}
	if (this->builder->target->problems.count > problems)
		return 0;
	if (legs_add(this) != 0 || (this->port != 0 && consumers_add(this) != 0))
		return -1;
	return top_add(this);
}

int target_snapshot_reads_add(struct target_builder *builder, const struct desired_volume *volume)
{
	for (size_t i = 0; i < volume->snapshots.count; i++) {
		struct snapshot_builder this = { .builder = builder,
						 .volume = volume,
						 .snapshot = &volume->snapshots.items[i] };

		if (snapshot_add(&this) != 0)
			return -1;
	}
	return 0;
}
