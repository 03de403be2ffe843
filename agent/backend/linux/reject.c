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

#include "lib/base/clock.h"

#define TABLE "inet dnvme_reject"
#define TIMEOUT "30s"
#define FRESH_MS 10000 /* an element that was added so lately needs no refresh */
#define COMMAND_SIZE 1024

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

/* Why an element is there; it goes with its last reason. */
struct reject_reason {
	struct reject_reason *next;
	uint64_t added_ms; /* when the element was added last, boot clock; 0: it may not be there */
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

	while (*at != NULL &&
	       (strcmp((*at)->element, element) != 0 || (reason != NULL && strcmp((*at)->reason, reason) != 0)))
		at = &(*at)->next;
	return at;
}

/* Lanes that reject the same at the same time find it there. */
static uint64_t element_added_ms(const struct linux_kernel *this, const char *element)
{
	uint64_t added_ms = 0;

	for (const struct reject_reason *reason = this->rejects; reason != NULL; reason = reason->next) {
		if (reason->added_ms > added_ms && strcmp(reason->element, element) == 0)
			added_ms = reason->added_ms;
	}
	return added_ms;
}

static void element_set_added(struct linux_kernel *this, const char *element, uint64_t added_ms)
{
	for (struct reject_reason *reason = this->rejects; reason != NULL; reason = reason->next) {
		if (strcmp(reason->element, element) == 0)
			reason->added_ms = added_ms;
	}
}

static int reject_begin(struct linux_kernel *this, const char *element, const char *reason, struct error *error)
{
	struct reject_reason **at, *added;
	char commands[COMMAND_SIZE];
	uint64_t now_ms, added_ms;
	int code = 0;

	pthread_mutex_lock(&this->rejects_lock);
	now_ms = clock_boot_ms();
	added_ms = element_added_ms(this, element);
	at = reason_find(this, element, reason);
	if (*at == NULL) {
		added = malloc(sizeof(*added) + strlen(reason) + 1);
		if (added == NULL) {
			code = error_set_nomem(error);
			goto cleanup;
		}
		added->next = NULL;
		added->added_ms = added_ms;
		snprintf(added->element, sizeof(added->element), "%s", element);
		memcpy(added->reason, reason, strlen(reason) + 1);
		*at = added;
	}
	if (added_ms != 0 && now_ms - added_ms < FRESH_MS)
		goto cleanup;
	if (!this->rejects_ready)
		code = run(this, setup, error);
	if (code != 0)
		goto cleanup;
	this->rejects_ready = true;
	/* An element that is there keeps its time when it is added again; one that is not there cannot be deleted. */
	snprintf(commands, sizeof(commands),
		 "add element " TABLE " %s timeout " TIMEOUT " }\ndelete element " TABLE " %s }\n"
		 "add element " TABLE " %s timeout " TIMEOUT " }\n",
		 element, element, element);
	code = run(this, commands, error);
	/* Somebody may have taken the table away. */
	if (code != 0)
		this->rejects_ready = false;
	element_set_added(this, element, code == 0 ? now_ms : 0);
cleanup:
	pthread_mutex_unlock(&this->rejects_lock);
	return code;
}

static int reject_end(struct linux_kernel *this, const char *element, const char *reason, struct error *error)
{
	struct reject_reason **at, *ended;
	char commands[COMMAND_SIZE];
	int code = 0;

	pthread_mutex_lock(&this->rejects_lock);
	at = reason_find(this, element, reason);
	ended = *at;
	if (ended != NULL) {
		*at = ended->next;
		free(ended);
	}
	/* It may have run out, or be there from an agent that died: added first, it is there to be deleted. */
	snprintf(commands, sizeof(commands), "add element " TABLE " %s }\ndelete element " TABLE " %s }\n", element,
		 element);
	if (*reason_find(this, element, NULL) == NULL) {
		if (!this->rejects_ready)
			code = run(this, setup, error);
		if (code == 0)
			code = run(this, commands, error);
		this->rejects_ready = code == 0;
	}
	pthread_mutex_unlock(&this->rejects_lock);
	return code;
}

static void port_element(uint64_t port, char *ret_element, size_t size)
{
	snprintf(ret_element, size, "port { %" PRIu64, port);
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
