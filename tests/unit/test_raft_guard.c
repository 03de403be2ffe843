/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guards in front of libraft's I/O change of what it asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "raft/internal.h"

static struct consensus consensus;
static struct raft_io_snapshot_get *loading;
static raft_io_snapshot_get_cb on_loaded;
static struct raft_io_send sending;
static struct raft_message sent;
static int load_fails;
static unsigned loads_failed;

static int load(struct raft_io *io, struct raft_io_snapshot_get *request, raft_io_snapshot_get_cb callback)
{
	assert_ptr_equal(io, &consensus.io);
	loading = request;
	on_loaded = callback;
	return load_fails;
}

static int take(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
		raft_io_send_cb callback)
{
	(void)callback;
	assert_ptr_equal(io, &consensus.io);
	assert_ptr_equal(request, &sending);
	sent = *message;
	return 0;
}

/* As libraft does: it had decided to send the snapshot at 128 of term 2. */
static void send_loaded(struct raft_io_snapshot_get *request, struct raft_snapshot *snapshot, int status)
{
	struct raft_message message = { .type = RAFT_INSTALL_SNAPSHOT };

	if (status != 0) {
		loads_failed++;
		return;
	}
	assert_string_equal(request->data, "mine");
	message.install_snapshot.last_index = snapshot->index;
	message.install_snapshot.last_term = 2;
	message.install_snapshot.conf_index = 7;
	assert_int_equal(consensus.io.send(&consensus.io, &sending, &message, NULL), 0);
}

static void setup(void)
{
	memset(&consensus, 0, sizeof(consensus));
	consensus.io.snapshot_get = load;
	consensus.io.send = take;
	guard_init(&consensus);
	load_fails = 0;
}

static void test_snapshot_term(void **state)
{
	struct raft_io_snapshot_get request = { .data = (void *)"mine" };
	struct raft_snapshot later = { .index = 192, .term = 3 };
	struct raft_message message = { .type = RAFT_INSTALL_SNAPSHOT };

	(void)state;
	setup();
	assert_int_equal(consensus.io.snapshot_get(&consensus.io, &request, send_loaded), 0);
	on_loaded(loading, &later, 0);
	assert_int_equal(sent.type, RAFT_INSTALL_SNAPSHOT);
	assert_int_equal(sent.install_snapshot.last_index, 192);
	assert_int_equal(sent.install_snapshot.last_term, 3);
	assert_int_equal(sent.install_snapshot.conf_index, 7);
	/* Only what is sent because of it. */
	message.install_snapshot.last_index = 192;
	message.install_snapshot.last_term = 2;
	assert_int_equal(consensus.io.send(&consensus.io, &sending, &message, NULL), 0);
	assert_int_equal(sent.install_snapshot.last_term, 2);
}

static void test_snapshot_not_loaded(void **state)
{
	struct raft_io_snapshot_get request = { .data = (void *)"mine" };

	(void)state;
	setup();
	assert_int_equal(consensus.io.snapshot_get(&consensus.io, &request, send_loaded), 0);
	on_loaded(loading, NULL, RAFT_CANCELED);
	assert_int_equal(loads_failed, 1);
	load_fails = RAFT_NOMEM;
	assert_int_equal(consensus.io.snapshot_get(&consensus.io, &request, send_loaded), RAFT_NOMEM);
	assert_int_equal(loads_failed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_term),
		cmocka_unit_test(test_snapshot_not_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
