/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The controllers and namespaces of the NVMe initiator, from sysfs, for looks several times a second.
 *
 * An open file of sysfs belongs to one object of the kernel: it cannot be read any more once that is gone, even when
 * another one has its name. So what never changes of a controller is known for as long as its file `state` can be read,
 * and a look reads one open file of each controller and of each path.
 *
 * Any thread may look; nothing here waits for I/O.
 */
#ifndef DNVME_AGENT_BACKEND_LINUX_NVME_CACHE_H
#define DNVME_AGENT_BACKEND_LINUX_NVME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"

struct nvme_cache;

/* Reads a file from its start, as pread() does. */
typedef ssize_t (*nvme_reader)(int fd, void *ret_data, size_t size, off_t offset);

/* A controller that leads to a subsystem of ours. Texts are never NULL. */
struct nvme_controller_seen {
	const char *name; /* nvme3 */
	const char *nqn, *address, *trsvcid, *host_nqn, *state;
	const char *ana; /* the worst ANA state of its namespaces, "" when it has none; a literal */
	size_t paths;	 /* namespaces that it shows */
	bool accessible; /* it shows one, and all that it shows are accessible */
};

struct nvme_seen {
	size_t count;
	struct nvme_controller_seen *items; /* in the order of their names */
	struct observed_import_namespace_list namespaces;
};

/* What to look at besides the controllers and their states. */
enum nvme_depth {
	NVME_CONTROLLERS,
	NVME_PATHS,	 /* and the paths of their namespaces */
	NVME_NAMESPACES, /* and the namespaces themselves */
};

/* At most `files` files are kept open; what is above that is read anew each time. `root`: "/sys", borrowed. NULL when
 * memory is exhausted. */
struct nvme_cache *nvme_cache_make(const char *root, nvme_reader reader, size_t files);
void nvme_cache_free(struct nvme_cache *cache); /* accepts NULL */

/* INTERNAL or NO_CAPACITY when memory or files are exhausted. What it returns lives in `arena`. */
int nvme_cache_look(struct nvme_cache *cache, enum nvme_depth depth, struct arena *arena, struct nvme_seen *ret_seen,
		    struct error *error);

#endif
