/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/target.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

int target_table_add(struct arena *arena, struct observed_target_list *table, uint64_t length, const char *type,
		     const char *format, ...)
{
	uint64_t start = 0;
	struct observed_target *line;
	char params[LIMIT_DM_PARAMS + 1];
	va_list arguments;

	if (table->count > 0)
		start = table->items[table->count - 1].start + table->items[table->count - 1].length;
	va_start(arguments, format);
	vsnprintf(params, sizeof(params), format, arguments);
	va_end(arguments);
	line = LIST_PUSH(arena, table);
	if (line == NULL)
		return -1;
	*line = (struct observed_target){
		.start = start,
		.length = length,
		.type = arena_strdup(arena, type),
		.params = arena_strdup(arena, params),
	};
	return line->type != NULL && line->params != NULL ? 0 : -1;
}

struct target_dm *target_dm_add(struct target_builder *builder, const struct owner *owner, const char *kind,
				const char *name_id, const char *uuid_id, uint64_t epoch)
{
	char name[NAMES_DM_SIZE], uuid[NAMES_DM_UUID_SIZE];
	struct target_dm *dm = LIST_PUSH(builder->arena, &builder->target->dms);

	if (dm == NULL)
		return NULL;
	names_dm_name(kind, name_id, name);
	names_dm_uuid(builder->target->cluster, kind, uuid_id, epoch, uuid);
	dm->owner = *owner;
	dm->name = arena_strdup(builder->arena, name);
	dm->uuid = arena_strdup(builder->arena, uuid);
	return dm->name != NULL && dm->uuid != NULL ? dm : NULL;
}

int target_problem_add(struct target_builder *builder, const struct owner *owner, const char *format, ...)
{
	struct target_problem *problem = LIST_PUSH(builder->arena, &builder->target->problems);
	char text[ERROR_MESSAGE_SIZE];
	va_list arguments;

	if (problem == NULL)
		return -1;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	problem->owner = *owner;
	problem->text = arena_strdup(builder->arena, text);
	return problem->text != NULL ? 0 : -1;
}

static int expected_add(struct target_builder *builder, struct kernel_import *import, const uint8_t uuid[16],
			uint64_t size_bytes, bool late)
{
	struct kernel_expected *expected = LIST_PUSH(builder->arena, &import->expected);

	if (expected == NULL)
		return -1;
	memcpy(expected->uuid, uuid, sizeof(expected->uuid));
	expected->size_bytes = size_bytes;
	expected->late = late;
	return 0;
}

int target_import_add(struct target_builder *builder, const char *nqn, const char *address, uint64_t port,
		      const uint8_t uuid[16], uint64_t size_bytes, bool late)
{
	struct target *target = builder->target;
	struct target_import *import;
	struct owner owner = { 0 };

	for (size_t i = 0; i < target->imports.count; i++) {
		struct kernel_import *known = &target->imports.items[i].import;

		if (strcmp(known->nqn, nqn) == 0 && strcmp(known->address, address) == 0 && known->port == port)
			return expected_add(builder, known, uuid, size_bytes, late);
	}
	if (!owner_of_import(target->cluster, nqn, &owner))
		return target_problem_add(builder, &owner, "%s is not a name of this cluster", nqn);
	import = LIST_PUSH(builder->arena, &target->imports);
	if (import == NULL)
		return -1;
	import->owner = owner;
	import->import.nqn = arena_strdup(builder->arena, nqn);
	import->import.address = arena_strdup(builder->arena, address);
	import->import.port = port;
	import->import.host_nqn = target->host_nqn;
	uuid_from_name(target->host_nqn, import->import.host_id);
	if (import->import.nqn == NULL || import->import.address == NULL)
		return -1;
	return expected_add(builder, &import->import, uuid, size_bytes, late);
}

struct target_subsystem *target_subsystem_add(struct target_builder *builder, const char *nqn, uint64_t port)
{
	struct target_subsystem *subsystem = LIST_PUSH(builder->arena, &builder->target->subsystems);

	if (subsystem == NULL)
		return NULL;
	subsystem->nqn = arena_strdup(builder->arena, nqn);
	subsystem->cntlid_min = names_cntlid_min(builder->desired->colour);
	subsystem->cntlid_max = names_cntlid_max(builder->desired->colour);
	subsystem->port = port;
	return subsystem->nqn != NULL ? subsystem : NULL;
}

int target_port_add(struct target_builder *builder, const struct owner *owner, uint64_t id, const char *address,
		    uint64_t gate)
{
	struct target_port *port;

	for (size_t i = 0; i < builder->target->ports.count; i++) {
		if (builder->target->ports.items[i].id == id)
			return target_problem_add(builder, owner, "nvmet port %" PRIu64 " is wanted twice", id);
	}
	port = LIST_PUSH(builder->arena, &builder->target->ports);
	if (port == NULL)
		return -1;
	port->owner = *owner;
	port->id = id;
	port->gate = gate;
	port->address = arena_strdup(builder->arena, address);
	return port->address != NULL ? 0 : -1;
}

/* One for each disk of the desired state, in its order. */
static int disk_add(struct target_builder *builder, const struct desired_disk *disk)
{
	struct target_disk *added = LIST_PUSH(builder->arena, &builder->target->disks);

	if (added == NULL)
		return -1;
	owner_port_make(disk->id, disk->port, &added->owner);
	added->volatile_cache = disk->volatile_cache;
	added->path = arena_strdup(builder->arena, disk->path);
	if (added->path == NULL)
		return -1;
	if (strpbrk(disk->path, " \t") != NULL)
		return target_problem_add(builder, &added->owner, "the path \"%s\" contains a space", disk->path);
	return target_port_add(builder, &added->owner, disk->port, disk->address, 0);
}

static int ld_add(struct target_builder *builder, const struct owner *owner, const struct desired_export *export,
		  const struct desired_disk *disk, const struct desired_ld *ld, const char **ret_name)
{
	char ld_text[NAMES_ID_SIZE], id[OWNER_ID_SIZE + NAMES_ID_SIZE + 1];
	struct target_guard *guard;
	struct target_dm *dm;

	names_id_format("ld", ld->id, ld_text);
	snprintf(id, sizeof(id), "%s.%s", owner->id, ld_text);
	dm = target_dm_add(builder, owner, "ld", ld_text, id, export->epoch);
	if (dm == NULL)
		return -1;
	*ret_name = dm->name;
	guard = arena_alloc(builder->arena, sizeof(*guard));
	if (guard == NULL)
		return -1;
	*guard = (struct target_guard){
		.ld = ld->id,
		.volume = export->volume,
		.epoch = export->epoch,
		.rebuild_ms = ld->rebuild_ms,
		.formatted = ld->formatted,
		.disk = &builder->target->disks.items[disk - builder->desired->disks.items],
	};
	dm->guard = guard;
	for (size_t i = 0; i < ld->ranges.count; i++) {
		const struct byte_range *range = &ld->ranges.items[i];

		if (range->start_bytes % LIMIT_SECTOR_BYTES != 0 || range->length_bytes % LIMIT_SECTOR_BYTES != 0)
			return target_problem_add(builder, owner, "%s does not lie on whole sectors", ld_text);
		/* Bounded: LIMIT_RANGES_PER_LD ranges of at most 2^53 sectors. */
		if (target_table_add(builder->arena, &dm->table, range->length_bytes / LIMIT_SECTOR_BYTES, "linear",
				     "=%s %" PRIu64, disk->path, range->start_bytes / LIMIT_SECTOR_BYTES) != 0)
			return -1;
	}
	return 0;
}

/* A namespace of an export that is shut out: nothing is below it, so that nothing of its host reaches a medium. */
static int parked_namespace_add(struct target_builder *builder, struct target_subsystem *subsystem, const char *name_id,
				const char *uuid_id, uint64_t epoch, uint64_t nsid, const uint8_t uuid[16],
				uint64_t size_bytes)
{
	struct kernel_namespace *ns = LIST_PUSH(builder->arena, &subsystem->namespaces);
	struct target_dm *dm = target_dm_add(builder, &subsystem->owner, "parked", name_id, uuid_id, epoch);

	if (ns == NULL || dm == NULL)
		return -1;
	dm->role = TARGET_DM_PARKED;
	dm->may_grow = true;
	ns->nsid = (uint32_t)nsid;
	ns->device = dm->name;
	ns->group = KERNEL_ANA_INACCESSIBLE;
	memcpy(ns->uuid, uuid, sizeof(ns->uuid));
	return target_table_add(builder->arena, &dm->table, size_bytes / LIMIT_SECTOR_BYTES, "error", "%s", "");
}

static int parked_add(struct target_builder *builder, const struct owner *owner, uint64_t port,
		      const struct desired_parked *parked)
{
	char name[OWNER_ID_SIZE + 64], id[OWNER_ID_SIZE + 32];
	struct target_subsystem *subsystem;
	struct owner parked_owner;

	if (!owner_of_subsystem(builder->target->cluster, parked->nqn, &parked_owner) ||
	    !owner_is(&parked_owner, OBJECT_KIND_EXPORT, owner->id))
		return target_problem_add(builder, owner, "%s is not the name of export %s of this cluster",
					  parked->nqn, owner->id);
	subsystem = target_subsystem_add(builder, parked->nqn, port);
	if (subsystem == NULL || list_push_string(builder->arena, &subsystem->hosts, parked->host_nqn) != 0)
		return -1;
	subsystem->owner = *owner;
	subsystem->parked = true;
	for (size_t i = 0; i < parked->lds.count; i++) {
		const struct desired_parked_ld *ld = &parked->lds.items[i];

		/* Names carry the epoch: exports of several epochs may wait at once. */
		snprintf(name, sizeof(name), "%s.n%" PRIu64 ".e%" PRIu64, owner->id, ld->nsid, parked->epoch);
		snprintf(id, sizeof(id), "%s.n%" PRIu64, owner->id, ld->nsid);
		if (parked_namespace_add(builder, subsystem, name, id, parked->epoch, ld->nsid, ld->uuid,
					 ld->size_bytes) != 0)
			return -1;
	}
	return 0;
}

static int export_add(struct target_builder *builder, const struct desired_export *export)
{
	const struct desired_disk *disk = NULL;
	struct target_subsystem *subsystem;
	struct owner owner;

	for (size_t i = 0; i < builder->desired->disks.count; i++) {
		if (builder->desired->disks.items[i].id == export->disk)
			disk = &builder->desired->disks.items[i];
	}
	if (!owner_of_subsystem(builder->target->cluster, export->nqn, &owner) ||
	    !owner_is(&owner, OBJECT_KIND_EXPORT, export->id)) {
		owner = (struct owner){ .kind = OBJECT_KIND_EXPORT };
		snprintf(owner.id, sizeof(owner.id), "%s", export->id);
		return target_problem_add(builder, &owner, "%s is not the name of export %s of this cluster",
					  export->nqn, export->id);
	}
	if (disk == NULL)
		return target_problem_add(builder, &owner, "disk d%" PRIu64 " is not desired on this node",
					  export->disk);
	for (size_t i = 0; i < export->parked.count; i++) {
		if (parked_add(builder, &owner, disk->port, &export->parked.items[i]) != 0)
			return -1;
	}
	subsystem = target_subsystem_add(builder, export->nqn, disk->port);
	if (subsystem == NULL)
		return -1;
	subsystem->owner = owner;
	if (list_push_string(builder->arena, &subsystem->hosts, export->host_nqn) != 0)
		return -1;
	for (size_t i = 0; i < export->lds.count; i++) {
		const struct desired_ld *ld = &export->lds.items[i];
		struct kernel_namespace *ns = LIST_PUSH(builder->arena, &subsystem->namespaces);

		if (ns == NULL)
			return -1;
		ns->nsid = (uint32_t)ld->nsid;
		ns->group = ld->withheld ? KERNEL_ANA_INACCESSIBLE : KERNEL_ANA_OPTIMIZED;
		memcpy(ns->uuid, ld->uuid, sizeof(ns->uuid));
		if (ld_add(builder, &owner, export, disk, ld, &ns->device) != 0)
			return -1;
	}
	return 0;
}

/* The volume's own port: nobody can ask there for what another volume exports, or this one does not yet. It is made
 * before there is anything to export: until the first link nobody listens. */
static int leg_port_add(struct target_builder *builder, const struct desired_volume *volume)
{
	struct owner owner;

	if (volume->leg_port == 0)
		return 0;
	owner_leg_port_make(volume->id, volume->leg_port, &owner);
	return target_port_add(builder, &owner, volume->leg_port, builder->desired->address, builder->desired->port);
}

/* What this node exports of its legs to one other active controller. */
static int consumer_add(struct target_builder *builder, const struct desired_volume *volume,
			const struct desired_consumer *consumer)
{
	struct target_subsystem *subsystem = NULL;
	struct owner owner = { .kind = OBJECT_KIND_CONSUMER };
	char id[OWNER_LANE_SIZE], uuid_id[OWNER_LANE_SIZE + NAMES_ID_SIZE], name[NAMES_DM_SIZE];
	uint8_t uuid[16];

	snprintf(owner.id, sizeof(owner.id), "%s", consumer->id);
	for (size_t i = 0; i < volume->legs.count; i++) {
		const struct desired_leg *leg = &volume->legs.items[i];
		struct kernel_namespace *ns;

		if (!leg->local)
			continue;
		if (subsystem == NULL) {
			if (!owner_of_subsystem(builder->target->cluster, consumer->nqn, &owner) ||
			    !owner_is(&owner, OBJECT_KIND_CONSUMER, consumer->id))
				return target_problem_add(builder, &owner,
							  "%s is not the name of export %s of this cluster",
							  consumer->nqn, consumer->id);
			if (volume->leg_port == 0)
				return target_problem_add(builder, &owner, "%s has no port for its legs", volume->nqn);
			subsystem = target_subsystem_add(builder, consumer->nqn, volume->leg_port);
			if (subsystem == NULL)
				return -1;
			subsystem->owner = owner;
			subsystem->parked = consumer->parked;
			subsystem->waits = !consumer->parked;
			/* Behind the gate, should somebody take its rules away. */
			subsystem->closed = !consumer->parked && !consumer->admitted;
			if (!subsystem->closed &&
			    list_push_string(builder->arena, &subsystem->hosts, consumer->host_nqn) != 0)
				return -1;
		}
		snprintf(id, sizeof(id), "v%" PRIu64 ".l%" PRIu64 ".%s", volume->id, leg->index, consumer->node);
		names_leg_uuid(builder->target->cluster, volume->id, leg->index, consumer->node, uuid);
		if (consumer->parked) {
			/* Epoch 0: it has nothing of the leg below it, and outlives its epochs. */
			snprintf(uuid_id, sizeof(uuid_id), "v%" PRIu64 ".l%" PRIu64 ".s%" PRIu64 ".%s", volume->id,
				 leg->index, leg->slot, consumer->node);
			if (parked_namespace_add(builder, subsystem, id, uuid_id, 0, leg->nsid, uuid,
						 leg->size_bytes) != 0)
				return -1;
			subsystem->namespaces.items[subsystem->namespaces.count - 1].size_bytes =
				volume->grown ? leg->size_bytes : 0;
			continue;
		}
		ns = LIST_PUSH(builder->arena, &subsystem->namespaces);
		if (ns == NULL)
			return -1;
		names_dm_name("leg", id, name);
		ns->device = arena_strdup(builder->arena, name);
		ns->nsid = (uint32_t)leg->nsid;
		ns->group = KERNEL_ANA_OPTIMIZED;
		ns->size_bytes = volume->grown ? leg->size_bytes : 0;
		memcpy(ns->uuid, uuid, sizeof(ns->uuid));
		if (ns->device == NULL)
			return -1;
	}
	return 0;
}

/* dm-stripe lays data out as raid0 does, but it is no md array: a column that vanishes does not take the whole array
 * down for good, and no superblock is involved. */
static int stripe_add(struct target_builder *builder, const struct desired_volume *volume, const struct owner *owner,
		      struct target_dm *dm)
{
	uint64_t sectors = volume->size_bytes / LIMIT_SECTOR_BYTES, sum = 0, least = UINT64_MAX;
	char params[LIMIT_DM_PARAMS + 1], uuid[UUID_TEXT_SIZE];
	size_t used;

	used = (size_t)snprintf(params, sizeof(params), "%zu %" PRIu64, volume->legs.count,
				volume->stripe_bytes / LIMIT_SECTOR_BYTES);
	for (size_t i = 0; i < volume->legs.count; i++) {
		const struct desired_leg *leg = &volume->legs.items[i];

		if (leg->index != i)
			return target_problem_add(builder, owner, "leg %" PRIu64 " stands in place %zu of the stripe",
						  leg->index, i);
		if (__builtin_add_overflow(sum, leg->size_bytes, &sum))
			return target_problem_add(builder, owner, "the sizes of the legs exceed 64 bits");
		/* While the volume grows, its legs are larger than what is served of them. */
		least = leg->size_bytes < least ? leg->size_bytes : least;
		uuid_text_format(leg->uuid, uuid);
		/* At most LIMIT_LEGS entries of 50 bytes: fits. */
		if (leg->local)
			used += (size_t)snprintf(params + used, sizeof(params) - used,
						 " @" NAMES_DM_PREFIX "%s-%s.l%" PRIu64 " 0",
						 leg->writethrough ? "durable" : "thin", owner->id, leg->index);
		else
			used += (size_t)snprintf(params + used, sizeof(params) - used, " %%%s 0", uuid);
	}
	if (volume->legs.count == 0 || least < volume->size_bytes / volume->legs.count || sum < volume->size_bytes)
		return target_problem_add(builder, owner, "%zu legs hold %" PRIu64 " bytes, the volume has %" PRIu64,
					  volume->legs.count, sum, volume->size_bytes);
	return target_table_add(builder->arena, &dm->table, sectors, "striped", "%s", params);
}

static int top_add(struct target_builder *builder, const struct desired_volume *volume, const struct owner *owner)
{
	bool standby = volume->role == CONTROLLER_ROLE_STANDBY;
	struct target_subsystem *subsystem;
	struct kernel_namespace *ns;
	struct target_dm *dm;
	int result;

	for (size_t i = 0; !standby && i < volume->legs.count; i++) {
		const struct desired_leg *leg = &volume->legs.items[i];

		if (leg->local)
			continue;
		if (leg->nqn == NULL || leg->address == NULL || leg->port == 0)
			return target_problem_add(builder, owner, "remote leg %" PRIu64 " has no subsystem or address",
						  leg->index);
		if (target_import_add(builder, leg->nqn, leg->address, leg->port, leg->uuid, leg->size_bytes,
				      volume->grown) != 0)
			return -1;
	}
	/* Epoch 0: the top outlives the epochs of slots, a promotion only changes its table. */
	dm = target_dm_add(builder, owner, "volume", owner->id, owner->id, 0);
	if (dm == NULL)
		return -1;
	dm->role = TARGET_DM_VOLUME;
	result = standby ? target_table_add(builder->arena, &dm->table, volume->size_bytes / LIMIT_SECTOR_BYTES,
					    "error", "%s", "")
			 : stripe_add(builder, volume, owner, dm);
	if (result != 0)
		return result;
	subsystem = target_subsystem_add(builder, volume->nqn, builder->desired->port);
	if (subsystem == NULL)
		return -1;
	subsystem->owner = *owner;
	for (size_t i = 0; i < volume->hosts.count; i++) {
		if (list_push_string(builder->arena, &subsystem->hosts, volume->hosts.items[i]) != 0)
			return -1;
	}
	ns = LIST_PUSH(builder->arena, &subsystem->namespaces);
	if (ns == NULL)
		return -1;
	ns->nsid = 1;
	ns->device = dm->name;
	ns->group = standby ? KERNEL_ANA_INACCESSIBLE : KERNEL_ANA_OPTIMIZED;
	ns->size_bytes = volume->grown ? volume->size_bytes : 0;
	memcpy(ns->uuid, volume->uuid, sizeof(ns->uuid));
	return 0;
}

static int volume_add(struct target_builder *builder, const struct desired_volume *volume)
{
	struct owner owner;

	if (!owner_of_subsystem(builder->target->cluster, volume->nqn, &owner)) {
		owner = (struct owner){ .kind = OBJECT_KIND_VOLUME };
		names_id_format("v", volume->id, owner.id);
		return target_problem_add(builder, &owner, "%s is not a name of this cluster", volume->nqn);
	}
	if (!volume->legs_wanted && !volume->top_wanted)
		return 0;
	if (volume->size_bytes % LIMIT_SECTOR_BYTES != 0 || volume->stripe_bytes % LIMIT_SECTOR_BYTES != 0)
		return target_problem_add(builder, &owner, "size or stripe is not a multiple of %u",
					  LIMIT_SECTOR_BYTES);
	/* A new holder assembles as standby; only when it may serve, it is active. */
	if (volume->legs_wanted) {
		for (size_t i = 0; i < volume->legs.count; i++) {
			if (volume->legs.items[i].local && target_leg_add(builder, volume, &volume->legs.items[i]) != 0)
				return -1;
		}
		if (leg_port_add(builder, volume) != 0)
			return -1;
		for (size_t i = 0; volume->role == CONTROLLER_ROLE_ACTIVE && i < volume->consumers.count; i++) {
			if (consumer_add(builder, volume, &volume->consumers.items[i]) != 0)
				return -1;
		}
	}
	if (volume->top_wanted && top_add(builder, volume, &owner) != 0)
		return -1;
	if (volume->top_wanted && target_snapshot_reads_add(builder, volume) != 0)
		return -1;
	return target_snapshots_add(builder, volume);
}

static int indexes_make(struct target *target, struct arena *arena)
{
	if (name_index_make(arena, target->dms.count, &target->dms_by_name) != 0 ||
	    name_index_make(arena, target->dms.count, &target->dms_by_uuid) != 0 ||
	    name_index_make(arena, target->subsystems.count, &target->subsystems_by_nqn) != 0)
		return -1;
	for (size_t i = 0; i < target->dms.count; i++) {
		name_index_add(&target->dms_by_name, target->dms.items[i].name, i);
		name_index_add(&target->dms_by_uuid, target->dms.items[i].uuid, i);
	}
	for (size_t i = 0; i < target->subsystems.count; i++)
		name_index_add(&target->subsystems_by_nqn, target->subsystems.items[i].nqn, i);
	return 0;
}

int target_build(const struct desired *desired, struct arena *arena, struct target *ret_target, struct error *error)
{
	struct target target = { 0 };
	struct target_builder builder = { .desired = desired, .arena = arena, .target = &target };
	struct owner owner;
	bool exports = false;

	target.cluster = arena_strdup(arena, desired->cluster);
	target.host_nqn = arena_strdup(arena, desired->host_nqn);
	if (target.cluster == NULL || target.host_nqn == NULL)
		return error_set_nomem(error);
	for (size_t i = 0; i < desired->disks.count; i++) {
		if (disk_add(&builder, &desired->disks.items[i]) != 0)
			return error_set_nomem(error);
	}
	for (size_t i = 0; i < desired->exports.count; i++) {
		if (export_add(&builder, &desired->exports.items[i]) != 0)
			return error_set_nomem(error);
	}
	for (size_t i = 0; i < desired->volumes.count; i++) {
		if (volume_add(&builder, &desired->volumes.items[i]) != 0)
			return error_set_nomem(error);
	}
	for (size_t i = 0; i < target.subsystems.count && !exports; i++)
		exports = target.subsystems.items[i].port == desired->port;
	/* A node without exports to consumers and hosts has no port for them. */
	owner_port_make(0, desired->port, &owner);
	if (exports && target_port_add(&builder, &owner, desired->port, desired->address, 0) != 0)
		return error_set_nomem(error);
	if (indexes_make(&target, arena) != 0)
		return error_set_nomem(error);
	*ret_target = target;
	return 0;
}
