/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gatekeeper before a simulated kernel, and the peers that it lets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "agent/admission.h"
#include "agent/gatekeeper.h"
#include "agent/lease.h"
#include "agent/list.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/unit/test_agent_rig.h"

#define PORT 4420
#define DEADLINE_MS 10000

struct keeper_fixture {
	uv_loop_t loop;
	uv_timer_t timer;
	struct worker_pool pool;
	struct kernel *kernel;
	struct desired_store *store;
	struct reconciler *reconciler;
	struct gatekeeper *keeper;
	struct arena arena;
	bool (*wanted)(struct keeper_fixture *f);
	uint64_t began_ms;
	uint64_t sequence;
	bool beating, behind, reached;
	atomic_bool cannot_unlink, writing, cannot_look;
	atomic_uint looks; /* at hosts */
};

static uint64_t gate_left(struct keeper_fixture *f)
{
	struct error error = { 0 };
	uint64_t left = 0;

	assert_int_equal(f->kernel->operations->gate_read(f->kernel, PORT, &left, &error), 0);
	return left;
}

static void on_look(uv_timer_t *timer)
{
	struct keeper_fixture *f = timer->data;

	if (f->beating) {
		gatekeeper_sent(f->keeper, ++f->sequence, clock_boot_ms());
		gatekeeper_answered(f->keeper, f->sequence, f->behind);
	}
	f->reached = f->wanted(f);
	if (f->reached || clock_boot_ms() - f->began_ms > DEADLINE_MS)
		uv_stop(&f->loop);
}

static void run_until(struct keeper_fixture *f, bool (*wanted)(struct keeper_fixture *f))
{
	f->wanted = wanted;
	f->reached = false;
	f->began_ms = clock_boot_ms();
	uv_timer_start(&f->timer, on_look, 0, 10);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&f->timer);
	assert_true(f->reached);
}

static bool is_open(struct keeper_fixture *f)
{
	return gate_left(f) > 0;
}

static bool is_shut(struct keeper_fixture *f)
{
	return gate_left(f) == 0;
}

static bool is_settled(struct keeper_fixture *f)
{
	return reconciler_is_converged(f->reconciler);
}

static bool a_while_passed(struct keeper_fixture *f)
{
	assert_true(is_open(f));
	return clock_boot_ms() - f->began_ms > 3 * LEASE_CHECK_TAIL_MS / 2;
}

static void on_passed(void *data)
{
	gatekeeper_passed(((struct keeper_fixture *)data)->keeper);
}

static int keeper_setup(void **state)
{
	struct keeper_fixture *f = calloc(1, sizeof(*f));
	const struct reconciler_events events = { on_passed, f };
	struct error error = { 0 };

	assert_non_null(f);
	assert_int_equal(kernel_sim_open(NULL, &f->kernel, &error), 0);
	assert_int_equal(f->kernel->operations->gate_guard(f->kernel, PORT, &error), 0);
	f->store = desired_store_make();
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->timer);
	f->timer.data = f;
	assert_int_equal(worker_pool_open(&f->pool, &f->loop, 5000), 0);
	f->reconciler = reconciler_make(&f->loop, &f->pool, f->kernel, f->store, &events);
	f->keeper = gatekeeper_make(&f->loop, &f->pool, f->kernel, f->store, f->reconciler, PORT);
	assert_non_null(f->keeper);
	*state = f;
	return 0;
}

static int keeper_teardown(void **state)
{
	struct keeper_fixture *f = *state;

	worker_pool_stop(&f->pool);
	gatekeeper_close(f->keeper);
	reconciler_close(f->reconciler);
	uv_close((uv_handle_t *)&f->timer, NULL);
	while (!worker_pool_is_idle(&f->pool))
		uv_run(&f->loop, UV_RUN_ONCE);
	worker_pool_close(&f->pool);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	desired_store_free(f->store);
	f->kernel->operations->close(f->kernel);
	arena_free(&f->arena);
	free(f);
	return 0;
}

/* The leader of this session says all that it wants. */
static void tell(struct keeper_fixture *f, const struct desired *desired)
{
	struct error error = { 0 };
	bool complete;

	assert_int_equal(desired_store_take(f->store, desired, &complete, &error), 0);
	assert_true(complete);
	gatekeeper_desired(f->keeper);
	reconciler_kick(f->reconciler);
}

static struct desired desired_nothing(struct arena *arena)
{
	struct rig_volume volume = rig_volume_default();
	struct desired desired = rig_desired_controller(arena, &volume, 1);

	desired.volumes.count = 0;
	desired.reset = desired.complete = true;
	return desired;
}

/* It has had a lease for a while, and its gate was never open. */
static bool has_waited(struct keeper_fixture *f)
{
	assert_true(is_shut(f));
	return clock_boot_ms() - f->began_ms > LEASE_CHECK_TAIL_MS;
}

static void test_keeper_follows_heartbeats(void **state)
{
	struct keeper_fixture *f = *state;
	struct desired desired = desired_nothing(&f->arena);

	gatekeeper_opened(f->keeper, 20, 300);
	assert_int_equal(gate_left(f), 0);
	f->beating = true;
	run_until(f, has_waited);
	tell(f, &desired);
	run_until(f, is_open);
	assert_in_range(gate_left(f), 1, 300);
	run_until(f, a_while_passed);
	f->beating = false;
	run_until(f, is_shut);
	f->beating = true;
	run_until(f, is_open);
}

static int on_call(void *data, const char *operation, const char *name, struct error *error)
{
	struct keeper_fixture *f = data;

	if (!atomic_load(&f->cannot_unlink) || strcmp(operation, "port_unlink") != 0)
		return 0;
	return error_set(error, ERROR_UNAVAILABLE, "%s %s refused for the test", operation, name);
}

/* The slot moved while the node was cut off: it does not serve again before it took the export away. */
static void test_keeper_waits_for_what_is_exposed(void **state)
{
	struct keeper_fixture *f = *state;
	struct rig_volume volume = rig_volume_default();
	struct desired desired;
	struct error error = { 0 };

	kernel_sim_fault_set(f->kernel, on_call, f);
	volume.legs_wanted = volume.top_wanted = volume.format = true;
	desired = rig_desired_controller(&f->arena, &volume, 1);
	desired.reset = desired.complete = true;
	gatekeeper_opened(f->keeper, 20, 300);
	f->beating = true;
	tell(f, &desired);
	run_until(f, is_settled);
	run_until(f, is_open);
	f->beating = false;
	assert_int_equal(kernel_sim_import_set(
				 f->kernel, desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].nqn,
				 "connecting", "optimized", &error),
			 0);
	run_until(f, is_shut);
	/* A new session: the old desired state says that all is well, and the new one is on its way. */
	gatekeeper_opened(f->keeper, 20, 300);
	f->beating = true;
	run_until(f, has_waited);
	atomic_store(&f->cannot_unlink, true);
	desired = desired_nothing(&f->arena);
	tell(f, &desired);
	run_until(f, has_waited);
	/* It may go; but the leader had more to say when it answered. */
	f->behind = true;
	run_until(f, has_waited);
	atomic_store(&f->cannot_unlink, false);
	run_until(f, is_settled);
	run_until(f, has_waited);
	f->behind = false;
	run_until(f, is_open);
	/* To stay open it needs no more. */
	f->behind = true;
	run_until(f, a_while_passed);
}

static void test_keeper_leaves_what_it_finds(void **state)
{
	struct keeper_fixture *f = *state;
	const struct string_list none = { 0 };
	struct error error = { 0 };

	/* Another process opened it. */
	assert_int_equal(f->kernel->operations->gate_open(f->kernel, PORT, clock_boot_ms() + 4000, &none, &error), 0);
	run_until(f, a_while_passed);
	assert_in_range(gate_left(f), 4000 - 3 * LEASE_CHECK_TAIL_MS, 4000 - 3 * LEASE_CHECK_TAIL_MS / 2);
}

static bool has_lapsed(struct keeper_fixture *f)
{
	const struct volume_health_list *health = reconciler_health(f->reconciler);

	assert_true(is_shut(f));
	return health->count > 0 && health->items[0].lapsed == 1;
}

/* Two controllers; the gate is shut, and a lease comes again. */
static struct desired lapse(struct keeper_fixture *f)
{
	struct rig_volume volume = rig_volume_default();
	struct desired desired;
	struct error error = { 0 };

	volume.format = true;
	desired = rig_desired_controller(&f->arena, &volume, 1);
	desired.reset = desired.complete = true;
	gatekeeper_opened(f->keeper, 20, 300);
	f->beating = true;
	tell(f, &desired);
	run_until(f, is_settled);
	assert_int_equal(reconciler_health(f->reconciler)->items[0].lapsed, 0);
	f->beating = false;
	assert_int_equal(kernel_sim_import_set(
				 f->kernel, desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].nqn,
				 "connecting", "optimized", &error),
			 0);
	run_until(f, is_shut);
	gatekeeper_opened(f->keeper, 20, 300);
	f->beating = true;
	return desired;
}

/* What waits for the legs of another slot may be older than what hosts wrote since: the leader hears of it, and the
 * gate stays shut until it is gone. */
static void test_keeper_waits_for_what_lapsed(void **state)
{
	struct keeper_fixture *f = *state;
	struct desired desired = lapse(f);

	tell(f, &desired);
	run_until(f, has_waited);
	/* The kernel does not know yet that its own gate is in the way. */
	assert_int_equal(reconciler_health(f->reconciler)->items[0].lapsed, 0);
	for (size_t i = 0; i < desired.volumes.items[0].legs.count; i++) {
		const char *nqn = desired.volumes.items[0].legs.items[i].nqn;
		struct error error = { 0 };

		if (nqn != NULL)
			assert_int_equal(kernel_sim_import_set(f->kernel, nqn, "connecting", "optimized", &error), 0);
	}
	run_until(f, has_lapsed);
	run_until(f, has_waited);
	/* The slot begins anew. */
	desired.volumes.items[0].role = CONTROLLER_ROLE_STANDBY;
	desired.volumes.items[0].legs.count = desired.volumes.items[0].consumers.count = 0;
	desired.volumes.items[0].legs_wanted = false;
	desired.volumes.items[0].revision++;
	tell(f, &desired);
	run_until(f, is_open);
	run_until(f, is_settled);
	assert_int_equal(reconciler_health(f->reconciler)->items[0].lapsed, 0);
	run_until(f, a_while_passed);
}

/* No host wrote anything that could be old. */
static void test_keeper_opens_for_what_is_unused(void **state)
{
	struct keeper_fixture *f = *state;
	struct desired desired = lapse(f);

	desired.volumes.items[0].unused = true;
	tell(f, &desired);
	run_until(f, is_open);
	run_until(f, a_while_passed);
	assert_int_equal(reconciler_health(f->reconciler)->items[0].lapsed, 0);
}

static bool writes_look(void *data, const char *device)
{
	struct keeper_fixture *f = data;

	return strncmp(device, "dnvme-volume-", 13) == 0 && atomic_load(&f->writing);
}

/* A host that comes back by another connection would repeat what is under way, and might be quicker. */
static void test_keeper_waits_for_writes(void **state)
{
	struct keeper_fixture *f = *state;
	struct rig_volume volume = rig_volume_default();
	struct desired desired;
	struct error error = { 0 };
	const char *nqn;

	volume.legs_wanted = volume.top_wanted = volume.format = true;
	volume.controllers = 1;
	desired = rig_desired_controller(&f->arena, &volume, 1);
	desired.reset = desired.complete = true;
	gatekeeper_opened(f->keeper, 20, 300);
	f->beating = true;
	tell(f, &desired);
	run_until(f, is_settled);
	run_until(f, is_open);
	kernel_sim_writing_set(f->kernel, writes_look, f);
	atomic_store(&f->writing, true);
	/* A gate that is open does not care. */
	run_until(f, a_while_passed);
	f->beating = false;
	nqn = desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].nqn;
	assert_int_equal(kernel_sim_import_set(f->kernel, nqn, "connecting", "optimized", &error), 0);
	run_until(f, is_shut);
	gatekeeper_opened(f->keeper, 20, 300);
	f->beating = true;
	tell(f, &desired);
	run_until(f, has_waited);
	assert_int_equal(reconciler_health(f->reconciler)->items[0].lapsed, 0);
	atomic_store(&f->writing, false);
	run_until(f, is_open);
	run_until(f, a_while_passed);
}

static void test_keeper_without_a_leader(void **state)
{
	struct keeper_fixture *f = *state;
	struct rig_volume volume = rig_volume_default();
	struct error error = { 0 };
	struct desired desired;
	struct kernel_path path;
	bool complete;

	volume.legs_wanted = volume.top_wanted = true;
	volume.format = true;
	volume.controllers = 1; /* nothing is imported from another one */
	desired = rig_desired_controller(&f->arena, &volume, 1);
	desired.reset = desired.complete = true;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	reconciler_kick(f->reconciler);
	run_until(f, is_settled);
	run_until(f, is_open);
	run_until(f, a_while_passed);
	path.nqn = desired.volumes.items[0].legs.items[0].groups.items[0].members.items[1].nqn;
	assert_int_equal(kernel_sim_import_set(f->kernel, path.nqn, "live", "inaccessible", &error), 0);
	run_until(f, is_shut);
	assert_int_equal(kernel_sim_import_set(f->kernel, path.nqn, "live", "optimized", &error), 0);
	run_until(f, is_open);
	assert_int_equal(kernel_sim_import_set(f->kernel, path.nqn, "connecting", "optimized", &error), 0);
	run_until(f, is_shut);
}

/* --- peers --- */

/* Two volumes: nodeb takes part in both, nodec in the second one only. */
static struct desired desired_peers(struct arena *arena)
{
	struct rig_volume volume = rig_volume_default();
	struct desired desired;
	struct desired_volume *volumes = arena_alloc_array(arena, 2, sizeof(*volumes));
	struct desired_consumer *consumers = arena_alloc_array(arena, 3, sizeof(*consumers));

	volume.legs_wanted = volume.top_wanted = volume.format = true;
	desired = rig_desired_controller(arena, &volume, 1);
	for (size_t i = 0; i < 3; i++)
		consumers[i] = (struct desired_consumer){ .node = i < 2 ? "nodeb" : "nodec",
							  .host_nqn = "nqn.2026-11.io.dnvme:x:node:b",
							  .nqn = "nqn.2026-11.io.dnvme:x:leg:b",
							  .id = "v2.s0.nodeb",
							  .address = i < 2 ? "10.0.0.2" : "fd00::3" };
	volumes[0] = desired.volumes.items[0];
	volumes[0].leg_port = 20001;
	volumes[0].consumers = (struct desired_consumer_list){ 1, &consumers[0] };
	volumes[1] = volumes[0];
	volumes[1].id++;
	volumes[1].leg_port = 20002;
	volumes[1].consumers = (struct desired_consumer_list){ 2, &consumers[1] };
	desired.volumes = (struct desired_volume_list){ 2, volumes };
	desired.reset = desired.complete = true;
	return desired;
}

/* The export of all consumers of desired_peers(). */
static char *consumer_nqns[] = { "nqn.2026-11.io.dnvme:x:leg:b" };
static char *consumer_hosts[] = { "nqn.2026-11.io.dnvme:x:node:b" };
static struct observed_port consumer_port = { .id = PORT, .subsystems = { 1, (void *)consumer_nqns } };
static struct observed_subsystem consumer_export = { .nqn = "nqn.2026-11.io.dnvme:x:leg:b",
						     .hosts = { 1, (void *)consumer_hosts } };

static struct observed consumers_observed(bool linked, bool allowed)
{
	consumer_port.subsystems.count = linked;
	consumer_export.hosts.count = allowed;
	return (struct observed){ .ports = { 1, &consumer_port }, .subsystems = { 1, &consumer_export } };
}

static bool peers_wait(const struct desired *desired, const struct observed *observed)
{
	struct arena arena = ARENA_INIT;
	struct kernel_peer_list peers;
	struct error error;
	bool waits;

	assert_int_equal(admission_make(desired, observed, true, &arena, &peers, &waits, &error), 0);
	for (size_t i = 0; waits && i < peers.count; i++)
		assert_false(peers.items[i].admitted);
	arena_free(&arena);
	return waits;
}

/* nodeb at the first volume's port, nodeb and nodec at the second one's. */
static void expect_peers(const struct desired *desired, bool has_lease, bool first, bool second, bool third)
{
	struct observed observed = consumers_observed(true, true);
	const bool admitted[] = { first, second, third };
	struct arena arena = ARENA_INIT;
	struct kernel_peer_list peers;
	struct error error;
	bool waits;

	assert_int_equal(admission_make(desired, &observed, has_lease, &arena, &peers, &waits, &error), 0);
	assert_false(waits);
	assert_int_equal(peers.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(peers.items[i].address, i < 2 ? "10.0.0.2" : "fd00::3");
		assert_int_equal(peers.items[i].port, i < 1 ? 20001 : 20002);
		assert_int_equal(peers.items[i].admitted, admitted[i]);
	}
	arena_free(&arena);
}

static void test_admission(void **state)
{
	struct observed observed = consumers_observed(true, true);
	struct arena arena = ARENA_INIT;
	struct desired desired = desired_peers(&arena);
	struct desired_consumer *first = &desired.volumes.items[0].consumers.items[0];
	struct desired_consumer *others = desired.volumes.items[1].consumers.items;
	struct kernel_peer_list peers;
	struct error error;
	bool waits;

	(void)state;
	expect_peers(&desired, true, false, false, false);
	/* One volume has nothing to do with the other one; and only while this node hears of its leader. */
	others[0].admitted = true;
	expect_peers(&desired, true, false, true, false);
	expect_peers(&desired, false, false, false, false);
	/* Nor before there is an export that lets it in: it would be told to go for ever. */
	observed = consumers_observed(false, true);
	assert_true(peers_wait(&desired, &observed));
	observed = consumers_observed(true, false);
	assert_true(peers_wait(&desired, &observed));
	observed = (struct observed){ 0 };
	assert_true(peers_wait(&desired, &observed));
	assert_true(peers_wait(&desired, NULL));
	others[0].parked = true;
	assert_false(peers_wait(&desired, NULL));
	expect_peers(&desired, true, false, false, false);
	first->admitted = others[1].admitted = true;
	expect_peers(&desired, true, true, false, true);
	/* What does not export yet lets nobody in, and hinders nobody. */
	others[1].nqn = "nqn.2026-11.io.dnvme:x:leg:other";
	observed = consumers_observed(true, true);
	assert_int_equal(admission_make(&desired, &observed, true, &arena, &peers, &waits, &error), 0);
	assert_true(waits);
	assert_true(peers.items[0].admitted);
	assert_false(peers.items[2].admitted);
	arena_free(&arena);
}

static bool lets_in_b(struct keeper_fixture *f)
{
	return kernel_sim_lets_in(f->kernel, "10.0.0.2", 20002);
}

static bool shuts_out_b(struct keeper_fixture *f)
{
	return !lets_in_b(f);
}

static bool is_joined(struct keeper_fixture *f)
{
	return kernel_sim_is_joined(f->kernel, 20001) && kernel_sim_is_joined(f->kernel, 20002);
}

/* Another leg, which it imports from nodeb. */
static void leg_from_b(struct arena *arena, struct desired_volume *volume)
{
	size_t count = volume->legs.count;
	struct desired_leg *legs = arena_alloc_array(arena, count + 1, sizeof(*legs));

	memcpy(legs, volume->legs.items, count * sizeof(*legs));
	legs[count] = (struct desired_leg){ .index = count,
					    .slot = 2,
					    .epoch = 1,
					    .size_bytes = legs[0].size_bytes,
					    .nsid = count + 1,
					    .nqn = "nqn.2026-11.io.dnvme:x:leg:a",
					    .address = "10.0.0.2",
					    .port = 20002 };
	volume->legs = (struct desired_leg_list){ count + 1, legs };
	volume->role = CONTROLLER_ROLE_ACTIVE;
}

/* What the reconciler would tell of the second volume. */
static uint64_t joined_as_told(struct keeper_fixture *f)
{
	const struct volume_health_list *health = reconciler_health(f->reconciler);

	return health->count == 2 && health->items[1].peers.count > 0
		       ? health->items[1].peers.items[health->items[1].peers.count - 1].joined
		       : 99;
}

static bool tells_joined_5(struct keeper_fixture *f)
{
	return joined_as_told(f) == 5;
}

static bool tells_none_joined(struct keeper_fixture *f)
{
	return joined_as_told(f) == 0;
}

/* Of another cluster than the desired state's: the reconciler leaves it as it is. */
static void export_to_b(struct keeper_fixture *f)
{
	const struct kernel_operations *operations = f->kernel->operations;
	struct error error = { 0 };

	assert_int_equal(operations->port_create(f->kernel, "dnvme-x", PORT, "10.0.0.1", &error), 0);
	assert_int_equal(operations->subsystem_create(f->kernel, consumer_nqns[0], 1, 9, &error), 0);
	assert_int_equal(operations->host_allow(f->kernel, consumer_nqns[0], consumer_hosts[0], &error), 0);
	assert_int_equal(operations->port_link(f->kernel, PORT, consumer_nqns[0], &error), 0);
}

/* A keeper that finds ports of an agent before it puts them behind the gate, whether anybody is admitted or not. */
static void test_keeper_admits_peers(void **state)
{
	struct keeper_fixture *f = *state;
	struct desired desired = desired_peers(&f->arena);
	struct desired_consumer *consumer = &desired.volumes.items[1].consumers.items[0];
	struct error error = { 0 };
	bool complete;
	struct desired nothing = desired_nothing(&f->arena);

	gatekeeper_opened(f->keeper, 20, 60000);
	f->beating = true;
	tell(f, &nothing);
	run_until(f, is_open);
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, is_joined);
	assert_false(lets_in_b(f));
	consumer->admitted = true;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, a_while_passed);
	assert_false(lets_in_b(f));
	export_to_b(f);
	reconciler_kick(f->reconciler);
	run_until(f, lets_in_b);
	/* And goes on doing so. */
	run_until(f, a_while_passed);
	assert_true(lets_in_b(f));
	assert_false(kernel_sim_lets_in(f->kernel, "10.0.0.2", 20001));
	assert_false(kernel_sim_lets_in(f->kernel, "fd00::3", 20002));
	consumer->admitted = false;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, shuts_out_b);
	consumer->admitted = true;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, lets_in_b);
	/* In a generation it comes once, however long it is admitted, and that is told. */
	leg_from_b(&f->arena, &desired.volumes.items[1]);
	consumer->generation = 5;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, a_while_passed);
	assert_true(kernel_sim_peer_join(f->kernel, "10.0.0.2", 20002));
	run_until(f, a_while_passed);
	assert_false(lets_in_b(f));
	run_until(f, tells_joined_5);
	consumer->generation = 6;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, lets_in_b);
	run_until(f, tells_none_joined);
	/* The last one that was admitted is shut out with the last volume. */
	desired.volumes.count = 0;
	assert_int_equal(desired_store_take(f->store, &desired, &complete, &error), 0);
	gatekeeper_desired(f->keeper);
	run_until(f, shuts_out_b);
}

static int on_look_at_hosts(void *data, const char *operation, const char *name, struct error *error)
{
	struct keeper_fixture *f = data;

	(void)name;
	if (strcmp(operation, "hosts_look") != 0)
		return 0;
	atomic_fetch_add(&f->looks, 1);
	return atomic_load(&f->cannot_look) ? error_set(error, ERROR_NOT_FOUND, "refused for the test") : 0;
}

static bool has_looked(struct keeper_fixture *f)
{
	return atomic_load(&f->looks) >= 2;
}

/* Where others import legs the connections of hosts are looked at, again and again, whether that works or not. */
static void test_keeper_looks_at_hosts(void **state)
{
	struct keeper_fixture *f = *state;
	struct desired desired = desired_peers(&f->arena), nothing = desired_nothing(&f->arena);

	kernel_sim_fault_set(f->kernel, on_look_at_hosts, f);
	gatekeeper_opened(f->keeper, 20, 60000);
	f->beating = true;
	tell(f, &nothing);
	run_until(f, is_open);
	run_until(f, a_while_passed);
	assert_int_equal(atomic_load(&f->looks), 0);
	tell(f, &desired);
	run_until(f, has_looked);
	atomic_store(&f->cannot_look, true);
	atomic_store(&f->looks, 0);
	run_until(f, has_looked);
	atomic_store(&f->cannot_look, false);
	atomic_store(&f->looks, 0);
	run_until(f, has_looked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keeper_follows_heartbeats, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_waits_for_what_is_exposed, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_waits_for_what_lapsed, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_opens_for_what_is_unused, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_waits_for_writes, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_leaves_what_it_finds, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_looks_at_hosts, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_without_a_leader, keeper_setup, keeper_teardown),
		cmocka_unit_test_setup_teardown(test_keeper_admits_peers, keeper_setup, keeper_teardown),
		cmocka_unit_test(test_admission),
	};

	log_open("test_agent_gatekeeper", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
