/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nodes of a rack that is only said to be there: bench_volumes registers them, bench_nodes speaks for them. */
#ifndef DNVME_TESTS_BENCH_RACK_H
#define DNVME_TESTS_BENCH_RACK_H

#include <stdint.h>

#define RACK_NODES 32u
#define RACK_NODES_MAX 4096u
#define RACK_DISKS 4u /* of each node */
#define RACK_DISK_BYTES (UINT64_C(16) << 40)
#define RACK_PORT 4420u
#define RACK_VERSION "bench"

struct rack_node {
	char name[16], address[16], rack[16];
	uint8_t boot_id[16];
};

/* From 1 on: "node1". */
void rack_node_make(unsigned number, struct rack_node *ret_node);

/* From 0 on: "/dev/nvme0n1". */
void rack_disk_path(unsigned number, char ret_path[16]);

#endif
