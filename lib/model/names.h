/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ids as text, and the names on the data path. One place makes them, one place
 * takes them apart, so that nothing is ever touched that is not ours.
 */
#ifndef DNVME_LIB_MODEL_NAMES_H
#define DNVME_LIB_MODEL_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/limits.h"

struct error;

#define NAMES_ID_SIZE 32
#define NAMES_CONSUMER_ID_SIZE (NAMES_ID_SIZE * 2 + LIMIT_NAME + 1)
#define NAMES_NQN_SIZE (LIMIT_NQN + 1)
#define NAMES_DM_SIZE 128
#define NAMES_DM_UUID_SIZE 129

#define NAMES_NQN_PREFIX "nqn.2026-11.io.dnvme:"
#define NAMES_DM_PREFIX "dnvme-"
#define NAMES_DM_UUID_PREFIX "DNVME-"

/* "v12" from ("v", 12). */
void names_id_format(const char *prefix, uint64_t id, char ret_text[NAMES_ID_SIZE]);

/* 12 from ("v", "v12"); -1 when the text is not of that form (no leading zeros, no sign). */
int names_id_parse(const char *prefix, const char *text, uint64_t *ret_id);

/* A DNS label: lower-case letters, digits, '-'; begins and ends with a letter or digit; 1 to LIMIT_NAME bytes.
 * Otherwise INVALID_ARGUMENT, naming `field`. */
int names_name_check(const char *field, const char *name, struct error *error);

/* The same of a name that need not be terminated, without a word. */
bool names_name_is_valid(const char *name, size_t length);

/* An NQN as NVMe Base Specification 2.0, 4.5 has it ("nqn." and a date or uuid form, at most 223 bytes). */
int names_nqn_check(const char *field, const char *nqn, struct error *error);

/* nqn.2026-11.io.dnvme:<cluster>:volume:v1 – the same on every controller. */
void names_volume_nqn(const char *cluster, uint64_t volume, char ret_nqn[NAMES_NQN_SIZE]);
/* …:slot:d1.v1.s0:e1 – what a Disk Node exports to the holder of a slot in an epoch. */
void names_export_nqn(const char *cluster, uint64_t disk, uint64_t volume, uint64_t slot, uint64_t epoch,
		      char ret_nqn[NAMES_NQN_SIZE]);
/* …:leg:v1.s0.<consumer> – a slot's legs for one consumer, the same at every holder. */
void names_consumer_nqn(const char *cluster, uint64_t volume, uint64_t slot, const char *consumer,
			char ret_nqn[NAMES_NQN_SIZE]);
/* …:node:<name> – the host NQN with which a node imports. */
void names_node_nqn(const char *cluster, const char *node, char ret_nqn[NAMES_NQN_SIZE]);

/* …:snapshot:v1.t7 – a snapshot by the number of its thin device, the same on every controller. */
void names_snapshot_nqn(const char *cluster, uint64_t volume, uint64_t thin, char ret_nqn[NAMES_NQN_SIZE]);
/* …:snapleg:v1.s0.t7 – its legs in a slot for the other controllers, the same at every holder. */
void names_snapshot_leg_nqn(const char *cluster, uint64_t volume, uint64_t slot, uint64_t thin,
			    char ret_nqn[NAMES_NQN_SIZE]);

/* "v1.t7": the id of a snapshot. */
void names_snapshot_id(uint64_t volume, uint64_t thin, char ret_text[NAMES_ID_SIZE * 2]);

/* "d1.v1.s0": the id of a Disk Node's export. */
void names_export_id(uint64_t disk, uint64_t volume, uint64_t slot, char ret_text[NAMES_ID_SIZE * 3]);

/* "v1.s0.<consumer>": the id of a slot's export to a consumer. */
void names_consumer_id(uint64_t volume, uint64_t slot, const char *consumer, char ret_text[NAMES_CONSUMER_ID_SIZE]);

/* Namespace UUIDs: of an LD in an epoch; of a leg on its way to one consumer. */
void names_ld_uuid(const char *cluster, uint64_t ld, uint64_t epoch, uint8_t ret_uuid[16]);
void names_leg_uuid(const char *cluster, uint64_t volume, uint64_t leg, const char *consumer, uint8_t ret_uuid[16]);
/* Of a snapshot, and of one of its legs: the same everywhere. */
void names_snapshot_uuid(const char *cluster, uint64_t volume, uint64_t thin, uint8_t ret_uuid[16]);
void names_snapshot_leg_uuid(const char *cluster, uint64_t volume, uint64_t leg, uint64_t thin, uint8_t ret_uuid[16]);

/* First and last NVMe controller id of a colour. */
uint32_t names_cntlid_min(uint64_t colour);
uint32_t names_cntlid_max(uint64_t colour);

/* dm name "dnvme-<kind>-<id>" and uuid "DNVME-<cluster>-<kind>-<id>-e<epoch>". */
void names_dm_name(const char *kind, const char *id, char ret_name[NAMES_DM_SIZE]);
void names_dm_uuid(const char *cluster, const char *kind, const char *id, uint64_t epoch,
		   char ret_uuid[NAMES_DM_UUID_SIZE]);

/* Whether a name carries our prefix and the cluster: only such things may be touched. */
bool names_nqn_is_ours(const char *cluster, const char *nqn);
bool names_dm_uuid_is_ours(const char *cluster, const char *uuid);

#endif
