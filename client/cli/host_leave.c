/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_leave.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/net/peer.h"

#define ANSWER_MS 150	 /* for a peer to answer a connection */
#define SILENCE_MS 500	 /* a first packet may get lost: nothing else was heard either for so long */
#define ROUNDED_MS 3000u /* what the kernel's timers round up, and what else it does */
#define POLL_NS 2000000L
#define ATTEMPT_NS 50000000L /* between looks for an attempt that is in the way of a deletion */

enum verdict { LIVES, DIED, UNCLEAR };

static enum verdict peer_judge(const struct peer_place *place, uint64_t *ret_silent_ms)
{
	enum peer_answer answer = peer_try(place->address, place->port, ANSWER_MS);

	*ret_silent_ms = 0;
	/* A kernel that does not tell of its sockets does not end them either. */
	if (answer == PEER_ANSWERS || peers_silence(place, 1, ret_silent_ms, NULL) != 0)
		return LIVES;
	/* All that stands is reset with its next packet. */
	if (answer == PEER_REFUSES) {
		*ret_silent_ms = UINT64_MAX;
		return DIED;
	}
	return *ret_silent_ms >= SILENCE_MS ? DIED : UNCLEAR;
}

static struct peer_place place_of(const struct host_controller *controller)
{
	return (struct peer_place){ controller->address, strtoul(controller->port, NULL, 10) };
}

/* Whether the connections of other paths to the same place may be ended as well. */
static bool others_may_end(const struct host_leaving *leaving, uint64_t silent_ms)
{
	return host_others_find(leaving->sysfs, &leaving->controller, &leaving->others) != HOST_OTHERS_ANY ||
	       silent_ms >= LIMIT_HOST_KEEP_ALIVE_S * UINT64_C(1000);
}

/* Whether nobody loses anything but those that leave. */
static bool is_alone(const struct host_leaving *leaving)
{
	return host_others_find(leaving->sysfs, &leaving->controller, &leaving->others) == HOST_OTHERS_NONE;
}

/* Until the path is not live any more, or gone. */
static int connecting_await(const struct host_leaving *leaving, struct error *error)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	unsigned keep_alive_s = LIMIT_HOST_KEEP_ALIVE_S;
	char state[HOST_NAME_SIZE];
	uint64_t end_ms;

	/* The kernel waits for a keep-alive that is under way before it lets go. */
	(void)host_controller_keep_alive(leaving->sysfs, leaving->controller.name, &keep_alive_s);
	end_ms = clock_boot_ms() + keep_alive_s * UINT64_C(1000) + ROUNDED_MS;
	while (host_controller_state(leaving->sysfs, leaving->controller.name, state) &&
	       (strcmp(state, "live") == 0 || strcmp(state, "resetting") == 0)) {
		if (clock_boot_ms() >= end_ms)
			return error_set(error, ERROR_UNAVAILABLE, "%s is %s, and does not end that",
					 leaving->controller.name, state);
		nanosleep(&pause, NULL);
	}
	return 0;
}

int host_leave_free(const void *argument, struct error *error)
{
	const struct host_leaving *leaving = argument;
	const struct host_controller *controller = &leaving->controller;
	struct peer_place place = place_of(controller);
	enum verdict verdict;
	char state[HOST_NAME_SIZE];
	uint64_t silent_ms;

	if (!host_controller_state(leaving->sysfs, controller->name, state))
		return 0;
	/* Its recovery has begun already, maybe by one who left another path there. */
	if (strcmp(state, "resetting") == 0)
		return connecting_await(leaving, error);
	if (strcmp(state, "live") != 0)
		return 0;
	verdict = peer_judge(&place, &silent_ms);
	if (verdict == UNCLEAR)
		return error_set(error, ERROR_UNAVAILABLE, "%s:%s does not answer, but was heard of %" PRIu64 " ms ago",
				 controller->address, controller->port, silent_ms);
	if (verdict == DIED && !others_may_end(leaving, silent_ms))
		return error_set(error, ERROR_UNAVAILABLE,
				 "%s:%s is silent for %" PRIu64 " ms, not long enough for other volumes there",
				 controller->address, controller->port, silent_ms);
	if ((verdict == DIED || (leaving->live != HOST_LEAVE_AS_IT_IS && is_alone(leaving))) &&
	    peer_disconnect(place.address, place.port, PEER_EVERY_CONNECTION, error) == 0)
		return connecting_await(leaving, error);
	error_clear(error);
	switch (leaving->live) {
	case HOST_LEAVE_WAIT:
		return error_set(error, ERROR_UNAVAILABLE, "%s:%s still serves it", controller->address,
				 controller->port);
	case HOST_LEAVE_RESET:
		return host_controller_write(leaving->sysfs, controller->name, "reset_controller", "1", error);
	case HOST_LEAVE_AS_IT_IS:
		break;
	}
	return 0;
}

/* An attempt to connect, which a deletion waits for: minutes, while the peer is silent. */
static void attempt_end(const struct host_leaving *leaving)
{
	struct peer_place place = place_of(&leaving->controller);
	uint64_t silent_ms = UINT64_MAX;

	if (peer_try(place.address, place.port, ANSWER_MS) != PEER_SILENT ||
	    peers_silence(&place, 1, &silent_ms, NULL) != 0)
		return;
	/* It may be past its first packets when the peer dies. */
	(void)peer_disconnect(place.address, place.port,
			      silent_ms >= SILENCE_MS && others_may_end(leaving, silent_ms) ? PEER_EVERY_CONNECTION
											    : PEER_ATTEMPTS,
			      NULL);
}

struct attempts {
	const struct host_leaving *leaving;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over;
};

static void *attempts_end(void *data)
{
	struct attempts *attempts = data;
	struct timespec until;

	pthread_mutex_lock(&attempts->lock);
	while (!attempts->over) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += ATTEMPT_NS;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		if (pthread_cond_timedwait(&attempts->changed, &attempts->lock, &until) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&attempts->lock);
		attempt_end(attempts->leaving);
		pthread_mutex_lock(&attempts->lock);
	}
	pthread_mutex_unlock(&attempts->lock);
	return NULL;
}

static void attempts_init(struct attempts *attempts, const struct host_leaving *leaving)
{
	pthread_condattr_t clock;

	*attempts = (struct attempts){ .leaving = leaving, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&attempts->changed, &clock);
	pthread_condattr_destroy(&clock);
}

int host_leave_delete(const void *argument, struct error *error)
{
	const struct host_leaving *leaving = argument;
	struct attempts attempts;
	char state[HOST_NAME_SIZE];
	pthread_t thread;
	bool watched;
	int rc;

	if (!host_controller_state(leaving->sysfs, leaving->controller.name, state))
		return 0;
	attempts_init(&attempts, leaving);
	watched = pthread_create(&thread, NULL, attempts_end, &attempts) == 0;
	rc = host_controller_write(leaving->sysfs, leaving->controller.name, "delete_controller", "1", error);
	pthread_mutex_lock(&attempts.lock);
	attempts.over = true;
	pthread_cond_signal(&attempts.changed);
	pthread_mutex_unlock(&attempts.lock);
	if (watched)
		pthread_join(thread, NULL);
	pthread_cond_destroy(&attempts.changed);
	if (rc == 0)
		return 0;
	/* Gone meanwhile; or the kernel refuses because its first connection is not made yet. */
	if (!host_controller_state(leaving->sysfs, leaving->controller.name, state)) {
		error_clear(error);
		return 0;
	}
	if (rc != ERROR_INTERNAL || strcmp(state, "connecting") != 0)
		return rc;
	attempt_end(leaving);
	return error_set(error, ERROR_UNAVAILABLE, "%s is not connected yet", leaving->controller.name);
}

int host_leave(const void *leaving, struct error *error)
{
	int rc = host_leave_free(leaving, error);

	return rc == 0 ? host_leave_delete(leaving, error) : rc;
}
