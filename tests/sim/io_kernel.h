/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated kernel as requests see it, and the rooms that a request passes through: from a device down to a mirror, a
 * path to another kernel, or a medium. For the files io*.c alone; the others have io.h.
 */
#ifndef DNVME_TESTS_SIM_IO_KERNEL_H
#define DNVME_TESTS_SIM_IO_KERNEL_H

#include "agent/backend/sim/sim_state.h"
#include "agent/group.h"
#include "tests/sim/io.h"

#define IO_QUEUE_US (20 * WORLD_MS) /* what waits looks again so often */
#define IO_RETRANSMIT_US (200 * WORLD_MS)

/* A kernel, as long as it runs. */
struct io_at {
	struct storage *node;
	uint64_t boots;
};

struct sim_kernel *io_kernel(struct io_at at);
/* Let a machine that is frozen wait; false: it lost power, and all that was in it. */
bool io_is_there(struct io_at at);
/* The same, after that time. */
bool io_wait(struct io_at at, uint64_t us);

/* Devices (io_device.c). A request to one, by its name or its number. */
enum io_result io_device(struct io_at at, const char *name, uint64_t sector, struct io *io);
enum io_result io_number(struct io_at at, uint64_t major, uint64_t minor, uint64_t sector, struct io *io);
/* NULL: there is none. */
struct observed_dm *io_dm_by_number(struct sim_kernel *kernel, uint64_t major, uint64_t minor);
/* As a kernel switches tables: new requests wait, until those under way ended, however long that takes. Where none is,
 * but a path below does not answer, the call itself is an error here. */
void io_device_drain(struct storage *node, const char *name);
/* To hold up a volume waits for a path that does not answer, too, until the limit; which is the usual one here. */
void io_device_pause(struct storage *node, const char *name);

/* Mirrors (io_mirror.c), by the names of their devices. */
enum io_result io_mirror_write(struct io_at at, const char *name, uint64_t sector, struct io *io);
enum io_result io_mirror_read(struct io_at at, const char *name, uint64_t sector, struct io *io);
/* False: there is no mirror of that name. */
bool io_mirror_find(struct io_at at, const char *name, struct group_table *ret_table, struct group_status *ret_status,
		    bool *ret_suspended);
/* The LD of a member, and where its data begins on it; 0: none. */
uint64_t io_ld_of(struct io_at at, uint64_t device, uint64_t *ret_start);

/* An imported namespace, by its number (io_path.c). */
enum io_result io_remote(struct io_at at, uint64_t minor, uint64_t sector, struct io *io);

/*
 * The connection of an import (io_wire.c). It has one I/O queue (agent/backend/linux/fabrics.c), so that what is sent
 * by it arrives in that order, however slow one packet is.
 */
struct io_wire;
/* To be put when the request is done. */
struct io_wire *io_wire_get(struct storage *from, struct storage *to, uint64_t instance, uint64_t generation);
void io_wire_put(struct io_wire *wire);
/* Whether it is there; for io_way, whose data it is. */
bool io_wire_stands(void *wire);
/* Sleeps until what was sent is there; what is lost while the network is cut is sent again. False: the connection went.
 */
bool io_wire_send(struct io_wire *wire, uint64_t delay_us);

/* A disk (io_medium.c), by its number; `name` is that of the device above it. */
enum io_result io_medium(struct io_at at, const char *name, uint64_t minor, uint64_t sector, struct io *io);

/* What is exported (io_target.c). To disable a namespace waits for what is in flight, and with it all of nvmet: so it
 * is not tried before. UNAVAILABLE: it took too long. */
int io_target_drain(struct storage *node, const char *nqn, struct error *error);

void io_device_begin(void);
void io_path_begin(void);
void io_target_begin(void);
void io_wire_begin(void);

#endif
