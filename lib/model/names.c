/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/model/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/ascii.h"
#include "lib/base/error.h"
#include "lib/base/uuid.h"

/* Every part is bounded (names 63, ids 24, cluster 16), so none of the results below can be cut. */

void names_id_format(const char *prefix, uint64_t id, char ret_text[NAMES_ID_SIZE])
{
	char digits[20], *at = digits + sizeof(digits);
	size_t length = strlen(prefix), count;

	do {
		*--at = (char)('0' + id % 10);
		id /= 10;
	} while (id > 0);
	count = (size_t)(digits + sizeof(digits) - at);
	memcpy(ret_text, prefix, length);
	memcpy(ret_text + length, at, count);
	ret_text[length + count] = '\0';
}

/* Put words one behind the other, as snprintf() would. */
static void join(char *ret_text, size_t size, const char *const words[], size_t count)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(words[i]);

		if (length >= size - used)
			length = size - used - 1;
		memcpy(ret_text + used, words[i], length);
		used += length;
	}
	ret_text[used] = '\0';
}

int names_id_parse(const char *prefix, const char *text, uint64_t *ret_id)
{
	size_t length = strlen(prefix);
	uint64_t id = 0;

	if (strncmp(text, prefix, length) != 0)
		return -1;
	text += length;
	if (*text < '1' || *text > '9')
		return -1;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (__builtin_mul_overflow(id, UINT64_C(10), &id) ||
		    __builtin_add_overflow(id, (uint64_t)(*text - '0'), &id))
			return -1;
	}
	if (*text != '\0')
		return -1;
	*ret_id = id;
	return 0;
}

static bool is_alphanumeric(char c)
{
	return (unsigned char)(c - 'a') < 26 || (unsigned char)(c - '0') < 10;
}

bool names_name_is_valid(const char *name, size_t length)
{
	size_t i = 0;

	if (length == 0 || length > LIMIT_NAME || name[0] == '-' || name[length - 1] == '-')
		return false;
	for (; length - i >= ASCII_WORD_BYTES; i += ASCII_WORD_BYTES) {
		uint64_t word = ascii_word(name + i);

		if (!ascii_is_plain(word) ||
		    !ascii_is_all(ascii_between(word, 'a', 'z') | ascii_between(word, '0', '9') |
				  ascii_between(word, '-', '-')))
			return false;
	}
	for (; i < length; i++) {
		if (!is_alphanumeric(name[i]) && name[i] != '-')
			return false;
	}
	return true;
}

int names_name_check(const char *field, const char *name, struct error *error)
{
	size_t length = strlen(name);

	if (length == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s must not be empty", field);
	if (length > LIMIT_NAME)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s has %zu bytes, the limit is %u", field, length,
				 LIMIT_NAME);
	if (names_name_is_valid(name, length))
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "%s \"%s\" is not a valid name", field, name);
	return error_hint(error, "use lower-case letters, digits and inner hyphens"), ERROR_INVALID_ARGUMENT;
}

int names_nqn_check(const char *field, const char *nqn, struct error *error)
{
	size_t length = strlen(nqn);
	bool ok = length >= 11 && strncmp(nqn, "nqn.", 4) == 0 && nqn[8] == '-';

	if (length > LIMIT_NQN)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s has %zu bytes, the limit is %u", field, length,
				 LIMIT_NQN);
	for (size_t i = 0; ok && i < length; i++)
		ok = nqn[i] > ' ' && nqn[i] < 127 && nqn[i] != '/';
	for (size_t i = 4; ok && i < 11; i++)
		ok = i == 8 || (nqn[i] >= '0' && nqn[i] <= '9');
	if (ok)
		return 0;
	error_set(error, ERROR_INVALID_ARGUMENT, "%s \"%s\" is not an NQN", field, nqn);
	return error_hint(error,
			  "a host's NQN is in /etc/nvme/hostnqn and looks like nqn.2014-08.org.nvmexpress:uuid:…"),
	       ERROR_INVALID_ARGUMENT;
}

void names_volume_nqn(const char *cluster, uint64_t volume, char ret_nqn[NAMES_NQN_SIZE])
{
	snprintf(ret_nqn, NAMES_NQN_SIZE, NAMES_NQN_PREFIX "%s:volume:v%" PRIu64, cluster, volume);
}

void names_export_nqn(const char *cluster, uint64_t disk, uint64_t volume, uint64_t slot, uint64_t epoch,
		      char ret_nqn[NAMES_NQN_SIZE])
{
	snprintf(ret_nqn, NAMES_NQN_SIZE, NAMES_NQN_PREFIX "%s:slot:d%" PRIu64 ".v%" PRIu64 ".s%" PRIu64 ":e%" PRIu64,
		 cluster, disk, volume, slot, epoch);
}

void names_consumer_nqn(const char *cluster, uint64_t volume, uint64_t slot, const char *consumer,
			char ret_nqn[NAMES_NQN_SIZE])
{
	snprintf(ret_nqn, NAMES_NQN_SIZE, NAMES_NQN_PREFIX "%s:leg:v%" PRIu64 ".s%" PRIu64 ".%s", cluster, volume, slot,
		 consumer);
}

void names_node_nqn(const char *cluster, const char *node, char ret_nqn[NAMES_NQN_SIZE])
{
	snprintf(ret_nqn, NAMES_NQN_SIZE, NAMES_NQN_PREFIX "%s:node:%s", cluster, node);
}

void names_snapshot_nqn(const char *cluster, uint64_t volume, uint64_t thin, char ret_nqn[NAMES_NQN_SIZE])
{
	snprintf(ret_nqn, NAMES_NQN_SIZE, NAMES_NQN_PREFIX "%s:snapshot:v%" PRIu64 ".t%" PRIu64, cluster, volume, thin);
}

void names_snapshot_leg_nqn(const char *cluster, uint64_t volume, uint64_t slot, uint64_t thin,
			    char ret_nqn[NAMES_NQN_SIZE])
{
	snprintf(ret_nqn, NAMES_NQN_SIZE, NAMES_NQN_PREFIX "%s:snapleg:v%" PRIu64 ".s%" PRIu64 ".t%" PRIu64, cluster,
		 volume, slot, thin);
}

void names_snapshot_id(uint64_t volume, uint64_t thin, char ret_text[NAMES_ID_SIZE * 2])
{
	snprintf(ret_text, NAMES_ID_SIZE * 2, "v%" PRIu64 ".t%" PRIu64, volume, thin);
}

void names_export_id(uint64_t disk, uint64_t volume, uint64_t slot, char ret_text[NAMES_ID_SIZE * 3])
{
	snprintf(ret_text, NAMES_ID_SIZE * 3, "d%" PRIu64 ".v%" PRIu64 ".s%" PRIu64, disk, volume, slot);
}

void names_consumer_id(uint64_t volume, uint64_t slot, const char *consumer, char ret_text[NAMES_CONSUMER_ID_SIZE])
{
	snprintf(ret_text, NAMES_CONSUMER_ID_SIZE, "v%" PRIu64 ".s%" PRIu64 ".%s", volume, slot, consumer);
}

void names_ld_uuid(const char *cluster, uint64_t ld, uint64_t epoch, uint8_t ret_uuid[16])
{
	char name[128];

	snprintf(name, sizeof(name), "%s/ld%" PRIu64 "/e%" PRIu64, cluster, ld, epoch);
	uuid_from_name(name, ret_uuid);
}

void names_leg_uuid(const char *cluster, uint64_t volume, uint64_t leg, const char *consumer, uint8_t ret_uuid[16])
{
	char name[192];

	snprintf(name, sizeof(name), "%s/v%" PRIu64 "/l%" PRIu64 "/%s", cluster, volume, leg, consumer);
	uuid_from_name(name, ret_uuid);
}

void names_snapshot_uuid(const char *cluster, uint64_t volume, uint64_t thin, uint8_t ret_uuid[16])
{
	char name[128];

	snprintf(name, sizeof(name), "%s/v%" PRIu64 "/t%" PRIu64, cluster, volume, thin);
	uuid_from_name(name, ret_uuid);
}

void names_snapshot_leg_uuid(const char *cluster, uint64_t volume, uint64_t leg, uint64_t thin, uint8_t ret_uuid[16])
{
	char name[128];

	snprintf(name, sizeof(name), "%s/v%" PRIu64 "/l%" PRIu64 "/t%" PRIu64, cluster, volume, leg, thin);
	uuid_from_name(name, ret_uuid);
}

uint32_t names_cntlid_min(uint64_t colour)
{
	return (uint32_t)(colour * LIMIT_CNTLIDS_PER_COLOUR + 1);
}

uint32_t names_cntlid_max(uint64_t colour)
{
	return (uint32_t)((colour + 1) * LIMIT_CNTLIDS_PER_COLOUR);
}

void names_dm_name(const char *kind, const char *id, char ret_name[NAMES_DM_SIZE])
{
	const char *const words[] = { NAMES_DM_PREFIX, kind, "-", id };

	join(ret_name, NAMES_DM_SIZE, words, 4);
}

void names_dm_uuid(const char *cluster, const char *kind, const char *id, uint64_t epoch,
		   char ret_uuid[NAMES_DM_UUID_SIZE])
{
	char number[NAMES_ID_SIZE];
	const char *const words[] = { NAMES_DM_UUID_PREFIX, cluster, "-", kind, "-", id, number };

	names_id_format("-e", epoch, number);
	join(ret_uuid, NAMES_DM_UUID_SIZE, words, 7);
}

static bool starts_with_cluster(const char *text, const char *prefix, const char *cluster, char separator)
{
	size_t prefix_length = strlen(prefix), cluster_length = strlen(cluster);

	return strncmp(text, prefix, prefix_length) == 0 &&
	       strncmp(text + prefix_length, cluster, cluster_length) == 0 &&
	       text[prefix_length + cluster_length] == separator;
}

bool names_nqn_is_ours(const char *cluster, const char *nqn)
{
	return starts_with_cluster(nqn, NAMES_NQN_PREFIX, cluster, ':');
}

bool names_dm_uuid_is_ours(const char *cluster, const char *uuid)
{
	return starts_with_cluster(uuid, NAMES_DM_UUID_PREFIX, cluster, '-');
}
