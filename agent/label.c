/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/label.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "lib/wire/codec.h"

static const uint8_t label_magic[8] = { 'd', 'n', 'v', 'm', 'e', 'L', 'D', '\n' };

#define LABEL_VERSION 1
#define LABEL_CLUSTER_SIZE 24
#define LABEL_CHECKSUM_AT (LABEL_BLOCK_BYTES - 8)

/* Byte offsets in the block. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_FORMATTED = 12,
	AT_CLUSTER = 16,
	AT_VOLUME = AT_CLUSTER + LABEL_CLUSTER_SIZE,
	AT_LEG = AT_VOLUME + 8,
	AT_GROUP = AT_LEG + 8,
	AT_MEMBER = AT_GROUP + 8,
	AT_LD = AT_MEMBER + 8,
	AT_EPOCH = AT_LD + 8,
	AT_SIZE = AT_EPOCH + 8,
	AT_REBUILD = AT_SIZE + 8,
	AT_FILLED = AT_REBUILD + 8,
};

static void put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

void label_encode(const struct ld_label *label, uint8_t ret_block[LABEL_BLOCK_BYTES])
{
	memset(ret_block, 0, LABEL_BLOCK_BYTES);
	memcpy(ret_block + AT_MAGIC, label_magic, sizeof(label_magic));
	put(ret_block + AT_VERSION, LABEL_VERSION, 4);
	put(ret_block + AT_FORMATTED, label->formatted, 4);
	memcpy(ret_block + AT_CLUSTER, label->cluster, strnlen(label->cluster, LABEL_CLUSTER_SIZE - 1));
	put(ret_block + AT_VOLUME, label->volume, 8);
	put(ret_block + AT_LEG, label->leg, 8);
	put(ret_block + AT_GROUP, label->group, 8);
	put(ret_block + AT_MEMBER, label->member, 8);
	put(ret_block + AT_LD, label->ld, 8);
	put(ret_block + AT_EPOCH, label->epoch, 8);
	put(ret_block + AT_SIZE, label->size_bytes, 8);
	put(ret_block + AT_REBUILD, label->rebuild_ms, 8);
	put(ret_block + AT_FILLED, label->filled_bytes, 8);
	put(ret_block + LABEL_CHECKSUM_AT, XXH64(ret_block, LABEL_CHECKSUM_AT, 0), 8);
}

int label_decode(const uint8_t block[LABEL_BLOCK_BYTES], struct arena *arena, struct ld_label *ret_label,
		 struct error *error)
{
	uint64_t version = get(block + AT_VERSION, 4);
	struct ld_label label = { 0 };

	if (memcmp(block + AT_MAGIC, label_magic, sizeof(label_magic)) != 0)
		return error_set(error, ERROR_NOT_FOUND, "there is no label");
	if (version != LABEL_VERSION)
		return error_set(error, ERROR_UNSUPPORTED, "the label has version %" PRIu64 ", this agent knows %d",
				 version, LABEL_VERSION);
	if (get(block + LABEL_CHECKSUM_AT, 8) != XXH64(block, LABEL_CHECKSUM_AT, 0))
		return error_set(error, ERROR_INVALID_ARGUMENT, "the label is damaged: its checksum does not match");
	label.cluster = arena_strndup(arena, (const char *)block + AT_CLUSTER,
				      strnlen((const char *)block + AT_CLUSTER, LABEL_CLUSTER_SIZE - 1));
	if (label.cluster == NULL)
		return error_set_nomem(error);
	label.formatted = get(block + AT_FORMATTED, 4) != 0;
	label.volume = get(block + AT_VOLUME, 8);
	label.leg = get(block + AT_LEG, 8);
	label.group = get(block + AT_GROUP, 8);
	label.member = get(block + AT_MEMBER, 8);
	label.ld = get(block + AT_LD, 8);
	label.epoch = get(block + AT_EPOCH, 8);
	label.size_bytes = get(block + AT_SIZE, 8);
	label.rebuild_ms = get(block + AT_REBUILD, 8);
	label.filled_bytes = get(block + AT_FILLED, 8);
	/* A checksum does not keep out places and sizes that there cannot be. */
	if (codec_validate(schema_ld_label(), &label, error) != 0)
		return error_prefix(error, "the label is damaged"), ERROR_INVALID_ARGUMENT;
	*ret_label = label;
	return 0;
}

bool label_is_same(const struct ld_label *a, const struct ld_label *b)
{
	return strcmp(a->cluster, b->cluster) == 0 && a->volume == b->volume && a->leg == b->leg &&
	       a->group == b->group && a->member == b->member && a->ld == b->ld && a->size_bytes == b->size_bytes;
}

int label_judge(const struct observed_label *found, const struct ld_label *wanted, struct error *error)
{
	const struct ld_label *label = found->label;
	bool same = label != NULL && label->ld == wanted->ld && label->volume == wanted->volume &&
		    strcmp(label->cluster, wanted->cluster) == 0;

	if (same && label->epoch > wanted->epoch)
		return error_set(error, ERROR_CONFLICT,
				 "ld%" PRIu64 " is not exported in epoch %" PRIu64
				 ": its label has a later epoch, %" PRIu64,
				 wanted->ld, wanted->epoch, label->epoch);
	if (wanted->formatted && !same)
		return error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is not exported: %s", wanted->ld,
				 label != NULL		  ? "its label is that of another LD"
				 : found->problem != NULL ? found->problem
							  : "there is no label");
	return 0;
}

const char *label_complaint(const struct observed_label *found, const struct ld_label *wanted)
{
	const struct ld_label *label = found->label;

	if (label == NULL)
		return found->problem != NULL ? found->problem : "there is no label";
	if (!label_is_same(label, wanted))
		return "its label is that of another LD";
	if (!label->formatted)
		return "its label says that it was not formatted";
	if (label->epoch == wanted->epoch)
		return NULL;
	return label->epoch > wanted->epoch ? "its label has a later epoch: another holder was given it"
					    : "its label has an earlier epoch: its Disk Node did not fence it";
}
