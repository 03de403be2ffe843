/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside placement: the view, sorted and joined. */
#ifndef DNVME_FSM_POLICY_PLACEMENT_INTERNAL_H
#define DNVME_FSM_POLICY_PLACEMENT_INTERNAL_H

#include "fsm/policy/placement.h"

#define SIZE_TEXT_SIZE 32u

struct site { /* a node */
	const struct node *node;
	enum health health;
	const char *label; /* its rack or zone; NULL: a domain of its own */
	size_t domain;
	uint64_t disks, disks_cordoned; /* those that are held are counted as cordoned, too */
	uint64_t disks_held;
	uint64_t free_most; /* extents of the disk that has most of them */
};

struct seat { /* a disk that may be used */
	const struct disk *disk;
	const struct site *site;
	uint64_t free;
	size_t leg; /* 1 + the leg that used it last */
};

struct plan {
	const struct placement_request *request;
	const struct placement_view *view;
	struct arena *arena;
	struct site *sites; /* by name */
	size_t site_count;
	struct seat *seats; /* by id */
	size_t seat_count;
	uint64_t leg_bytes, volume_bytes, block_bytes;
	const char *what;  /* "create", "extend": for the error's sentence; NULL: create */
	size_t groups_max; /* of a leg; 0: LIMIT_GROUPS_PER_LEG */
};

/* As few groups for leg_bytes as fit, on other disks than those of other legs as far as there are any. */
int placement_leg_choose(struct plan *plan, size_t leg, struct place_leg *ret_leg, struct error *error);

/* "cannot create volume \"db1\"". Returns `code`. */
int placement_prefix(const struct plan *plan, int code, struct error *error);

/* The value of the label that the spread is about; NULL when the node has none. */
const char *placement_domain_label(const struct node *node, enum spread spread);

/* Sort and join the view; of the request only the spread counts. */
int placement_plan_open(struct plan *plan, struct error *error);
/* Whether `a` has relatively more free extents. */
bool placement_seat_is_emptier(const struct seat *a, const struct seat *b);

/* Why nothing at all is placed on the node; NULL when something may be. */
const char *placement_site_obstacle(const struct site *site);
/* Why no controller of a volume of such durability is placed on the node, whatever others are; NULL when one may be. */
const char *placement_controller_obstacle(const struct site *site, enum durability durability);
/* "n1 is 12 GiB short": how the node stands to an LD of `wanted` extents, by site.free_most. */
void placement_site_text(const struct plan *plan, const struct site *site, uint64_t wanted, char *text, size_t size);
/* "12 GiB": the largest unit in which it is whole or at least 10; rounded down or up. */
const char *placement_size_text(uint64_t bytes, bool up, char text[SIZE_TEXT_SIZE]);

/* The sentence, lines and hint of NO_CAPACITY. */
int placement_explain_controllers(const struct plan *plan, size_t found, struct error *error);
int placement_explain_space(const struct plan *plan, uint64_t wanted_extents, struct error *error);

#endif
