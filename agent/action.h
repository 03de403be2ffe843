/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One step that changes (or reads a label from) the kernel. */
#ifndef DNVME_AGENT_ACTION_H
#define DNVME_AGENT_ACTION_H

#include "agent/backend/kernel.h"
#include "agent/owner.h"
#include "agent/target.h"

enum action_kind {
	ACTION_DM_CREATE,
	ACTION_DM_REMOVE,
	ACTION_DM_RELOAD,
	ACTION_DM_RESUME,
	ACTION_DM_DRAIN,
	ACTION_LABEL_READ,
	ACTION_LABEL_WRITE,
	ACTION_LABEL_CHECK,
	ACTION_LABEL_MATCH,
	ACTION_LABEL_MARK,
	ACTION_ERRORS_FORGET,
	ACTION_CACHE_OFF,
	ACTION_PAUSE_HOLD,
	ACTION_PAUSE_SNAP,
	ACTION_PAUSE_RELEASE,
	ACTION_PAUSE_FORGET,
	ACTION_THIN_DELETE,
	ACTION_FILL,
	ACTION_PORT_CREATE,
	ACTION_PORT_REMOVE,
	ACTION_SUBSYSTEM_CREATE,
	ACTION_SUBSYSTEM_REMOVE,
	ACTION_NAMESPACE_CREATE,
	ACTION_NAMESPACE_GROUP,
	ACTION_NAMESPACE_RESIZE,
	ACTION_NAMESPACE_REMOVE,
	ACTION_HOST_ALLOW,
	ACTION_HOST_DENY,
	ACTION_LINK,
	ACTION_UNLINK,
	ACTION_REJECT,
	ACTION_ADMIT,
	ACTION_CONNECT,
	ACTION_RESCAN,
	ACTION_DISCONNECT,
	ACTION_DROP,
};

/* A member with which a mirror goes on when another one leaves it. */
struct survivor {
	const char *mirror;
	size_t place;
	const char *device;
};

struct survivor_list {
	size_t count;
	struct survivor *items;
};

/* Which members count depends on the kind; all memory belongs to the plan. */
struct action {
	enum action_kind kind;
	struct owner owner;
	const char *name; /* dm device; CACHE_OFF: path of a disk */
	const char *uuid;
	struct observed_target_list table;
	struct string_list resyncs;    /* DM_CREATE: ask for a resync in these raid superblocks first, */
	uint64_t places;	       /* of an array of so many places, */
	struct target_zero_list zeros; /* DM_CREATE, DM_RELOAD: clear these, */
	/* DM_RELOAD: of a mirror. Suspend it first, whose superblocks and bitmap then say what the new table needs, */
	bool suspend;
	struct string_list returning; /* ask for these raid superblocks' members to be completed by bitmap, */
	struct string_list knowing;   /* when each of these in sync knows what they missed, */
	uint64_t returning_mask;      /* in these places, */
	/* DM_RELOAD, DROP: refuse unless each of them has all that was acknowledged on its medium, and is in sync */
	struct survivor_list survivors;
	const char *message_device; /* then send this message, then create */
	const char *message;
	uint64_t start;		   /* FILL: from this byte on */
	struct kernel_pause pause; /* PAUSE_*: volume and number; PAUSE_HOLD: all of it */
	uint64_t number;	   /* THIN_DELETE: of the thin device in the pool `name` */
	uint64_t drain;		   /* DM_DRAIN: number under which that is asked for */
	struct ld_label label;	/* LABEL_CHECK: the LD, its volume, the epoch of the export, and whether there must be a
				   label, which is raised to that epoch; LABEL_MATCH: of a member that has everything,
				   LABEL_MARK: with filled_bytes; ERRORS_FORGET:
				   LD and rebuild_ms */
	const char *superblock; /* LABEL_WRITE: refuse unless this raid superblock says that the rebuild is complete */
	const char *nqn;
	const char *host;
	const char *mark;
	uint64_t port;
	uint64_t gate; /* LINK: put the port behind the gate of this one first; 0: it has none */
	const char *address;
	uint32_t cntlid_min, cntlid_max;
	struct kernel_namespace ns;
	struct kernel_import import;
};

/* Append one line of text without a newline. Returns 0 or -1 when memory is exhausted. */
int action_print(const struct action *action, struct buffer *output);

/* Do it; blocks. LABEL_READ, LABEL_MARK, LABEL_CHECK and LABEL_MATCH (also when they refuse) fill *ret_label, whose
 * memory is in `arena`; the others leave both alone.
 */
int action_execute(const struct action *action, struct kernel *kernel, struct arena *arena,
		   struct observed_label *ret_label, struct error *error);

#endif
