/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/io_kernel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fault_disk.h"
#include "tests/sim/label_look.h"

/* No write of an older epoch reaches a medium that a newer epoch reads: from the moment on when the label says so. */
static void epoch_check(struct io_at at, const char *name, const struct io *io)
{
	const char *colon = io->export != NULL ? strrchr(io->export, ':') : NULL;
	struct sim_place place = { .kernel = io_kernel(at) };
	struct sim_block *block;
	uint64_t label, epoch = colon != NULL && colon[1] == 'e' ? strtoull(colon + 2, NULL, 10) : 0;

	if (epoch == 0 || sim_block_place(io_kernel(at), name, 0, &place, NULL) != 0)
		return;
	block = sim_block_find(&place, 0);
	label = block != NULL ? label_look(&block->data).epoch : 0;
	if (label > epoch)
		world_fail("two writers: a write of epoch %" PRIu64 " reaches %s on %s, which is in epoch %" PRIu64,
			   epoch, name, at.node->name, label);
}

enum io_result io_medium(struct io_at at, const char *name, uint64_t minor, uint64_t sector, struct io *io)
{
	uint64_t overtake_us = fault_disk_overtake_us(), most_us = overtake_us > 0 ? overtake_us : 10 * WORLD_MS,
		 ld = 0;
	uint64_t takes_us = world_chance(20) ? world_between(WORLD_MS, most_us) : world_between(20, 300);

	takes_us += fault_disk_delay_us(at.node);
	if (io->flush) {
		if (!io_wait(at, takes_us))
			return IO_LOST;
		media_flush(at.node, minor);
		return IO_DONE;
	}
	/* A write that another one to the same block overtakes is what docs/FAILURES.md, "What remains", is about. */
	if (io->write && overtake_us == 0)
		takes_us = media_write_turn(at.node, minor, sector, takes_us) - world_now;
	if (!io_wait(at, takes_us))
		return IO_LOST;
	if (strncmp(name, "dnvme-ld-ld", 11) == 0)
		ld = strtoull(name + 11, NULL, 10);
	if (fault_disk_fails(at.node, ld, minor, sector, io->write)) {
		io->failed = true;
		return IO_ERROR;
	}
	if (io->write) {
		epoch_check(at, name, io);
		world_trace("%s writes v#%" PRIu64 " sector %" PRIu64 " write %" PRIu64 " attempt %" PRIu64 " for %s",
			    name, io->block.volume, sector, io->block.sequence, io->attempt, io->export);
		media_write(at.node, minor, sector, io->block, io->forced);
	} else {
		io->block = media_read(at.node, minor, sector);
	}
	return IO_DONE;
}
