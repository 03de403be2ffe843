/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "client/dnvme.h"
#include "lib/base/limits.h"

static int port_parse(const char *entry, const char *text, unsigned *ret_port, struct error *error)
{
	unsigned port = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 5 || text[digits] != '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "server \"%s\": \"%s\" is not a port", entry, text);
	for (; *text != '\0'; text++)
		port = port * 10 + (unsigned)(*text - '0');
	if (port == 0 || port > 65535)
		return error_set(error, ERROR_INVALID_ARGUMENT, "server \"%s\": port %u is not between 1 and 65535",
				 entry, port);
	*ret_port = port;
	return 0;
}

static int unix_parse(const char *path, struct endpoint *endpoint, struct error *error)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&endpoint->addresses[0];

	if (*path == '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "server \"%s\" has no path", endpoint->name);
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(error, ERROR_INVALID_ARGUMENT,
				 "server \"%s\": the path has %zu bytes, the limit is %zu", endpoint->name,
				 strlen(path), sizeof(address->sun_path) - 1);
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, strlen(path) + 1);
	endpoint->address_sizes[0] = sizeof(*address);
	endpoint->address_count = 1;
	return 0;
}

/* Splits "HOST:PORT", "[IPV6]:PORT", "HOST" in place; *ret_port is NULL when there is none. */
static int host_split(char *text, const char *entry, char **ret_host, char **ret_port, struct error *error)
{
	char *end, *port = NULL;

	if (*text == '[') {
		end = strchr(text, ']');
		if (end == NULL || (end[1] != ':' && end[1] != '\0'))
			return error_set(error, ERROR_INVALID_ARGUMENT, "server \"%s\" is not of the form [IPV6]:PORT",
					 entry);
		if (end[1] == ':')
			port = end + 2;
		*end = '\0';
		text++;
	} else {
		end = strchr(text, ':');
		if (end != NULL && strchr(end + 1, ':') != NULL) {
			error_set(error, ERROR_INVALID_ARGUMENT, "server \"%s\" has more than one colon", entry);
			error_hint(error, "write an IPv6 address in brackets: [fd00::1]:%d", DNVME_DEFAULT_PORT);
			return ERROR_INVALID_ARGUMENT;
		}
		if (end != NULL) {
			*end = '\0';
			port = end + 1;
		}
	}
	if (*text == '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "server \"%s\" has no host", entry);
	*ret_host = text;
	*ret_port = port;
	return 0;
}

static int host_parse(struct endpoint *endpoint, struct error *error)
{
	char text[ENDPOINT_NAME_SIZE], service[8], *host = NULL, *port_text = NULL;
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
	unsigned port = DNVME_DEFAULT_PORT;
	int rc;

	memcpy(text, endpoint->name, sizeof(text));
	rc = host_split(text, endpoint->name, &host, &port_text, error);
	if (rc == 0 && port_text != NULL)
		rc = port_parse(endpoint->name, port_text, &port, error);
	if (rc != 0)
		return rc;
	snprintf(service, sizeof(service), "%u", port);
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc != 0) {
		hints.ai_flags = AI_NUMERICSERV;
		rc = getaddrinfo(host, service, &hints, &found);
	}
	if (rc != 0) {
		error_set(&endpoint->failure, ERROR_UNAVAILABLE, "cannot look up host \"%s\": %s", host,
			  gai_strerror(rc));
		return 0;
	}
	for (struct addrinfo *one = found; one != NULL && endpoint->address_count < ENDPOINT_ADDRESSES;
	     one = one->ai_next) {
		memcpy(&endpoint->addresses[endpoint->address_count], one->ai_addr, one->ai_addrlen);
		endpoint->address_sizes[endpoint->address_count++] = one->ai_addrlen;
	}
	freeaddrinfo(found);
	return 0;
}

static int entry_parse(const char *text, size_t length, struct endpoint *endpoint, struct error *error)
{
	while (length > 0 && *text == ' ') {
		text++;
		length--;
	}
	while (length > 0 && text[length - 1] == ' ')
		length--;
	if (length == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "the list of servers has an empty entry");
	if (length >= sizeof(endpoint->name))
		return error_set(error, ERROR_INVALID_ARGUMENT, "a server's address has %zu bytes, the limit is %zu",
				 length, sizeof(endpoint->name) - 1);
	memcpy(endpoint->name, text, length);
	endpoint->name[length] = '\0';
	if (strncmp(endpoint->name, "unix:", 5) == 0)
		return unix_parse(endpoint->name + 5, endpoint, error);
	return host_parse(endpoint, error);
}

int endpoint_list_parse(const char *text, struct endpoint **ret_endpoints, size_t *ret_count, struct error *error)
{
	struct endpoint *endpoints;
	size_t count = 0, usable = 0, length;
	int rc;

	if (text == NULL || *text == '\0')
		return error_set(error, ERROR_INVALID_ARGUMENT, "no server is given");
	endpoints = calloc(LIMIT_SERVERS, sizeof(*endpoints));
	if (endpoints == NULL)
		return error_set_nomem(error);
	for (;;) {
		length = strcspn(text, ",");
		if (count == LIMIT_SERVERS) {
			rc = error_set(error, ERROR_INVALID_ARGUMENT, "more than %u servers are given", LIMIT_SERVERS);
			goto cleanup;
		}
		rc = entry_parse(text, length, &endpoints[count], error);
		if (rc != 0)
			goto cleanup;
		usable += endpoints[count].address_count > 0;
		count++;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	if (usable == 0) {
		if (error != NULL)
			*error = endpoints[0].failure;
		rc = ERROR_UNAVAILABLE;
		goto cleanup;
	}
	*ret_endpoints = endpoints;
	*ret_count = count;
	return 0;
cleanup:
	free(endpoints);
	return rc;
}

static bool is_known(const struct endpoint *endpoints, size_t count, const struct sockaddr_in *address)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < endpoints[i].address_count; k++) {
			const struct sockaddr_in *known = (const struct sockaddr_in *)&endpoints[i].addresses[k];

			if (known->sin_family == AF_INET && known->sin_port == address->sin_port &&
			    known->sin_addr.s_addr == address->sin_addr.s_addr)
				return true;
		}
	}
	return false;
}

bool endpoint_list_add(struct endpoint *endpoints, size_t *count, const char *text)
{
	struct endpoint *added = &endpoints[*count];
	struct sockaddr_in address = { .sin_family = AF_INET };
	const char *colon = strchr(text, ':');
	struct error ignored;
	char host[INET_ADDRSTRLEN];
	unsigned port;

	if (*count == LIMIT_SERVERS || colon == NULL || (size_t)(colon - text) >= sizeof(host) ||
	    port_parse(text, colon + 1, &port, &ignored) != 0)
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	address.sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || is_known(endpoints, *count, &address))
		return false;
	*added = (struct endpoint){ .address_count = 1, .address_sizes = { sizeof(address) } };
	snprintf(added->name, sizeof(added->name), "%s", text);
	memcpy(&added->addresses[0], &address, sizeof(address));
	(*count)++;
	return true;
}
