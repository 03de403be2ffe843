/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection over a socket pair: frames that come in pieces, pausing, a last answer, stalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/connection.h"

#define FRAME_MAX 1000

struct rig {
	uv_loop_t loop;
	uint8_t scratch[CONNECTION_SCRATCH_BYTES];
	struct connection connection;
	int other; /* our end of the pair */
	int frames, bad, ended, closed, progress, arrived;
	size_t last_size;
	int pause_at, close_at; /* in the frame callback */
	enum error_code code;
};

static struct rig *rig_of(struct connection *connection)
{
	return (struct rig *)((char *)connection - offsetof(struct rig, connection));
}

static void on_frame(struct connection *connection, struct bytes frame)
{
	struct rig *rig = rig_of(connection);

	rig->frames++;
	rig->last_size = frame.size;
	if (rig->frames == rig->pause_at)
		connection_pause(connection);
	if (rig->frames == rig->close_at)
		connection_close(connection);
}

static void on_bad(struct connection *connection, struct bytes seen, const struct error *failure)
{
	rig_of(connection)->bad++;
	rig_of(connection)->last_size = seen.size;
	rig_of(connection)->code = failure->code;
	connection_finish(connection);
}

static void on_ended(struct connection *connection, const struct error *failure)
{
	(void)failure;
	rig_of(connection)->ended++;
	connection_close(connection);
}

static void on_progress(struct connection *connection)
{
	rig_of(connection)->progress++;
}

static void on_closed(struct connection *connection)
{
	rig_of(connection)->closed++;
}

static void on_arrived(struct connection *connection)
{
	rig_of(connection)->arrived++;
}

static const struct connection_events events = {
	.arrived = on_arrived,
	.frame = on_frame,
	.bad = on_bad,
	.ended = on_ended,
	.progress = on_progress,
	.closed = on_closed,
};

static void rig_open(struct rig *rig)
{
	int pair[2];

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	rig->other = pair[1];
	assert_int_equal(connection_init_pipe(&rig->connection, &rig->loop, &events, rig->scratch, FRAME_MAX), 0);
	assert_int_equal(uv_pipe_open(&rig->connection.pipe, pair[0]), 0);
	assert_int_equal(connection_begin(&rig->connection), 0);
}

static void turn(struct rig *rig)
{
	for (int i = 0; i < 5; i++)
		uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void rig_close(struct rig *rig)
{
	connection_close(&rig->connection);
	connection_close(&rig->connection);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(rig->closed, 1);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	close(rig->other);
}

static void put(struct rig *rig, const char *data, size_t size)
{
	assert_int_equal(write(rig->other, data, size), (ssize_t)size);
	turn(rig);
}

static void test_pieces(void **state)
{
	static const char frame[] = "\x93\x01\xa3"
				    "abc\xc0";
	struct rig rig;

	(void)state;
	rig_open(&rig);
	for (size_t i = 0; i < sizeof(frame) - 1; i++) {
		assert_int_equal(rig.frames, 0);
		put(&rig, frame + i, 1);
	}
	assert_int_equal(rig.frames, 1);
	assert_int_equal(rig.last_size, sizeof(frame) - 1);
	put(&rig, "\x01\x02\x91", 3);
	assert_int_equal(rig.frames, 3);
	assert_int_equal(rig.last_size, 1);
	put(&rig, "\x05", 1);
	assert_int_equal(rig.frames, 4);
	assert_int_equal(rig.last_size, 2);
	rig_close(&rig);
}

/* One frame at a time, when the owner wants one; and what waits is bounded. */
static void test_pulled(void **state)
{
	static char many[1 << 20];
	struct rig rig;
	size_t sent = 0;
	int pulled;

	(void)state;
	rig_open(&rig);
	connection_pull_set(&rig.connection, true);
	put(&rig, "\x01\x02\x92\x03", 4);
	assert_int_equal(rig.frames, 0);
	assert_int_equal(rig.arrived, 1);
	assert_true(connection_frame_waits(&rig.connection));
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 100000, 1000));
	connection_pull(&rig.connection);
	assert_int_equal(rig.frames, 1);
	connection_pull(&rig.connection);
	assert_int_equal(rig.frames, 2);
	/* Half a frame is late as ever. */
	assert_false(connection_frame_waits(&rig.connection));
	connection_pull(&rig.connection);
	assert_int_equal(rig.frames, 2);
	assert_non_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 100000, 1000));
	put(&rig, "\x04", 1);
	connection_pull(&rig.connection);
	assert_int_equal(rig.frames, 3);
	assert_int_equal(rig.last_size, 3);
	/* More than is read beforehand. */
	memset(many, 0x05, sizeof(many));
	while (sent < sizeof(many)) {
		ssize_t size = send(rig.other, many + sent, sizeof(many) - sent, MSG_DONTWAIT);

		turn(&rig);
		if (size <= 0)
			break;
		sent += (size_t)size;
	}
	assert_in_range(sent, 1, sizeof(many) - 1);
	assert_in_range(connection_held_bytes(&rig.connection), 65536, 4 * 65536);
	for (pulled = 0; connection_frame_waits(&rig.connection); pulled++) {
		connection_pull(&rig.connection);
		turn(&rig);
	}
	assert_int_equal(pulled, (int)sent);
	assert_int_equal(rig.frames, 3 + (int)sent);
	assert_in_range(connection_held_bytes(&rig.connection), 0, 4096);
	/* From now on they come by themselves, those that wait first. */
	put(&rig, "\x01\x02", 2);
	assert_int_equal(rig.frames, 3 + (int)sent);
	connection_pull_set(&rig.connection, false);
	assert_int_equal(rig.frames, 5 + (int)sent);
	put(&rig, "\x03", 1);
	assert_int_equal(rig.frames, 6 + (int)sent);
	rig_close(&rig);
}

static void test_pause(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.pause_at = 2;
	put(&rig, "\x01\x02\x03\x04", 4);
	assert_int_equal(rig.frames, 2);
	put(&rig, "\x05", 1);
	assert_int_equal(rig.frames, 2);
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 100000, 1000));
	connection_resume(&rig.connection);
	turn(&rig);
	assert_int_equal(rig.frames, 5);
	rig_close(&rig);
}

static void test_close_within_frame(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig.close_at = 2;
	put(&rig, "\x01\x02\x03\x04", 4);
	assert_int_equal(rig.frames, 2);
	assert_int_equal(rig.closed, 1);
	rig_close(&rig);
}

static void test_bad_and_last_answer(void **state)
{
	char answer[16];
	struct rig rig;

	(void)state;
	rig_open(&rig);
	assert_int_equal(buffer_append(connection_output(&rig.connection), "bye", 3), 0);
	put(&rig, "\x92\xc1", 2);
	assert_int_equal(rig.bad, 1);
	assert_int_equal(rig.code, ERROR_INVALID_ARGUMENT);
	assert_int_equal(rig.last_size, 2);
	/* The answer arrives, then the end; what is still sent goes nowhere. */
	assert_int_equal(read(rig.other, answer, sizeof(answer)), 3);
	assert_int_equal(read(rig.other, answer, sizeof(answer)), 0);
	put(&rig, "\x01\x01", 2);
	assert_int_equal(rig.frames, 0);
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 500, 1000));
	assert_non_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 1500, 1000));
	shutdown(rig.other, SHUT_WR);
	turn(&rig);
	assert_int_equal(rig.ended, 1);
	rig_close(&rig);
}

static void test_too_large(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig);
	put(&rig, "\xc5\x10\x00", 3);
	assert_int_equal(rig.bad, 1);
	assert_int_equal(rig.code, ERROR_TOO_LARGE);
	rig_close(&rig);

	rig_open(&rig);
	connection_frame_limit(&rig.connection, 10000);
	put(&rig, "\xc5\x10\x00", 3);
	assert_int_equal(rig.bad, 0);
	rig_close(&rig);
}

static void test_stalls(void **state)
{
	uint64_t now;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 100000, 1000));
	put(&rig, "\x92", 1);
	now = uv_now(&rig.loop);
	assert_null(connection_stalled(&rig.connection, now + 999, 1000));
	assert_string_equal(connection_stalled(&rig.connection, now + 1100, 1000), "left a frame unfinished");
	put(&rig, "\x01\x01", 2);
	assert_int_equal(rig.frames, 1);
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 100000, 1000));
	rig_close(&rig);
}

static void test_unread_output(void **state)
{
	static char block[65536];
	size_t queued;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	/* What was only appended is not unread, however long ago the connection was used last. */
	assert_int_equal(buffer_append(connection_output(&rig.connection), block, sizeof(block)), 0);
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 100000, 1000));
	for (int i = 0; i < 64; i++)
		assert_int_equal(buffer_append(connection_output(&rig.connection), block, sizeof(block)), 0);
	connection_flush(&rig.connection);
	turn(&rig);
	queued = connection_output_bytes(&rig.connection);
	assert_true(queued > 0);
	/* The first look sees that bytes went; the next one that none did. */
	assert_null(connection_stalled(&rig.connection, uv_now(&rig.loop) + 5000, 1000));
	assert_string_equal(connection_stalled(&rig.connection, uv_now(&rig.loop) + 7000, 1000),
			    "does not read its answers");
	while (connection_output_bytes(&rig.connection) > 0) {
		assert_true(read(rig.other, block, sizeof(block)) > 0);
		turn(&rig);
	}
	assert_true(rig.progress > 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_pulled),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_close_within_frame),
		cmocka_unit_test(test_bad_and_last_answer),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_stalls),
		cmocka_unit_test(test_unread_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
