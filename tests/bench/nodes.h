/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many nodes in one process. Each has a connection of its own, and says and hears what an agent does; in the place of
 * its kernel stands one that does all that is wanted at once.
 */
#ifndef DNVME_TESTS_BENCH_NODES_H
#define DNVME_TESTS_BENCH_NODES_H

#include "lib/base/arena.h"
#include "lib/model/records.h"

/* What a node has to report. */
struct nodes_news {
	struct arena arena;
	struct object_status_list objects;
	struct volume_health_list volumes;
};

/* All of a part of the desired state is made: every object is as wanted, every member of a group in sync, every path
 * live. Texts are copied. Returns 0, or -1 when memory is exhausted. */
int nodes_kernel_make(const struct desired *part, struct nodes_news *news);

void nodes_news_clear(struct nodes_news *news);

#endif
