/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a group comes to be: cluster.init on one server, server.join on the others, and DIR/cluster, the file that
 * remembers to which group a server belongs and how its members are reached.
 *
 *   asked ──► PROBE every server: reachable, as listed, in no other cluster
 *         ──► WRITE DIR/cluster and DIR/joining, bootstrap consensus (durable)
 *         ──► JOIN  tell the others, again and again until each did the same; then remove DIR/joining
 *         ──► the first leader makes the cluster's record; answer
 *
 * DIR/joining tells a server that was restarted half-way to go on. Nobody is told to join twice after it answered, so
 * a server that lost its disk is never filled with an empty log.
 */
#ifndef DNVME_SRC_BOOTSTRAP_H
#define DNVME_SRC_BOOTSTRAP_H

#include "lib/base/error.h"

struct dnvmed;
struct request;
struct bootstrap;

/* NULL when memory is exhausted; accepts NULL. */
struct bootstrap *bootstrap_make(void);
void bootstrap_free(struct bootstrap *bootstrap);

/* At the start: read DIR/cluster if it is there, and take part in its group. FAILED_PRECONDITION when the file does
 * not fit this server's command line. Blocks on disk. */
int bootstrap_start(struct dnvmed *dnvmed, struct error *error);

/* Methods. */
int bootstrap_init_answer(struct request *request, struct error *error);
int bootstrap_join_answer(struct request *request, struct error *error);

/* Go on with what was begun. */
void bootstrap_tick(struct dnvmed *dnvmed);

/* The server stops: forget calls that are under way. */
void bootstrap_stop(struct dnvmed *dnvmed);

#endif
