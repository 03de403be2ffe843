/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose a thing in the kernel is (v2.s0.nodeb: the export of the legs of slot 0 to the consumer nodeb). Names carry
 * object id and epoch, so that an agent without memory can tell.
 *
 * The lane of a thing is the queue in which its actions run: one after the other within a lane, lanes side by side.
 *
 *   thing                                             object         lane
 *   dm ld, uuid …-ld-d1.v2.s0.ld7-e1                  export         d1.v2.s0
 *   dm parked, uuid …-parked-d1.v2.s0.n3-e1           export         d1.v2.s0
 *   nvmet …:slot:d1.v2.s0:e1                          export         d1.v2.s0
 *   import of …:slot:d1.v2.s0:e1                      volume v2      import d1.v2.s0
 *   dm label, raidmeta, raiddata, raid, thinmeta,
 *      thindata, pool, thin, durable, id v2.l0[…]     volume v2      v2.l0
 *   dm leg, uuid …-leg-v2.l0.s0.nodeb-e1              v2.s0.nodeb    v2.l0
 *   dm parked, uuid …-parked-v2.l0.s0.nodeb-e0        v2.s0.nodeb    v2.s0.nodeb
 *   nvmet …:leg:v2.s0.nodeb                           v2.s0.nodeb    v2.s0.nodeb
 *   import of …:leg:v2.s1.nodea                       volume v2      import v2.s1.nodea
 *   dm volume, nvmet …:volume:v2                      volume v2      v2
 *   that export, when it is taken out of reach
 *      over a path that is frozen (legs, too)         volume v2      out v2
 *   what is done for snapshots of v2                  volume v2      v2.snapshots
 *   dm snapthin, snapread, uuid …-snapread-v2.l0.t7-e1,
 *      snaperror, snapshot, uuid …-snapshot-v2.t7-e0  snapshot v2.t7 v2.t7
 *   nvmet …:snapshot:v2.t7, …:snapleg:v2.s0.t7        snapshot v2.t7 v2.t7
 *   import of …:snapleg:v2.s1.t7                      snapshot v2.t7 import v2.s1.t7
 *   nvmet port marked dnvme-<cluster>-d1              disk d1        port 4421
 *   nvmet port marked dnvme-<cluster>-cn              the node       port 4420
 *   nvmet port marked dnvme-<cluster>-leg             the node       port 20002
 *   that of v2's snapshots, marked dnvme-<cluster>-cn the node       port 10002
 */
#ifndef DNVME_AGENT_OWNER_H
#define DNVME_AGENT_OWNER_H

#include <stdbool.h>

#include "lib/model/records.h"

#define OWNER_ID_SIZE 96
#define OWNER_LANE_SIZE 288

struct owner {
	enum object_kind kind; /* 0: the node itself */
	char id[OWNER_ID_SIZE];
	char lane[OWNER_LANE_SIZE];
};

/* false when the name is not ours or not of a form that this agent makes: then it must not be touched. */
bool owner_of_dm(const char *cluster, const char *uuid, struct owner *ret_owner);
bool owner_of_subsystem(const char *cluster, const char *nqn, struct owner *ret_owner);
bool owner_of_import(const char *cluster, const char *nqn, struct owner *ret_owner);
bool owner_of_port(const char *cluster, const char *mark, uint64_t port, struct owner *ret_owner);

/* The owner of a port that is wanted: of disk `disk`, or of the node when `disk` is 0; and its mark. One of a volume's
 * legs is the volume's while it is wanted; what is left of it when it is not is the node's. */
void owner_port_make(uint64_t disk, uint64_t port, struct owner *ret_owner);
void owner_leg_port_make(uint64_t volume, uint64_t port, struct owner *ret_owner);
/* One lane for what makes the thin devices of a volume's snapshots, and what deletes them. */
void owner_snapshots_make(uint64_t volume, struct owner *ret_owner);
/* A snapshot that hosts read. */
void owner_snapshot_make(uint64_t volume, uint64_t thin, struct owner *ret_owner);
/* The same owner, in the lane in which its export is taken out of reach while its own lane may wait for what is frozen
 * below, which goes only when the export is out of reach. */
void owner_out_make(const struct owner *export, struct owner *ret_owner);
bool owner_mark_is_leg(const char *mark);
void owner_port_mark(const char *cluster, const struct owner *owner, char ret_mark[OWNER_ID_SIZE]);

bool owner_is(const struct owner *owner, enum object_kind kind, const char *id);

/* Whether it is that object, or an export to a consumer, or a snapshot, of that volume. */
bool owner_is_within(const struct owner *owner, enum object_kind kind, const char *id);

#endif
