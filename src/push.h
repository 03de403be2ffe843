/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the desired state of a node as agent.desired notifications. */
#ifndef DNVME_SRC_PUSH_H
#define DNVME_SRC_PUSH_H

#include "fsm/fsm.h"
#include "lib/base/buffer.h"
#include "src/table.h"

struct push {
	struct fsm *fsm;
	const char *node;
	uint64_t term;
	struct buffer *output; /* frames are appended */
};

/* Everything, in parts that fit into frames; the first says reset, the last complete. */
int push_whole(const struct push *push, struct error *error);

/* The node's disks; `removed` has the ids ("d1") of those that are gone. */
int push_disks(const struct push *push, const struct table *removed, struct error *error);

/* What the node has of one volume. */
int push_volume(const struct push *push, uint64_t volume, struct error *error);

#endif
