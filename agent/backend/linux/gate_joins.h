/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A consumer is let in at a port of legs once in each generation: the part of the gate that sees to it, what this
 * process knows of it, and the commands that bring it up to date.
 *
 *   set generation4, generation6 { ipv4_addr . inet_service; }  who is let in once; comments: in which one
 *   set joined4, joined6 { the same; flags dynamic; }           who was, in this one
 *   set joining4, joining6 { the same; flags dynamic,timeout; } and whose connections are being made yet
 *   chain once4, once6    for a SYN: saddr and dport in @generation and @joined, not in @joining: reject with tcp reset
 *   chain joins4, joins6  for what is let in: SYN, not of a probe: add to @joined and @joining, or reject
 *                         saddr and dport in @consumer and @joining: refresh that
 *
 * One whose connection breaks connects anew RECONNECT_DELAY_S later (fabrics.c), when it is not joining any more. The
 * connections of one import are made one after the other, and each packet of them leaves time for the next one. A probe
 * (PEER_TRY_DSCP) may come long before the rest: a kernel makes one import at a time.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_GATE_JOINS_H
#define DNVME_AGENT_BACKEND_LINUX_GATE_JOINS_H

#include "agent/backend/kernel.h"
#include "lib/base/buffer.h"

/* From the last packet that was let in, in which the next connection of the same import has to come; less than the time
 * that a kernel waits before it connects again. */
#define GATE_JOINING_MS 700u

struct gate_join {
	struct gate_join *next;
	uint64_t port, volume, generation;
	bool joined;
	char address[];
};

struct gate_joins {
	struct gate_join *first;
	bool known; /* what an earlier process left was read */
};

/* Sets, chains and rules, made anew in a transaction; what is in the sets stays. */
int gate_joins_rules_print(struct buffer *commands);

void gate_joins_free(struct gate_joins *joins);

/* Take in a listing of sets: `generation` and `joined`, of either family or both. What is joined stays so until another
 * generation comes: somebody may have flushed the rules. 0, or -1 when memory is exhausted. */
int gate_joins_read(struct gate_joins *joins, const char *listing);

/* For a transaction: a peer of another generation than before has not been let in. */
int gate_joins_print(const struct gate_joins *joins, const struct kernel_peer_list *peers, struct buffer *commands);
/* It was made. 0, or -1 when memory is exhausted. */
int gate_joins_take(struct gate_joins *joins, const struct kernel_peer_list *peers);
/* Sets `joined` of each. */
void gate_joins_tell(const struct gate_joins *joins, struct kernel_peer_list *peers);

/* A port leaves: what was remembered of it goes, also in a transaction. */
int gate_joins_leave_print(const struct gate_joins *joins, uint64_t port, struct buffer *commands);
void gate_joins_leave(struct gate_joins *joins, uint64_t port);

#endif
