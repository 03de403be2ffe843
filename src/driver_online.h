/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the driver knows for the steps of an online volume, and the placement that they ask for. */
#ifndef DNVME_SRC_DRIVER_ONLINE_H
#define DNVME_SRC_DRIVER_ONLINE_H

#include "src/leader/online.h"

struct dnvmed;

/* The view of a volume; everything lives in `arena`, or in the leader until something changes. */
int driver_online_view(struct dnvmed *dnvmed, const struct volume *volume, const struct moments *moments,
		       struct arena *arena, struct online_view *ret_view, struct error *error);

/* Find a place for what the step asks for and make it the step's command. When there is none the step waits, and looks
 * again after a while. */
int driver_online_place(struct dnvmed *dnvmed, const struct volume *volume, struct arena *arena,
			struct online_step *step, struct error *error);

/* One step of the job that works on the view's volume, into a step of its own; nothing when there is none. */
int driver_online_operation(struct dnvmed *dnvmed, const struct online_view *view, struct arena *arena,
			    struct online_step *step, struct error *error);

#endif
