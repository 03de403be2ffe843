/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store: LMDB behind a small door. The only code that includes <lmdb.h>.
 *
 * One writer at a time, any number of readers; all calls from one thread (the loop's), except where said.
 * Tables are fixed at compile time; keys and values are bytes; order is byte order.
 *
 * Durability: the Raft log is the durability, so transactions are not synced. The file is trusted again after the
 * death of the process, and not after an unclean stop of the operating system: the store keeps the kernel's boot id
 * and, when it finds another one and no clean close, starts empty; the Raft snapshot and log rebuild it.
 *
 * The map is preallocated in steps (a sparse map on a full disk would end the process with SIGBUS), so that "disk
 * full" is an error of store_reserve() or store_open(), never a signal.
 */
#ifndef DNVME_STORE_STORE_H
#define DNVME_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

enum store_table {
	STORE_TABLE_META,	 /* names of counters and facts */
	STORE_TABLE_NODE,	 /* name -> node */
	STORE_TABLE_DISK,	 /* disk id -> disk */
	STORE_TABLE_DISK_PATH,	 /* node NUL path -> disk id */
	STORE_TABLE_FREE,	 /* disk id, first extent behind a free run -> its length */
	STORE_TABLE_VOLUME,	 /* volume id -> volume */
	STORE_TABLE_VOLUME_NAME, /* name -> volume id */
	STORE_TABLE_NODE_VOLUME, /* node NUL volume id -> nothing: controllers of a node */
	STORE_TABLE_DISK_VOLUME, /* disk id, volume id -> nothing: volumes with LDs on a disk */
	STORE_TABLE_HOST_VOLUME, /* host NQN NUL volume id -> nothing */
	STORE_TABLE_TRANSITION,	 /* volume id -> nothing: volumes that are not online */
	STORE_TABLE_REQUEST,	 /* request id -> outcome */
	STORE_TABLE_REQUEST_AGE, /* revision, request id -> nothing: oldest first */
	STORE_TABLE_LEG_PORT,	 /* port -> volume id: who exports legs there */
	STORE_TABLE_JOB,	 /* job id -> operation */
	STORE_TABLE_JOB_AGE,	 /* revision, job id -> nothing: those that are over, oldest first */
	STORE_TABLE_EVENT,	 /* revision, number in it -> event */
	STORE_TABLE_COUNT
};

struct store;
struct store_txn;
struct store_cursor;

struct store_options {
	const char *directory;	  /* borrowed during the call; created when missing */
	uint64_t map_step_bytes;  /* grow by this much; 0 chooses 64 MiB */
	uint64_t map_limit_bytes; /* never larger; 0 chooses 64 GiB */
	const uint8_t *boot_id;	  /* 16 bytes, borrowed; NULL reads the kernel's */
};

/* Open or create. *ret_rebuilt tells that an old state was dropped after an unclean stop of the system.
 * FAILED_PRECONDITION (foreign file, other version, damaged, in use by another process: each with a hint),
 * NO_CAPACITY (disk full), PERMISSION_DENIED, INTERNAL. Blocks on disk I/O. */
int store_open(const struct store_options *options, struct store **ret_store, bool *ret_rebuilt, struct error *error);

/* Sync, mark clean, close. Accepts NULL. Open transactions must have ended. */
void store_close(struct store *store);

/* The store of a stopped server, to be read: nothing is written, and no server can open it meanwhile. `boot_id` as in
 * struct store_options. NOT_FOUND (there is none); FAILED_PRECONDITION (in use, foreign, other version, damaged; or the
 * system stopped unclean, so that the next start drops it and rebuilds it), PERMISSION_DENIED, INTERNAL. */
int store_open_read(const char *directory, const uint8_t *boot_id, struct store **ret_store, struct error *error);

/* Close one that is not needed any more, and remove it with its directory; nothing is synced. Accepts NULL. */
void store_discard(struct store *store);

/* Remove what a store left in a directory that nobody has open, and the directory if it is empty then. */
void store_remove(const char *directory);

/* Make room for `bytes` of new pages. Call with no transaction open. NO_CAPACITY when the disk or the limit is
 * reached; the store stays usable. */
int store_reserve(struct store *store, uint64_t bytes, struct error *error);

/* Write everything to the medium. Thread-safe, blocks. */
int store_sync(struct store *store, struct error *error);

/* Bytes of the map, and of its pages in use. */
void store_usage(const struct store *store, uint64_t *ret_map_bytes, uint64_t *ret_used_bytes);

/* Transactions. A write transaction sees its own changes. NO_CAPACITY when the map is full (see store_reserve). */
int store_txn_begin(struct store *store, bool write, struct store_txn **ret_txn, struct error *error);
int store_txn_commit(struct store_txn *txn, struct error *error); /* ends the transaction, also on failure */
void store_txn_abort(struct store_txn *txn);			  /* accepts NULL */

/* Nested write transaction: abort undoes only what it did. */
int store_txn_begin_nested(struct store_txn *parent, struct store_txn **ret_txn, struct error *error);

/* NOT_FOUND when there is no such key (the message names the table; without an `error` it costs nothing). The value is
 * borrowed until the next change in the transaction or its end. */
int store_get(struct store_txn *txn, enum store_table table, struct bytes key, struct bytes *ret_value,
	      struct error *error);
int store_put(struct store_txn *txn, enum store_table table, struct bytes key, struct bytes value, struct error *error);
int store_delete(struct store_txn *txn, enum store_table table, struct bytes key, struct error *error);

/* The key that was put or deleted last in a nested transaction, and what it held before; data NULL: nothing. Both are
 * borrowed until the transaction ends. */
void store_change_last(const struct store_txn *txn, struct bytes *ret_key, struct bytes *ret_before);

/* Number of keys in a table. */
int store_count(struct store_txn *txn, enum store_table table, uint64_t *ret_count, struct error *error);

/* Walk a table in key order from `from` (empty: the first key). After opening, store_cursor_next() gives the first
 * pair; it returns NOT_FOUND behind the last. Keys and values are borrowed until the next change or call. */
int store_cursor_open(struct store_txn *txn, enum store_table table, struct bytes from,
		      struct store_cursor **ret_cursor, struct error *error);
int store_cursor_next(struct store_cursor *cursor, struct bytes *ret_key, struct bytes *ret_value, struct error *error);
void store_cursor_close(struct store_cursor *cursor); /* accepts NULL */

/* The whole state as bytes: versioned, checksummed, in key order, the same bytes for the same state. */
int store_dump(struct store_txn *txn, struct buffer *output, struct error *error);

/* Replace the whole state by a dump, in one transaction. FAILED_PRECONDITION when it is damaged or of another version:
 * nothing was changed. */
int store_load(struct store *store, struct bytes dump, struct error *error);

/* Hash of the whole state in key order: equal states have equal digests on every machine. */
int store_digest(struct store_txn *txn, uint8_t ret_digest[16], struct error *error);

/* Name of a table, for messages. */
const char *store_table_name(enum store_table table);

#endif
