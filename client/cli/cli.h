/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all verbs of the program dnvme share. One thread; everything may block until the command's deadline. */
#ifndef DNVME_CLIENT_CLI_CLI_H
#define DNVME_CLIENT_CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/dnvme.h"
#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "lib/model/records.h"
#include "lib/wire/methods.h"

enum cli_status {
	CLI_DONE = 0,
	CLI_REFUSED = 1,
	CLI_USAGE = 2,
	CLI_UNAVAILABLE = 3,
	CLI_TIMED_OUT = 4,
};

#define CLI_ARGUMENTS 64
#define CLI_CALL_TIMEOUT_MS 30000u  /* of commands that only ask */
#define CLI_WAIT_TIMEOUT_MS 120000u /* of commands that wait for agents */

struct cli {
	/* common options */
	const char *servers;
	unsigned timeout_ms; /* 0: not given */
	bool json;
	bool no_wait;
	/* what the verbs take */
	const char *arguments[CLI_ARGUMENTS];
	unsigned argument_count;
	const char *name;     /* --name */
	const char *node;     /* --node */
	const char *phase;    /* --phase */
	const char *host_nqn; /* --host-nqn */
	const char *io_policy;
	const char *file; /* --file */
	uint64_t size_bytes, copies, controllers, standbys, legs, extent_bytes;
	enum spread spread;
	enum provision provision;
	bool accept_volatile_cache;
	bool dry_run; /* --dry-run */
	bool disks;   /* --disks */
	enum durability durability;
	unsigned rebuild_after_ms;
	uint64_t rebuild_rate_bytes;
	const char *kind;	  /* --kind */
	const char *job_state;	  /* --state */
	const char *volume;	  /* --volume */
	unsigned job_deadline_ms; /* --deadline */
	unsigned pause_limit_ms;  /* --pause-limit */
	bool accept_flush;	  /* --accept-flush */
	bool all;		  /* --all */
	bool force;
	bool yes; /* --yes, --yes-i-may-lose-data */
	bool slot_given, standbys_given;
	uint64_t slot, revision;	/* --slot, --revision */
	const char *by;			/* --by */
	struct string_list powered_off; /* --powered-off */
	/* run time */
	bool bad_usage;	      /* the error is about how the command was written */
	unsigned call_max_ms; /* of one call; 0: all the time that is left */
	uint64_t deadline_ms; /* boot clock */
	struct dnvme *dnvme;  /* opened at the first call */
	struct arena arena;   /* answers live here until the program ends */
};

struct cli_command {
	const char *noun;
	const char *verb;
	const char *arguments; /* as in usage: "NAME" */
	unsigned argument_count;
	bool more; /* any number of arguments behind these, up to CLI_ARGUMENTS */
	const char *summary;
	const char *text; /* more for --help, or NULL */
	const struct argp_option *options;
	/* Returns 0, or a code with `error` filled: printed as a usage error. */
	int (*option)(struct cli *cli, int key, const char *value, struct error *error);
	int (*run)(struct cli *cli, struct error *error); /* returns 0 or the code in `error` */
	bool waits;					  /* for agents or the kernel: more time by default */
	bool local;					  /* may work without a server */
	bool endless;					  /* no time is over unless --timeout says so */
};

/* Ends with an entry without a noun. */
extern const struct cli_command cluster_commands[], node_commands[], disk_commands[], volume_commands[],
	host_commands[], job_commands[], event_commands[], snapshot_commands[];

/* The exit status for a code. */
enum cli_status cli_status_of(enum error_code code);

/* Print an error as git does: the sentence, details indented, the hint. */
void cli_print_error(const struct error *error);

/* As error_prefix(), unless the message begins in that way already (the server knows the object's name, too). */
int cli_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Milliseconds left until the command's deadline. */
unsigned cli_left_ms(const struct cli *cli);

/* Open a handle for `servers`. */
int cli_open(struct cli *cli, const char *servers, struct dnvme **ret_dnvme, struct error *error);

/* Call a method over `dnvme`, or over the command's servers if it is NULL. `request` is of the method's request
 * schema, `ret_record` of its reply schema; it lives in cli->arena. */
int cli_call(struct cli *cli, struct dnvme *dnvme, enum method_id method, const void *request, void *ret_record,
	     struct error *error);

/* Print a record as JSON. */
int cli_print_json(const struct schema *schema, const void *record, struct error *error);

/* Wait a little before asking again, each time longer (50 to 500 ms); false when the deadline is over. */
bool cli_pause(const struct cli *cli, unsigned *pause_ms);

/* Options of what is done only by somebody who answers for it: each command that has them names their texts itself. */
enum { CLI_KEY_YES = 0x1800, CLI_KEY_BY };
/* ARGP_ERR_UNKNOWN when it is none of them. */
int cli_consent_option(struct cli *cli, int key, const char *value);
/* Who does it: --by, else user@machine. NULL when memory is exhausted. */
const char *cli_by(struct cli *cli);

/* The number of a name of an enumeration. INVALID_ARGUMENT naming `field` and what there is. */
int cli_enum_parse(const char *field, const struct enum_schema *schema, const char *text, int *ret_number,
		   struct error *error);

/* --- tables ---------------------------------------------------------------------------------------------- */

struct libscols_table;
struct libscols_line;

/* `columns` is "NAME,<SIZE,…": '<' marks columns that are aligned to the right. NULL: no memory. */
struct libscols_table *table_new(const char *columns);
/* A new line, and its cells from left to right ("" for none). Return 0 or -1 (no memory). */
struct libscols_line *table_line(struct libscols_table *table);
int table_cell(struct libscols_line *line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Print and free. */
int table_print(struct libscols_table *table, struct error *error);

#endif
