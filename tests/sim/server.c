/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/fsm.h"
#include "store/internal.h"
#include "tests/sim/raft_disk.h"

struct server_machine server_machines[SERVERS_MAX];
size_t server_count;
uint64_t server_last_revision;

static void server_main(struct process *process)
{
	struct server_machine *server = process->data;
	struct dnvmed *dnvmed = malloc(sizeof(*dnvmed));
	struct error error = { 0 };

	if (dnvmed == NULL)
		abort();
	server->dnvmed = dnvmed;
	if (dnvmed_start(dnvmed, &server->options, &error) != 0)
		world_trace("cannot start: %s", error.message);
	process->exit_status = dnvmed_run(dnvmed);
	server->dnvmed = NULL;
	free(dnvmed);
}

/* What the kernel takes back from a process that dies: its log's last writes, the lock, the map. */
static void server_killed(struct process *process)
{
	struct server_machine *server = process->data;
	struct store *store = server->dnvmed != NULL ? server->dnvmed->store : NULL;

	/* What it told others before it died is so, though no other server may have applied it yet. */
	if (server->dnvmed != NULL && server->dnvmed->fsm != NULL && server->dnvmed->stage == DNVMED_RUNNING &&
	    fsm_revision(server->dnvmed->fsm) > server_last_revision)
		server_last_revision = fsm_revision(server->dnvmed->fsm);
	raft_disk_process_lost(process);
	if (store != NULL) {
		mdb_env_close(store->env);
		close(store->lock_fd);
		close(store->directory_fd);
	}
	server->dnvmed = NULL;
	server->process = NULL;
}

void server_start(struct server_machine *server)
{
	char name[24];

	server->starts++;
	snprintf(name, sizeof(name), "%s", server->machine->name);
	server->process = process_start(server->machine, name, server_main, server_killed, server);
}

struct server_moment server_moment(const struct server_machine *server)
{
	MDB_envinfo info;

	mdb_env_info(server->dnvmed->store->env, &info);
	return (struct server_moment){ server->starts, info.me_last_txnid };
}

int server_digest(struct server_machine *server, uint8_t ret_digest[16], struct error *error)
{
	struct server_moment now = server_moment(server);
	int code;

	if (!server_moment_is(&server->digested.moment, &now)) {
		code = fsm_digest(server->dnvmed->fsm, server->digested.digest, error);
		if (code != 0)
			return code;
		server->digested.moment = now;
	}
	memcpy(ret_digest, server->digested.digest, sizeof(server->digested.digest));
	return 0;
}

void server_kill(struct server_machine *server)
{
	if (server->process != NULL)
		process_kill(server->process);
}

/* The store is not synced while it is written: what is left of it after a power cut is anything. */
void server_power_cut(struct server_machine *server)
{
	char path[LIMIT_PATH + 64];
	struct stat status;
	int fd;

	machine_power_off(server->machine);
	snprintf(path, sizeof(path), "%s/state/data.mdb", server->options.data);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && status.st_size > 16384 && world_chance(700)) {
		uint64_t noise[64];

		for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
			noise[i] = world_random();
		for (int i = 0; i < 4; i++) {
			if (pwrite(fd, noise, sizeof(noise), (off_t)(world_below(65536) & ~UINT64_C(511))) < 0)
				abort();
		}
	}
	close(fd);
}

void servers_make(size_t count, const char *directory)
{
	server_count = count;
	for (size_t i = 0; i < count; i++) {
		struct server_machine *server = &server_machines[i];
		char name[24];

		snprintf(name, sizeof(name), "s%zu", i + 1);
		server->machine = machine_make(name, (uint32_t)(10 << 24 | 1 << 8 | (i + 1)));
		server->options = (struct options){ .id = i + 1,
						    .log_level = LOG_LEVEL_INFO,
						    .stall_timeout_ms = 30000,
						    .sessions_max = 1000,
						    .snapshot_threshold = 64,
						    .snapshot_trailing = 16 };
		snprintf(server->options.listen, sizeof(server->options.listen), "10.0.1.%zu:7400", i + 1);
		snprintf(server->options.raft, sizeof(server->options.raft), "10.0.1.%zu:7401", i + 1);
		snprintf(server->options.data, sizeof(server->options.data), "%s/%s", directory, name);
	}
}

struct server_machine *server_leader(void)
{
	struct server_machine *found = NULL;

	for (size_t i = 0; i < server_count; i++) {
		struct server_machine *server = &server_machines[i];

		if (server->process == NULL || server->dnvmed == NULL || !server->dnvmed->leader_ready)
			continue;
		if (found == NULL || server->dnvmed->leader_term > found->dnvmed->leader_term)
			found = server;
	}
	return found;
}

struct dnvmed *server_newest(void)
{
	static uint64_t revision;
	struct dnvmed *found = NULL;

	for (size_t i = 0; i < server_count; i++) {
		struct dnvmed *dnvmed = server_machines[i].dnvmed;

		if (server_machines[i].process == NULL || dnvmed == NULL || dnvmed->fsm == NULL ||
		    dnvmed->stage != DNVMED_RUNNING)
			continue;
		if (found == NULL || fsm_revision(dnvmed->fsm) > fsm_revision(found->fsm))
			found = dnvmed;
	}
	if (revision < server_last_revision)
		revision = server_last_revision;
	if (found == NULL || fsm_revision(found->fsm) < revision)
		return NULL;
	revision = fsm_revision(found->fsm);
	return found;
}
