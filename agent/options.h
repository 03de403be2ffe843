/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the program is told on its command line and in its configuration file. */
#ifndef DNVME_AGENT_OPTIONS_H
#define DNVME_AGENT_OPTIONS_H

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/model/records.h"

enum options_command {
	OPTIONS_RUN,	 /* serve the control plane */
	OPTIONS_OBSERVE, /* print what is there */
	OPTIONS_PLAN,	 /* print what would be done */
	OPTIONS_APPLY,	 /* make the kernel as a file says, once */
};

enum options_backend { OPTIONS_BACKEND_LINUX, OPTIONS_BACKEND_SIM };

struct options {
	enum options_command command;
	bool has_command;   /* else it is the default */
	struct arena arena; /* holds the strings */
	const char *node;
	const char *address;
	uint64_t port;
	struct string_list servers;
	struct label_list labels;
	bool storage_only;
	enum options_backend backend;
	struct string_list sim_disks;
	const char *sim_state;
	bool sim_no_writethrough;
	enum log_level log_level;
	bool check_only;
	bool json; /* observe */
	const char *observed_path;
	const char *desired_path;
	const char *dump_desired_path; /* run: write each complete desired state here */
	uint64_t timeout_s;	       /* apply */
};

/* --help and --version end the program. INVALID_ARGUMENT says which option, or which file, line and key, is wrong.
 * On success options_free() must be called. */
int options_parse(int argument_count, char **arguments, struct options *ret_options, struct error *error);
void options_free(struct options *options);

#endif
