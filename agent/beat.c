/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/beat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/list.h"
#include "lib/base/log.h"

struct beat {
	uv_timer_t timer;
	const struct desired_store *store;
	struct arena arena;
	struct beat_target_list targets;
	int socket4, socket6; /* -1: not needed yet */
};

static bool address_read(const char *address, uint64_t port, struct beat_target *ret_target)
{
	struct beat_target target = { 0 };
	bool is_ipv6 = strchr(address, ':') != NULL;
	int code;

	if (is_ipv6)
		code = uv_ip6_addr(address, (int)port, (struct sockaddr_in6 *)&target.address);
	else
		code = uv_ip4_addr(address, (int)port, (struct sockaddr_in *)&target.address);
	target.size = is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	*ret_target = target;
	return code == 0;
}

static bool has_host(const struct beat_target_list *targets, const struct beat_target *target)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&target->address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&target->address;

	for (size_t i = 0; i < targets->count; i++) {
		const struct sockaddr_storage *other = &targets->items[i].address;

		if (other->ss_family != target->address.ss_family)
			continue;
		if (other->ss_family == AF_INET
			    ? ((const struct sockaddr_in *)other)->sin_addr.s_addr == in->sin_addr.s_addr
			    : memcmp(&((const struct sockaddr_in6 *)other)->sin6_addr, &in6->sin6_addr,
				     sizeof(in6->sin6_addr)) == 0)
			return true;
	}
	return false;
}

int beat_targets(const struct desired *desired, struct arena *arena, struct beat_target_list *ret_targets,
		 struct error *error)
{
	struct beat_target_list targets = { 0 };

	for (size_t i = 0; i < desired->volumes.count; i++) {
		const struct desired_leg_list *legs = &desired->volumes.items[i].legs;

		for (size_t l = 0; l < legs->count; l++) {
			const struct desired_leg *leg = &legs->items[l];
			struct beat_target target, *added;

			if (leg->local || leg->address == NULL || !address_read(leg->address, leg->port, &target) ||
			    has_host(&targets, &target))
				continue;
			added = LIST_PUSH(arena, &targets);
			if (added == NULL)
				return error_set_nomem(error);
			*added = target;
		}
	}
	*ret_targets = targets;
	return 0;
}

/* What is lost is lost: the next one follows. */
static void send_to(int *fd, const struct beat_target *target)
{
	if (*fd < 0)
		*fd = socket(target->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd >= 0)
		(void)!sendto(*fd, "", 1, MSG_NOSIGNAL, (const struct sockaddr *)&target->address, target->size);
}

static void on_timer(uv_timer_t *timer)
{
	struct beat *this = timer->data;

	for (size_t i = 0; i < this->targets.count; i++) {
		const struct beat_target *target = &this->targets.items[i];

		send_to(target->address.ss_family == AF_INET ? &this->socket4 : &this->socket6, target);
	}
}

struct beat *beat_make(uv_loop_t *loop, const struct desired_store *store)
{
	struct beat *this = calloc(1, sizeof(*this));

	if (this == NULL)
		return NULL;
	this->store = store;
	this->arena = (struct arena)ARENA_INIT;
	this->socket4 = this->socket6 = -1;
	uv_timer_init(loop, &this->timer);
	this->timer.data = this;
	return this;
}

void beat_desired(struct beat *this)
{
	struct arena arena = ARENA_INIT;
	struct beat_target_list targets;
	struct desired desired;
	struct error error = { 0 };

	if (this == NULL)
		return;
	/* Without memory the old ones go on, and the next change tries again. */
	if (desired_store_get(this->store, &arena, &desired, &error) != 0 ||
	    beat_targets(&desired, &arena, &targets, &error) != 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot tell other holders that this node is there", &error);
		arena_free(&arena);
		return;
	}
	arena_free(&this->arena);
	this->arena = arena;
	this->targets = targets;
	if (targets.count == 0)
		uv_timer_stop(&this->timer);
	else if (!uv_is_active((uv_handle_t *)&this->timer))
		uv_timer_start(&this->timer, on_timer, 0, BEAT_INTERVAL_MS);
}

static void on_closed(uv_handle_t *handle)
{
	struct beat *this = handle->data;

	if (this->socket4 >= 0)
		close(this->socket4);
	if (this->socket6 >= 0)
		close(this->socket6);
	arena_free(&this->arena);
	free(this);
}

void beat_close(struct beat *this)
{
	if (this != NULL)
		uv_close((uv_handle_t *)&this->timer, on_closed);
}
