/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/action.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/label.h"
#include "agent/superblock.h"
#include "agent/survivor.h"
#include "lib/base/uuid.h"
#include "lib/model/names.h"

static int print_table(const struct observed_target_list *table, struct buffer *output)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct observed_target *line = &table->items[i];

		if (buffer_printf(output, "%s%" PRIu64 " %" PRIu64 " %s%s%s", i > 0 ? ", " : "  ", line->start,
				  line->length, line->type, line->params[0] != '\0' ? " " : "", line->params) != 0)
			return -1;
	}
	return 0;
}

static int print_survivors(const struct action *action, struct buffer *output)
{
	for (size_t i = 0; i < action->survivors.count; i++) {
		if (buffer_printf(output, "%s%s", i == 0 ? "  after flushing " : ",",
				  action->survivors.items[i].device) != 0)
			return -1;
	}
	return 0;
}

static int print_create(const struct action *action, struct buffer *output)
{
	for (size_t i = 0; i < action->resyncs.count; i++) {
		if (buffer_printf(output, "%s%s", i == 0 ? "  resync by " : ",", action->resyncs.items[i]) != 0)
			return -1;
	}
	for (size_t i = 0; i < action->returning.count; i++) {
		if (buffer_printf(output, "%s%s", i == 0 ? "  back by bitmap " : ",", action->returning.items[i]) != 0)
			return -1;
	}
	for (size_t i = 0; i < action->zeros.count; i++) {
		if (buffer_printf(output, "%s%s", i == 0 ? "  after clearing " : ",", action->zeros.items[i].device) !=
		    0)
			return -1;
	}
	if (print_survivors(action, output) != 0)
		return -1;
	if (action->message != NULL &&
	    buffer_printf(output, "  after message \"%s\" to %s", action->message, action->message_device) != 0)
		return -1;
	return print_table(&action->table, output);
}

static int print_namespace(const struct action *action, struct buffer *output)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_text_format(action->ns.uuid, uuid);
	return buffer_printf(output, "nvmet   namespace  %s %" PRIu32 "  %s uuid %s group %" PRIu32, action->nqn,
			     action->ns.nsid, action->ns.device, uuid, action->ns.group);
}

static int print_hold(const struct kernel_pause *pause, struct buffer *output)
{
	if (buffer_printf(output, "pause   hold       v%" PRIu64 " number %" PRIu64 " for %" PRIu64 " ms at most  %s",
			  pause->volume, pause->number, pause->limit_ms, pause->top) != 0)
		return -1;
	for (size_t i = 0; i < pause->legs.count; i++) {
		if (buffer_printf(output, ", %s of %s", pause->legs.items[i].thin, pause->legs.items[i].pool) != 0)
			return -1;
	}
	return 0;
}

int action_print(const struct action *a, struct buffer *output)
{
	switch (a->kind) {
	case ACTION_DM_CREATE:
		return buffer_printf(output, "dm      create     %s", a->name) == 0 ? print_create(a, output) : -1;
	case ACTION_DM_REMOVE:
		return buffer_printf(output, "dm      remove     %s", a->name);
	case ACTION_DM_RELOAD:
		return buffer_printf(output, "dm      reload     %s", a->name) == 0 ? print_create(a, output) : -1;
	case ACTION_DM_RESUME:
		return buffer_printf(output, "dm      resume     %s", a->name);
	case ACTION_DM_DRAIN:
		return buffer_printf(output, "dm      drain      %s  for %" PRIu64, a->name, a->drain);
	case ACTION_LABEL_READ:
		return buffer_printf(output, "label   read       %s", a->name);
	case ACTION_LABEL_CHECK:
		return buffer_printf(output, "label   check      %s  %s ld%" PRIu64 " in epoch %" PRIu64, a->name,
				     a->label.formatted ? "is that of" : "may be that of", a->label.ld, a->label.epoch);
	case ACTION_LABEL_MATCH:
		return buffer_printf(output,
				     "label   match      %s  ld%" PRIu64 " of v%" PRIu64 ".l%" PRIu64 ".g%" PRIu64
				     " in epoch %" PRIu64,
				     a->name, a->label.ld, a->label.volume, a->label.leg, a->label.group,
				     a->label.epoch);
	case ACTION_LABEL_MARK:
		return buffer_printf(output, "label   mark       %s  ld%" PRIu64 " as mapped up to byte %" PRIu64,
				     a->name, a->label.ld, a->label.filled_bytes);
	case ACTION_LABEL_WRITE:
		return buffer_printf(
			output, "label   write      %s  ld%" PRIu64 " of v%" PRIu64 ".l%" PRIu64 ".g%" PRIu64 "%s%s%s",
			a->name, a->label.ld, a->label.volume, a->label.leg, a->label.group,
			a->label.formatted ? "" : ", being rebuilt", a->superblock != NULL ? ", complete as " : "",
			a->superblock != NULL ? a->superblock : "");
	case ACTION_ERRORS_FORGET:
		return buffer_printf(output, "errors  forget     ld%" PRIu64 "%s", a->label.ld,
				     a->label.rebuild_ms > 0 ? ", which is rebuilt" : "");
	case ACTION_CACHE_OFF:
		return buffer_printf(output, "disk    cache off  %s", a->name);
	case ACTION_PAUSE_HOLD:
		return print_hold(&a->pause, output);
	case ACTION_PAUSE_SNAP:
		return buffer_printf(output, "pause   snap       v%" PRIu64 " number %" PRIu64, a->pause.volume,
				     a->pause.number);
	case ACTION_PAUSE_RELEASE:
		return buffer_printf(output, "pause   release    v%" PRIu64 " number %" PRIu64, a->pause.volume,
				     a->pause.number);
	case ACTION_PAUSE_FORGET:
		return buffer_printf(output, "pause   forget     v%" PRIu64 " number %" PRIu64, a->pause.volume,
				     a->pause.number);
	case ACTION_THIN_DELETE:
		return buffer_printf(output, "dm      delete     thin device %" PRIu64 " of %s", a->number, a->name);
	case ACTION_FILL:
		if (buffer_printf(output, "block   fill       %s", a->name) != 0)
			return -1;
		return a->start == 0 ? 0 : buffer_printf(output, "  from byte %" PRIu64, a->start);
	case ACTION_PORT_CREATE:
		return buffer_printf(output, "nvmet   port       %" PRIu64 "  %s:%" PRIu64, a->port, a->address,
				     a->port);
	case ACTION_PORT_REMOVE:
		return buffer_printf(output, "nvmet   rmport     %" PRIu64, a->port);
	case ACTION_SUBSYSTEM_CREATE:
		return buffer_printf(output, "nvmet   subsystem  %s  cntlid %" PRIu32 "-%" PRIu32, a->nqn,
				     a->cntlid_min, a->cntlid_max);
	case ACTION_SUBSYSTEM_REMOVE:
		return buffer_printf(output, "nvmet   remove     %s", a->nqn);
	case ACTION_NAMESPACE_CREATE:
		return print_namespace(a, output);
	case ACTION_NAMESPACE_GROUP:
		return buffer_printf(output, "nvmet   group      %s %" PRIu32 "  to %" PRIu32, a->nqn, a->ns.nsid,
				     a->ns.group);
	case ACTION_NAMESPACE_RESIZE:
		return buffer_printf(output, "nvmet   resize     %s %" PRIu32 "  to %" PRIu64, a->nqn, a->ns.nsid,
				     a->ns.size_bytes);
	case ACTION_NAMESPACE_REMOVE:
		return buffer_printf(output, "nvmet   disable    %s %" PRIu32, a->nqn, a->ns.nsid);
	case ACTION_HOST_ALLOW:
		return buffer_printf(output, "nvmet   allow      %s  %s", a->nqn, a->host);
	case ACTION_HOST_DENY:
		return buffer_printf(output, "nvmet   deny       %s  %s", a->nqn, a->host);
	case ACTION_LINK:
		if (buffer_printf(output, "nvmet   link       %s to port %" PRIu64, a->nqn, a->port) != 0)
			return -1;
		return a->gate == 0 ? 0 : buffer_printf(output, "  behind the gate of %" PRIu64, a->gate);
	case ACTION_UNLINK:
		return buffer_printf(output, "nvmet   unlink     %s from port %" PRIu64, a->nqn, a->port);
	case ACTION_REJECT:
		return buffer_printf(output, "nvmet   reject     new connections to port %" PRIu64 " for %s", a->port,
				     a->nqn);
	case ACTION_ADMIT:
		return buffer_printf(output, "nvmet   admit      new connections to port %" PRIu64 " for %s", a->port,
				     a->nqn);
	case ACTION_DROP:
		return buffer_printf(output, "nvme    drop       %s at %s:%" PRIu64, a->import.nqn, a->import.address,
				     a->import.port) == 0
			       ? print_survivors(a, output)
			       : -1;
	case ACTION_RESCAN:
		return buffer_printf(output, "nvme    rescan     %s at %s:%" PRIu64, a->import.nqn, a->import.address,
				     a->import.port);
	case ACTION_CONNECT:
		return buffer_printf(output, "nvme    connect    %s at %s:%" PRIu64, a->import.nqn, a->import.address,
				     a->import.port);
	case ACTION_DISCONNECT:
		return buffer_printf(output, "nvme    disconnect %s at %s:%" PRIu64, a->import.nqn, a->import.address,
				     a->import.port);
	}
	return -1;
}

static int label_read(const struct action *action, struct kernel *kernel, struct arena *arena,
		      struct observed_label *ret_label, struct error *error)
{
	uint8_t block[LABEL_BLOCK_BYTES];
	struct observed_label result = { .device = action->name, .uuid = action->uuid };
	struct ld_label *label;
	struct error reason;
	int code;

	code = kernel->operations->block_read(kernel, action->name, 0, block, sizeof(block), error);
	if (code != 0)
		return code;
	label = arena_alloc(arena, sizeof(*label));
	if (label == NULL)
		return error_set_nomem(error);
	code = label_decode(block, arena, label, &reason);
	if (code == ERROR_INTERNAL)
		return error_set_nomem(error);
	if (code == 0)
		result.label = label;
	else if ((result.problem = arena_strdup(arena, reason.message)) == NULL)
		return error_set_nomem(error);
	*ret_label = result;
	return 0;
}

/* It decides about the steps behind it, which export the LD. A later epoch is never lowered. */
static int label_check(const struct action *action, struct kernel *kernel, struct arena *arena,
		       struct observed_label *ret_label, struct error *error)
{
	const struct ld_label *wanted = &action->label;
	uint8_t block[LABEL_BLOCK_BYTES];
	struct observed_label found;
	struct ld_label *raised;
	int code = label_read(action, kernel, arena, &found, error);

	if (code != 0)
		return code;
	*ret_label = found;
	code = label_judge(&found, wanted, error);
	if (code != 0 || !wanted->formatted || found.label->epoch == wanted->epoch)
		return code;
	raised = arena_memdup(arena, found.label, sizeof(*raised));
	if (raised == NULL)
		return error_set_nomem(error);
	raised->epoch = wanted->epoch;
	label_encode(raised, block);
	code = kernel->operations->block_write(kernel, action->name, 0, block, sizeof(block), error);
	if (code == 0)
		ret_label->label = raised;
	return code;
}

/* The steps behind it assemble the group. */
static int label_match(const struct action *action, struct kernel *kernel, struct arena *arena,
		       struct observed_label *ret_label, struct error *error)
{
	struct observed_label found;
	const char *complaint;
	int code = label_read(action, kernel, arena, &found, error);

	if (code != 0)
		return code;
	*ret_label = found;
	complaint = label_complaint(&found, &action->label);
	return complaint == NULL ? 0
				 : error_set(error, ERROR_CONFLICT, "ld%" PRIu64 " is not assembled: %s",
					     action->label.ld, complaint);
}

/* It took long until this was reached: the member may have been given up meanwhile, and its label be another one. */
static int label_mark(const struct action *action, struct kernel *kernel, struct arena *arena,
		      struct observed_label *ret_label, struct error *error)
{
	uint8_t block[LABEL_BLOCK_BYTES];
	struct observed_label found;
	struct ld_label *label;
	int code = label_read(action, kernel, arena, &found, error);

	if (code != 0)
		return code;
	if (found.label == NULL || !label_is_same(found.label, &action->label) || !found.label->formatted ||
	    found.label->epoch != action->label.epoch)
		return error_set(error, ERROR_CONFLICT, "the label of %s is not that of a member that has everything",
				 action->name);
	label = arena_memdup(arena, found.label, sizeof(*label));
	if (label == NULL)
		return error_set_nomem(error);
	label->filled_bytes = action->label.filled_bytes;
	label_encode(label, block);
	code = kernel->operations->block_write(kernel, action->name, 0, block, sizeof(block), error);
	if (code != 0)
		return code;
	found.label = label;
	*ret_label = found;
	return 0;
}

static int superblock_read(struct kernel *kernel, const char *device, uint8_t block[SUPERBLOCK_BLOCK_BYTES],
			   struct error *error)
{
	int code = kernel->operations->block_read(kernel, device, 0, block, SUPERBLOCK_BLOCK_BYTES, error);

	return code != 0 ? code : superblock_check(block, device, error);
}

static int superblocks_change(struct kernel *kernel, const struct string_list *devices, uint64_t places,
			      void (*change)(uint8_t block[SUPERBLOCK_BLOCK_BYTES], uint64_t places),
			      struct error *error)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES];
	int code = 0;

	for (size_t i = 0; i < devices->count && code == 0; i++) {
		code = superblock_read(kernel, devices->items[i], block, error);
		if (code != 0)
			break;
		change(block, places);
		code = kernel->operations->block_write(kernel, devices->items[i], 0, block, sizeof(block), error);
	}
	return code;
}

/* What a device needs before its table is loaded. */
static int prepare(const struct action *action, struct kernel *kernel, struct error *error)
{
	const struct kernel_operations *operations = kernel->operations;
	int code = superblocks_change(kernel, &action->resyncs, action->places, superblock_request_resync, error);

	if (code == 0)
		code = superblocks_change(kernel, &action->returning, action->places, superblock_request_recovery,
					  error);
	for (size_t i = 0; i < action->zeros.count && code == 0; i++) {
		const struct target_zero *zero = &action->zeros.items[i];

		code = operations->block_zero(kernel, zero->device, zero->start, zero->length, error);
	}
	if (code == 0 && action->message != NULL)
		code = operations->dm_message(kernel, action->message_device, action->message, error);
	return code;
}

/* Whether members may come back by bitmap. The group is suspended: what it knows is on its disks. */
static int knowledge_check(const struct action *action, struct kernel *kernel, struct error *error)
{
	uint8_t block[SUPERBLOCK_BLOCK_BYTES], bitmap[SUPERBLOCK_BLOCK_BYTES];
	int code = 0;

	for (size_t i = 0; i < action->knowing.count && code == 0; i++) {
		const char *device = action->knowing.items[i];

		code = superblock_read(kernel, device, block, error);
		if (code == 0)
			code = kernel->operations->block_read(kernel, device, SUPERBLOCK_BITMAP_START, bitmap,
							      sizeof(bitmap), error);
		for (size_t j = 0; j < LIMIT_MEMBERS && code == 0; j++) {
			if ((action->returning_mask >> j & 1) != 0)
				code = superblock_remembers(block, bitmap, j, device, error);
		}
	}
	return code;
}

static int dm_reload(const struct action *action, struct kernel *kernel, struct error *error)
{
	const struct kernel_operations *operations = kernel->operations;
	struct error ignored;
	int code = prepare(action, kernel, error);

	if (code != 0)
		return code;
	if (!action->suspend)
		return operations->dm_reload(kernel, action->name, &action->table, error);
	code = operations->dm_suspend(kernel, action->name, error);
	if (code != 0)
		return code;
	code = survivors_check(&action->survivors, kernel, error);
	if (code == 0)
		code = knowledge_check(action, kernel, error);
	if (code == 0)
		code = operations->dm_reload(kernel, action->name, &action->table, error);
	/* It goes on as it was. */
	if (code != 0)
		operations->dm_resume(kernel, action->name, &ignored);
	return code;
}

static int label_write(const struct action *action, struct kernel *kernel, struct error *error)
{
	uint8_t block[LABEL_BLOCK_BYTES], superblock[SUPERBLOCK_BLOCK_BYTES];
	int code = 0;

	if (action->superblock != NULL) {
		code = superblock_read(kernel, action->superblock, superblock, error);
		if (code == 0 && !superblock_is_complete(superblock))
			code = error_set(error, ERROR_UNAVAILABLE, "%s does not say yet that the rebuild is complete",
					 action->superblock);
	}
	if (code != 0)
		return code;
	label_encode(&action->label, block);
	return kernel->operations->block_write(kernel, action->name, 0, block, sizeof(block), error);
}

/* It is guarded before anybody can connect: nobody listens at a port without a link. */
static int port_link(const struct action *action, struct kernel *kernel, struct error *error)
{
	const struct kernel_operations *operations = kernel->operations;

	if (action->gate != 0 && operations->gate_join(kernel, action->gate, action->port, error) != 0)
		return (int)error->code;
	return operations->port_link(kernel, action->port, action->nqn, error);
}

static int port_remove(const struct action *action, struct kernel *kernel, struct error *error)
{
	const struct kernel_operations *operations = kernel->operations;
	int code = operations->port_remove(kernel, action->mark, action->port, error);

	return code == 0 && owner_mark_is_leg(action->mark) ? operations->gate_leave(kernel, action->port, error)
							    : code;
}

int action_execute(const struct action *action, struct kernel *kernel, struct arena *arena,
		   struct observed_label *ret_label, struct error *error)
{
	const struct kernel_operations *operations = kernel->operations;
	int code;

	switch (action->kind) {
	case ACTION_DM_CREATE:
		code = prepare(action, kernel, error);
		return code != 0 ? code
				 : operations->dm_create(kernel, action->name, action->uuid, &action->table, error);
	case ACTION_DM_REMOVE:
		return operations->dm_remove(kernel, action->name, error);
	case ACTION_DM_RELOAD:
		return dm_reload(action, kernel, error);
	case ACTION_DM_RESUME:
		return operations->dm_resume(kernel, action->name, error);
	case ACTION_DM_DRAIN:
		return operations->dm_drain(kernel, action->name, action->drain, error);
	case ACTION_LABEL_READ:
		return label_read(action, kernel, arena, ret_label, error);
	case ACTION_LABEL_CHECK:
		return label_check(action, kernel, arena, ret_label, error);
	case ACTION_LABEL_MATCH:
		return label_match(action, kernel, arena, ret_label, error);
	case ACTION_LABEL_MARK:
		return label_mark(action, kernel, arena, ret_label, error);
	case ACTION_LABEL_WRITE:
		return label_write(action, kernel, error);
	case ACTION_ERRORS_FORGET:
		return operations->errors_forget(kernel, action->label.ld, action->label.rebuild_ms, error);
	case ACTION_CACHE_OFF:
		return operations->cache_off(kernel, action->name, error);
	case ACTION_PAUSE_HOLD:
		return operations->pause_hold(kernel, &action->pause, error);
	case ACTION_PAUSE_SNAP:
		return operations->pause_snap(kernel, action->pause.volume, action->pause.number, error);
	case ACTION_PAUSE_RELEASE:
		return operations->pause_release(kernel, action->pause.volume, action->pause.number, error);
	case ACTION_PAUSE_FORGET:
		return operations->pause_forget(kernel, action->pause.volume, action->pause.number, error);
	case ACTION_THIN_DELETE:
		return operations->thin_delete(kernel, action->name, action->number, error);
	case ACTION_FILL:
		return operations->block_fill(kernel, action->name, action->start, NULL, error);
	case ACTION_PORT_CREATE:
		return operations->port_create(kernel, action->mark, action->port, action->address, error);
	case ACTION_PORT_REMOVE:
		return port_remove(action, kernel, error);
	case ACTION_SUBSYSTEM_CREATE:
		return operations->subsystem_create(kernel, action->nqn, action->cntlid_min, action->cntlid_max, error);
	case ACTION_SUBSYSTEM_REMOVE:
		return operations->subsystem_remove(kernel, action->nqn, error);
	case ACTION_NAMESPACE_CREATE:
		return operations->namespace_create(kernel, action->nqn, &action->ns, error);
	case ACTION_NAMESPACE_GROUP:
		return operations->namespace_set_group(kernel, action->nqn, action->ns.nsid, action->ns.group, error);
	case ACTION_NAMESPACE_RESIZE:
		return operations->namespace_resize(kernel, action->nqn, action->ns.nsid, error);
	case ACTION_NAMESPACE_REMOVE:
		return operations->namespace_remove(kernel, action->nqn, action->ns.nsid, error);
	case ACTION_HOST_ALLOW:
		return operations->host_allow(kernel, action->nqn, action->host, error);
	case ACTION_HOST_DENY:
		return operations->host_deny(kernel, action->nqn, action->host, error);
	case ACTION_LINK:
		return port_link(action, kernel, error);
	case ACTION_UNLINK:
		return operations->port_unlink(kernel, action->port, action->nqn, error);
	case ACTION_REJECT:
		return operations->port_reject(kernel, action->port, action->nqn, error);
	case ACTION_ADMIT:
		return operations->port_admit(kernel, action->port, action->nqn, error);
	case ACTION_DROP:
		code = survivors_check(&action->survivors, kernel, error);
		return code != 0 ? code : operations->import_drop(kernel, &action->import, error);
	case ACTION_RESCAN:
		return operations->import_rescan(kernel, &action->import, error);
	case ACTION_CONNECT:
		return operations->import_connect(kernel, &action->import, error);
	case ACTION_DISCONNECT:
		return operations->import_disconnect(kernel, &action->import, error);
	}
	return error_set(error, ERROR_INTERNAL, "unknown action %d", (int)action->kind);
}
