/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/dnvme.h"
#include "tests/sim/net.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

static void client_main(struct process *process)
{
	struct dnvme_server_spec specs[3];
	struct dnvme_error error;
	struct dnvme *dnvme;
	int rc;

	(void)process;
	rc = dnvme_open("10.0.1.1:7400,10.0.1.2:7400,10.0.1.3:7400", &dnvme, &error);
	for (size_t i = 0; i < 3; i++)
		specs[i] = (struct dnvme_server_spec){ i + 1, server_machines[i].options.raft,
						       server_machines[i].options.listen };
	rc = dnvme_cluster_init(dnvme, "c1", specs, 3, NULL, NULL, &error);
	world_trace("init: %d %s", rc, rc != 0 ? error.message : "");
	for (int i = 0; i < 20; i++) {
		rc = dnvme_cluster_status(dnvme, NULL, NULL, &error);
		world_trace("status: %d %s", rc, rc != 0 ? error.message : "");
		world_sleep(WORLD_SECOND);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	char directory[] = "/dev/shm/dnvme-sim-XXXXXX";
	struct machine *client;

	if (mkdtemp(directory) == NULL)
		return 1;
	world_begin(seed, argc > 2);
	net_begin();
	servers_make(3, directory);
	client = machine_make("client", 10 << 24 | 3 << 8 | 1);
	for (size_t i = 0; i < 3; i++)
		server_start(&server_machines[i]);
	process_start(client, "client", client_main, NULL, NULL);
	world_run(6 * WORLD_SECOND);
	if (server_leader() != NULL) {
		struct server_machine *leader = server_leader();

		server_kill(leader);
		world_run(12 * WORLD_SECOND);
		server_start(leader);
	}
	world_run(25 * WORLD_SECOND);
	printf("seed %" PRIu64 " digest %016" PRIx64 " events %" PRIu64 "\n", seed, world_trace_digest(), world_events);
	return 0;
}
