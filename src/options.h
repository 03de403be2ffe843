/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command line and configuration file of dnvmed. */
#ifndef DNVME_SRC_OPTIONS_H
#define DNVME_SRC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

struct options {
	uint64_t id;
	char listen[LIMIT_ADDRESS + 1]; /* numeric IPv4:port for clients and agents */
	char raft[LIMIT_ADDRESS + 1];	/* numeric IPv4:port for Raft peers */
	char unix_path[LIMIT_PATH + 1]; /* empty: no Unix socket */
	char data[LIMIT_PATH + 1];
	enum log_level log_level;
	uint64_t snapshot_threshold, snapshot_trailing; /* entries; 0: the defaults of consensus.h */
	uint64_t heartbeat_ms, election_timeout_ms;	/* 0: the defaults of consensus.h */
	uint64_t stall_timeout_ms;
	uint64_t sessions_max;
	bool check_only, check_state;
	bool recover, yes;
	char restore[LIMIT_PATH + 1];		     /* the backup; empty: none */
	char lost[LIMIT_SERVERS * (LIMIT_NAME + 1)]; /* names, with commas between them */
};

/* Read the command line and the file that --config names; what the command line says wins over the file. Exits for
 * --help and --version as argp does. INVALID_ARGUMENT names the option, or file, line and key. */
int options_parse(int argument_count, char **arguments, struct options *ret_options, struct error *error);

/* Take "127.0.0.1:7400" apart. INVALID_ARGUMENT names `field` and says what is wrong with `text`. */
int options_address_check(const char *field, const char *text, struct error *error);

#endif
