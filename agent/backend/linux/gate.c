/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate: a table of nftables that is never taken away, neither by the end of the agent nor by its next start.
 *
 *   table inet dnvme {
 *           set guarded { type inet_service; }                  ports that may be served on with an element only
 *           set lease { type inet_service; flags timeout; }     those elements,
 *           set lease_other { the same }                        in turn
 *           set legs { type inet_service; }                     ports of the legs of one volume each, and who may
 *           set consumer4, consumer6 { type ipv4_addr . inet_service, ...; flags timeout; }  open connections there
 *           set begun { type inet_service; flags timeout; }     those of them whose rules are new
 *           set heard4, heard6 { type ipv4_addr, ipv6_addr; flags dynamic,timeout; }  who spoke just now there,
 *           set known4, known6 { the same }                     and who so lately that old connections may stand
 *           chain in { hook input: tcp dport @guarded, in neither @lease nor @lease_other: reject with tcp reset
 *                                  tcp dport @legs, the guarded port in neither: reject with tcp reset
 *                                  tcp dport @legs: goto legs
 *                                  udp dport @legs: goto beat }
 *           chain legs4, legs6 {
 *                   SYN, saddr and dport not in @consumer: reject with tcp reset
 *                   SYN: jump once
 *                   saddr in @heard, or dport in @begun, or SYN and saddr not in @known: jump heard
 *                   reject with tcp reset
 *           }
 *           chain heard4, heard6 { jump joins; refresh in @known and @heard, accept }
 *           chain once4, once6, joins4, joins6 as in gate_joins.h
 *           chain beat { the guarded port in @lease or @lease_other, saddr in @heard: refresh both }
 *   }
 *
 * So a consumer that was silent for LIMIT_PEER_SILENCE_MS is shut out, and let in again, if it is admitted, when its
 * old connections are gone by the keep-alive of nvmet. What is rejected refreshes nothing. docs/FAILURES.md, "A stale
 * write". Hosts, at the guarded port, may be silent.
 *
 * Two sets, because a lookup that runs while an element is replaced may find neither the old one nor the new one
 * (before Linux 6.17), and would reset a connection: the element of the refresh before stands in for it.
 *
 * What leaves the node by these ports is not looked at: an answer to a command that came before the gate shut may still
 * go out. What goes out to legs elsewhere is: gate_out.c.
 */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/linux/gate_joins.h"
#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/limits.h"

#define TABLE "inet dnvme"
#define NEW_CONNECTION " tcp flags & (fin | syn | rst | ack) == syn "
/* Whatever the packet's port is, that one is looked up. */
#define GATE " tcp dport & 0 | %" PRIu64 " "
#define GATE_UDP " udp dport & 0 | %" PRIu64 " "
#define REFRESH_TRIES 3
#define READ_TRIES 5
#define PORTS (UINT16_MAX + 1)

/* More than nodes, since one that ran out stays for a moment beside the next. */
#define HEARD_SIZE 16384u
/* nvmet looks once in a keep-alive whether it heard of a controller; and a second, as its timer may be late. */
#define KNOWN_MS (2 * LIMIT_IMPORT_KEEP_ALIVE_S * 1000 + 1000)

/* What is made for each family of addresses: ("4", "ip"). LEGS_NUMBERS fills it in. */
#define HEARD_SET(name, n) "add set " TABLE " " name n " { type ipv" n "_addr ; flags dynamic,timeout ; size %u ; }\n"
#define HEAR(rule, n, ip, verdict)                                                                                     \
	"add rule " TABLE " " rule " update @known" n " { " ip " saddr timeout %ums } update @heard" n " { " ip        \
	" saddr timeout %ums } " verdict "\n"
#define LEGS_SETS(n)                                                                                                   \
	HEARD_SET("heard", n)                                                                                          \
	HEARD_SET("known", n)                                                                                          \
	"add set " TABLE " consumer" n " { type ipv" n "_addr . inet_service ; flags timeout ; }\n"                    \
	"add chain " TABLE " legs" n "\n"                                                                              \
	"add chain " TABLE " heard" n "\n"                                                                             \
	"flush chain " TABLE " legs" n "\n"                                                                            \
	"flush chain " TABLE " heard" n "\n"
#define JOINS(n) "add rule " TABLE " heard" n " jump joins" n "\n"
#define LEGS_RULES(n, ip)                                                                                              \
	JOINS(n)                                                                                                       \
	HEAR("heard" n, n, ip, "accept")                                                                               \
	HEAR("beat " ip " saddr @heard" n, n, ip, "drop")                                                              \
	"add rule " TABLE " legs" n NEW_CONNECTION ip " saddr . tcp dport != @consumer" n " reject with tcp reset\n"   \
	"add rule " TABLE " legs" n NEW_CONNECTION "jump once" n "\n"                                                  \
	"add rule " TABLE " legs" n " " ip " saddr @heard" n " jump heard" n "\n"                                      \
	"add rule " TABLE " legs" n " tcp dport @begun jump heard" n "\n"                                              \
	"add rule " TABLE " legs" n NEW_CONNECTION ip " saddr != @known" n " jump heard" n "\n"                        \
	"add rule " TABLE " legs" n " meta l4proto tcp reject with tcp reset\n"                                        \
	"add rule " TABLE " in tcp dport @legs meta nfproto ipv" n " goto legs" n "\n"
#define LEGS_COMMANDS(n, ip) LEGS_SETS(n) LEGS_RULES(n, ip)
#define LEGS_NUMBERS HEARD_SIZE, HEARD_SIZE, KNOWN_MS, LIMIT_PEER_SILENCE_MS, KNOWN_MS, LIMIT_PEER_SILENCE_MS

struct gate {
	pthread_mutex_t lock; /* a context is for one thread at a time */
	struct nft_ctx *context;
	struct nvme_cache *nvme;
	uint64_t made;	   /* the rules for this port, by this process; 0 */
	uint64_t until_ms; /* until when this process opened it last, on the boot clock; 0 */
	bool other;	   /* the set whose turn it is */
	bool no_consumer;  /* nobody is in the sets of consumers */
	bool legs[PORTS];  /* that joined, as far as this process knows */
	struct gate_joins joins;
};

static const char *const sets[] = { "lease", "lease_other" };

struct gate *gate_make(struct nvme_cache *nvme)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (gate == NULL)
		return NULL;
	gate->nvme = nvme;
	gate->context = nft_ctx_new(NFT_CTX_DEFAULT);
	if (gate->context == NULL || nft_ctx_buffer_output(gate->context) != 0 ||
	    nft_ctx_buffer_error(gate->context) != 0) {
		if (gate->context != NULL)
			nft_ctx_free(gate->context);
		free(gate);
		return NULL;
	}
	pthread_mutex_init(&gate->lock, NULL);
	return gate;
}

void gate_free(struct gate *gate)
{
	if (gate == NULL)
		return;
	nft_ctx_free(gate->context);
	gate_joins_free(&gate->joins);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

static struct gate *gate_of(struct kernel *kernel)
{
	return ((struct linux_kernel *)kernel)->gate;
}

/* One transaction, under the lock. On failure `error` says in one line what libnftables said in several. */
static int run(struct gate *gate, const char *commands, const char *what, uint64_t port, struct error *error)
{
	const char *said;

	if (nft_run_cmd_from_buffer(gate->context, commands) == 0)
		return 0;
	said = nft_ctx_get_error_buffer(gate->context);
	if (strncmp(said, "<cmdline>", strlen("<cmdline>")) == 0 && strstr(said, "Error: ") != NULL)
		said = strstr(said, "Error: ") + strlen("Error: ");
	return error_set(error, ERROR_FAILED_PRECONDITION, "cannot %s of port %" PRIu64 ": nftables: %.*s", what, port,
			 (int)strcspn(said, "\n"), said);
}

/* Whether somebody took the rules away, or nobody made them yet: the table, or what is in its chain. */
static bool are_missing(struct gate *gate)
{
	nft_ctx_get_output_buffer(gate->context); /* forget what was said before */
	if (nft_run_cmd_from_buffer(gate->context, "list chain " TABLE " in") != 0)
		return strstr(nft_ctx_get_error_buffer(gate->context), strerror(ENOENT)) != NULL;
	return strstr(nft_ctx_get_output_buffer(gate->context), "goto legs6") == NULL;
}

/* What this process opened stays open, or all connections would be reset until the next refresh. */
static int lease_print(const struct gate *gate, uint64_t port, uint64_t now_ms, struct buffer *commands)
{
	if (now_ms >= gate->until_ms)
		return 0;
	return buffer_printf(commands,
			     "add element " TABLE " held { %" PRIu64 " timeout %" PRIu64 "ms }\n"
			     "add element " TABLE " %s { %" PRIu64 " timeout %" PRIu64 "ms }\n",
			     port, gate->until_ms - now_ms, sets[!gate->other], port, gate->until_ms - now_ms);
}

static int legs_print(const struct gate *gate, bool begin, struct buffer *commands)
{
	for (size_t i = 0; i < PORTS; i++) {
		if (!gate->legs[i])
			continue;
		if (buffer_printf(commands, "add element " TABLE " legs { %zu }\n", i) != 0 ||
		    (begin &&
		     buffer_printf(commands, "add element " TABLE " begun { %zu timeout %ums }\n", i, KNOWN_MS) != 0))
			return -1;
	}
	return 0;
}

/* The kernel counts a time from when it gets it. This process may have been stopped since it looked at the clock. */
static bool is_late(uint64_t looked_ms)
{
	return clock_boot_ms() - looked_ms > LIMIT_LEASE_MARGIN_MS;
}

static int shut(struct gate *gate, uint64_t port, struct error *error)
{
	char commands[640];

	gate->until_ms = 0;
	snprintf(commands, sizeof(commands),
		 "add element " TABLE " held { %" PRIu64 " timeout 1m }\n"
		 "delete element " TABLE " held { %" PRIu64 " }\n"
		 "add element " TABLE " lease { %" PRIu64 " timeout 1m }\n"
		 "delete element " TABLE " lease { %" PRIu64 " }\n"
		 "add element " TABLE " lease_other { %" PRIu64 " timeout 1m }\n"
		 "delete element " TABLE " lease_other { %" PRIu64 " }\n",
		 port, port, port, port, port, port);
	return run(gate, commands, "shut the gate", port, error);
}

static int read_once(struct gate *gate, uint64_t port, uint64_t *ret_remaining_ms, struct error *error);

/* An agent from before `held` opened the gate: what is open was not shut. */
static int held_print(struct gate *gate, uint64_t port, struct buffer *commands)
{
	uint64_t left = 0;

	nft_ctx_get_output_buffer(gate->context); /* forget what was said before */
	if (nft_run_cmd_from_buffer(gate->context, "list set " TABLE " held") == 0 ||
	    read_once(gate, port, &left, NULL) != 0 || left == 0 || left == UINT64_MAX)
		return 0;
	return buffer_printf(commands, "add element " TABLE " held { %" PRIu64 " timeout %" PRIu64 "ms }\n", port,
			     left);
}

/* Adding what is there changes nothing, so that no element of an earlier agent is touched. Only the rules would be
 * there twice: the chains are emptied in the same transaction, which packets see as one change. Where they were
 * taken away under this process, there are consumers with connections to whom nobody listened: they have the time to
 * speak. One that finds none believes that the machine booted, and shuts out those that have some. What this process
 * made is not made again, as that takes the kernel a while. */
static int guard(struct gate *gate, uint64_t port, struct error *error)
{
	struct buffer commands = BUFFER_INIT;
	bool missing = are_missing(gate);
	uint64_t now_ms = clock_boot_ms();
	int code;

	if (gate->made == port && !missing)
		return 0;
	if (buffer_printf(&commands,
			  "add table " TABLE "\n"
			  "add set " TABLE " guarded { type inet_service ; }\n"
			  "add set " TABLE " lease { type inet_service ; flags timeout ; }\n"
			  "add set " TABLE " lease_other { type inet_service ; flags timeout ; }\n"
			  "add set " TABLE " begun { type inet_service ; flags timeout ; }\n"
			  "add set " TABLE " legs { type inet_service ; }\n"
			  "add chain " TABLE " in { type filter hook input priority 0 ; policy accept ; }\n"
			  "add element " TABLE " guarded { %" PRIu64 " }\n"
			  "flush chain " TABLE " in\n"
			  "add rule " TABLE " in tcp dport @guarded tcp dport != @lease tcp dport != @lease_other "
			  "reject with tcp reset\n"
			  "add rule " TABLE " in tcp dport @legs" GATE "!= @lease" GATE "!= @lease_other "
			  "reject with tcp reset\n"
			  "add chain " TABLE " beat\n"
			  "flush chain " TABLE " beat\n"
			  "add rule " TABLE " in udp dport @legs goto beat\n"
			  "add rule " TABLE " beat" GATE_UDP "!= @lease" GATE_UDP "!= @lease_other drop\n",
			  port, port, port, port, port) != 0 ||
	    gate_joins_rules_print(&commands) != 0 ||
	    buffer_printf(&commands, LEGS_COMMANDS("4", "ip") LEGS_COMMANDS("6", "ip6"), LEGS_NUMBERS, LEGS_NUMBERS) !=
		    0 ||
	    buffer_printf(&commands, "add rule " TABLE " beat drop\n") != 0 || gate_out_print(port, &commands) != 0 ||
	    (!missing && held_print(gate, port, &commands) != 0) || lease_print(gate, port, now_ms, &commands) != 0 ||
	    legs_print(gate, missing, &commands) != 0) {
		buffer_free(&commands);
		return error_set_nomem(error);
	}
	/* What is imported goes by the gate, whoever imported it, and whatever became of the rules. */
	code = gate_out_imports_print(gate->nvme, &commands, error);
	if (code == 0 && buffer_append(&commands, "", 1) != 0)
		code = error_set_nomem(error);
	if (code == 0)
		code = run(gate, (const char *)commands.data, "guard the gate", port, error);
	gate->made = code == 0 ? port : 0;
	buffer_free(&commands);
	if (code == 0 && gate->until_ms != 0 && is_late(now_ms))
		code = shut(gate, port, error);
	return code;
}

/* All of it, whatever is there. */
static int guard_anew(struct gate *gate, uint64_t port, struct error *error)
{
	gate->made = 0;
	return guard(gate, port, error);
}

/* With what has to be there for it, when it is not: the rules may have been flushed with all others of the machine. */
static int run_guarded(struct gate *gate, const char *commands, const char *what, uint64_t port, struct error *error)
{
	int code = ERROR_INTERNAL;

	for (int tries = 0; tries < REFRESH_TRIES && code != 0; tries++) {
		if (tries > 0 && guard_anew(gate, port, error) != 0)
			break;
		code = run(gate, commands, what, port, error);
	}
	if (code == 0)
		error_clear(error);
	return code;
}

/* A missing element cannot be deleted, and one that is there keeps its time when it is added: so it is added, deleted,
 * and added. Packets see only the last. `anew`: it may have run out; otherwise the transaction fails when it has. */
static int refresh(struct gate *gate, uint64_t port, uint64_t timeout_ms, bool anew, struct error *error)
{
	const char *set = sets[gate->other];
	char first[96] = "", commands[640];

	if (anew)
		snprintf(first, sizeof(first), "add element " TABLE " held { %" PRIu64 " timeout %" PRIu64 "ms }\n",
			 port, timeout_ms);
	snprintf(commands, sizeof(commands),
		 "%sdelete element " TABLE " held { %" PRIu64 " }\n"
		 "add element " TABLE " held { %" PRIu64 " timeout %" PRIu64 "ms }\n"
		 "add element " TABLE " %s { %" PRIu64 " timeout %" PRIu64 "ms }\n"
		 "delete element " TABLE " %s { %" PRIu64 " }\n"
		 "add element " TABLE " %s { %" PRIu64 " timeout %" PRIu64 "ms }\n",
		 first, port, port, timeout_ms, set, port, timeout_ms, set, port, set, port, timeout_ms);
	if (run(gate, commands, "refresh the gate", port, error) != 0)
		return (int)error->code;
	gate->other = !gate->other;
	return 0;
}

static bool is_held(struct gate *gate, uint64_t port)
{
	char commands[96];

	nft_ctx_get_output_buffer(gate->context); /* forget what was said before */
	snprintf(commands, sizeof(commands), "get element " TABLE " held { %" PRIu64 " }", port);
	return nft_run_cmd_from_buffer(gate->context, commands) == 0;
}

int gate_guard(struct kernel *kernel, uint64_t port, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	int code;

	pthread_mutex_lock(&gate->lock);
	code = guard(gate, port, error);
	pthread_mutex_unlock(&gate->lock);
	if (code != 0)
		error_hint(error, "a node that may hold controllers needs nftables (the modules nf_tables and "
				  "nft_reject_inet) and CAP_NET_ADMIN; --storage-only needs neither");
	return code;
}

/* DEADLINE_EXCEEDED: it may run out too late, or has to be shut by now. */
static int refresh_in_time(struct gate *gate, uint64_t port, uint64_t until_ms, bool anew, struct error *error)
{
	uint64_t now_ms = clock_boot_ms();

	error_clear(error);
	if (now_ms < until_ms && refresh(gate, port, until_ms - now_ms, anew, error) != 0)
		return (int)error->code;
	if (now_ms < until_ms)
		gate->until_ms = until_ms;
	if (now_ms < until_ms && !is_late(now_ms))
		return 0;
	return error_set(error, ERROR_DEADLINE_EXCEEDED, "too late to refresh the gate of port %" PRIu64, port);
}

/* Under the lock. */
static int refresh_surely(struct gate *gate, uint64_t port, uint64_t until_ms, bool anew, struct error *error)
{
	struct error other = { 0 };
	int code = refresh_in_time(gate, port, until_ms, anew, error);

	for (int tries = 1; tries < REFRESH_TRIES && code != 0 && code != ERROR_DEADLINE_EXCEEDED; tries++) {
		/* The rules may have been flushed with all others of the machine, or the old element may have run out
		 * within the transaction. */
		if ((anew || are_missing(gate)) && guard_anew(gate, port, &other) != 0)
			break;
		code = refresh_in_time(gate, port, until_ms, anew, error);
	}
	if (code == ERROR_DEADLINE_EXCEEDED && shut(gate, port, &other) != 0) {
		*error = other;
		return (int)other.code;
	}
	if (code != 0 && code != ERROR_DEADLINE_EXCEEDED && !anew && !are_missing(gate) && !is_held(gate, port))
		return error_set(error, ERROR_NOT_FOUND, "the gate of port %" PRIu64 " has run out", port);
	return code;
}

int gate_refresh(struct kernel *kernel, uint64_t port, uint64_t until_ms, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	int code;

	pthread_mutex_lock(&gate->lock);
	code = refresh_surely(gate, port, until_ms, false, error);
	pthread_mutex_unlock(&gate->lock);
	return code;
}

/* With the lock: what is imported from now on finds its way out shut until this is done. */
int gate_open(struct kernel *kernel, uint64_t port, uint64_t until_ms, const struct string_list *harmless,
	      struct error *error)
{
	struct gate *gate = gate_of(kernel);
	int code = 0;

	pthread_mutex_lock(&gate->lock);
	if (!is_held(gate, port)) {
		code = gate_out_find(gate->nvme, harmless, error);
		if (code == 0)
			code = gate_out_writes_find("/sys", error);
	}
	if (code == 0)
		code = refresh_surely(gate, port, until_ms, true, error);
	pthread_mutex_unlock(&gate->lock);
	return code;
}

/* A node that has no gate imports no leg, or is a test. */
static int remote_note(struct kernel *kernel, const char *verb, const char *address, uint64_t port, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	struct buffer commands = BUFFER_INIT;
	int code = 0;

	/* Added first, it is there to be deleted. */
	if (gate_out_element_print("add", address, port, &commands) != 0 ||
	    (strcmp(verb, "add") != 0 && gate_out_element_print(verb, address, port, &commands) != 0) ||
	    buffer_append(&commands, "", 1) != 0)
		code = error_set_nomem(error);
	pthread_mutex_lock(&gate->lock);
	if (code == 0 && gate->made != 0)
		code = run_guarded(gate, (const char *)commands.data, "note where legs are", gate->made, error);
	pthread_mutex_unlock(&gate->lock);
	buffer_free(&commands);
	return code;
}

int gate_remote_add(struct kernel *kernel, const char *address, uint64_t port, struct error *error)
{
	return remote_note(kernel, "add", address, port, error);
}

int gate_remote_remove(struct kernel *kernel, const char *address, uint64_t port, struct error *error)
{
	return remote_note(kernel, "delete", address, port, error);
}

int gate_shut(struct kernel *kernel, uint64_t port, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	int code;

	pthread_mutex_lock(&gate->lock);
	code = shut(gate, port, error);
	pthread_mutex_unlock(&gate->lock);
	return code;
}

int gate_join(struct kernel *kernel, uint64_t port, uint64_t leg_port, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	char commands[96];
	int code;

	snprintf(commands, sizeof(commands), "add element " TABLE " legs { %" PRIu64 " }\n", leg_port);
	pthread_mutex_lock(&gate->lock);
	/* What this process had join is made anew with the rules, should somebody take these away. */
	code = gate->legs[leg_port % PORTS] ? 0
					    : run_guarded(gate, commands, "guard the legs by the gate", port, error);
	if (code == 0)
		gate->legs[leg_port % PORTS] = true;
	pthread_mutex_unlock(&gate->lock);
	return code;
}

/* What is left of it, should that fail, is of another volume than the next one at the port. */
static void joins_leave(struct gate *gate, uint64_t leg_port)
{
	struct buffer commands = BUFFER_INIT;
	struct error ignored;

	if (gate_joins_leave_print(&gate->joins, leg_port, &commands) == 0 && commands.size > 0 &&
	    buffer_append(&commands, "", 1) == 0)
		run(gate, (const char *)commands.data, "forget who joined", leg_port, &ignored);
	gate_joins_leave(&gate->joins, leg_port);
	buffer_free(&commands);
}

int gate_leave(struct kernel *kernel, uint64_t leg_port, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	char commands[224];
	int code;

	/* Added first, it is there to be deleted. */
	snprintf(commands, sizeof(commands),
		 "add table " TABLE "\nadd set " TABLE " legs { type inet_service ; }\n"
		 "add element " TABLE " legs { %" PRIu64 " }\ndelete element " TABLE " legs { %" PRIu64 " }\n",
		 leg_port, leg_port);
	pthread_mutex_lock(&gate->lock);
	gate->legs[leg_port % PORTS] = false;
	joins_leave(gate, leg_port);
	code = run(gate, commands, "take a port off the gate", leg_port, error);
	pthread_mutex_unlock(&gate->lock);
	return code;
}

static int consumers_print(const struct gate *gate, const struct kernel_peer_list *peers, uint64_t timeout_ms,
			   struct buffer *commands)
{
	if (buffer_printf(commands, "flush set " TABLE " consumer4\nflush set " TABLE " consumer6\n") != 0)
		return -1;
	for (size_t i = 0; i < peers->count; i++) {
		const struct kernel_peer *peer = &peers->items[i];

		/* An agent before this one had it join. */
		if (!gate->legs[peer->port % PORTS] &&
		    buffer_printf(commands, "add element " TABLE " legs { %" PRIu64 " }\n", peer->port) != 0)
			return -1;
		if (peer->admitted &&
		    buffer_printf(
			    commands, "add element " TABLE " consumer%c { %s . %" PRIu64 " timeout %" PRIu64 "ms }\n",
			    strchr(peer->address, ':') != NULL ? '6' : '4', peer->address, peer->port, timeout_ms) != 0)
			return -1;
	}
	return gate_joins_print(&gate->joins, peers, commands) != 0 ? -1 : buffer_append(commands, "", 1);
}

/* What the sets say: `joined` of each family, with `generation` the first time. Sets that are not there say nothing,
 * until the rules are. */
static int joins_read(struct gate *gate, struct error *error)
{
	static const char *const names[] = { "joined4", "joined6", "generation4", "generation6" };
	char commands[64];

	for (size_t i = 0; i < (gate->joins.known ? 2 : 4); i++) {
		nft_ctx_get_output_buffer(gate->context); /* forget what was said before */
		snprintf(commands, sizeof(commands), "list set " TABLE " %s", names[i]);
		if (nft_run_cmd_from_buffer(gate->context, commands) == 0 &&
		    gate_joins_read(&gate->joins, nft_ctx_get_output_buffer(gate->context)) != 0)
			return error_set_nomem(error);
	}
	gate->joins.known = true;
	return 0;
}

/* Most of the time nobody is admitted anywhere, and nothing has to be done, however many volumes there are. A
 * connection that comes while the element of a consumer that stays admitted is replaced may be refused; it is tried
 * again. */
static int admit(struct gate *gate, uint64_t port, struct kernel_peer_list *peers, uint64_t timeout_ms,
		 struct error *error)
{
	struct buffer commands = BUFFER_INIT;
	bool none = true, known = true;
	int code;

	for (size_t i = 0; i < peers->count; i++) {
		none = none && !peers->items[i].admitted;
		known = known && gate->legs[peers->items[i].port % PORTS];
	}
	if (none && known && gate->no_consumer)
		return 0;
	if (joins_read(gate, error) != 0)
		return (int)error->code;
	if (consumers_print(gate, peers, timeout_ms, &commands) == 0)
		code = run_guarded(gate, (const char *)commands.data, "admit consumers", port, error);
	else
		code = error_set_nomem(error);
	buffer_free(&commands);
	for (size_t i = 0; i < peers->count && code == 0; i++)
		gate->legs[peers->items[i].port % PORTS] = true;
	if (code == 0 && gate_joins_take(&gate->joins, peers) != 0)
		code = error_set_nomem(error);
	if (code == 0)
		gate_joins_tell(&gate->joins, peers);
	gate->no_consumer = none && code == 0;
	return code;
}

int gate_admit(struct kernel *kernel, uint64_t port, struct kernel_peer_list *peers, uint64_t timeout_ms,
	       struct error *error)
{
	struct gate *gate = gate_of(kernel);
	int code;

	pthread_mutex_lock(&gate->lock);
	code = admit(gate, port, peers, timeout_ms, error);
	pthread_mutex_unlock(&gate->lock);
	return code;
}

static int read_once(struct gate *gate, uint64_t port, uint64_t *ret_remaining_ms, struct error *error)
{
	uint64_t remaining_ms = 0;
	char commands[96];
	int code;

	snprintf(commands, sizeof(commands), "get element " TABLE " guarded { %" PRIu64 " }", port);
	code = run(gate, commands, "read the gate", port, error);
	for (size_t i = 0; i < 2 && code == 0; i++) {
		uint64_t left = 0;

		nft_ctx_get_output_buffer(gate->context); /* forget what was said before */
		snprintf(commands, sizeof(commands), "list set " TABLE " %s", sets[i]);
		code = run(gate, commands, "read the gate", port, error);
		if (code == 0)
			left = gate_listing_remaining(nft_ctx_get_output_buffer(gate->context), port);
		remaining_ms = left > remaining_ms ? left : remaining_ms;
	}
	if (code == 0)
		*ret_remaining_ms = remaining_ms;
	return code;
}

int gate_read(struct kernel *kernel, uint64_t port, uint64_t *ret_remaining_ms, struct error *error)
{
	struct gate *gate = gate_of(kernel);
	int code = ERROR_INTERNAL;

	pthread_mutex_lock(&gate->lock);
	/* A transaction of another process interrupts a listing. */
	for (int tries = 0; tries < READ_TRIES && code != 0; tries++)
		code = read_once(gate, port, ret_remaining_ms, error);
	pthread_mutex_unlock(&gate->lock);
	if (code == 0)
		error_clear(error);
	return code;
}

bool gate_is_shut(struct kernel *kernel)
{
	struct gate *gate = gate_of(kernel);
	uint64_t left = 0;

	return gate->made != 0 && gate_read(kernel, gate->made, &left, NULL) == 0 && left == 0;
}
