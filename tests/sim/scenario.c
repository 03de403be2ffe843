/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dnvme.h"
#include "tests/sim/check.h"
#include "tests/sim/fault.h"
#include "tests/sim/files.h"
#include "tests/sim/host.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/operator.h"
#include "tests/sim/server.h"
#include "tests/sim/world.h"

#define VOLUMES_MAX 16
#define SETUP_S 60
#define CONVERGE_S 300
#define QUIET_S 60
#define CHECK_US (100 * WORLD_MS)
#define OPERATOR_TURNS 80 /* of a quarter of a second each: by then what heals by itself has healed */
#define MEDIA_CHECKS 5	  /* media are looked at in each so-manieth check */
#define STREAM_OPERATIONS (UINT64_C(1) << 32)
#define STREAM_SNAPSHOTS (UINT64_C(1) << 33)
#define STREAM_DRAINS (UINT64_C(1) << 34)
#define SNAPSHOTS_MAX 8
#define SNAPSHOT_TURNS 120 /* in peace: of a quarter of a second each */

#define LATE_US (5 * WORLD_SECOND)
#define LATE_TURNS 20 /* the same */

enum known { ABSENT, PRESENT, UNKNOWN };

/* What the client was told; it must stay true. */
static struct volume_known {
	char name[16];
	enum known known;
	bool attached, left; /* left: asked to detach, which may happen late */
} volumes[VOLUMES_MAX];
static size_t volume_count;

/* What the client asked for, until it is over. */
static struct snapshot_known {
	char volume[16], name[16], job[24];
	uint64_t asked_at;
} taking;
static unsigned snapshot_count;

/* How much of everything. */
static const struct measure {
	const char *name;
	unsigned fault_seconds, pace, rebuild_after_most_s, volumes_most;
} measures[] = {
	[SCENARIO_TINY] = { .name = "tiny",
			    .fault_seconds = 8,
			    .pace = 25,
			    .rebuild_after_most_s = 10,
			    .volumes_most = 1 },
	[SCENARIO_SMALL] = { .name = "small",
			     .fault_seconds = 12,
			     .pace = 35,
			     .rebuild_after_most_s = 15,
			     .volumes_most = 2 },
	[SCENARIO_NORMAL] = { .name = "normal",
			      .fault_seconds = 40,
			      .pace = 100,
			      .rebuild_after_most_s = 60,
			      .volumes_most = 3 },
};

static struct scenario_options options;
static const struct measure *measure;
static char servers_text[512];
static unsigned volumes_wanted;
static bool set_up, snapshots_wanted, drains_wanted, faults_wanted, busy_wanted, peace_wanted, at_peace, delete_wanted,
	client_done, drain_unknown;

static void spec_choose(struct dnvme_volume_spec *spec, const char *name)
{
	*spec = (struct dnvme_volume_spec)DNVME_VOLUME_SPEC_INIT;
	spec->name = name;
	spec->size_bytes = world_between(1, 8) << 26;
	spec->copies = world_chance(150) ? 1 : world_chance(700) ? 2 : 3;
	spec->controllers = world_chance(600) ? 1 : 2;
	spec->standbys = world_chance(150) ? 0 : world_chance(800) ? 1 : 2;
	spec->legs = world_chance(700) ? 1 : 2;
}

static struct volume_known *volume_new(void)
{
	struct volume_known *volume = NULL;

	if (volume_count == VOLUMES_MAX)
		return NULL;
	volume = &volumes[volume_count];
	snprintf(volume->name, sizeof(volume->name), "vol%zu", volume_count++);
	volume->known = ABSENT;
	return volume;
}

/* Whether what was asked for may be carried out yet. */
static bool is_unknown(int rc, const struct dnvme_error *error)
{
	return rc == DNVME_UNAVAILABLE || rc == DNVME_DEADLINE_EXCEEDED ||
	       (rc != 0 && strstr(error->details, "outcome=unknown") != NULL);
}

static int volume_create(struct dnvme *dnvme, struct volume_known *volume, const struct dnvme_volume_spec *spec)
{
	struct dnvme_error error;
	int rc = dnvme_volume_create(dnvme, spec, NULL, NULL, &error);

	world_trace("create %s: %s", volume->name, rc != 0 ? error.message : "done");
	if (rc == 0)
		volume->known = PRESENT;
	else if (is_unknown(rc, &error))
		volume->known = UNKNOWN;
	return rc;
}

/* Let the host use it. What fails is tried again when somebody looks at the volume. */
static void volume_attach(struct dnvme *dnvme, struct volume_known *volume)
{
	struct dnvme_result *result;
	struct dnvme_error error;
	const struct dnvme_volume *found;

	if (volume->known != PRESENT || volume->attached || volume->left ||
	    dnvme_volume_attach(dnvme, volume->name, HOST_NQN, NULL, NULL, &error) != 0 ||
	    dnvme_volume_get(dnvme, volume->name, NULL, &result, &error) != 0)
		return;
	found = dnvme_result_volume(result, 0);
	host_use(volume->name, found->nqn, found->size_bytes,
		 (unsigned)(found->leg_count / found->legs_per_controller));
	volume->attached = true;
	dnvme_result_free(result);
}

/* A volume is not deleted with them. */
static void snapshots_delete(struct dnvme *dnvme, const char *volume)
{
	const struct dnvme_snapshot *snapshot;
	struct dnvme_result *result;
	struct dnvme_error error;

	if (!snapshots_wanted || dnvme_snapshot_list(dnvme, volume, NULL, &result, &error) != 0)
		return;
	for (size_t i = 0; (snapshot = dnvme_result_snapshot(result, i)) != NULL; i++) {
		int rc = dnvme_snapshot_delete(dnvme, volume, snapshot->name, NULL, NULL, &error);

		world_trace("delete snapshot %s of %s: %s", snapshot->name, volume, rc != 0 ? error.message : "done");
	}
	dnvme_result_free(result);
}

static void snapshot_begin(struct dnvme *dnvme, const struct volume_known *volume)
{
	struct dnvme_snapshot_spec spec = DNVME_SNAPSHOT_SPEC_INIT;
	struct dnvme_result *result;
	struct dnvme_error error;
	int rc;

	if (taking.job[0] != '\0' || snapshot_count == SNAPSHOTS_MAX || volume->known != PRESENT)
		return;
	snprintf(taking.volume, sizeof(taking.volume), "%s", volume->name);
	snprintf(taking.name, sizeof(taking.name), "snap%u", ++snapshot_count);
	taking.asked_at = world_now;
	spec.name = taking.name;
	spec.accept_flush = 1;
	rc = dnvme_snapshot_create(dnvme, volume->name, &spec, NULL, &result, &error);
	world_trace("snapshot %s of %s: %s", taking.name, volume->name, rc != 0 ? error.message : "begun");
	if (rc != 0)
		return;
	snprintf(taking.job, sizeof(taking.job), "%s", dnvme_result_id(result));
	dnvme_result_free(result);
}

/* Whether it is over, if one is under way. What is taken is what it has to be. */
static bool snapshot_look(struct dnvme *dnvme)
{
	struct dnvme_result *result;
	struct dnvme_error error;
	bool over, done;
	int rc;

	if (taking.job[0] == '\0')
		return true;
	rc = dnvme_job_wait(dnvme, taking.job, 0, NULL, &result, &error);
	if (rc == DNVME_NOT_FOUND) { /* with its volume */
		taking.job[0] = '\0';
		return true;
	}
	if (rc != 0)
		return false;
	over = dnvme_result_job(result, 0)->finished_ms > 0;
	done = strcmp(dnvme_result_job(result, 0)->state, "done") == 0;
	world_trace("job %s is %s: %s", taking.job, dnvme_result_job(result, 0)->state,
		    dnvme_result_job(result, 0)->waits_for != NULL ? dnvme_result_job(result, 0)->waits_for : "");
	dnvme_result_free(result);
	if (!over ||
	    (done && (rc = dnvme_snapshot_get(dnvme, taking.volume, taking.name, NULL, &result, &error)) != 0 &&
	     rc != DNVME_NOT_FOUND))
		return false;
	if (done && rc == 0) {
		host_check_snapshot(taking.volume, dnvme_result_snapshot(result, 0)->number, taking.asked_at,
				    world_now);
		dnvme_result_free(result);
	}
	taking.job[0] = '\0';
	return true;
}

static int volume_delete(struct dnvme *dnvme, struct volume_known *volume)
{
	struct dnvme_error error;
	int rc;

	snapshots_delete(dnvme, volume->name);
	host_leave(volume->name);
	volume->attached = false;
	volume->left = true;
	rc = dnvme_volume_detach(dnvme, volume->name, HOST_NQN, NULL, NULL, &error);
	if (rc != 0 && rc != DNVME_NOT_FOUND) {
		world_trace("detach %s: %s", volume->name, error.message);
		return rc;
	}
	rc = dnvme_volume_delete(dnvme, volume->name, NULL, NULL, &error);

	world_trace("delete %s: %s", volume->name, rc != 0 ? error.message : "done");
	if (rc == DNVME_NOT_FOUND && volume->known == PRESENT)
		world_fail("%s was there and is not any more", volume->name);
	if (rc == 0 || rc == DNVME_NOT_FOUND)
		volume->known = ABSENT;
	else if (rc == DNVME_UNAVAILABLE || rc == DNVME_DEADLINE_EXCEEDED)
		volume->known = UNKNOWN;
	return rc;
}

/* Committed is committed: what was made is there, what was deleted is not. */
static void volume_look(struct dnvme *dnvme, struct volume_known *volume)
{
	struct dnvme_error error;
	int rc = dnvme_volume_get(dnvme, volume->name, NULL, NULL, &error);

	if (rc == DNVME_NOT_FOUND && volume->known == PRESENT)
		world_fail("%s was made and is not there", volume->name);
	if (rc == 0)
		volume_attach(dnvme, volume);
}

static void until_done(const char *what, int (*call)(struct dnvme *dnvme, void *data, struct dnvme_error *error),
		       struct dnvme *dnvme, void *data)
{
	struct dnvme_error error;

	for (int i = 0;; i++) {
		int rc = call(dnvme, data, &error);

		if (rc == 0 || rc == DNVME_ALREADY_EXISTS)
			return;
		if (i > SETUP_S)
			world_fail("%s: %s", what, error.message);
		world_sleep(WORLD_SECOND / 2);
	}
}

static int call_init(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	struct dnvme_server_spec specs[SERVERS_MAX];

	(void)data;
	for (size_t i = 0; i < server_count; i++)
		specs[i] = (struct dnvme_server_spec){ (unsigned)i + 1, server_machines[i].options.raft,
						       server_machines[i].options.listen };
	return dnvme_cluster_init(dnvme, "c1", specs, server_count, NULL, NULL, error);
}

static int call_settings(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	struct dnvme_settings settings = DNVME_SETTINGS_INIT;

	(void)data;
	settings.rebuild_after_ms = world_between(5, measure->rebuild_after_most_s) * 1000;
	return dnvme_cluster_set(dnvme, &settings, NULL, NULL, error);
}

struct disk_place {
	const char *node;
	char path[32];
};

static int call_disk(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	struct disk_place *place = data;

	char params[160];

	/* Those that stay on are taken; the others are switched off whatever is said here. */
	snprintf(params, sizeof(params), "{\"node\":\"%s\",\"path\":\"%s\",\"accept_volatile_cache\":true}",
		 place->node, place->path);
	return dnvme_call(dnvme, "disk.add", params, NULL, NULL, error);
}

static int call_create(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	struct volume_known *volume = data;
	struct dnvme_volume_spec spec;

	spec_choose(&spec, volume->name);
	snprintf(error->message, sizeof(error->message), "not created");
	return volume_create(dnvme, volume, &spec);
}

static int call_delete(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	int rc = volume_delete(dnvme, data);

	snprintf(error->message, sizeof(error->message), "not deleted");
	return rc == DNVME_NOT_FOUND ? 0 : rc;
}

static int call_uncordon(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	return dnvme_node_uncordon(dnvme, ((struct storage *)data)->name, NULL, NULL, error);
}

/* What the client does next, all of it drawn before anything is done: it takes a while. */
struct client_operation {
	uint64_t pause_us, kind, volume, node;
	bool deletes, drains;
	struct dnvme_volume_spec spec;
	bool empties, drain; /* where disks are emptied: that instead, or the end of it */
	uint64_t disk;
	uint64_t standbys; /* that a volume is to have from now on, instead of a drain */
	bool moves, named; /* or a slot moves: to that node */
	uint64_t slot, deadline_ms;
};

static struct client_operation operation_choose(uint64_t number)
{
	struct client_operation operation;

	world_stream_begin(STREAM_OPERATIONS + number);
	operation = (struct client_operation){ .pause_us = world_between(100 * WORLD_MS, 4 * WORLD_SECOND),
					       .kind = world_below(10),
					       .volume = world_random(),
					       .node = world_below(node_count),
					       .deletes = world_chance(500),
					       .drains = world_chance(300) };
	spec_choose(&operation.spec, NULL);
	operation.empties = world_chance(700);
	operation.drain = world_chance(600);
	operation.disk = world_random();
	operation.standbys = world_below(3);
	operation.moves = world_chance(600);
	operation.named = world_chance(400);
	operation.slot = world_chance(800) ? 0 : 1;
	operation.deadline_ms = world_chance(500) ? 0 : world_between(100, 8000);
	/* They take their time. */
	if (drains_wanted && operation.empties && operation.pause_us > 1500 * WORLD_MS)
		operation.pause_us = 1500 * WORLD_MS;
	world_stream_end();
	return operation;
}

static unsigned disk_count(void)
{
	unsigned count = 0;

	for (size_t i = 0; i < node_count; i++)
		count += nodes[i].disks;
	return count;
}

/* The disks have the ids d1, d2 and so on. */
static int disk_drain(struct dnvme *dnvme, unsigned disk, bool drain, struct dnvme_error *error)
{
	char params[64];

	snprintf(params, sizeof(params), "{\"disks\":[\"d%u\"]}", disk);
	return dnvme_call(dnvme, drain ? "disk.drain" : "disk.undrain", params, NULL, NULL, error);
}

static int call_undrain(struct dnvme *dnvme, void *data, struct dnvme_error *error)
{
	int rc = 0;

	(void)data;
	for (unsigned d = 1; rc == 0 && d <= disk_count(); d++)
		rc = disk_drain(dnvme, d, false, error);
	return rc;
}

/* Nodes and disks may be used again. */
static void drains_end(struct dnvme *dnvme)
{
	for (size_t i = 0; i < node_count; i++)
		until_done("uncordon", call_uncordon, dnvme, &nodes[i]);
	if (drains_wanted)
		until_done("undrain", call_undrain, dnvme, NULL);
}

static void standbys_set(struct dnvme *dnvme, const struct volume_known *volume, uint64_t standbys)
{
	struct dnvme_error error;
	char params[64];
	int rc;

	if (volume == NULL || volume->known != PRESENT)
		return;
	snprintf(params, sizeof(params), "{\"volume\":\"%s\",\"standbys\":%" PRIu64 "}", volume->name, standbys);
	rc = dnvme_call(dnvme, "volume.set", params, NULL, NULL, &error);
	world_trace("set %s to %" PRIu64 " standbys: %s", volume->name, standbys, rc != 0 ? error.message : "done");
}

static void slot_move(struct dnvme *dnvme, const struct volume_known *volume, const struct client_operation *operation)
{
	struct dnvme_result *result = NULL;
	struct dnvme_error error;
	char params[160], to[48] = "";
	int rc;

	if (volume == NULL || volume->known != PRESENT)
		return;
	if (operation->named)
		snprintf(to, sizeof(to), ",\"to\":\"%s\"", nodes[operation->node].name);
	snprintf(params, sizeof(params), "{\"volume\":\"%s\",\"slot\":%" PRIu64 ",\"deadline_ms\":%" PRIu64 "%s}",
		 volume->name, operation->slot, operation->deadline_ms, to);
	rc = dnvme_call(dnvme, "volume.move", params, NULL, &result, &error);
	world_trace("move slot %" PRIu64 " of %s%s: %s", operation->slot, volume->name, to,
		    rc != 0 ? error.message : dnvme_result_id(result));
	dnvme_result_free(result);
}

static void operate(struct dnvme *dnvme, struct client_operation *operation)
{
	struct volume_known *volume = volume_count > 0 ? &volumes[operation->volume % volume_count] : NULL;
	struct storage *node = &nodes[operation->node];
	struct dnvme_error error;
	int rc;

	if (drains_wanted && operation->empties) {
		unsigned disk = 1 + (unsigned)(operation->disk % disk_count());

		rc = disk_drain(dnvme, disk, operation->drain, &error);
		drain_unknown = drain_unknown || (operation->drain && is_unknown(rc, &error));
		world_trace("%s d%u: %s", operation->drain ? "drain" : "undrain", disk,
			    rc != 0 ? error.message : "done");
		return;
	}
	switch (operation->kind) {
	case 0:
		volume = volume_new();
		if (volume == NULL)
			break;
		operation->spec.name = volume->name;
		volume_create(dnvme, volume, &operation->spec);
		break;
	case 1:
		if (volume != NULL && operation->deletes)
			volume_delete(dnvme, volume);
		break;
	case 2:
		if (node->storage_only || !operation->drains)
			break;
		rc = dnvme_node_drain(dnvme, node->name, NULL, NULL, &error);
		drain_unknown = drain_unknown || is_unknown(rc, &error);
		world_trace("drain %s: %s", node->name, rc != 0 ? error.message : "done");
		break;
	case 3:
		rc = dnvme_node_uncordon(dnvme, node->name, NULL, NULL, &error);
		break;
	case 7:
	case 8:
		if (operation->moves)
			slot_move(dnvme, volume, operation);
		else
			standbys_set(dnvme, volume, operation->standbys);
		break;
	case 4:
	case 5:
		if (snapshots_wanted && volume != NULL) {
			snapshot_begin(dnvme, volume);
			break;
		}
		/* fall through */
	case 6:
		if (snapshots_wanted && volume != NULL && operation->deletes) {
			snapshots_delete(dnvme, volume->name);
			break;
		}
		/* fall through */
	default:
		if (volume != NULL)
			volume_look(dnvme, volume);
	}
}

/* One more of each volume that can have one, undisturbed; then all go. Returns whether that is over. */
static bool snapshots_turn(struct dnvme *dnvme)
{
	static size_t next, turns;
	const struct volume_known *volume = &volumes[next];

	if (!snapshots_wanted)
		return true;
	if (!snapshot_look(dnvme))
		return false;
	if (next == volume_count)
		return true;
	snapshots_delete(dnvme, volume->name);
	/* That is until it is served; one that needs its operator takes longer. */
	if (turns < SNAPSHOT_TURNS && volume->known == PRESENT && !volume->left) {
		turns++;
		snapshot_count = 0;
		snapshot_begin(dnvme, volume);
		if (taking.job[0] != '\0')
			turns = SNAPSHOT_TURNS;
		return false;
	}
	next++;
	turns = 0;
	return false;
}

/* The cluster and its volumes. */
static void set_up_run(struct dnvme *dnvme)
{
	until_done("init", call_init, dnvme, NULL);
	until_done("settings", call_settings, dnvme, NULL);
	for (size_t i = 0; i < node_count; i++) {
		for (unsigned d = 0; d < nodes[i].disks; d++) {
			struct disk_place place = { .node = nodes[i].name };

			snprintf(place.path, sizeof(place.path), "/dev/sim%u", d);
			until_done("disk add", call_disk, dnvme, &place);
		}
	}
	for (unsigned i = 0; i < volumes_wanted; i++)
		until_done("volume create", call_create, dnvme, volume_new());
	for (size_t i = 0; i < volume_count; i++)
		volume_attach(dnvme, &volumes[i]);
}

/* A request that was not answered may be carried out yet: what met a cut is sent again for a while after that. */
static void late_await(void)
{
	bool unknown = false;

	for (size_t i = 0; i < volume_count; i++)
		unknown = unknown || volumes[i].known == UNKNOWN;
	if (unknown)
		world_sleep(LATE_US);
}

static void client_main(struct process *process)
{
	struct dnvme_error error;
	struct dnvme *dnvme;

	(void)process;
	if (dnvme_open(servers_text, &dnvme, &error) != 0)
		world_fail("cannot open: %s", error.message);
	dnvme_set_timeout_ms(dnvme, 5000, &error);
	set_up_run(dnvme);
	set_up = true;
	while (!faults_wanted)
		world_sleep(WORLD_SECOND / 10);
	for (uint64_t number = 0; !peace_wanted; number++) {
		struct client_operation operation = operation_choose(number);

		/* Peace is not waited for. */
		for (uint64_t slept = 0; slept < operation.pause_us && !peace_wanted; slept += WORLD_SECOND / 10)
			world_sleep(WORLD_SECOND / 10);
		if (busy_wanted && !peace_wanted)
			operate(dnvme, &operation);
		snapshot_look(dnvme);
	}
	drains_end(dnvme);
	for (size_t i = 0; i < volume_count; i++)
		volume_look(dnvme, &volumes[i]);
	for (unsigned turn = 1; !delete_wanted; turn++) {
		world_sleep(WORLD_SECOND / 4);
		/* One that was not answered may have come after its end. */
		if (drain_unknown && turn % LATE_TURNS == 0)
			drains_end(dnvme);
		at_peace = at_peace || snapshots_turn(dnvme);
		for (size_t i = 0; turn % OPERATOR_TURNS == 0 && i < volume_count && !delete_wanted; i++)
			operator_look(dnvme, volumes[i].name);
	}
	late_await();
	for (size_t i = 0; i < volume_count; i++) {
		if (volumes[i].known != ABSENT)
			until_done("volume delete", call_delete, dnvme, &volumes[i]);
	}
	client_done = true;
}

/* --- the run ---------------------------------------------------------------------------------------------------- */

struct shape {
	unsigned disks, controllers, mixed; /* nodes of each kind */
};

/* At least two nodes that have disks, and two that can be controllers. */
static struct shape shape_choose(void)
{
	static const struct shape small[] = { { 2, 2, 0 }, { 2, 1, 1 }, { 1, 1, 1 }, { 0, 0, 3 },
					      { 1, 0, 2 }, { 0, 1, 2 }, { 1, 1, 2 }, { 0, 0, 4 } };
	static const struct shape tiny[] = { { 1, 1, 1 }, { 0, 0, 3 } };
	struct shape shape;

	if (options.size == SCENARIO_TINY)
		return tiny[world_below(sizeof(tiny) / sizeof(tiny[0]))];
	if (options.size == SCENARIO_SMALL)
		return small[world_below(sizeof(small) / sizeof(small[0]))];
	shape.disks = (unsigned)world_between(2, 3);
	shape.controllers = (unsigned)world_between(2, 3);
	shape.mixed = (unsigned)world_between(0, 2);
	return shape;
}

static void cluster_make(void)
{
	static char addresses[SERVERS_MAX][40];
	const char *list[SERVERS_MAX];
	struct shape shape;

	servers_make(options.size != SCENARIO_NORMAL || world_chance(800) ? 3 : 5, FILES_ROOT);
	for (size_t i = 0; i < server_count; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "10.0.1.%zu:7400", i + 1);
		list[i] = addresses[i];
		if (i > 0)
			strcat(servers_text, ",");
		strcat(servers_text, addresses[i]);
	}
	shape = shape_choose();
	for (unsigned i = 0; i < shape.disks + shape.controllers + shape.mixed; i++) {
		bool is_disk = i < shape.disks, is_controller = !is_disk && i < shape.disks + shape.controllers;
		char name[24];

		snprintf(name, sizeof(name), "%s%u", is_disk ? "dn" : is_controller ? "cn" : "mn", i + 1);
		node_make(name, is_disk, is_controller ? 0 : (unsigned)world_between(1, 2), list, server_count);
	}
	volumes_wanted = (unsigned)world_between(1, measure->volumes_most);
}

static void run_until(uint64_t until)
{
	static unsigned checks;

	while (world_now < until) {
		uint64_t next = world_now + CHECK_US < until ? world_now + CHECK_US : until;

		world_run(next);
		check_always();
		if (++checks % MEDIA_CHECKS == 0)
			host_check_media();
	}
}

static void wait_for(const char *what, unsigned seconds, bool (*condition)(char *ret_why, size_t size))
{
	char why[1500] = "";

	for (unsigned i = 0; i < 2 * seconds; i++) {
		run_until(world_now + WORLD_SECOND / 2);
		if (condition(why, sizeof(why)))
			return;
	}
	world_fail("%s: %s", what, why);
}

static bool is_set_up(char *ret_why, size_t size)
{
	snprintf(ret_why, size, "the client waits");
	return set_up && check_converged(ret_why, size);
}

static bool is_well(char *ret_why, size_t size)
{
	snprintf(ret_why, size, "the client waits");
	return at_peace && check_converged(ret_why, size);
}

static bool is_deleted(char *ret_why, size_t size)
{
	snprintf(ret_why, size, "the client waits");
	return client_done && check_empty(ret_why, size);
}

const char *scenario_size_name(enum scenario_size size)
{
	return measures[size].name;
}

bool scenario_size_parse(const char *name, enum scenario_size *ret_size)
{
	size_t size = 0, count = sizeof(measures) / sizeof(measures[0]);

	while (size < count && strcmp(measures[size].name, name) != 0)
		size++;
	if (size < count)
		*ret_size = (enum scenario_size)size;
	return size < count;
}

void scenario_set_up(const struct scenario_options *chosen, uint64_t family)
{
	struct machine *client;

	options = *chosen;
	measure = &measures[options.size];
	world_begin(family, options.verbose);
	net_begin();
	cluster_make();
	client = machine_make("client", 10 << 24 | 3 << 8 | 1);
	host_begin();
	for (size_t i = 0; i < server_count; i++)
		server_start(&server_machines[i]);
	for (size_t i = 0; i < node_count; i++)
		node_start(&nodes[i]);
	fabric_begin();
	process_start(client, "client", client_main, NULL, NULL);
	wait_for("set up", SETUP_S, is_set_up);
}

void scenario_run(const struct scenario_options *chosen, uint64_t seed, const bool *only, uint64_t *turns)
{
	uint64_t seconds;

	options = *chosen;
	seconds = options.fault_seconds > 0 ? options.fault_seconds : measure->fault_seconds;
	world_seed(seed, options.chance);
	world_trace("seed %" PRIu64, seed);
	net_begin();
	fabric_gives_up(world_chance(500));
	busy_wanted = world_chance(700) && !options.quiet;
	world_stream_begin(STREAM_SNAPSHOTS);
	snapshots_wanted = world_chance(400) && busy_wanted;
	world_stream_end();
	world_stream_begin(STREAM_DRAINS);
	drains_wanted = world_chance(300) && busy_wanted;
	world_stream_end();
	faults_wanted = true;
	fault_begin(&(struct fault_options){ .us = seconds * WORLD_SECOND,
					     .pace = measure->pace,
					     .only = only,
					     .tell = options.tell,
					     .turns = turns });
	run_until(world_now + seconds * WORLD_SECOND);
	fault_heal();
	peace_wanted = true;
	wait_for("not well after all faults", CONVERGE_S, is_well);
	host_quiet();
	wait_for("the host waits for ever", QUIET_S, host_is_quiet);
	host_check_media();
	world_trace("%" PRIu64 " writes were acknowledged", host_acknowledged());
	delete_wanted = true;
	wait_for("not empty after all volumes were deleted", CONVERGE_S, is_deleted);
}
