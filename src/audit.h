/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster.check: the audit of this server's own state, while it is in use.
 *
 *   asked ──► DUMP on the loop, as for a Raft snapshot ──► a worker thread loads it into a store of its own, DIR/check,
 *             audits it and removes it ──► everybody who asked before the dump is answered
 *
 * The audit of a large state takes longer than servers and agents wait for a leader, so it must not be on the loop; and
 * the store cannot grow while somebody reads it, so it cannot read the store itself.
 */
#ifndef DNVME_SRC_AUDIT_H
#define DNVME_SRC_AUDIT_H

#include "fsm/fsm.h"

struct audit;
struct dnvmed;
struct request;

/* NULL when memory is exhausted; the second accepts NULL, and nothing may run any more. */
struct audit *audit_make(struct dnvmed *dnvmed);
void audit_free(struct audit *audit);

/* The method. */
int cluster_check_answer(struct request *request, struct error *error);

/* Begin what waits. */
void audit_tick(struct dnvmed *dnvmed);

/* Audit a dump in a store that is made in `directory`, whatever an interrupted one left there, and removed. The
 * findings, and the record of the cluster (NULL: it is not asked for), live in `arena`. FAILED_PRECONDITION (the dump
 * is damaged, or of no cluster yet), NO_CAPACITY, INTERNAL (a record is damaged: the message names it). Thread-safe;
 * blocks on disk. */
int audit_dump(struct bytes dump, const char *directory, struct arena *arena, struct fsm_findings *ret_findings,
	       struct cluster *ret_cluster, struct error *error);

/* Audit the store of a stopped server in the data directory, print what there is, and return the exit status. */
int audit_stopped(const char *data_directory);

#endif
