/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/host_sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/uuid.h"

/* Reads the first line of an attribute; returns false when there is none. */
static bool attribute_read(const char *folder, const char *name, const char *attribute, char *ret_text, size_t size)
{
	char path[PATH_MAX];
	ssize_t length;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s/%s", folder, name, attribute) >= (int)sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, ret_text, size - 1);
	close(fd);
	if (length < 0)
		return false;
	ret_text[length] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
	return true;
}

static int attribute_write(const char *path, const char *value, struct error *error)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done;
	int saved;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	done = write(fd, value, strlen(value));
	saved = errno;
	close(fd);
	if (done != (ssize_t)strlen(value))
		return error_set_errno(error, done < 0 ? saved : EIO, "cannot write \"%s\" to %s", value, path);
	return 0;
}

/* Copies the value of `key` from "traddr=10.0.0.1,trsvcid=4420,src_addr=…". */
static void address_part(const char *text, const char *key, char *ret_value, size_t size)
{
	size_t key_length = strlen(key);

	ret_value[0] = '\0';
	for (;;) {
		size_t length = strcspn(text, ",");

		if (length > key_length && strncmp(text, key, key_length) == 0 && text[key_length] == '=') {
			snprintf(ret_value, size, "%.*s", (int)(length - key_length - 1), text + key_length + 1);
			return;
		}
		if (text[length] == '\0')
			return;
		text += length + 1;
	}
}

static bool nqn_matches(const char *folder, const char *name, const char *attribute, const char *nqn)
{
	char found[LIMIT_NQN + 2];

	return attribute_read(folder, name, attribute, found, sizeof(found)) && strcmp(found, nqn) == 0;
}

/* What sysfs says of a controller, but for its name. */
static void controller_read(const char *folder, const char *name, struct host_controller *ret)
{
	char address[512];

	memset(ret, 0, sizeof(*ret));
	attribute_read(folder, name, "state", ret->state, sizeof(ret->state));
	attribute_read(folder, name, "hostnqn", ret->host_nqn, sizeof(ret->host_nqn));
	if (attribute_read(folder, name, "address", address, sizeof(address))) {
		address_part(address, "traddr", ret->address, sizeof(ret->address));
		address_part(address, "trsvcid", ret->port, sizeof(ret->port));
	}
}

int host_controllers_find(const char *sysfs, const char *nqn, struct host_controller ret_list[HOST_CONTROLLERS],
			  size_t *ret_count, struct error *error)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	size_t count = 0;
	DIR *stream;

	snprintf(folder, sizeof(folder), "%s/class/nvme", sysfs);
	stream = opendir(folder);
	if (stream == NULL && errno != ENOENT)
		return error_set_errno(error, errno, "cannot list %s", folder);
	while (stream != NULL && count < HOST_CONTROLLERS && (entry = readdir(stream)) != NULL) {
		struct host_controller *one = &ret_list[count];

		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(one->name) ||
		    !nqn_matches(folder, entry->d_name, "subsysnqn", nqn))
			continue;
		controller_read(folder, entry->d_name, one);
		strcpy(one->name, entry->d_name);
		count++;
	}
	if (stream != NULL)
		closedir(stream);
	*ret_count = count;
	return 0;
}

bool host_controller_read(const char *sysfs, const char *name, struct host_controller *ret, char ret_nqn[LIMIT_NQN + 1])
{
	struct host_controller controller;
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s/class/nvme", sysfs);
	if (strlen(name) >= sizeof(controller.name) ||
	    !attribute_read(folder, name, "subsysnqn", ret_nqn, LIMIT_NQN + 1))
		return false;
	controller_read(folder, name, &controller);
	strcpy(controller.name, name);
	*ret = controller;
	return controller.state[0] != '\0';
}

bool host_controller_has_path(const char *sysfs, const char *controller)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *stream;

	snprintf(folder, sizeof(folder), "%s/class/nvme/%s", sysfs, controller);
	stream = opendir(folder);
	while (stream != NULL && !found && (entry = readdir(stream)) != NULL) {
		unsigned subsystem, instance, head;

		found = sscanf(entry->d_name, "nvme%uc%un%u", &subsystem, &instance, &head) == 3 ||
			sscanf(entry->d_name, "nvme%un%u", &subsystem, &head) == 2;
	}
	if (stream != NULL)
		closedir(stream);
	return found;
}

bool host_controller_state(const char *sysfs, const char *controller, char ret_state[HOST_NAME_SIZE])
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s/class/nvme", sysfs);
	return attribute_read(folder, controller, "state", ret_state, HOST_NAME_SIZE);
}

bool host_controller_keep_alive(const char *sysfs, const char *controller, unsigned *ret_s)
{
	char folder[PATH_MAX], text[HOST_NAME_SIZE];

	snprintf(folder, sizeof(folder), "%s/class/nvme", sysfs);
	if (!attribute_read(folder, controller, "kato", text, sizeof(text)))
		return false;
	*ret_s = (unsigned)strtoul(text, NULL, 10);
	return true;
}

static bool is_named(const struct host_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i], name) == 0)
			return true;
	}
	return false;
}

enum host_others host_others_find(const char *sysfs, const struct host_controller *controller,
				  const struct host_names *without)
{
	char folder[PATH_MAX], address[512], traddr[LIMIT_ADDRESS + 1], port[HOST_NAME_SIZE];
	char state[HOST_NAME_SIZE];
	struct dirent *entry;
	enum host_others others = HOST_OTHERS_NONE;
	DIR *stream;

	snprintf(folder, sizeof(folder), "%s/class/nvme", sysfs);
	stream = opendir(folder);
	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		unsigned found = 0;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, controller->name) == 0 ||
		    is_named(without, entry->d_name))
			continue;
		if (!attribute_read(folder, entry->d_name, "address", address, sizeof(address)))
			continue;
		address_part(address, "traddr", traddr, sizeof(traddr));
		address_part(address, "trsvcid", port, sizeof(port));
		if (strcmp(traddr, controller->address) != 0 || strcmp(port, controller->port) != 0 ||
		    !attribute_read(folder, entry->d_name, "state", state, sizeof(state)) || strcmp(state, "live") != 0)
			continue;
		(void)host_controller_keep_alive(sysfs, entry->d_name, &found);
		if (found != LIMIT_HOST_KEEP_ALIVE_SINGLE_S && found != LIMIT_KEEP_ALIVE_SINGLE_RAISED_S)
			others = HOST_OTHERS_ANY;
		else if (others == HOST_OTHERS_NONE)
			others = HOST_OTHERS_SINGLE;
	}
	if (stream != NULL)
		closedir(stream);
	return others;
}

/* "nvme0n1" is a namespace; "nvme0c1n1" is one path of it, which must not be used. */
static bool is_namespace(const char *name)
{
	int instance, nsid, end = 0;

	return sscanf(name, "nvme%dn%d%n", &instance, &nsid, &end) == 2 && name[end] == '\0';
}

/* The first namespace whose attribute has the value. */
static bool device_find(const char *sysfs, const char *attribute, const char *value, char ret_name[HOST_NAME_SIZE])
{
	char folder[PATH_MAX], found[LIMIT_NQN + 2];
	struct dirent *entry;
	bool matches = false;
	DIR *stream;

	snprintf(folder, sizeof(folder), "%s/block", sysfs);
	stream = opendir(folder);
	while (stream != NULL && !matches && (entry = readdir(stream)) != NULL) {
		if (strlen(entry->d_name) >= HOST_NAME_SIZE || !is_namespace(entry->d_name) ||
		    !attribute_read(folder, entry->d_name, attribute, found, sizeof(found)))
			continue;
		matches = strcasecmp(found, value) == 0;
		if (matches)
			strcpy(ret_name, entry->d_name);
	}
	if (stream != NULL)
		closedir(stream);
	return matches;
}

bool host_device_find(const char *sysfs, const uint8_t uuid[16], char ret_name[HOST_NAME_SIZE])
{
	char text[UUID_TEXT_SIZE];

	uuid_text_format(uuid, text);
	return device_find(sysfs, "uuid", text, ret_name);
}

bool host_device_of_subsystem(const char *sysfs, const char *nqn, char ret_name[HOST_NAME_SIZE])
{
	return device_find(sysfs, "device/subsysnqn", nqn, ret_name);
}

int host_io_policy_set(const char *sysfs, const char *nqn, const char *policy, struct error *error)
{
	char folder[PATH_MAX], path[PATH_MAX + 300];
	struct dirent *entry;
	DIR *stream;
	int rc = error_set(error, ERROR_NOT_FOUND, "this machine has no subsystem %s", nqn);

	snprintf(folder, sizeof(folder), "%s/class/nvme-subsystem", sysfs);
	stream = opendir(folder);
	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		if (entry->d_name[0] == '.' || !nqn_matches(folder, entry->d_name, "subsysnqn", nqn))
			continue;
		snprintf(path, sizeof(path), "%s/%s/iopolicy", folder, entry->d_name);
		rc = attribute_write(path, policy, error);
		break;
	}
	if (stream != NULL)
		closedir(stream);
	if (rc == 0)
		error_clear(error);
	return rc;
}

int host_controller_write(const char *sysfs, const char *controller, const char *attribute, const char *value,
			  struct error *error)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/class/nvme/%s/%s", sysfs, controller, attribute);
	return attribute_write(path, value, error);
}

void host_admin_timeout_lower(const char *sysfs)
{
	char folder[PATH_MAX], path[PATH_MAX], text[64];
	uint64_t seconds;

	snprintf(folder, sizeof(folder), "%s/module", sysfs);
	if (!attribute_read(folder, "nvme_core", "parameters/admin_timeout", text, sizeof(text)))
		return;
	seconds = strtoull(text, NULL, 10);
	if (seconds > 0 && seconds <= LIMIT_ADMIN_TIMEOUT_S)
		return;
	snprintf(path, sizeof(path), "%s/module/nvme_core/parameters/admin_timeout", sysfs);
	snprintf(text, sizeof(text), "%u", LIMIT_ADMIN_TIMEOUT_S);
	(void)attribute_write(path, text, NULL);
}

void host_controller_tune(const char *sysfs, const char *controller)
{
	static const struct {
		const char *attribute, *shown, *written;
	} wanted[] = {
		{ "ctrl_loss_tmo", "off", "-1" },
		{ "fast_io_fail_tmo", "off", "-1" },
		{ "reconnect_delay", "1", "1" },
	};
	char folder[PATH_MAX], text[64];

	snprintf(folder, sizeof(folder), "%s/class/nvme", sysfs);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (attribute_read(folder, controller, wanted[i].attribute, text, sizeof(text)) &&
		    strcmp(text, wanted[i].shown) != 0)
			(void)host_controller_write(sysfs, controller, wanted[i].attribute, wanted[i].written, NULL);
	}
}
