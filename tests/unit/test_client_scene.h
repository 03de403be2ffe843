/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host sees of a volume, and what it is told of it. */
#ifndef DNVME_TESTS_UNIT_TEST_CLIENT_SCENE_H
#define DNVME_TESTS_UNIT_TEST_CLIENT_SCENE_H

#include "client/cli/host_plan.h"

#define SCENE_HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SCENE_OTHER "nqn.2014-08.org.nvmexpress:uuid:99999999-2222-3333-4444-555555555555" /* another host */
#define SCENE_NQN "nqn.2026-11.io.dnvme:c0ffee:volume:v1"

/*
 * A volume in one line: "cn1 active 0, cn2 standby, cn3 retired 0", where the number is the slot. cn1 is at 10.0.0.1.
 * The kernel in another: "nvme0 cn1 live, nvme1 cn2 connecting".
 */
struct scene {
	struct slot slots[2];
	struct controller controllers[8];
	struct volume_path paths[8];
	char nodes[8][8], addresses[8][32];
	const char *hosts[1];
	struct volume volume;
	struct volume_status status;
	struct host_controller known[8];
	size_t known_count;
};

void scene_make(struct scene *scene, const char *volume, const char *kernel);

#endif
