/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/backend/linux/linux.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX 65536

static int observe(struct kernel *kernel, struct arena *arena, struct observed *ret_observed, struct error *error)
{
	struct linux_kernel *this = (struct linux_kernel *)kernel;
	struct observed observed = { 0 };
	struct drained_list drained;
	struct dm_sight_list sights;
	int code;

	code = drains_read(this->drains, arena, &drained, error);
	if (code == 0)
		code = pauses_observe(this, arena, &observed, error);
	if (code == 0)
		code = dm_observe(this->devices, arena, &observed, &sights, error);
	if (code == 0)
		code = nvmet_observe(this, arena, &observed, error);
	if (code == 0)
		code = dm_opens_observe(this->devices, &sights, arena, &observed, error);
	if (code == 0) {
		drains_tell(this->drains, &drained, &observed);
		sizes_tell(this->sizes, &observed);
		code = thins_tell(this->thins, arena, &observed, error);
	}
	if (code == 0)
		code = reject_observe(this, arena, &observed, error);
	if (code == 0)
		code = fabrics_observe(this->nvme, arena, &observed, error);
	if (code == 0)
		code = disks_observe(this, arena, &observed, error);
	if (code == 0)
		code = trace_observe(this, arena, &observed, error);
	if (code != 0)
		return error_prefix(error, "cannot observe the kernel");
	*ret_observed = observed;
	return 0;
}

/* Accepts NULL, and what is half made. */
static void parts_free(struct linux_kernel *this)
{
	if (this == NULL)
		return;
	known_free(this->devices);
	known_free(this->ports);
	known_free(this->subsystems);
	nvme_cache_free(this->nvme);
	signatures_free(this->signatures);
	caches_free(this->caches);
	drains_free(this->drains);
	thins_free(this->thins);
	sizes_free(this->sizes);
	gate_free(this->gate);
	trace_free(this->trace);
	free(this);
}

static void linux_close(struct kernel *kernel)
{
	struct linux_kernel *this = (struct linux_kernel *)kernel;

	if (this == NULL)
		return;
	dm_close();
	reject_close(this);
	pthread_mutex_destroy(&this->rejects_lock);
	pthread_mutex_destroy(&this->hosts_lock);
	parts_free(this);
}

static const struct kernel_operations linux_operations = {
	.observe = observe,
	.dm_create = dm_create,
	.dm_remove = dm_remove,
	.dm_reload = dm_reload,
	.dm_suspend = dm_suspend,
	.dm_resume = dm_resume,
	.dm_drain = dm_drain,
	.dm_status = dm_status,
	.block_flush = block_flush,
	.dm_message = dm_message,
	.dm_has_target = dm_has_target,
	.pause_hold = pause_hold,
	.pause_snap = pause_snap,
	.pause_release = pause_release,
	.pause_forget = pause_forget,
	.thin_delete = thin_delete,
	.block_zero = block_zero,
	.block_read = block_read,
	.block_write = block_write,
	.block_fill = block_fill,
	.port_create = nvmet_port_create,
	.port_remove = nvmet_port_remove,
	.subsystem_create = nvmet_subsystem_create,
	.subsystem_remove = nvmet_subsystem_remove,
	.namespace_create = nvmet_namespace_create,
	.namespace_set_group = nvmet_namespace_set_group,
	.namespace_resize = nvmet_namespace_resize,
	.namespace_remove = nvmet_namespace_remove,
	.host_allow = nvmet_host_allow,
	.host_deny = nvmet_host_deny,
	.port_link = nvmet_port_link,
	.port_unlink = nvmet_port_unlink,
	.port_reject = reject_port_begin,
	.port_admit = reject_port_end,
	.watch = watch_digest,
	.import_connect = fabrics_connect,
	.import_disconnect = fabrics_disconnect,
	.import_rescan = fabrics_rescan,
	.import_drop = fabrics_drop,
	.imports_check = paths_check,
	.gate_guard = gate_guard,
	.gate_refresh = gate_refresh,
	.gate_open = gate_open,
	.gate_shut = gate_shut,
	.gate_join = gate_join,
	.gate_leave = gate_leave,
	.gate_admit = gate_admit,
	.gate_read = gate_read,
	.hosts_look = hosts_connections,
	.imports_tend = imports_tend,
	.errors_forget = trace_forget,
	.cache_off = disk_cache_off,
	.close = linux_close,
};

/* Best effort: a kernel without modules has it built in or not at all, and what is missing is named when it is used. */
static void module_load(const char *module)
{
	char *arguments[] = { (char *)"modprobe", (char *)"-q", (char *)module, NULL };
	pid_t pid;

	if (posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ) == 0)
		waitpid(pid, NULL, 0);
}

/* As many files as may be open: a few for each import stay so. Returns how many that is. */
static size_t files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max && limit.rlim_cur < FILES_MAX) {
		limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return 0;
	}
	return limit.rlim_cur < FILES_MAX ? (size_t)limit.rlim_cur : FILES_MAX;
}

int kernel_linux_open(struct kernel **ret_kernel, struct error *error)
{
	struct linux_kernel *this;
	int code;

	if (access("/dev/mapper/control", F_OK) != 0)
		module_load("dm-mod");
	if (access("/sys/kernel/config", F_OK) != 0)
		module_load("configfs");
	if (access(LINUX_NVMET_ROOT, F_OK) != 0) {
		mount("configfs", "/sys/kernel/config", "configfs", 0, NULL);
		module_load("nvmet");
	}
	if (access(LINUX_FABRICS_DEVICE, F_OK) != 0)
		module_load("nvme-fabrics");
	code = dm_open(error);
	if (code != 0)
		return code;
	this = calloc(1, sizeof(*this));
	if (this != NULL) {
		this->devices = known_make(schema_observed_dm());
		this->ports = known_make(schema_observed_port());
		this->subsystems = known_make(schema_observed_subsystem());
		this->nvme = nvme_cache_make("/sys", pread, files_raise() / 2);
		this->signatures = signatures_make(signatures_read);
		this->caches = caches_make(&(struct caches_device){ write_cache_ask, write_cache_off });
		this->drains = drains_make();
		this->thins = thins_make();
		this->sizes = sizes_make();
		this->gate = gate_make(this->nvme);
		this->trace = trace_make();
	}
	if (this == NULL || this->devices == NULL || this->ports == NULL || this->subsystems == NULL ||
	    this->nvme == NULL || this->signatures == NULL || this->drains == NULL || this->thins == NULL ||
	    this->sizes == NULL || this->gate == NULL || this->trace == NULL || this->caches == NULL) {
		parts_free(this);
		dm_close();
		return error_set_nomem(error);
	}
	this->base.operations = &linux_operations;
	pthread_mutex_init(&this->hosts_lock, NULL);
	reject_open(this);
	*ret_kernel = &this->base;
	return 0;
}
