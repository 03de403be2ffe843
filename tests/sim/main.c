/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/dnvme.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

#define SERVERS "10.0.1.1:7400,10.0.1.2:7400,10.0.1.3:7400"

static void client_main(struct process *process)
{
	struct dnvme_server_spec specs[3];
	struct dnvme_error error;
	struct dnvme *dnvme;
	struct dnvme_result *result;
	int rc;

	(void)process;
	rc = dnvme_open(SERVERS, &dnvme, &error);
	for (size_t i = 0; i < 3; i++)
		specs[i] = (struct dnvme_server_spec){ i + 1, server_machines[i].options.raft,
						       server_machines[i].options.listen };
	rc = dnvme_cluster_init(dnvme, "c1", specs, 3, NULL, NULL, &error);
	world_trace("init: %d %s", rc, rc != 0 ? error.message : "");
	for (size_t i = 0; i < node_count; i++) {
		for (unsigned d = 0; d < nodes[i].disks; d++) {
			char path[32];

			snprintf(path, sizeof(path), "/dev/sim%u", d);
			while ((rc = dnvme_disk_add(dnvme, nodes[i].name, path, NULL, NULL, &error)) != 0) {
				world_trace("disk add: %d %s", rc, rc != 0 ? error.message : "");
				world_sleep(WORLD_SECOND);
			}
		}
	}
	struct dnvme_volume_spec spec = DNVME_VOLUME_SPEC_INIT;
	spec.name = "db";
	spec.size_bytes = UINT64_C(1) << 30;
	spec.copies = 2;
	spec.controllers = 1;
	spec.standbys = 1;
	while ((rc = dnvme_volume_create(dnvme, &spec, NULL, NULL, &error)) != 0) {
		world_trace("create: %d %s", rc, rc != 0 ? error.message : "");
		world_sleep(WORLD_SECOND);
	}
	for (int i = 0; i < 60; i++) {
		rc = dnvme_volume_get(dnvme, "db", NULL, &result, &error);
		world_trace("volume: %d %s", rc, rc != 0 ? error.message : dnvme_result_json(result));
		dnvme_result_free(result);
		world_sleep(WORLD_SECOND);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	char directory[] = "/dev/shm/dnvme-sim-XXXXXX";
	const char *servers[] = { "10.0.1.1:7400", "10.0.1.2:7400", "10.0.1.3:7400" };
	struct machine *client;

	if (mkdtemp(directory) == NULL)
		return 1;
	world_begin(seed, argc > 2);
	net_begin();
	servers_make(3, directory);
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "dn%d", i + 1);
		node_make(name, true, 1, servers, 3);
	}
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "cn%d", i + 1);
		node_make(name, false, 0, servers, 3);
	}
	client = machine_make("client", 10 << 24 | 3 << 8 | 1);
	for (size_t i = 0; i < 3; i++)
		server_start(&server_machines[i]);
	for (size_t i = 0; i < node_count; i++)
		node_start(&nodes[i]);
	fabric_begin();
	process_start(client, "client", client_main, NULL, NULL);
	world_run(30 * WORLD_SECOND);
	node_power_cut(&nodes[3]);
	world_run(60 * WORLD_SECOND);
	node_power_on(&nodes[3]);
	world_run(90 * WORLD_SECOND);
	printf("seed %" PRIu64 " digest %016" PRIx64 " events %" PRIu64 "\n", seed, world_trace_digest(), world_events);
	return 0;
}
