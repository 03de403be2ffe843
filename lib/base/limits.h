/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every bound of the program in one place.
 *
 * What a peer or an operator can send is bounded here and nowhere else, and
 * each error that reports a bound prints the value from this file.
 */
#ifndef DNVME_LIB_BASE_LIMITS_H
#define DNVME_LIB_BASE_LIMITS_H

#include <stdint.h>

/* Frames (bytes on a socket). */
#define LIMIT_FRAME_CLIENT_BYTES (1u << 20)
#define LIMIT_FRAME_PEER_BYTES (16u << 20) /* agents and servers, both directions */
#define LIMIT_FRAME_DEPTH 24u
#define LIMIT_FRAME_ELEMENTS (1u << 20) /* values in one frame, nested ones included */
#define LIMIT_FRAME_STALL_MS 10000u	/* half a frame and silence */

/* Sessions. */
#define LIMIT_SESSIONS 12000u
#define LIMIT_SESSION_OUTPUT_BYTES (32u << 20) /* unread answers before the session is closed */
#define LIMIT_SESSION_REQUESTS 1024u	       /* unanswered requests of one session */
#define LIMIT_CLIENTS_BYTES (256u << 20)       /* that a server holds for clients; whoever has most of it goes */
/* Descriptors that connections leave: log, state, other servers. */
#define LIMIT_DESCRIPTORS_KEPT 256u
/* Requests of clients that a leader works on at a time, and that another server passes on; and of one address, however
 * many others have. */
#define LIMIT_UNDER_WAY 512u
#define LIMIT_UNDER_WAY_FORWARDED 256u
#define LIMIT_UNDER_WAY_LEAST 4u
#define LIMIT_REQUEST_TIMEOUT_MS 120000u
#define LIMIT_REQUEST_TIMEOUT_DEFAULT_MS 30000u
#define LIMIT_FORWARDED_TIMEOUT_MS 28000u /* the leader answers before the server that forwarded gives up */
#define LIMIT_LEADER_WAIT_MS 5000u	  /* a request waits this long for a leader to appear */

/* Strings (bytes, without the terminating NUL). */
#define LIMIT_NAME 63u	  /* nodes, volumes, clusters: a DNS label */
#define LIMIT_ADDRESS 64u /* numeric address with port */
#define LIMIT_PATH 255u	  /* device paths */
#define LIMIT_NQN 223u	  /* NVMe Base Specification 2.0, 4.5 */
#define LIMIT_TEXT 1023u  /* messages, hints */
#define LIMIT_SERIAL 127u
#define LIMIT_USED_BY 127u /* what else uses a disk */
#define LIMIT_REQUEST_ID 16u
#define LIMIT_BY 127u /* who did something, in a client's words */

/* Objects. */
#define LIMIT_SERVERS 9u
#define LIMIT_NODES 4096u
#define LIMIT_DISKS_PER_NODE 64u
#define LIMIT_LABELS 16u
#define LIMIT_COPIES 4u
#define LIMIT_MEMBERS (LIMIT_COPIES + 1u) /* of a group: one more while one is moved to another disk */
#define LIMIT_CONTROLLERS 16u		  /* active controllers of a volume; one colour each, with standbys */
#define LIMIT_STANDBYS 15u
#define LIMIT_LEGS_PER_CONTROLLER 16u
#define LIMIT_LEGS 64u /* controllers x legs per controller */
#define LIMIT_GROUPS_PER_LEG 64u
#define LIMIT_RANGES_PER_LD 256u /* runs of extents that make up one LD */
#define LIMIT_HOSTS_PER_VOLUME 64u
#define LIMIT_REPORT_VOLUMES 256u /* that a host tells of at once */
#define LIMIT_FORCED_KEPT 8u	  /* decisions to serve by force that a volume remembers */
#define LIMIT_FORCED_LDS 64u	  /* members that it remembers of each */
#define LIMIT_FORGET_ITEMS 256u	  /* that a plan to forget a node or a job names */
#define LIMIT_DRAIN_ITEMS 256u	  /* that a plan to drain disks names */
#define LIMIT_JOBS_KEPT 1000u	  /* jobs that are over; the oldest go first */
#define LIMIT_EVENTS_KEPT 32768u  /* the oldest revisions go first */
#define LIMIT_FINDINGS 256u	  /* that an audit of the state tells; it counts the others */
#define LIMIT_EXTEND_LDS 256u	  /* that a volume grows by at once */
#define LIMIT_EXPLAINED 64u	  /* findings, prospects, advice of volume.explain */
#define LIMIT_SNAPSHOTS 64u	  /* of a volume */
#define LIMIT_SNAPSHOT_TRIES 3u	  /* then the job fails */
#define LIMIT_DROPPED_THINS 128u  /* thin devices of a volume that are still to be deleted */
#define LIMIT_THINS_TOLD 256u	  /* of which an agent remembers that it deleted them */
#define LIMIT_THINS 0xffffffu	  /* numbers of the thin devices of a pool have 24 bits */
/* How long hosts may be held up for a snapshot. Well below each timeout of hosts and nodes. */
#define LIMIT_PAUSE_MS_MIN 100u
#define LIMIT_PAUSE_MS_DEFAULT 2000u
#define LIMIT_PAUSE_MS_MAX 5000u
#define LIMIT_PAUSE_MARGIN_MS 500u /* that the leader waits beyond it for what is said of a pause */
/* Copies and events that volume.explain names. */
#define LIMIT_EXPLAINED_MEMBERS 1024u
#define LIMIT_EXPLAINED_EVENTS 20u
#define LIMIT_DEADLINE_MS_MAX (UINT64_C(366) * 24 * 3600 * 1000)
#define LIMIT_COLOURS 16u
#define LIMIT_EPOCHS_PARKED 8u /* that one holder had one after the other, and may not be clean of */
/* nvmet ports of striped volumes, each of which has one of its own at all its controllers. */
#define LIMIT_LEG_PORT_FIRST 20000u
#define LIMIT_LEG_PORT_LAST 29999u
/* Legs of a volume's snapshots are exported so far below its own. */
#define LIMIT_SNAPSHOT_PORT_OFFSET 10000u
#define LIMIT_CNTLIDS_PER_COLOUR 4000u
#define LIMIT_LIST_PAGE 4096u
#define LIMIT_OBSERVED (1u << 17) /* objects of one kind in a kernel */
#define LIMIT_DM_TARGETS 256u	  /* lines of a device-mapper table; LIMIT_RANGES_PER_LD */
#define LIMIT_DM_PARAMS 4095u	  /* parameters of one such line; LIMIT_LEGS stripes need 64 x 32 */

/* Sizes in bytes. The largest volume is what a 63-bit signed offset addresses. */
#define LIMIT_SECTOR_BYTES 512u
#define LIMIT_VOLUME_BYTES_MIN (UINT64_C(1) << 20)
#define LIMIT_VOLUME_BYTES_MAX (UINT64_C(1) << 62)
#define LIMIT_DISK_BYTES_MIN (UINT64_C(64) << 20)
#define LIMIT_DISK_BYTES_MAX (UINT64_C(1) << 62)
#define LIMIT_EXTENT_BYTES_DEFAULT (UINT64_C(4) << 20)

/* Proposals. */
#define LIMIT_COMMAND_BYTES (512u << 10)
#define LIMIT_ENTRY_BYTES (4u << 20) /* commands packed into one Raft entry */
#define LIMIT_ENTRY_COMMANDS 256u    /* of which one is applied at a time, so nothing waits for more */
#define LIMIT_PROPOSALS 65536u	     /* waiting to be committed on the leader */
#define LIMIT_DEDUPE_ENTRIES 200000u

/* Backups, and how long a server keeps one for a client that reads it. */
#define LIMIT_BACKUP_PIECE_BYTES (512u << 10)
#define LIMIT_BACKUP_FILE_BYTES (UINT64_C(4) << 30)
#define LIMIT_BACKUPS 2u
#define LIMIT_BACKUP_IDLE_MS 30000u
#define LIMIT_BACKUP_MS 3600000u

/* Of a restore: by how many steps numbers go on, besides one for each second since the backup was made; and by how many
 * altogether, which is 8 years. */
#define LIMIT_RESTORE_STEPS_LEAST 1024u
#define LIMIT_RESTORE_STEPS (UINT64_C(1) << 28)
/* The largest revision and term from which a restore goes on. */
#define LIMIT_RESTORE_FROM (UINT64_C(1) << 62)

/* Health. */
#define LIMIT_HEARTBEAT_MS 250u
#define LIMIT_LEASE_MS 2000u
#define LIMIT_LEASE_CHECK_MS 250u     /* a holder without a lease looks so often whether all its members are there */
#define LIMIT_LEASE_MARGIN_MS 250u    /* for clocks that do not run alike, and timers that come late */
#define LIMIT_FENCE_DEADLINE_MS 5000u /* then a Disk Node counts as unreachable */
#define LIMIT_REBUILD_AFTER_MS 600000u
#define LIMIT_SERVER_DEAD_MS 30000u /* then one that stands by votes in its place; longer than a restart */
#define LIMIT_REBUILD_AFTER_MS_MAX (UINT64_C(30) * 24 * 3600 * 1000)

/* Keep-alive of NVMe connections, in seconds. With a timeout of K, a target ends a silent connection within 2 K, and an
 * initiator does not give one up before K. */
#define LIMIT_IMPORT_KEEP_ALIVE_S 2u /* between nodes */
/* A node's kernel shuts out a peer of which it heard nothing for so long. Keep-alives come every quarter of their
 * timeout, every half after an answer. */
#define LIMIT_PEER_SILENCE_MS 1350u
/* The first time that TCP waits before it sends again, without much load. It doubles. */
#define LIMIT_TCP_RETRY_MS 250u
/* Of a host to a volume with several active controllers: it must not be the first to give one up (docs/FAILURES.md,
 * "Why a host must not be quicker than a node"). And to a volume with a single one, which has no remote legs, and is
 * known by that value. */
#define LIMIT_HOST_KEEP_ALIVE_S 3u
#define LIMIT_HOST_KEEP_ALIVE_SINGLE_S 2u
/* The last two, and that of an import, while keep-alives of our own are sent (lib/net/keep_alive.h). */
#define LIMIT_KEEP_ALIVE_RAISED_S 25u
#define LIMIT_KEEP_ALIVE_SINGLE_RAISED_S 24u
#define LIMIT_HOST_PULSE_MS 1000u  /* between two of them: by `dnvme host watch` */
#define LIMIT_IMPORT_PULSE_MS 500u /* by an agent */
/* How long an initiator's kernel waits for the answer to an administrative command (nvme_core.admin_timeout, 60 of its
 * own accord). That is also how long a connection hangs whose target goes away while it is made, or made anew
 * (docs/FAILURES.md, "A connection that ends in its middle"). */
#define LIMIT_ADMIN_TIMEOUT_S 5u

_Static_assert(LIMIT_PEER_SILENCE_MS > LIMIT_IMPORT_KEEP_ALIVE_S * 1000 / 2, "who is well is heard in time");
_Static_assert(LIMIT_HOST_KEEP_ALIVE_S * 1000 > 2 * LIMIT_PEER_SILENCE_MS + LIMIT_TCP_RETRY_MS,
	       "what a node sends again after a silence that was borne arrives before a host gives that node up");
_Static_assert(LIMIT_KEEP_ALIVE_SINGLE_RAISED_S * 1000 / 4 > LIMIT_HOST_PULSE_MS + (LIMIT_HOST_KEEP_ALIVE_S + 1) * 1000,
	       "the kernel sends no keep-alive before one of ours timed out");
_Static_assert(LIMIT_ADMIN_TIMEOUT_S > LIMIT_HOST_KEEP_ALIVE_S && LIMIT_ADMIN_TIMEOUT_S > LIMIT_IMPORT_KEEP_ALIVE_S,
	       "of a target that lives a keep-alive is answered in less");
_Static_assert(LIMIT_BACKUP_PIECE_BYTES < LIMIT_FRAME_CLIENT_BYTES, "a piece of a backup fits into a frame");
_Static_assert(LIMIT_COMMAND_BYTES < LIMIT_ENTRY_BYTES, "a command fits into an entry");
_Static_assert(LIMIT_FRAME_CLIENT_BYTES <= LIMIT_FRAME_PEER_BYTES, "a client's frame can be forwarded");
_Static_assert(LIMIT_ENTRY_BYTES <= LIMIT_FRAME_PEER_BYTES, "an entry fits into a peer's frame");
_Static_assert(LIMIT_COLOURS *LIMIT_CNTLIDS_PER_COLOUR < 0xffef, "all cntlids are valid ones");
_Static_assert(LIMIT_CONTROLLERS <= LIMIT_COLOURS, "every active controller has a colour of its own");
_Static_assert(LIMIT_SESSION_OUTPUT_BYTES >= 2 * LIMIT_FRAME_PEER_BYTES, "a whole answer fits");

#endif
