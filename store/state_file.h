/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state file: whether the data beside it may be trusted. 64 bytes, replaced atomically and durably.
 *
 * It lives outside LMDB, so that a data file that did not survive an unclean stop is never opened at all.
 *
 *     (none) ──► CREATING ──► IN_USE ◄──► CLEAN
 *                                │
 *                           REBUILDING ──► IN_USE
 */
#ifndef DNVME_STORE_STATE_FILE_H
#define DNVME_STORE_STATE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

#define STATE_NAME "state"
#define STATE_NAME_NEW "state.new"

enum store_phase {
	STORE_PHASE_CREATING,	/* the data file was never finished */
	STORE_PHASE_IN_USE,	/* trust it as long as this boot of the system lasts */
	STORE_PHASE_CLEAN,	/* synced and closed */
	STORE_PHASE_REBUILDING, /* dropped after an unclean stop, the new one not finished */
};

struct store_state {
	enum store_phase phase;
	uint8_t boot_id[16];
	uint8_t store_id[16]; /* random; the data file carries it too */
};

/* *ret_found is false when there is none. FAILED_PRECONDITION (foreign, other version, damaged), or what reading
 * gave. */
int store_state_read(int directory_fd, const char *directory, struct store_state *ret_state, bool *ret_found,
		     struct error *error);

/* Durable when it returns 0; else the old one stands. NO_CAPACITY and others. */
int store_state_write(int directory_fd, const char *directory, const struct store_state *state, struct error *error);

#endif
