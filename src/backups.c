/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/backups.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "src/dnvmed.h"
#include "src/request.h"

struct one {
	uint64_t token; /* 0: none */
	struct arena arena;
	struct backup backup;
	struct buffer state;
	uint64_t made_ms, read_ms; /* loop time */
};

struct backups {
	struct one items[LIMIT_BACKUPS];
};

struct backups *backups_make(void)
{
	return calloc(1, sizeof(struct backups));
}

static void drop(struct one *one)
{
	arena_free(&one->arena);
	buffer_free(&one->state);
	*one = (struct one){ 0 };
}

void backups_free(struct backups *backups)
{
	for (size_t i = 0; backups != NULL && i < LIMIT_BACKUPS; i++)
		drop(&backups->items[i]);
	free(backups);
}

void backups_tick(struct dnvmed *dnvmed)
{
	uint64_t now = uv_now(&dnvmed->loop);

	for (size_t i = 0; i < LIMIT_BACKUPS; i++) {
		struct one *one = &dnvmed->backups->items[i];

		if (one->token == 0 ||
		    (now - one->read_ms < LIMIT_BACKUP_IDLE_MS && now - one->made_ms < LIMIT_BACKUP_MS))
			continue;
		log_notice("dropped a backup that was not read to its end", "revision=%" PRIu64, one->backup.revision);
		drop(one);
	}
}

static struct one *find(struct backups *backups, uint64_t token)
{
	for (size_t i = 0; i < LIMIT_BACKUPS; i++) {
		if (backups->items[i].token == token)
			return &backups->items[i];
	}
	return NULL;
}

static int able_check(const struct dnvmed *dnvmed, const struct backup_request *params, struct error *error)
{
	uint64_t revision = fsm_revision(dnvmed->fsm);

	if (params->offset != 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "offset: a backup begins at 0");
	if (dnvmed->consensus == NULL) {
		error_set(error, ERROR_FAILED_PRECONDITION, "this server is not part of a cluster yet");
		return error_hint(error, "run: dnvme cluster init --name NAME");
	}
	if (revision >= params->revision)
		return 0;
	error_set(error, ERROR_UNAVAILABLE, "this server is at revision %" PRIu64 ", not at %" PRIu64 " yet", revision,
		  params->revision);
	return error_detail(error, "outcome=none");
}

static int fill(struct dnvmed *dnvmed, struct one *one, struct error *error)
{
	struct cluster cluster;
	uint64_t token;

	if (fsm_cluster_get(dnvmed->fsm, &one->arena, &cluster, error) != 0 ||
	    fsm_dump(dnvmed->fsm, &one->state, error) != 0)
		return error->code;
	random_bytes(&token, sizeof(token));
	one->token = token >> 1 | 1; /* of those that every JSON library keeps */
	one->backup = (struct backup){ .cluster = cluster.id,
				       .name = cluster.name,
				       .revision = fsm_revision(dnvmed->fsm),
				       .index = fsm_applied_index(dnvmed->fsm),
				       .term = consensus_term(dnvmed->consensus),
				       .time_ms = clock_wall_ms(),
				       .state_bytes = one->state.size,
				       .server = dnvmed->id,
				       .version = DNVME_VERSION };
	one->made_ms = uv_now(&dnvmed->loop);
	return 0;
}

static int begin(struct dnvmed *dnvmed, const struct backup_request *params, struct one **ret_one, struct error *error)
{
	struct one *one = find(dnvmed->backups, 0);

	if (able_check(dnvmed, params, error) != 0)
		return error->code;
	if (one == NULL) {
		error_set(error, ERROR_NO_CAPACITY, "%u backups are being read from this server", LIMIT_BACKUPS);
		return error_hint(error, "ask another server, or later: one that is not read is dropped after %u s",
				  LIMIT_BACKUP_IDLE_MS / 1000);
	}
	if (fill(dnvmed, one, error) != 0) {
		drop(one);
		return error->code;
	}
	log_info("made a backup", "revision=%" PRIu64 " bytes=%zu", one->backup.revision, one->state.size);
	*ret_one = one;
	return 0;
}

static int go_on(struct dnvmed *dnvmed, const struct backup_request *params, struct one **ret_one, struct error *error)
{
	struct one *one = find(dnvmed->backups, params->token);

	if (one == NULL) {
		error_set(error, ERROR_NOT_FOUND, "token: this server has no such backup (any more)");
		return error_hint(error, "begin another one; one that is not read is dropped after %u s",
				  LIMIT_BACKUP_IDLE_MS / 1000);
	}
	if (params->offset > one->state.size)
		return error_set(error, ERROR_INVALID_ARGUMENT, "offset: the state has %zu bytes", one->state.size);
	*ret_one = one;
	return 0;
}

int cluster_backup_answer(struct request *request, struct error *error)
{
	const struct backup_request *params = request->params;
	struct dnvmed *dnvmed = request->dnvmed;
	struct backup_piece piece;
	struct one *one = NULL;
	size_t left;
	int rv = params->token == 0 ? begin(dnvmed, params, &one, error) : go_on(dnvmed, params, &one, error);

	if (rv != 0)
		return rv;
	one->read_ms = uv_now(&dnvmed->loop);
	left = one->state.size - (size_t)params->offset;
	piece = (struct backup_piece){
		.token = one->token,
		.backup = &one->backup,
		.offset = params->offset,
		.bytes = { one->state.data + params->offset,
			   left < LIMIT_BACKUP_PIECE_BYTES ? left : LIMIT_BACKUP_PIECE_BYTES },
	};
	request_reply(request, &piece);
	if (left == 0)
		drop(one);
	return 0;
}
