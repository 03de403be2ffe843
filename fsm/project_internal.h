/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the projection: what was looked up, and what is made of it. */
#ifndef DNVME_FSM_PROJECT_INTERNAL_H
#define DNVME_FSM_PROJECT_INTERNAL_H

#include "fsm/volume.h"

#define LOOKUP_BUCKETS 256u

/* Disks and nodes that were looked up, so that a node with many volumes decodes each once. */
struct disk_entry {
	struct disk_entry *next;
	struct disk disk;
	const struct node *node;
};

struct node_entry {
	struct node_entry *next;
	struct node node;
};

struct projection {
	struct state state;
	struct cluster cluster;
	const struct node *node; /* the one that is told */
	struct desired desired;
	struct disk_entry *disks[LOOKUP_BUCKETS];
	struct node_entry *nodes[LOOKUP_BUCKETS];
};

const char *projection_text(struct projection *projection, const char *text); /* a copy; NULL: no memory */
int projection_node(struct projection *projection, const char *name, const struct node **ret_node, struct error *error);
int projection_disk(struct projection *projection, uint64_t id, const struct disk_entry **ret_entry,
		    struct error *error);
int projection_remove(struct projection *projection, enum object_kind kind, const char *id, uint64_t revision,
		      struct error *error);

/* The exports of the node's disks; the controller that the node is. */
int projection_exports(struct projection *projection, const struct volume *volume, struct error *error);
int projection_controller(struct projection *projection, const struct volume *volume,
			  const struct controller *controller, struct error *error);

#endif
