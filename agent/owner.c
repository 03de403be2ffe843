/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/owner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backend/kernel.h"
#include "lib/model/names.h"

#define IMPORT_LANE "import "

/* The first `parts` dot-separated parts of the text, which ends at `end`; false when there are fewer, or no room. */
static bool head(const char *text, const char *end, int parts, char *ret_head, size_t size)
{
	const char *at = text;

	for (; at < end; at++) {
		if (*at == '.' && --parts == 0)
			break;
	}
	if (parts > 1 || at == text || (size_t)(at - text) >= size)
		return false;
	memcpy(ret_head, text, (size_t)(at - text));
	ret_head[at - text] = '\0';
	return true;
}

/* "-e<digits>" at the end of a uuid, ":e<digits>" at the end of an NQN. */
static const char *epoch_begin(const char *text, char separator)
{
	const char *at = strrchr(text, separator);

	if (at == NULL || at[1] != 'e' || at[2] == '\0' || at[2 + strspn(at + 2, "0123456789")] != '\0')
		return NULL;
	return at;
}

static bool starts_with(const char *text, const char *prefix, const char **ret_rest)
{
	size_t length = strlen(prefix);

	if (strncmp(text, prefix, length) != 0)
		return false;
	*ret_rest = text + length;
	return true;
}

static const char *const leg_kinds[] = { "label-",    "raidmeta-", "raiddata-", "raid-",   "thinmeta-",
					 "thindata-", "pool-",	   "thin-",	"durable-" };

/* "v2.s0.nodeb" from "v2.l0.s0.nodeb". */
static bool consumer_id(const char *text, const char *end, char *ret_id, size_t size)
{
	/* What looks like the epoch may be all there is: then it begins before the text does. */
	const char *rest = text < end ? memchr(text, '.', (size_t)(end - text)) : NULL;
	size_t volume;

	if (rest == NULL || !head(text, end, 4, ret_id, size))
		return false;
	volume = (size_t)(rest - text);
	rest = memchr(rest + 1, '.', (size_t)(end - rest - 1));
	/* What was cut out is longer than what is moved by: it fits. */
	snprintf(ret_id + volume, size - volume, "%.*s", (int)(end - rest), rest);
	return true;
}

static bool consumer_owner(const char *id, const char *end, bool parked, struct owner *owner)
{
	owner->kind = OBJECT_KIND_CONSUMER;
	return consumer_id(id, end, owner->id, sizeof(owner->id)) &&
	       (parked ? head(owner->id, owner->id + strlen(owner->id), 3, owner->lane, sizeof(owner->lane))
		       : head(id, end, 2, owner->lane, sizeof(owner->lane)));
}

/* "v2.t7" from "v2.l0.t7", "v2.s0.t7" or itself. */
static bool snapshot_id(const char *text, const char *end, char *ret_id, size_t size)
{
	const char *first = text < end ? memchr(text, '.', (size_t)(end - text)) : NULL;
	const char *last = end;

	while (last > text && *last != '.')
		last--;
	if (first == NULL || first == text || last < first || (size_t)(end - text) >= size)
		return false;
	snprintf(ret_id, size, "%.*s%.*s", (int)(first - text), text, (int)(end - last), last);
	return true;
}

static bool snapshot_owner(const char *id, const char *end, struct owner *owner)
{
	owner->kind = OBJECT_KIND_SNAPSHOT;
	if (!snapshot_id(id, end, owner->id, sizeof(owner->id)))
		return false;
	snprintf(owner->lane, sizeof(owner->lane), "%s", owner->id);
	return true;
}

bool owner_of_dm(const char *cluster, const char *uuid, struct owner *ret_owner)
{
	struct owner owner = { 0 };
	const char *kind, *id, *end = epoch_begin(uuid, '-');
	bool ok = false;

	if (!names_dm_uuid_is_ours(cluster, uuid) || end == NULL)
		return false;
	kind = uuid + strlen(NAMES_DM_UUID_PREFIX) + strlen(cluster) + 1;
	if (starts_with(kind, "ld-", &id)) {
		owner.kind = OBJECT_KIND_EXPORT;
		ok = head(id, end, 3, owner.id, sizeof(owner.id)) && head(id, end, 3, owner.lane, sizeof(owner.lane));
	} else if (starts_with(kind, "volume-", &id)) {
		owner.kind = OBJECT_KIND_VOLUME;
		ok = head(id, end, 1, owner.id, sizeof(owner.id)) && head(id, end, 1, owner.lane, sizeof(owner.lane));
	} else if (starts_with(kind, "leg-", &id)) {
		ok = consumer_owner(id, end, false, &owner);
	} else if (starts_with(kind, "snapthin-", &id) || starts_with(kind, "snapread-", &id) ||
		   starts_with(kind, "snaperror-", &id) || starts_with(kind, "snapshot-", &id)) {
		ok = snapshot_owner(id, end, &owner);
	} else if (starts_with(kind, "parked-v", &id)) {
		ok = consumer_owner(id - 1, end, true, &owner);
	} else if (starts_with(kind, "parked-", &id)) {
		owner.kind = OBJECT_KIND_EXPORT;
		ok = head(id, end, 3, owner.id, sizeof(owner.id)) && head(id, end, 3, owner.lane, sizeof(owner.lane));
	}
	for (size_t i = 0; !ok && i < sizeof(leg_kinds) / sizeof(leg_kinds[0]); i++) {
		if (!starts_with(kind, leg_kinds[i], &id))
			continue;
		owner.kind = OBJECT_KIND_VOLUME;
		ok = head(id, end, 1, owner.id, sizeof(owner.id)) && head(id, end, 2, owner.lane, sizeof(owner.lane));
	}
	if (ok)
		*ret_owner = owner;
	return ok;
}

static bool nqn_parse(const char *cluster, const char *nqn, bool import, struct owner *ret_owner)
{
	struct owner owner = { 0 };
	const char *kind, *id, *end;
	char lane[OWNER_LANE_SIZE - sizeof(IMPORT_LANE)], export[OWNER_ID_SIZE];
	bool ok = false;

	if (!names_nqn_is_ours(cluster, nqn))
		return false;
	kind = nqn + strlen(NAMES_NQN_PREFIX) + strlen(cluster) + 1;
	end = kind + strlen(kind);
	if (starts_with(kind, "slot:", &id)) {
		const char *volume;

		end = epoch_begin(id, ':');
		ok = end != NULL && head(id, end, 3, lane, sizeof(lane)) && head(id, end, 3, export, sizeof(export));
		volume = ok ? strchr(id, '.') : NULL;
		if (ok && import) {
			owner.kind = OBJECT_KIND_VOLUME;
			ok = head(volume + 1, end, 1, owner.id, sizeof(owner.id));
		} else if (ok) {
			owner.kind = OBJECT_KIND_EXPORT;
			memcpy(owner.id, export, sizeof(export));
		}
	} else if (starts_with(kind, "leg:", &id)) {
		/* The import is part of the consumer's own volume. */
		owner.kind = import ? OBJECT_KIND_VOLUME : OBJECT_KIND_CONSUMER;
		ok = head(id, end, import ? 1 : 3, owner.id, sizeof(owner.id)) && head(id, end, 3, lane, sizeof(lane));
	} else if (starts_with(kind, "snapleg:", &id)) {
		ok = snapshot_owner(id, end, &owner) && head(id, end, 3, lane, sizeof(lane));
		if (!import)
			snprintf(lane, sizeof(lane), "%s", owner.id);
	} else if (!import && starts_with(kind, "snapshot:", &id)) {
		ok = snapshot_owner(id, end, &owner) && head(id, end, 2, lane, sizeof(lane));
	} else if (!import && starts_with(kind, "volume:", &id)) {
		/* An import of a volume is a host's business, even on a node of ours. */
		owner.kind = OBJECT_KIND_VOLUME;
		ok = head(id, end, 1, owner.id, sizeof(owner.id)) && head(id, end, 1, lane, sizeof(lane));
	}
	if (!ok)
		return false;
	memcpy(owner.lane, IMPORT_LANE, import ? strlen(IMPORT_LANE) : 0);
	strcpy(owner.lane + (import ? strlen(IMPORT_LANE) : 0), lane);
	*ret_owner = owner;
	return true;
}

bool owner_of_subsystem(const char *cluster, const char *nqn, struct owner *ret_owner)
{
	return nqn_parse(cluster, nqn, false, ret_owner);
}

bool owner_of_import(const char *cluster, const char *nqn, struct owner *ret_owner)
{
	return nqn_parse(cluster, nqn, true, ret_owner);
}

void owner_port_make(uint64_t disk, uint64_t port, struct owner *ret_owner)
{
	*ret_owner = (struct owner){ 0 };
	if (disk != 0) {
		ret_owner->kind = OBJECT_KIND_DISK;
		names_id_format("d", disk, ret_owner->id);
	}
	snprintf(ret_owner->lane, sizeof(ret_owner->lane), "port %" PRIu64, port);
}

void owner_leg_port_make(uint64_t volume, uint64_t port, struct owner *ret_owner)
{
	owner_port_make(0, port, ret_owner);
	ret_owner->kind = OBJECT_KIND_VOLUME;
	names_id_format("v", volume, ret_owner->id);
}

void owner_snapshots_make(uint64_t volume, struct owner *ret_owner)
{
	*ret_owner = (struct owner){ .kind = OBJECT_KIND_VOLUME };
	names_id_format("v", volume, ret_owner->id);
	snprintf(ret_owner->lane, sizeof(ret_owner->lane), "%.*s.snapshots", NAMES_ID_SIZE, ret_owner->id);
}

void owner_snapshot_make(uint64_t volume, uint64_t thin, struct owner *ret_owner)
{
	*ret_owner = (struct owner){ .kind = OBJECT_KIND_SNAPSHOT };
	snprintf(ret_owner->id, sizeof(ret_owner->id), "v%" PRIu64 ".t%" PRIu64, volume, thin);
	snprintf(ret_owner->lane, sizeof(ret_owner->lane), "%s", ret_owner->id);
}

void owner_out_make(const struct owner *export, struct owner *ret_owner)
{
	*ret_owner = *export;
	/* An export's is its id. */
	snprintf(ret_owner->lane, sizeof(ret_owner->lane), "out %.*s", OWNER_ID_SIZE, export->lane);
}

void owner_port_mark(const char *cluster, const struct owner *owner, char ret_mark[OWNER_ID_SIZE])
{
	const char *id = owner->kind == OBJECT_KIND_DISK ? owner->id : owner->kind == OBJECT_KIND_VOLUME ? "leg" : "cn";

	snprintf(ret_mark, OWNER_ID_SIZE, KERNEL_PORT_MARK_PREFIX "%s-%.40s", cluster, id);
}

bool owner_of_port(const char *cluster, const char *mark, uint64_t port, struct owner *ret_owner)
{
	char ours[OWNER_ID_SIZE];
	uint64_t disk = 0;
	const char *id;

	snprintf(ours, sizeof(ours), KERNEL_PORT_MARK_PREFIX "%s-", cluster);
	if (mark == NULL || !starts_with(mark, ours, &id))
		return false;
	if (strcmp(id, "cn") != 0 && strcmp(id, "leg") != 0 && names_id_parse("d", id, &disk) != 0)
		return false;
	owner_port_make(disk, port, ret_owner);
	return true;
}

bool owner_mark_is_leg(const char *mark)
{
	const char *id = strrchr(mark, '-');

	return id != NULL && strcmp(id, "-leg") == 0;
}

bool owner_is(const struct owner *owner, enum object_kind kind, const char *id)
{
	return owner->kind == kind && strcmp(owner->id, id) == 0;
}

bool owner_is_within(const struct owner *owner, enum object_kind kind, const char *id)
{
	size_t length = strlen(id);

	return owner_is(owner, kind, id) ||
	       (kind == OBJECT_KIND_VOLUME &&
		(owner->kind == OBJECT_KIND_CONSUMER || owner->kind == OBJECT_KIND_SNAPSHOT) &&
		strncmp(owner->id, id, length) == 0 && owner->id[length] == '.');
}
