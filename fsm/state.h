/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the state machine: typed access to the tables, and what a command works with.
 *
 * Ids in keys are big-endian, so that byte order is numeric order. Records are stored tagged.
 *
 * A function that fails returns a code, and says with `broken` which kind of failure it was: the environment (store,
 * memory, damage: the entry is not applied), or else a fact of the state that every replica sees alike (the command
 * is refused).
 */
#ifndef DNVME_FSM_STATE_H
#define DNVME_FSM_STATE_H

#include "fsm/fsm.h"
#include "fsm/record_cache.h"

/* One record of the table META; its numbers are written once per entry. */
struct counters {
	uint64_t applied;  /* Raft index */
	uint64_t revision; /* raised by each command that changes something */
	uint64_t last_disk, last_volume, last_ld, last_job;
};

struct fsm {
	struct store *store; /* borrowed */
	fsm_change_callback callback;
	void *data;
	struct counters counters; /* as committed */
	struct record_cache records;
};

/* A record that a command wrote or deleted, as it was before. */
struct journal_item {
	enum store_table table;
	struct bytes key,
		before; /* the store's, while the command's transaction is open; before.data NULL: there was none */
	size_t place;	/* in the order of writes */
};

struct journal {
	size_t count;
	struct journal_item *items;
};

/* Access to the tables in one transaction. */
struct state {
	struct store_txn *txn;
	struct arena *arena;	      /* of the records that are read */
	struct record_cache *records; /* borrowed; NULL: each is decoded anew */
	struct buffer scratch;
	struct journal *journal; /* of what events are made of (fsm/events.h); NULL: nobody makes any */
	bool broken;
};

/* --- keys ------------------------------------------------------------------------------------------------- */

#define KEY_SIZE 384u
_Static_assert(KEY_SIZE >= LIMIT_NAME + 1 + LIMIT_PATH, "a disk's path fits");
_Static_assert(KEY_SIZE >= LIMIT_NQN + 1 + 8, "a host's NQN fits");

struct key {
	uint8_t data[KEY_SIZE];
};

/* Each fills `key` and returns its bytes. Text was checked against its limit before. */
struct bytes key_text(struct key *key, const char *text);
struct bytes key_id(struct key *key, uint64_t id);
struct bytes key_id_id(struct key *key, uint64_t first, uint64_t second);
struct bytes key_text_id(struct key *key, const char *text, uint64_t id);
struct bytes key_text_text(struct key *key, const char *first, const char *second);
struct bytes key_text_nul(struct key *key, const char *text); /* the prefix of the two above */
uint64_t key_read_id(const uint8_t *data);
bool bytes_start_with(struct bytes bytes, struct bytes prefix);

#define DISK_PORT_FIRST 4500u /* of the Disk Nodes of a node */

#define META_COUNTERS "counters"
#define META_CLUSTER "cluster"

/* --- tables ------------------------------------------------------------------------------------------------- */

void state_close(struct state *state);

/* Report that memory is exhausted. */
int state_nomem(struct state *state, struct error *error);

/* A record; NOT_FOUND is a fact and breaks nothing. */
int state_get(struct state *state, enum store_table table, struct bytes key, const struct schema *schema,
	      void *ret_record, struct error *error);
/* The same from a value that a walk gave. */
int state_decode(struct state *state, enum store_table table, struct bytes value, const struct schema *schema,
		 void *ret_record, struct error *error);
int state_put(struct state *state, enum store_table table, struct bytes key, const struct schema *schema,
	      const void *record, struct error *error);
int state_put_bytes(struct state *state, enum store_table table, struct bytes key, struct bytes value,
		    struct error *error);
int state_put_empty(struct state *state, enum store_table table, struct bytes key, struct error *error);
/* An id as value (VOLUME_NAME, DISK_PATH, FREE). */
int state_put_id(struct state *state, enum store_table table, struct bytes key, uint64_t id, struct error *error);
int state_get_id(struct state *state, enum store_table table, struct bytes key, uint64_t *ret_id, struct error *error);
/* A key that must be there: its absence is damage. */
int state_delete(struct state *state, enum store_table table, struct bytes key, struct error *error);
int state_has(struct state *state, enum store_table table, struct bytes key, bool *ret_has, struct error *error);
int state_count(struct state *state, enum store_table table, uint64_t *ret_count, struct error *error);

/* Walk the keys that begin with `prefix`, from `from` on; `visit` must not change tables and ends the walk by a
 * code of its own, which is passed on (STATE_WALK_STOP: ends it with success). */
#define STATE_WALK_STOP (-1)
typedef int (*state_visit)(void *data, struct bytes key, struct bytes value, struct error *error);
int state_walk(struct state *state, enum store_table table, struct bytes from, struct bytes prefix, state_visit visit,
	       void *data, struct error *error);

/* --- records ------------------------------------------------------------------------------------------------ */

struct id_list {
	size_t count;
	uint64_t *items;
};

/* Append a zeroed item to a list that only this function has grown; NULL when memory is exhausted. */
void *list_add(struct arena *arena, void *list, size_t item_size);
/* Sort and drop what is twice. */
void id_list_normalize(struct id_list *list);

/* FAILED_PRECONDITION while there is no cluster. */
int state_cluster(struct state *state, struct cluster *ret_cluster, struct error *error);
/* Whether this program knows the version of the state; FAILED_PRECONDITION says which it is. */
int version_read(struct state *state, struct error *error);
/* NOT_FOUND names the object. */
int state_node(struct state *state, const char *name, struct node *ret_node, struct error *error);
int state_disk(struct state *state, uint64_t id, struct disk *ret_disk, struct error *error);
int state_volume(struct state *state, uint64_t id, struct volume *ret_volume, struct error *error);
/* By name or by id ("v12"). */
int state_volume_find(struct state *state, const char *name, struct volume *ret_volume, struct error *error);
int state_node_put(struct state *state, const struct node *node, struct error *error);
int state_disk_put(struct state *state, const struct disk *disk, struct error *error);
int state_volume_put(struct state *state, const struct volume *volume, struct error *error);

/* Ids of a node's disks, in order; of the volumes that have a controller or LDs on a node, in order. */
int state_node_disks(struct state *state, const char *node, struct id_list *ret_list, struct error *error);
int state_node_volumes(struct state *state, const char *node, struct id_list *ret_list, struct error *error);

/* Names of the nodes that a volume touches (controllers, retired ones included, and nodes of its disks, those of
 * leaving LDs included), in order, each once. */
int state_volume_nodes(struct state *state, const struct volume *volume, struct string_list *ret_nodes,
		       struct error *error);

int counters_read(struct state *state, struct counters *ret_counters, struct error *error);
int counters_write(struct state *state, const struct counters *counters, struct error *error);

/* --- commands --------------------------------------------------------------------------------------------- */

struct change_list {
	size_t count;
	struct fsm_change *items;
};

/* What a command works with. */
struct transition {
	struct state state;	  /* in a transaction of the command's own */
	struct counters counters; /* taken over when the command succeeds */
	bool changed;		  /* the revision was raised */
	uint64_t time_ms;	  /* the leader's clock */
	struct bytes request_id;  /* of the command; size 0: it has none */
	const char *id;		  /* outcome: the object; may be NULL */
	uint64_t revision;	  /* outcome: when it took effect */
	bool changes_wanted;
	struct arena *entry_arena; /* of the changes */
	struct change_list *changes;
};

/* The revision of this command; raises the counter the first time, and becomes the outcome's. */
uint64_t transition_touch(struct transition *transition);
/* Set the outcome's object; the text is copied. */
int transition_id(struct transition *transition, const char *prefix, uint64_t id, struct error *error);
/* Remember what the callback shall hear. */
int transition_changed_cluster(struct transition *transition, struct error *error);
enum node_change { NODE_STAYS, NODE_MOVED, NODE_REMOVED };
int transition_changed_node(struct transition *transition, const char *name, enum node_change change,
			    struct error *error);
int transition_changed_disk(struct transition *transition, const struct disk *disk, bool removed, struct error *error);
int transition_changed_volume(struct transition *transition, const struct volume *volume, bool removed,
			      struct error *error);

/* A disk that holds nothing goes. */
int disk_drop(struct transition *transition, const struct disk *disk, struct error *error);

int command_cluster_create_apply(struct transition *transition, const struct cluster *command, struct error *error);
int command_node_register_apply(struct transition *transition, const struct command_node_register *command,
				struct error *error);
int command_node_cordon_apply(struct transition *transition, const struct command_node_cordon *command,
			      struct error *error);
int command_node_forget_apply(struct transition *transition, const struct command_node_forget *command,
			      struct error *error);
int command_disk_add_apply(struct transition *transition, const struct command_disk_add *command, struct error *error);
int command_disk_cache_apply(struct transition *transition, const struct command_disk_cache *command,
			     struct error *error);
int command_disk_drain_apply(struct transition *transition, const struct command_disk_drain *command,
			     struct error *error);
int command_ld_move_apply(struct transition *transition, const struct command_ld_move *command, struct error *error);
int command_ld_moved_apply(struct transition *transition, const struct command_ld_moved *command, struct error *error);
int command_disk_remove_apply(struct transition *transition, const struct command_disk_remove *command,
			      struct error *error);
int command_volume_create_apply(struct transition *transition, const struct command_volume_create *command,
				struct error *error);
int command_volume_advance_apply(struct transition *transition, const struct command_volume_advance *command,
				 struct error *error);
int command_volume_delete_apply(struct transition *transition, const struct command_volume_delete *command,
				struct error *error);
int command_lds_free_apply(struct transition *transition, const struct command_lds_free *command, struct error *error);
int command_host_attach_apply(struct transition *transition, const struct command_host_attach *command,
			      struct error *error);
int command_host_detach_apply(struct transition *transition, const struct command_host_detach *command,
			      struct error *error);
int command_slot_move_apply(struct transition *transition, const struct command_slot_move *command,
			    struct error *error);
int command_slot_advance_apply(struct transition *transition, const struct command_slot_advance *command,
			       struct error *error);
int command_lds_stale_apply(struct transition *transition, const struct command_lds_stale *command,
			    struct error *error);
int command_ld_rebuild_apply(struct transition *transition, const struct command_ld_rebuild *command,
			     struct error *error);
int command_ld_settle_apply(struct transition *transition, const struct command_ld_settle *command,
			    struct error *error);
int command_ld_in_sync_apply(struct transition *transition, const struct command_ld_in_sync *command,
			     struct error *error);
int command_ld_drain_apply(struct transition *transition, const struct command_ld_drain *command, struct error *error);
int command_ld_excuse_apply(struct transition *transition, const struct command_ld_excuse *command,
			    struct error *error);
int command_ld_replace_apply(struct transition *transition, const struct command_ld_replace *command,
			     struct error *error);
int command_controller_add_apply(struct transition *transition, const struct command_controller_add *command,
				 struct error *error);
int command_controller_retire_apply(struct transition *transition, const struct command_controller_retire *command,
				    struct error *error);
int command_controller_drop_apply(struct transition *transition, const struct command_controller_drop *command,
				  struct error *error);
int command_slot_force_apply(struct transition *transition, const struct command_slot_force *command,
			     struct error *error);
int command_cluster_set_apply(struct transition *transition, const struct command_cluster_set *command,
			      struct error *error);
int command_server_add_apply(struct transition *transition, const struct command_server_add *command,
			     struct error *error);
int command_cluster_recover_apply(struct transition *transition, const struct command_cluster_recover *command,
				  struct error *error);
int command_state_upgrade_apply(struct transition *transition, const struct command_state_upgrade *command,
				struct error *error);
int command_disk_release_apply(struct transition *transition, const struct command_disk_release *command,
			       struct error *error);
int command_volume_release_apply(struct transition *transition, const struct command_volume_release *command,
				 struct error *error);
int command_volume_move_apply(struct transition *transition, const struct command_volume_move *command,
			      struct error *error);
int command_volume_set_apply(struct transition *transition, const struct command_volume_set *command,
			     struct error *error);
int command_server_remove_apply(struct transition *transition, const struct command_server_remove *command,
				struct error *error);
int command_volume_extend_apply(struct transition *transition, const struct command_volume_extend *command,
				struct error *error);
int command_job_advance_apply(struct transition *transition, const struct command_job_advance *command,
			      struct error *error);
int command_job_cancel_apply(struct transition *transition, const struct command_job_cancel *command,
			     struct error *error);
int command_job_fail_apply(struct transition *transition, const struct command_job_fail *command, struct error *error);
int command_job_forget_apply(struct transition *transition, const struct command_job_forget *command,
			     struct error *error);
int command_snapshot_create_apply(struct transition *transition, const struct command_snapshot_create *command,
				  struct error *error);
int command_snapshot_retry_apply(struct transition *transition, const struct command_snapshot_retry *command,
				 struct error *error);
int command_snapshot_delete_apply(struct transition *transition, const struct command_snapshot_delete *command,
				  struct error *error);
int command_snapshot_attach_apply(struct transition *transition, const struct command_snapshot_attach *command,
				  struct error *error);
int command_snapshot_detach_apply(struct transition *transition, const struct command_snapshot_detach *command,
				  struct error *error);
int command_thins_purge_apply(struct transition *transition, const struct command_thins_purge *command,
			      struct error *error);

#endif
