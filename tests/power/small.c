/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linked with --wrap: segments of the log that a short test fills several of, and a store that grows in small steps. */
#include <raft.h>
#include <raft/uv.h>

#include "store/store.h"

#define BLOCK_BYTES 4096
#define SEGMENT_BYTES (8 * BLOCK_BYTES)
#define ROOM_KIB (SEGMENT_BYTES / 1024) /* below this libraft takes no commands */
#define STORE_STEP_BYTES (1u << 20)

int __real_raft_uv_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
			struct raft_uv_transport *transport);
int __wrap_raft_uv_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
			struct raft_uv_transport *transport);

int __wrap_raft_uv_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
			struct raft_uv_transport *transport)
{
	int rv = __real_raft_uv_init(io, loop, dir, transport);

	if (rv == 0)
		raft_uv_set_segment_size(io, SEGMENT_BYTES);
	return rv;
}

int __real_raft_init(struct raft *r, struct raft_io *io, struct raft_fsm *fsm, raft_id id, const char *address);
int __wrap_raft_init(struct raft *r, struct raft_io *io, struct raft_fsm *fsm, raft_id id, const char *address);

int __wrap_raft_init(struct raft *r, struct raft_io *io, struct raft_fsm *fsm, raft_id id, const char *address)
{
	int rv = __real_raft_init(r, io, fsm, id, address);

	if (rv == 0)
		raft_set_capacity_threshold(r, ROOM_KIB);
	return rv;
}

int __real_store_open(const struct store_options *options, struct store **ret_store, bool *ret_rebuilt,
		      struct error *error);
int __wrap_store_open(const struct store_options *options, struct store **ret_store, bool *ret_rebuilt,
		      struct error *error);

int __wrap_store_open(const struct store_options *options, struct store **ret_store, bool *ret_rebuilt,
		      struct error *error)
{
	struct store_options small = *options;

	small.map_step_bytes = STORE_STEP_BYTES;
	return __real_store_open(&small, ret_store, ret_rebuilt, error);
}
