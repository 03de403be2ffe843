/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A leg from its LDs up to the thin device, and what stands on that.
 *
 *   LD a        | label | raid metadata | raid data |         LD b  | label | raid metadata | raid data |
 *   group       raid1 over (metadata, data) of each member, or a plain linear when there is one copy
 *   thin meta   linear over the heads of all groups           thin data   linear over what is behind them
 *   pool, thin device 0, write-through where durability is strict, one linear for each consumer
 */
#include "agent/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/uuid.h"
#include "lib/model/layout.h"
#include "lib/model/names.h"

#define SECTORS(bytes) ((bytes) / LIMIT_SECTOR_BYTES)

/* A region of the write-intent bitmap: small enough that a resync after a crash is short, large enough that the
 * bitmap stays far below the metadata device and dm-raid's limit of 2^21 regions. */
#define REGION_MIN_SECTORS UINT64_C(1024)
#define REGION_MAX_SECTORS (UINT64_C(1) << 30) /* dm-raid reads it as an int */
#define REGIONS_MAX (UINT64_C(1) << 20)

/* Only the first block of the thin metadata must be clear for dm-thin to make a new pool. */
#define THIN_SUPERBLOCK_BYTES 4096
#define LOW_WATER_DIVISOR 20 /* an event when 5 % of the pool are left */

struct leg_builder {
	struct target_builder *builder;
	const struct desired_volume *volume;
	const struct desired_leg *leg;
	struct target_leg *target;
	char id[NAMES_ID_SIZE * 2]; /* v1.l0 */
	uint64_t thin_block_bytes;
	size_t joined; /* groups that are part of it; the others come behind them */
};

static int slice_add(struct leg_builder *this, size_t group, const struct desired_member *member, const char *kind,
		     uint64_t start_bytes, uint64_t length_bytes, struct target_dm **ret_dm)
{
	char ld[NAMES_ID_SIZE], id[NAMES_ID_SIZE * 4], uuid[UUID_TEXT_SIZE];
	struct target_dm *dm;

	names_id_format("ld", member->ld, ld);
	snprintf(id, sizeof(id), "%s.g%zu.%s", this->id, group, ld);
	uuid_text_format(member->uuid, uuid);
	dm = target_dm_add(this->builder, &this->target->owner, kind, ld, id, this->leg->epoch);
	if (dm == NULL)
		return -1;
	*ret_dm = dm;
	return target_table_add(this->builder->arena, &dm->table, SECTORS(length_bytes), "linear", "%%%s %" PRIu64,
				uuid, SECTORS(start_bytes));
}

static int zero_add(struct leg_builder *this, struct target_zero_list *zeros, const char *device, uint64_t length)
{
	struct target_zero *zero = LIST_PUSH(this->builder->arena, zeros);

	if (zero == NULL)
		return -1;
	*zero = (struct target_zero){ .device = device, .start = 0, .length = length };
	return 0;
}

/* What a group's device is made of. */
struct group_parts {
	struct layout_group layout;
	struct target_group *group;
	struct target_zero_list zeros;	  /* what a format has to clear */
	char members[LIMIT_MEMBERS * 80]; /* the part of the raid table with those in sync */
	const char *name;		  /* of the device */
};

/* What a simulated import shows; a real one has it on its disk. */
static int import_label_add(struct leg_builder *this, const struct desired_member *member, const struct ld_label *label)
{
	const struct target_import_list *imports = &this->builder->target->imports;
	struct ld_label *copy = arena_memdup(this->builder->arena, label, sizeof(*label));

	if (copy == NULL)
		return -1;
	for (size_t i = 0; i < imports->count; i++) {
		const struct kernel_expected_list *expected = &imports->items[i].import.expected;

		for (size_t j = 0; j < expected->count; j++) {
			if (memcmp(expected->items[j].uuid, member->uuid, sizeof(member->uuid)) == 0)
				expected->items[j].label = copy;
		}
	}
	return 0;
}

/* The three slices of a member. */
static int member_add(struct leg_builder *this, size_t group, size_t index, struct group_parts *parts)
{
	const struct layout_group *layout = &parts->layout;
	struct target_zero_list *zeros = &parts->zeros;
	size_t used = strlen(parts->members);
	const struct desired_member *member = &this->leg->groups.items[group].members.items[index];
	bool in_sync = member->state == LD_STATE_IN_SYNC;
	struct arena *arena = this->builder->arena;
	struct target_member *made = &parts->group->members[index];
	struct target_label *label;
	struct target_dm *dm;

	*made = (struct target_member){ .ld = member->ld,
					.state = member->state,
					.unlabelled = member->unlabelled,
					.withheld = member->withheld,
					.resync = member->resync && member->state == LD_STATE_REBUILDING };
	/* A group is assembled from members in sync; the place of the others stays empty until a rebuild. */
	if (!in_sync && index < parts->group->places)
		snprintf(parts->members + used, sizeof(parts->members) - used, " - -");
	if (!in_sync && member->state != LD_STATE_REBUILDING)
		return 0;
	if (target_import_add(this->builder, member->nqn, member->address, member->port, member->uuid,
			      member->size_bytes, this->volume->grown || this->leg->groups.items[group].format) != 0 ||
	    slice_add(this, group, member, "label", layout->label_start, layout->label_bytes, &dm) != 0 ||
	    zero_add(this, zeros, dm->name, layout->label_bytes) != 0)
		return -1;
	made->label = (struct target_label){
		.device = dm->name,
		.uuid = dm->uuid,
		.label = { .cluster = this->builder->target->cluster,
			   .volume = this->volume->id,
			   .leg = this->leg->index,
			   .group = group,
			   .member = member->place > 0 ? member->place - 1 : index,
			   .ld = member->ld,
			   .epoch = this->leg->epoch,
			   .size_bytes = member->size_bytes,
			   .formatted = true,
			   .rebuild_ms = in_sync ? 0 : member->since_ms },
	};
	if (in_sync) {
		label = LIST_PUSH(arena, &this->target->labels);
		if (label == NULL)
			return -1;
		*label = made->label;
	}
	if (!this->target->format && !member->unlabelled && import_label_add(this, member, &made->label.label) != 0)
		return -1;
	if (slice_add(this, group, member, "raidmeta", layout->raid_metadata_start, layout->raid_metadata_bytes, &dm) !=
		    0 ||
	    zero_add(this, zeros, dm->name, layout->raid_metadata_bytes) != 0)
		return -1;
	made->raid_metadata = dm->name;
	made->raid_metadata_bytes = layout->raid_metadata_bytes;
	if (slice_add(this, group, member, "raiddata", layout->raid_data_start, layout->raid_data_bytes, &dm) != 0)
		return -1;
	made->raid_data = dm->name;
	if (in_sync)
		snprintf(parts->members + used, sizeof(parts->members) - used, " @%s @%s", made->raid_metadata,
			 made->raid_data);
	return 0;
}

static int group_table(struct leg_builder *this, size_t group, const struct group_parts *parts, struct target_dm *dm)
{
	const struct desired_group *desired = &this->leg->groups.items[group];
	struct arena *arena = this->builder->arena;
	uint64_t sectors = SECTORS(parts->layout.raid_data_bytes), region = REGION_MIN_SECTORS;
	char ld[NAMES_ID_SIZE];

	/* One copy has nothing to mirror: a raid1 of one member would only add a bitmap write to every write. Should
	 * it get a second copy, this linear is what a raid1 takes the place of. */
	if (desired->members.count == 1) {
		names_id_format("ld", desired->members.items[0].ld, ld);
		return target_table_add(arena, &dm->table, sectors, "linear", "@" NAMES_DM_PREFIX "raiddata-%s 0", ld);
	}
	while (sectors / region > REGIONS_MAX)
		region *= 2;
	if (region > REGION_MAX_SECTORS)
		return target_problem_add(this->builder, &this->target->owner,
					  "group %zu is too large for a write-intent bitmap", group);
	parts->group->sectors = sectors;
	parts->group->region_sectors = region;
	dm->group = parts->group;
	if (target_table_add(arena, &dm->table, sectors, "raid", "raid1 3 0 region_size %" PRIu64 " %zu%s", region,
			     parts->group->places, parts->members) != 0)
		return -1;
	/* On a new leg the members need not be equal: the pool clears each block before its first use. */
	return target_table_add(arena, &dm->format_table, sectors, "raid",
				"raid1 4 0 nosync region_size %" PRIu64 " %zu%s", region, parts->group->places,
				parts->members);
}

static void group_count(const struct desired_group *desired, struct target_group *group)
{
	const struct desired_member *last = &desired->members.items[desired->members.count - 1];

	group->count = group->copies = desired->members.count;
	group->copies -= last->place > 0;
	group->places = last->state == LD_STATE_IN_SYNC ? group->count : group->copies;
}

/* The slices of a group's members. */
static int members_add(struct leg_builder *this, size_t group, struct group_parts *parts)
{
	const struct desired_group *desired = &this->leg->groups.items[group];
	struct error error;
	size_t in_sync = 0;

	for (size_t i = 0; i < desired->members.count; i++) {
		if (desired->members.items[i].size_bytes != desired->members.items[0].size_bytes)
			return target_problem_add(this->builder, &this->target->owner,
						  "the members of group %zu differ in size", group);
		in_sync += desired->members.items[i].state == LD_STATE_IN_SYNC;
	}
	if (in_sync == 0)
		return target_problem_add(this->builder, &this->target->owner, "group %zu has no member in sync",
					  group);
	if (layout_group_compute(desired->members.items[0].size_bytes, this->thin_block_bytes, &parts->layout,
				 &error) != 0)
		return target_problem_add(this->builder, &this->target->owner, "%s", error.message);
	parts->group = arena_alloc(this->builder->arena, sizeof(*parts->group));
	if (parts->group == NULL)
		return -1;
	group_count(desired, parts->group);
	parts->group->rebuild_kib = (this->leg->rebuild_rate_bytes + 1023) / 1024;
	for (size_t i = 0; i < desired->members.count; i++) {
		if (member_add(this, group, i, parts) != 0)
			return -1;
	}
	return 0;
}

static int group_add(struct leg_builder *this, size_t group, struct group_parts *parts)
{
	char id[NAMES_ID_SIZE * 3];
	struct target_dm *dm;

	snprintf(id, sizeof(id), "%s.g%zu", this->id, group);
	dm = target_dm_add(this->builder, &this->target->owner, "raid", id, id, this->leg->epoch);
	if (dm == NULL)
		return -1;
	dm->role = TARGET_DM_STORE;
	dm->leg = this->target;
	dm->zeros = parts->zeros;
	parts->name = dm->name;
	return group_table(this, group, parts, dm);
}

/* The linears over all groups: the pool cannot change its devices, but these can grow under it. */
static int concatenation_add(struct leg_builder *this, const char *kind, bool metadata, const struct group_parts *parts,
			     const char **ret_name, uint64_t *ret_bytes)
{
	struct target_dm *dm =
		target_dm_add(this->builder, &this->target->owner, kind, this->id, this->id, this->leg->epoch);

	if (dm == NULL)
		return -1;
	/* All I/O of the groups comes through these two. To hold them up, and not the groups, spares these a suspend,
	 * which writes their superblocks and takes back members that failed. */
	dm->drain = this->leg->drain;
	*ret_name = dm->name;
	*ret_bytes = 0;
	dm->may_grow = true;
	for (size_t i = 0; i < this->joined; i++) {
		const struct layout_group *layout = &parts[i].layout;
		uint64_t start = metadata ? 0 : layout->thin_metadata_bytes;
		uint64_t length = metadata ? layout->thin_metadata_bytes : layout->thin_data_bytes;

		if (__builtin_add_overflow(*ret_bytes, length, ret_bytes))
			return target_problem_add(this->builder, &this->target->owner,
						  "the groups exceed 64 bits together");
		if (target_table_add(this->builder->arena, &dm->table, SECTORS(length), "linear", "@%s %" PRIu64,
				     parts[i].name, SECTORS(start)) != 0)
			return -1;
	}
	return 0;
}

static int pool_add(struct leg_builder *this, const char *metadata, const char *data, uint64_t data_bytes)
{
	struct target_builder *builder = this->builder;
	uint64_t blocks = data_bytes / this->thin_block_bytes;
	struct target_dm *dm;
	const char *pool;

	dm = target_dm_add(builder, &this->target->owner, "pool", this->id, this->id, this->leg->epoch);
	if (dm == NULL)
		return -1;
	pool = dm->name;
	dm->role = TARGET_DM_STORE;
	dm->may_grow = true;
	dm->leg = this->target;
	/* New blocks are cleared (nobody sees old bytes), a full pool queues writes (an error would be final for the
	 * host), and discards reach the LDs, unless there are snapshots: a discard that comes before the commit, and a
	 * crash between the two, would take blocks from them. On a thick leg they are ignored: a block that was
	 * unmapped would be acknowledged again before its mapping is durable. */
	if (zero_add(this, &dm->zeros, metadata, THIN_SUPERBLOCK_BYTES) != 0 ||
	    target_table_add(builder->arena, &dm->table, SECTORS(data_bytes), "thin-pool",
			     "@%s @%s %" PRIu64 " %" PRIu64 " %s", metadata, data, SECTORS(this->thin_block_bytes),
			     this->leg->thick ? 0 : blocks / LOW_WATER_DIVISOR + 1,
			     this->leg->thick	 ? "1 ignore_discard"
			     : this->leg->shared ? "1 no_discard_passdown"
						 : "0") != 0)
		return -1;
	dm = target_dm_add(builder, &this->target->owner, "thin", this->id, this->id, this->leg->epoch);
	if (dm == NULL)
		return -1;
	dm->role = TARGET_DM_STORE;
	dm->leg = this->target;
	dm->may_grow = true;
	dm->message_device = pool;
	dm->message = "create_thin 0";
	this->target->thin = this->target->top = dm->name;
	return target_table_add(builder->arena, &dm->table, SECTORS(this->leg->size_bytes), "thin", "@%s 0", pool);
}

/* Every write is forced, whether its block is mapped or not: so it survives a volatile cache of a disk, too. */
static int durable_add(struct leg_builder *this)
{
	struct target_dm *dm =
		target_dm_add(this->builder, &this->target->owner, "durable", this->id, this->id, this->leg->epoch);

	if (dm == NULL)
		return -1;
	dm->role = TARGET_DM_STORE;
	dm->leg = this->target;
	dm->may_grow = true;
	this->target->top = dm->name;
	return target_table_add(this->builder->arena, &dm->table, SECTORS(this->leg->size_bytes), KERNEL_WRITETHROUGH,
				"@%s", this->target->thin);
}

static int consumers_add(struct leg_builder *this)
{
	char name[OWNER_LANE_SIZE], id[OWNER_LANE_SIZE];

	for (size_t i = 0; this->volume->role == CONTROLLER_ROLE_ACTIVE && i < this->volume->consumers.count; i++) {
		const struct desired_consumer *consumer = &this->volume->consumers.items[i];
		struct owner owner = { .kind = OBJECT_KIND_CONSUMER };
		struct target_dm *dm;

		if (consumer->parked)
			continue;
		snprintf(owner.id, sizeof(owner.id), "%s", consumer->id);
		snprintf(owner.lane, sizeof(owner.lane), "%s", this->id);
		snprintf(name, sizeof(name), "%s.%s", this->id, consumer->node);
		snprintf(id, sizeof(id), "%s.s%" PRIu64 ".%s", this->id, this->leg->slot, consumer->node);
		dm = target_dm_add(this->builder, &owner, "leg", name, id, this->leg->epoch);
		if (dm == NULL || target_table_add(this->builder->arena, &dm->table, SECTORS(this->leg->size_bytes),
						   "linear", "@%s 0", this->target->top) != 0)
			return -1;
		dm->may_grow = true;
	}
	return 0;
}

/* A group that is not part of the leg yet is made, and labelled, as if it were a leg of its own. */
static int new_groups_add(struct leg_builder *this, struct group_parts *parts)
{
	const struct target_leg *leg = this->target;
	size_t problems = this->builder->target->problems.count;
	int result = 0;

	for (size_t i = this->joined; result == 0 && i < this->leg->groups.count; i++) {
		struct target_leg *own = arena_alloc(this->builder->arena, sizeof(*own));

		if (own == NULL)
			return -1;
		*own = (struct target_leg){ .format = true, .anew = true, .owner = leg->owner };
		this->target = own;
		result = members_add(this, i, &parts[i]);
		if (result == 0 && this->builder->target->problems.count == problems)
			result = group_add(this, i, &parts[i]);
		own->thin = own->top = parts[i].name;
	}
	this->target = (struct target_leg *)leg;
	return result;
}

/* The members of the last group bear witness of the blocks that were mapped when the leg grew. */
static int marks_add(struct leg_builder *this, const struct group_parts *parts)
{
	const struct target_group *group = parts[this->joined - 1].group;

	this->target->fill_from_bytes = this->leg->fill_from_bytes;
	this->target->fill_to_bytes = this->leg->size_bytes;
	for (size_t i = 0; this->leg->fill_from_bytes > 0 && i < group->count; i++) {
		struct target_label *mark;

		if (group->members[i].state != LD_STATE_IN_SYNC)
			continue;
		mark = LIST_PUSH(this->builder->arena, &this->target->marks);
		if (mark == NULL)
			return -1;
		*mark = group->members[i].label;
		mark->label.filled_bytes = this->leg->size_bytes;
	}
	return 0;
}

int target_leg_add(struct target_builder *builder, const struct desired_volume *volume, const struct desired_leg *leg)
{
	struct leg_builder this = { .builder = builder, .volume = volume, .leg = leg };
	size_t problems = builder->target->problems.count;
	struct group_parts *parts;
	const char *metadata, *data;
	uint64_t metadata_bytes, data_bytes;

	this.target = arena_alloc(builder->arena, sizeof(*this.target));
	parts = arena_alloc_array(builder->arena, leg->groups.count, sizeof(*parts));
	if (this.target == NULL || parts == NULL)
		return -1;
	snprintf(this.id, sizeof(this.id), "v%" PRIu64 ".l%" PRIu64, volume->id, leg->index);
	this.target->owner.kind = OBJECT_KIND_VOLUME;
	names_id_format("v", volume->id, this.target->owner.id);
	snprintf(this.target->owner.lane, sizeof(this.target->owner.lane), "%s", this.id);
	this.target->format = leg->format;
	this.target->thick = leg->thick;
	this.thin_block_bytes = leg->block_bytes != 0 ? leg->block_bytes : layout_thin_block_bytes(leg->size_bytes);
	while (this.joined < leg->groups.count && !leg->groups.items[this.joined].format)
		this.joined++;
	if (leg->size_bytes % LIMIT_SECTOR_BYTES != 0 || this.joined == 0)
		return target_problem_add(builder, &this.target->owner, "leg %" PRIu64 " has no groups or an odd size",
					  leg->index);
	/* All slices before the first group: the labels of all of them decide what may be done with any. */
	for (size_t i = 0; i < this.joined; i++) {
		if (members_add(&this, i, &parts[i]) != 0)
			return -1;
		if (builder->target->problems.count > problems)
			return 0; /* the rest would lie on nothing */
	}
	for (size_t i = 0; i < this.joined; i++) {
		if (group_add(&this, i, &parts[i]) != 0)
			return -1;
	}
	if (marks_add(&this, parts) != 0)
		return -1;
	if (concatenation_add(&this, "thinmeta", true, parts, &metadata, &metadata_bytes) != 0 ||
	    concatenation_add(&this, "thindata", false, parts, &data, &data_bytes) != 0 ||
	    pool_add(&this, metadata, data, data_bytes) != 0 || (leg->writethrough && durable_add(&this) != 0))
		return -1;
	/* Behind all that is in use: should one of them hang, that goes on. */
	return consumers_add(&this) != 0 ? -1 : new_groups_add(&this, parts);
}
