/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/rack.h"

#include <stdio.h>
#include <string.h>

#define NODES_PER_RACK 4u

void rack_node_make(unsigned number, struct rack_node *ret_node)
{
	struct rack_node node = { 0 };

	snprintf(node.name, sizeof(node.name), "node%u", number);
	snprintf(node.address, sizeof(node.address), "10.0.%u.%u", number / 250 % 250, number % 250 + 1);
	snprintf(node.rack, sizeof(node.rack), "r%u", (number - 1) / NODES_PER_RACK + 1);
	memcpy(node.boot_id, &number, sizeof(number));
	*ret_node = node;
}

void rack_disk_path(unsigned number, char ret_path[16])
{
	snprintf(ret_path, 16, "/dev/nvme%un1", number % 1000);
}
