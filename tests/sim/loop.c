/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/loop.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"

static void loop_time(struct loop *loop)
{
	loop->uv->time = machine_boot_us(loop->process->machine) / WORLD_MS;
}

static void on_nothing(void *data)
{
	(void)data;
}

static void on_poke(struct world_event *event)
{
	loop_turn(event->data, on_nothing, NULL);
}

void loop_poke(struct loop *loop)
{
	if (loop->turning == 0 && !event_is_waiting(&loop->poke))
		event_at(&loop->poke, world_now);
}

/* Handles of a kind, oldest first, are few: prepare and check. */
static void run_handles(struct loop *loop, uv_handle_type type)
{
	uv_handle_t *handle = loop->turned, *next;

	for (; handle != NULL; handle = next) {
		next = handle->handle_queue[0];
		if (handle->type != type || (handle->flags & HANDLE_ACTIVE) == 0)
			continue;
		if (type == UV_PREPARE)
			((uv_prepare_t *)handle)->prepare_cb((uv_prepare_t *)handle);
		else
			((uv_check_t *)handle)->check_cb((uv_check_t *)handle);
	}
}

static void run_closing(struct loop *loop)
{
	uv_handle_t *handle;

	while ((handle = loop->closing) != NULL) {
		loop->closing = handle->handle_queue[0];
		handle->flags |= HANDLE_CLOSED;
		if (handle->type == UV_TCP || handle->type == UV_NAMED_PIPE)
			stream_closed((uv_stream_t *)handle);
		if (handle->close_cb != NULL)
			handle->close_cb(handle);
	}
}

void loop_turn(struct loop *loop, void (*what)(void *data), void *data)
{
	loop->turning++;
	loop_time(loop);
	what(data);
	run_handles(loop, UV_CHECK);
	run_closing(loop);
	run_handles(loop, UV_PREPARE);
	loop->turning--;
	if (loop->closing != NULL)
		loop_poke(loop);
	if (loop->open == 0 && loop->closing == NULL && loop->runner != NULL) {
		struct coroutine *runner = loop->runner;

		loop->runner = NULL;
		coroutine_resume(runner);
	}
}

/* --- loops ------------------------------------------------------------------------------------------------------ */

int uv_loop_init(uv_loop_t *uv)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return UV_ENOMEM;
	memset(uv, 0, sizeof(*uv));
	uv->internal_fields = loop;
	loop->uv = uv;
	loop->process = world_current;
	event_init(&loop->poke, world_current, on_poke, loop);
	loop_time(loop);
	return 0;
}

int uv_run(uv_loop_t *uv, uv_run_mode mode)
{
	struct loop *loop = loop_of(uv);

	if (mode != UV_RUN_DEFAULT)
		abort();
	loop_poke(loop);
	if (loop->open > 0 || loop->closing != NULL) {
		loop->runner = coroutine_self();
		coroutine_yield();
	}
	return 0;
}

int uv_loop_close(uv_loop_t *uv)
{
	struct loop *loop = loop_of(uv);

	if (loop->handles != NULL || loop->turned != NULL || loop->closing != NULL)
		return UV_EBUSY;
	event_cancel(&loop->poke);
	free(loop);
	uv->internal_fields = NULL;
	return 0;
}

uint64_t uv_now(const uv_loop_t *uv)
{
	return uv->time;
}

/* Within a turn no time passes. */
uint64_t uv_hrtime(void)
{
	return machine_boot_us(world_current->machine) * 1000;
}

/* --- handles ---------------------------------------------------------------------------------------------------- */

static uv_handle_t **list_of(struct loop *loop, uv_handle_type type)
{
	return type == UV_PREPARE || type == UV_CHECK ? &loop->turned : &loop->handles;
}

void loop_handle_init(uv_loop_t *uv, uv_handle_t *handle, uv_handle_type type)
{
	struct loop *loop = loop_of(uv);
	uv_handle_t **list = list_of(loop, type);

	handle->loop = uv;
	handle->type = type;
	handle->flags = 0;
	handle->close_cb = NULL;
	handle->handle_queue[0] = *list;
	handle->handle_queue[1] = NULL;
	if (*list != NULL)
		(*list)->handle_queue[1] = handle;
	*list = handle;
	loop->open++;
}

static void handle_unlink(struct loop *loop, uv_handle_t *handle)
{
	uv_handle_t *next = handle->handle_queue[0], *before = handle->handle_queue[1];

	if (before != NULL)
		before->handle_queue[0] = next;
	else
		*list_of(loop, handle->type) = next;
	if (next != NULL)
		next->handle_queue[1] = before;
}

void uv_unref(uv_handle_t *handle)
{
	if ((handle->flags & (HANDLE_UNREF | HANDLE_CLOSING)) != 0)
		return;
	handle->flags |= HANDLE_UNREF;
	loop_of(handle->loop)->open--;
}

int uv_is_active(const uv_handle_t *handle)
{
	return (handle->flags & HANDLE_ACTIVE) != 0;
}

int uv_is_closing(const uv_handle_t *handle)
{
	return (handle->flags & (HANDLE_CLOSING | HANDLE_CLOSED)) != 0;
}

void uv_close(uv_handle_t *handle, uv_close_cb callback)
{
	struct loop *loop = loop_of(handle->loop);

	if (uv_is_closing(handle))
		abort();
	if (handle->type == UV_TIMER)
		uv_timer_stop((uv_timer_t *)handle);
	if (handle->type == UV_TIMER)
		free(((uv_timer_t *)handle)->heap_node[0]);
	if (handle->type == UV_TCP || handle->type == UV_NAMED_PIPE)
		stream_close((uv_stream_t *)handle);
	handle->flags &= ~HANDLE_ACTIVE;
	handle->flags |= HANDLE_CLOSING;
	handle->close_cb = callback;
	handle_unlink(loop, handle);
	if ((handle->flags & HANDLE_UNREF) == 0)
		loop->open--;
	handle->handle_queue[0] = loop->closing;
	loop->closing = handle;
	loop_poke(loop);
}

/* --- timers ----------------------------------------------------------------------------------------------------- */

static void timer_run(void *data)
{
	uv_timer_t *timer = data;

	timer->flags &= ~HANDLE_ACTIVE;
	if (timer->repeat != 0)
		uv_timer_start(timer, timer->timer_cb, timer->repeat, timer->repeat);
	timer->timer_cb(timer);
}

static void on_timer(struct world_event *event)
{
	uv_timer_t *timer = event->data;

	loop_turn(loop_of(timer->loop), timer_run, timer);
}

int uv_timer_init(uv_loop_t *uv, uv_timer_t *timer)
{
	struct world_event *event = malloc(sizeof(*event));

	if (event == NULL)
		abort();
	loop_handle_init(uv, (uv_handle_t *)timer, UV_TIMER);
	timer->timer_cb = NULL;
	timer->timeout = timer->repeat = 0;
	timer->heap_node[0] = event;
	event_init(event, loop_of(uv)->process, on_timer, timer);
	return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat)
{
	if (callback == NULL || uv_is_closing((uv_handle_t *)timer))
		return UV_EINVAL;
	timer->timer_cb = callback;
	timer->timeout = timer->loop->time + timeout;
	timer->repeat = repeat;
	timer->flags |= HANDLE_ACTIVE;
	event_at(timer->heap_node[0],
		 machine_world_us(loop_of(timer->loop)->process->machine, timer->timeout * WORLD_MS));
	return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
	timer->flags &= ~HANDLE_ACTIVE;
	event_cancel(timer->heap_node[0]);
	return 0;
}

uint64_t uv_timer_get_due_in(const uv_timer_t *timer)
{
	return timer->timeout > timer->loop->time ? timer->timeout - timer->loop->time : 0;
}

/* --- prepare, check, signals ------------------------------------------------------------------------------------ */

int uv_prepare_init(uv_loop_t *uv, uv_prepare_t *prepare)
{
	loop_handle_init(uv, (uv_handle_t *)prepare, UV_PREPARE);
	return 0;
}

int uv_prepare_start(uv_prepare_t *prepare, uv_prepare_cb callback)
{
	prepare->prepare_cb = callback;
	prepare->flags |= HANDLE_ACTIVE;
	return 0;
}

int uv_check_init(uv_loop_t *uv, uv_check_t *check)
{
	loop_handle_init(uv, (uv_handle_t *)check, UV_CHECK);
	return 0;
}

int uv_check_start(uv_check_t *check, uv_check_cb callback)
{
	check->check_cb = callback;
	check->flags |= HANDLE_ACTIVE;
	return 0;
}

int uv_signal_init(uv_loop_t *uv, uv_signal_t *handle)
{
	loop_handle_init(uv, (uv_handle_t *)handle, UV_SIGNAL);
	return 0;
}

int uv_signal_start(uv_signal_t *handle, uv_signal_cb callback, int number)
{
	handle->signal_cb = callback;
	handle->signum = number;
	handle->flags |= HANDLE_ACTIVE;
	return 0;
}
