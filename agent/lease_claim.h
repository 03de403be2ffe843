/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a node without a lease has to show for serving on: a pure function of what it was told last.
 *
 * Every member that is in sync, of every slot that it holds, must have a live and accessible path: then no Disk Node
 * has fenced it. A member that is being rebuilt may have become in sync without this node having heard of it: it
 * must be there too, once it is imported.
 */
#ifndef DNVME_AGENT_LEASE_CLAIM_H
#define DNVME_AGENT_LEASE_CLAIM_H

#include "agent/backend/kernel.h"

struct lease_claim {
	const char *refusal;	       /* why it may not serve whatever its paths are; NULL */
	struct kernel_path_list paths; /* each once */
};

/* `desired` is the last complete desired state, NULL when this process has had none; `statuses` is how far the kernel
 * came with it. Texts are borrowed from `desired`, the list lives in `arena`. INTERNAL without memory. */
int lease_claim_make(const struct desired *desired, const struct object_status_list *statuses, struct arena *arena,
		     struct lease_claim *ret_claim, struct error *error);

#endif
