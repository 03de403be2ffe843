/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keep-alives of our own on NVMe connections of this machine, so that nothing waits for the kernel's.
 *
 * Linux 6.1 to 6.11 send a keep-alive from a work item that waits for the answer, and everything by which a path is
 * given up waits for that work item: the error recovery, a reset, a deletion. So whoever lost a controller stands still
 * until that command times out, however soon he hears that another one serves. The kernel sends none while anything
 * else is answered. So each path gets a small administrative command (Get Features) now and then, with a timeout that
 * is what the keep-alive timeout was. It does the same, and nobody waits for it: it is what notices that a controller
 * is silent. The kernel's own timeout is raised meanwhile (Set Features 0Fh; NVMe Base Specification 2.0, "Keep Alive
 * Timer"), so that its first keep-alive behind the last answer, a quarter of it later, comes when all is over.
 *
 *   usual (2 s, 3 s) ── our first is answered ──► raised (24 s, 25 s)
 *         ▲                                            │
 *         └──────── we end, and the path is live ──────┘
 *
 * A process does that, with a thread for each path, since such a command may be stuck in the kernel as long as the path
 * is. It ends with its parent. Paths with another keep-alive timeout were made by hand, and are left alone.
 */
#ifndef DNVME_LIB_NET_KEEP_ALIVE_H
#define DNVME_LIB_NET_KEEP_ALIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

#define KEEP_ALIVE_NAME_SIZE 64

/* The timeouts, in seconds, of a path with this one: as it is without us, and while we are there. False: not ours. */
bool keep_alive_is_known(unsigned keep_alive_s, unsigned *ret_usual_s, unsigned *ret_raised_s);

/* What is sent to a controller. Any thread. */
struct keep_alive_device {
	/* Send one keep-alive, and wait for its answer at most `timeout_ms`; whether it came. */
	bool (*ask)(void *data, const char *controller, unsigned timeout_ms);
	/* Set the keep-alive timeout at both ends. */
	bool (*set)(void *data, const char *controller, unsigned keep_alive_s, unsigned timeout_ms);
	void *data;
};

/* /dev/NAME of this machine. */
extern const struct keep_alive_device keep_alive_nvme;

struct keep_alive_path {
	char name[KEEP_ALIVE_NAME_SIZE]; /* of the controller: "nvme3" */
	uint64_t inode;			 /* of its directory: another controller of the same name has another one */
};

/* Who knows which paths there are. */
struct keep_alive_source {
	/* All that keep-alives are sent to. The list is the source's, until the next call. */
	int (*find)(void *data, const struct keep_alive_path **ret_paths, size_t *ret_count, struct error *error);
	/* Its timeout now, and whether it is live; false when it is gone. Any thread. */
	bool (*read)(void *data, const char *controller, unsigned *ret_keep_alive_s, bool *ret_live);
	void *data;
	unsigned interval_ms; /* between two keep-alives on a path; to 1000 */
};

/* One keep-alive, if the path is live and has a known timeout; raises that when it was answered. Blocks. */
void keep_alive_send(const struct keep_alive_source *source, const struct keep_alive_device *device,
		     const char *controller);

/* Set it back, if it is live. Blocks. */
void keep_alive_restore(const struct keep_alive_source *source, const struct keep_alive_device *device,
			const char *controller);

/* What the process does until SIGTERM comes or `parent` is gone: then all timeouts are set back. Begin with one thread.
 * Returns for the process to end at once; what is stuck in the kernel then keeps the process, and nothing else. */
void keep_alive_run(const struct keep_alive_source *source, const struct keep_alive_device *device, pid_t parent);

#endif
