/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections answered with tcp-reset for a short time: new ones to a port of this node while an export changes, and
 * ours to a peer that is given up. The rules stand in a table of their own, and their elements run out by themselves,
 * should the agent die.
 */
#include "agent/backend/linux/linux.h"

#include <inttypes.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/list.h"
#include "lib/base/clock.h"

#define TABLE "inet dnvme_reject"
#define TIMEOUT_MS 30000u
#define SPARE_MS 20000u /* less than this is not enough for another reason: the element is made anew */
#define COMMAND_SIZE 512

/* Adding what is there is no error, and the chains are filled anew in one transaction. */
static const char setup[] =
	"add table " TABLE "\n"
	"add set " TABLE " port { type inet_service; flags timeout; }\n"
	"add set " TABLE " peer4 { type ipv4_addr . inet_service; flags timeout; }\n"
	"add set " TABLE " peer6 { type ipv6_addr . inet_service; flags timeout; }\n"
	"add chain " TABLE " in { type filter hook input priority -1; policy accept; }\n"
	"add chain " TABLE " out { type filter hook output priority -1; policy accept; }\n"
	"flush chain " TABLE " in\n"
	"flush chain " TABLE " out\n"
	"add rule " TABLE " in tcp flags & (fin | syn | rst | ack) == syn tcp dport @port reject with tcp reset\n"
	"add rule " TABLE " out ip daddr . tcp dport @peer4 reject with tcp reset\n"
	"add rule " TABLE " out ip6 daddr . tcp dport @peer6 reject with tcp reset\n";

/* Why an element is there; it goes with its last reason. A reason that nobody takes back runs out with its element. */
struct reject_reason {
	struct reject_reason *next;
	uint64_t until_ms; /* boot clock */
	char element[LIMIT_ADDRESS + 64];
	char reason[];
};

/* Under the lock. A context reads files when it is made, so there is one for all. */
static int run(struct linux_kernel *this, const char *commands, struct error *error)
{
	struct nft_ctx *context = this->rejects_context;
	const char *said;
	int code = 0;

	if (context == NULL) {
		context = nft_ctx_new(NFT_CTX_DEFAULT);
		if (context == NULL)
			return error_set_nomem(error);
		nft_ctx_buffer_output(context);
		nft_ctx_buffer_error(context);
		this->rejects_context = context;
	}
	if (nft_run_cmd_from_buffer(context, commands) != 0) {
		said = nft_ctx_get_error_buffer(context);
		code = error_set(error, ERROR_INTERNAL, "nftables refuses to reject connections: %.*s",
				 (int)strcspn(said, "\n"), said);
		error_hint(error, "the kernel needs nf_tables with the family inet and its reject expression");
	}
	return code;
}

static struct reject_reason **reason_find(struct linux_kernel *this, const char *element, const char *reason)
{
	struct reject_reason **at = &this->rejects;

	while (*at != NULL && (strcmp((*at)->element, element) != 0 || strcmp((*at)->reason, reason) != 0))
		at = &(*at)->next;
	return at;
}

static void reasons_expire(struct linux_kernel *this, uint64_t now_ms)
{
	struct reject_reason **at = &this->rejects;

	while (*at != NULL) {
		struct reject_reason *reason = *at;

		if (reason->until_ms > now_ms) {
			at = &reason->next;
			continue;
		}
		*at = reason->next;
		free(reason);
	}
}

/* Until when the element is there for any reason; 0: it is not, or from an agent that died. */
static uint64_t element_until(const struct linux_kernel *this, const char *element)
{
	uint64_t until_ms = 0;

	for (const struct reject_reason *reason = this->rejects; reason != NULL; reason = reason->next) {
		if (strcmp(reason->element, element) == 0 && reason->until_ms > until_ms)
			until_ms = reason->until_ms;
	}
	return until_ms;
}

/* The element under a new timeout: one that is there keeps its time when it is added, and one that is not there cannot
 * be deleted. */
static int element_renew(struct linux_kernel *this, const char *element, struct error *error)
{
	char commands[COMMAND_SIZE];
	int code = this->rejects_ready ? 0 : run(this, setup, error);

	if (code != 0)
		return code;
	snprintf(commands, sizeof(commands),
		 "add element " TABLE " %s timeout %ums }\ndelete element " TABLE " %s }\n"
		 "add element " TABLE " %s timeout %ums }\n",
		 element, TIMEOUT_MS, element, element, TIMEOUT_MS);
	code = run(this, commands, error);
	/* Somebody may have taken the table away. */
	this->rejects_ready = code == 0;
	return code;
}

static int reject_begin(struct linux_kernel *this, const char *element, const char *reason, struct error *error)
{
	uint64_t now_ms = clock_boot_ms(), until_ms;
	struct reject_reason *known;
	int code = 0;

	pthread_mutex_lock(&this->rejects_lock);
	reasons_expire(this, now_ms);
	known = *reason_find(this, element, reason);
	if (known == NULL) {
		known = malloc(sizeof(*known) + strlen(reason) + 1);
		if (known == NULL) {
			code = error_set_nomem(error);
			goto cleanup;
		}
		known->until_ms = 0;
		snprintf(known->element, sizeof(known->element), "%s", element);
		memcpy(known->reason, reason, strlen(reason) + 1);
		known->next = this->rejects;
		this->rejects = known;
	}
	/* A port that is made has one reason for each of its subsystems: they share an element. */
	until_ms = element_until(this, element);
	if (until_ms < now_ms + SPARE_MS) {
		code = element_renew(this, element, error);
		if (code == 0)
			until_ms = now_ms + TIMEOUT_MS;
	}
	if (code == 0)
		known->until_ms = until_ms;
cleanup:
	pthread_mutex_unlock(&this->rejects_lock);
	return code;
}

static int reject_end(struct linux_kernel *this, const char *element, const char *reason, struct error *error)
{
	uint64_t now_ms = clock_boot_ms();
	struct reject_reason **at, *ended;
	char commands[COMMAND_SIZE];
	int code = 0;

	pthread_mutex_lock(&this->rejects_lock);
	reasons_expire(this, now_ms);
	at = reason_find(this, element, reason);
	ended = *at;
	if (ended != NULL)
		*at = ended->next;
	/* It may have run out, or be there from an agent that died: added first, it is there to be deleted. */
	snprintf(commands, sizeof(commands), "add element " TABLE " %s }\ndelete element " TABLE " %s }\n", element,
		 element);
	if (element_until(this, element) == 0 && (ended != NULL || now_ms < this->rejects_alone_ms)) {
		if (!this->rejects_ready)
			code = run(this, setup, error);
		if (code == 0)
			code = run(this, commands, error);
		this->rejects_ready = code == 0;
	}
	pthread_mutex_unlock(&this->rejects_lock);
	free(ended);
	return code;
}

static void port_element(uint64_t port, char *ret_element, size_t size)
{
	snprintf(ret_element, size, "port { %" PRIu64, port);
}

int reject_observe(struct linux_kernel *this, struct arena *arena, struct observed *observed, struct error *error)
{
	char element[sizeof(((struct reject_reason *)NULL)->element)];
	int code = 0;

	pthread_mutex_lock(&this->rejects_lock);
	reasons_expire(this, clock_boot_ms());
	for (size_t i = 0; i < observed->ports.count && code == 0; i++) {
		struct observed_port *port = &observed->ports.items[i];

		port_element(port->id, element, sizeof(element));
		for (const struct reject_reason *reason = this->rejects; reason != NULL && code == 0;
		     reason = reason->next) {
			if (strcmp(reason->element, element) == 0 &&
			    list_push_string(arena, &port->rejected_for, reason->reason) != 0)
				code = error_set_nomem(error);
		}
	}
	pthread_mutex_unlock(&this->rejects_lock);
	return code;
}

void reject_open(struct linux_kernel *this)
{
	pthread_mutex_init(&this->rejects_lock, NULL);
	this->rejects_alone_ms = clock_boot_ms() + TIMEOUT_MS;
}

static void peer_element(const char *address, uint64_t port, char *ret_element, size_t size)
{
	snprintf(ret_element, size, "%s { %s . %" PRIu64, strchr(address, ':') != NULL ? "peer6" : "peer4", address,
		 port);
}

int reject_port_begin(struct kernel *kernel, uint64_t port, const char *reason, struct error *error)
{
	char element[sizeof(((struct reject_reason *)NULL)->element)];

	port_element(port, element, sizeof(element));
	return reject_begin((struct linux_kernel *)kernel, element, reason, error);
}

int reject_port_end(struct kernel *kernel, uint64_t port, const char *reason, struct error *error)
{
	char element[sizeof(((struct reject_reason *)NULL)->element)];

	port_element(port, element, sizeof(element));
	return reject_end((struct linux_kernel *)kernel, element, reason, error);
}

int reject_peer_begin(struct kernel *kernel, const char *address, uint64_t port, const char *reason,
		      struct error *error)
{
	char element[sizeof(((struct reject_reason *)NULL)->element)];

	peer_element(address, port, element, sizeof(element));
	return reject_begin((struct linux_kernel *)kernel, element, reason, error);
}

int reject_peer_end(struct kernel *kernel, const char *address, uint64_t port, const char *reason, struct error *error)
{
	char element[sizeof(((struct reject_reason *)NULL)->element)];

	peer_element(address, port, element, sizeof(element));
	return reject_end((struct linux_kernel *)kernel, element, reason, error);
}

void reject_close(struct linux_kernel *this)
{
	if (this->rejects_context != NULL)
		nft_ctx_free(this->rejects_context);
	while (this->rejects != NULL) {
		struct reject_reason *reason = this->rejects;

		this->rejects = reason->next;
		free(reason);
	}
}
