/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To whom a node says that it is there: whom, and that it comes, on real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/beat.h"

static void target_is(const struct beat_target *target, const char *address, unsigned port)
{
	char text[64];

	if (target->address.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&target->address;

		assert_int_equal(uv_ip4_name(in, text, sizeof(text)), 0);
		assert_int_equal(ntohs(in->sin_port), port);
	} else {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&target->address;

		assert_int_equal(uv_ip6_name(in, text, sizeof(text)), 0);
		assert_int_equal(ntohs(in->sin6_port), port);
	}
	assert_string_equal(text, address);
}

static struct desired_volume volume_of(struct desired_leg *legs, size_t count)
{
	return (struct desired_volume){ .legs = { count, legs } };
}

static void test_targets(void **state)
{
	struct desired_leg first[] = {
		{ .local = true, .address = "10.0.0.1", .port = 20001 },
		{ .address = "10.0.0.2", .port = 20001 },
		{ .address = "fd00::3", .port = 20001 },
		{ .address = "nowhere", .port = 20001 },
		{ .address = NULL },
	};
	struct desired_leg second[] = {
		{ .address = "10.0.0.2", .port = 20002 },
		{ .address = "10.0.0.4", .port = 20002 },
		{ .address = "fd00::3", .port = 20002 },
		{ .address = "fd00::5", .port = 20002 },
	};
	struct desired_volume volumes[] = { volume_of(first, 5), volume_of(second, 4) };
	struct desired desired = { .volumes = { 2, volumes } };
	struct arena arena = ARENA_INIT;
	struct beat_target_list targets;
	struct error error = { 0 };

	(void)state;
	assert_int_equal(beat_targets(&desired, &arena, &targets, &error), 0);
	assert_int_equal(targets.count, 4);
	target_is(&targets.items[0], "10.0.0.2", 20001);
	target_is(&targets.items[1], "fd00::3", 20001);
	target_is(&targets.items[2], "10.0.0.4", 20002);
	target_is(&targets.items[3], "fd00::5", 20002);
	arena_free(&arena);
}

struct listener {
	uv_udp_t handle;
	uv_timer_t deadline;
	struct beat *beat;
	unsigned heard, wanted;
};

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_buffer)
{
	static char bytes[64];

	(void)handle;
	(void)size;
	*ret_buffer = uv_buf_init(bytes, sizeof(bytes));
}

static void listener_end(struct listener *this)
{
	beat_close(this->beat);
	uv_close((uv_handle_t *)&this->handle, NULL);
	uv_close((uv_handle_t *)&this->deadline, NULL);
}

static void on_heard(uv_udp_t *handle, ssize_t size, const uv_buf_t *bytes, const struct sockaddr *from, unsigned flags)
{
	struct listener *this = handle->data;

	(void)bytes;
	(void)flags;
	if (from == NULL || size <= 0 || this->heard == this->wanted)
		return;
	this->heard++;
	if (this->heard == this->wanted)
		listener_end(this);
}

static void on_deadline(uv_timer_t *timer)
{
	listener_end(timer->data);
}

/* Which is where it is wanted, and goes on until it is not. */
static void test_beats(void **state)
{
	struct listener listener = { .heard = 0, .wanted = 3 };
	struct desired_store *store = desired_store_make();
	struct desired_leg leg = {
		.epoch = 1, .size_bytes = 1 << 20, .nsid = 1, .nqn = "nqn.x", .address = "127.0.0.1"
	};
	struct desired_volume volume = { .id = 1,
					 .nqn = "nqn.v",
					 .size_bytes = 1 << 20,
					 .stripe_bytes = 4096,
					 .role = CONTROLLER_ROLE_ACTIVE,
					 .revision = 1 };
	struct desired desired = {
		.cluster = "c0ffee", .node = "n1", .address = "127.0.0.1", .reset = true, .complete = true
	};
	struct sockaddr_in address;
	int size = sizeof(address);
	struct error error = { 0 };
	bool complete;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(uv_udp_init(&loop, &listener.handle), 0);
	assert_int_equal(uv_timer_init(&loop, &listener.deadline), 0);
	listener.handle.data = listener.deadline.data = &listener;
	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
	assert_int_equal(uv_udp_bind(&listener.handle, (struct sockaddr *)&address, 0), 0);
	assert_int_equal(uv_udp_getsockname(&listener.handle, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(uv_udp_recv_start(&listener.handle, on_alloc, on_heard), 0);
	leg.port = ntohs(address.sin_port);
	volume.legs.count = 1;
	volume.legs.items = &leg;
	desired.volumes.count = 1;
	desired.volumes.items = &volume;
	assert_int_equal(desired_store_take(store, &desired, &complete, &error), 0);
	listener.beat = beat_make(&loop, store);
	assert_non_null(listener.beat);
	beat_desired(listener.beat);
	uv_timer_start(&listener.deadline, on_deadline, 20000, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(listener.heard, 3);
	assert_int_equal(uv_loop_close(&loop), 0);
	desired_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_beats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
