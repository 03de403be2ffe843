/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backend/sim/sim_state.h"
#include "agent/plan.h"
#include "agent/target.h"
#include "fsm/fsm.h"
#include "src/agents.h"
#include "tests/sim/fabric.h"
#include "tests/sim/label_look.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"
#include "tests/sim/snapshots.h"

/* --- always ----------------------------------------------------------------------------------------------------- */

#define LABELS_MAX 512
#define VOLUMES_LOOKED 64
#define LINES_MAX 1024
#define DISKS_LOOKED 8 /* of a node */
#define STATE_LOOKS 5  /* at replicas and what they hold, in each so-manieth look */

/* The highest epoch that was seen in a label, by its place. */
static struct label_seen {
	const struct storage *node;
	char device[64];
	uint64_t start, ld, epoch;
} labels_seen[LABELS_MAX];
static size_t label_count;

static void label_note(const struct storage *node, const struct sim_block *block, const struct label_said *label)
{
	struct label_seen *seen = NULL;

	for (size_t i = 0; i < label_count && seen == NULL; i++) {
		if (labels_seen[i].node == node && labels_seen[i].start == block->start &&
		    labels_seen[i].ld == label->ld && strcmp(labels_seen[i].device, block->device) == 0)
			seen = &labels_seen[i];
	}
	if (seen == NULL) {
		if (label_count == LABELS_MAX)
			return;
		seen = &labels_seen[label_count++];
		*seen = (struct label_seen){ .node = node, .start = block->start, .ld = label->ld };
		snprintf(seen->device, sizeof(seen->device), "%s", block->device);
	}
	if (label->epoch < seen->epoch)
		world_fail("the label of ld%" PRIu64 " on %s was lowered from epoch %" PRIu64 " to %" PRIu64, label->ld,
			   node->name, seen->epoch, label->epoch);
	seen->epoch = label->epoch;
}

/* What a Disk Node lets reach a medium: no two exports have the same place, and none is below its label. */
static void exports_check(const struct storage *node)
{
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;

	for (size_t i = 0; i < kernel->state.blocks.count; i++) {
		const struct sim_block *block = &kernel->state.blocks.items[i];
		struct label_said label;

		if (block->device[0] != '/')
			continue;
		label = label_look(&block->data);
		if (label.is_label)
			label_note(node, block, &label);
	}
	for (size_t i = 0; i < kernel->observed.subsystems.count; i++) {
		const struct observed_subsystem *a = &kernel->observed.subsystems.items[i];

		for (size_t n = 0; n < a->namespaces.count; n++) {
			const char *path = a->namespaces.items[n].path;

			if (strncmp(path, "/dev/mapper/dnvme-ld-", 21) != 0)
				continue;
			for (size_t j = i + 1; j < kernel->observed.subsystems.count; j++) {
				const struct observed_subsystem *b = &kernel->observed.subsystems.items[j];

				for (size_t m = 0; m < b->namespaces.count; m++) {
					if (strcmp(b->namespaces.items[m].path, path) == 0)
						world_fail("%s exports %s twice: %s and %s", node->name, path, a->nqn,
							   b->nqn);
				}
			}
		}
	}
}

static bool volume_has(const struct volume *volume, uint64_t ld)
{
	for (size_t l = 0; l < volume->legs.count; l++) {
		for (size_t g = 0; g < volume->legs.items[l].groups.count; g++) {
			const struct ld_list *members = &volume->legs.items[l].groups.items[g].members;

			for (size_t m = 0; m < members->count; m++) {
				if (members->items[m].id == ld)
					return members->items[m].state != LD_STATE_FREED;
			}
		}
	}
	for (size_t i = 0; i < volume->leaving.count; i++) {
		if (volume->leaving.items[i].ld->id == ld)
			return volume->leaving.items[i].ld->state != LD_STATE_FREED;
	}
	return false;
}

/* "…-ld-d1.v2.s0.ld3…": sscanf() would take most of the time of this check. */
static bool ld_parse(const char *uuid, uint64_t *ret_volume, uint64_t *ret_ld)
{
	const char *at = strstr(uuid, "-ld-d"), *volume, *ld;
	char *end;

	if (at == NULL || (volume = strstr(at, ".v")) == NULL || (ld = strstr(volume, ".ld")) == NULL)
		return false;
	*ret_volume = strtoull(volume + 2, &end, 10);
	if (end == volume + 2 || *end != '.')
		return false;
	*ret_ld = strtoull(ld + 3, &end, 10);
	return end != ld + 3;
}

/* A look at a state: each volume is read once. */
struct volumes_look {
	struct fsm *fsm;
	struct arena arena;
	size_t count;
	struct volume_looked {
		uint64_t id;
		bool is_there;
		struct volume volume;
	} volumes[VOLUMES_LOOKED];
};

static const struct volume_looked *volume_look(struct volumes_look *look, uint64_t id)
{
	struct volume_looked *volume = look->volumes;
	struct error error;

	while (volume < look->volumes + look->count && volume->id != id)
		volume++;
	if (volume < look->volumes + look->count)
		return volume;
	if (look->count == VOLUMES_LOOKED)
		world_fail("more volumes than the check has room for");
	look->count++;
	volume->id = id;
	volume->is_there = fsm_volume_get(look->fsm, id, &look->arena, &volume->volume, &error) == 0;
	return volume;
}

/* Extents are free only when no Disk Node has an LD on them any more. */
static void releases_check(struct fsm *fsm)
{
	static struct volumes_look look;

	look.fsm = fsm;
	look.count = 0;
	for (size_t n = 0; n < node_count; n++) {
		const struct observed_dm_list *dms = &((const struct sim_kernel *)nodes[n].kernel)->observed.dms;
		const struct volume_looked *found;
		uint64_t id, ld;

		for (size_t i = 0; i < dms->count; i++) {
			if (!ld_parse(dms->items[i].uuid, &id, &ld))
				continue;
			found = volume_look(&look, id);
			if (!found->is_there || !volume_has(&found->volume, ld))
				world_fail("extents are free before they were released: %s still has ld%" PRIu64
					   " of v%" PRIu64,
					   nodes[n].name, ld, id);
		}
	}
	arena_free(&look.arena);
}

/* Where on a disk a line of an LD's table lies. */
struct line {
	const struct observed_dm *dm;
	uint64_t device[3], length; /* device: major, minor, first sector */
};

static bool line_read(const struct observed_dm *dm, const struct observed_target *target, struct line *ret_line)
{
	const char *at = target->params;
	char *end;

	*ret_line = (struct line){ .dm = dm, .length = target->length };
	for (size_t i = 0; i < 3; i++) {
		ret_line->device[i] = strtoull(at, &end, 10);
		if (end == at || (i < 2 && *end != (i == 0 ? ':' : ' ')))
			return false;
		at = end + 1;
	}
	return true;
}

/* No extent is another LD's before its Disk Node let go of it. */
void check_extents(const struct storage *node)
{
	static struct line lines[LINES_MAX];
	const struct sim_kernel *kernel = (const struct sim_kernel *)node->kernel;
	const struct observed_dm_list *dms = &kernel->observed.dms;
	size_t count = 0;

	for (size_t i = 0; i < dms->count; i++) {
		for (size_t t = 0; strncmp(dms->items[i].name, "dnvme-ld-", 9) == 0 && t < dms->items[i].targets.count;
		     t++) {
			if (count == LINES_MAX)
				world_fail("more extents than the check has room for");
			count += line_read(&dms->items[i], &dms->items[i].targets.items[t], &lines[count]);
		}
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t j = i + 1; j < count; j++) {
			const struct line *a = &lines[i], *b = &lines[j];

			if (a->dm != b->dm && a->device[0] == b->device[0] && a->device[1] == b->device[1] &&
			    a->device[2] < b->device[2] + b->length && b->device[2] < a->device[2] + a->length)
				world_fail("extents are used again before they were released: %s and %s on %s",
					   a->dm->name, b->dm->name, node->name);
		}
	}
}

static bool state_knows_volatile(struct fsm *fsm, const char *node, const char *path)
{
	struct arena arena = ARENA_INIT;
	struct disk_list disks;
	struct error error;
	bool more, knows = false;

	if (fsm_disk_list(fsm, node, 0, 0, &arena, &disks, &more, &error) != 0)
		return true; /* the node is not there any more */
	for (size_t i = 0; i < disks.count && !knows; i++)
		knows = strcmp(disks.items[i].path, path) == 0 && disks.items[i].volatile_cache;
	arena_free(&arena);
	return knows;
}

/* Each write to such a disk asks. What was so stays so until something is committed. */
static bool server_knows_volatile(const struct server_machine *server, const struct storage *node, size_t disk,
				  const char *path)
{
	static struct server_moment known[SERVERS_MAX][NODES_MAX][DISKS_LOOKED];
	struct server_moment *last = &known[server - server_machines][node - nodes][disk], now = server_moment(server);

	if (server_moment_is(last, &now))
		return true;
	if (!state_knows_volatile(server->dnvmed->fsm, node->name, path))
		return false;
	*last = now;
	return true;
}

void check_cached_write(const struct storage *node, uint64_t minor)
{
	const struct observed_disk_list *disks = &((const struct sim_kernel *)node->kernel)->observed.disks;
	const char *path = "";
	size_t disk = 0;

	while (disk < disks->count && disks->items[disk].minor != minor)
		disk++;
	if (disk < disks->count)
		path = disks->items[disk].path;
	if (disk >= DISKS_LOOKED)
		world_fail("more disks than the check has room for");
	for (size_t i = 0; i < server_count; i++) {
		const struct server_machine *server = &server_machines[i];

		if (server->process == NULL || server->process->ended || server->dnvmed == NULL ||
		    server->dnvmed->fsm == NULL || server->dnvmed->stage != DNVMED_RUNNING)
			continue;
		if (server_knows_volatile(server, node, disk, path))
			return;
	}
	/* The one that knew may have died, and the others not have heard yet that it is committed. */
	if (server_newest() != NULL)
		world_fail("%s serves %s through a volatile write cache that the state says is off", node->name, path);
}

/* Servers that applied the same hold the same, whoever leads. */
static void replicas_check(void)
{
	const struct server_machine *first = NULL;
	uint8_t digests[SERVERS_MAX][16];

	for (size_t i = 0; i < server_count; i++) {
		struct server_machine *server = &server_machines[i];
		struct error error;

		if (server->process == NULL || server->process->ended || server->dnvmed == NULL ||
		    server->dnvmed->fsm == NULL || server->dnvmed->stage != DNVMED_RUNNING ||
		    server_digest(server, digests[i], &error) != 0)
			continue;
		for (size_t j = 0; j < i; j++) {
			first = &server_machines[j];
			if (first->process == NULL || first->dnvmed == NULL || first->dnvmed->fsm == NULL ||
			    first->dnvmed->stage != DNVMED_RUNNING ||
			    fsm_applied_index(first->dnvmed->fsm) != fsm_applied_index(server->dnvmed->fsm))
				continue;
			if (memcmp(digests[i], digests[j], sizeof(digests[0])) != 0)
				world_fail("replicas differ: %s and %s at index %" PRIu64, first->machine->name,
					   server->machine->name, fsm_applied_index(server->dnvmed->fsm));
		}
	}
}

/* A block may lie in another kernel than the one that wrote it: so the changes of all count. */
void check_always(void)
{
	static uint64_t looked_changes;
	static unsigned turns;
	uint64_t changes = 0;
	const struct dnvmed *newest;

	if (++turns % STATE_LOOKS == 0) {
		replicas_check();
		newest = server_newest();
		if (newest != NULL)
			releases_check(newest->fsm);
	}
	for (size_t i = 0; i < node_count; i++)
		changes += kernel_sim_changes(nodes[i].kernel);
	if (changes == looked_changes)
		return;
	looked_changes = changes;
	for (size_t i = 0; i < node_count; i++) {
		exports_check(&nodes[i]);
		check_extents(&nodes[i]);
	}
}

/* --- in peace --------------------------------------------------------------------------------------------------- */

static bool no(char *ret_why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool no(char *ret_why, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ret_why, size, format, arguments);
	va_end(arguments);
	return false;
}

/* The audit is of the state, so that one with the digest of a state that passed needs no other. */
static int state_check(struct fsm *fsm, const uint8_t digest[16], struct error *error)
{
	static uint8_t passed[16];
	static bool has_passed;
	int code;

	if (has_passed && memcmp(passed, digest, sizeof(passed)) == 0)
		return 0;
	code = fsm_check(fsm, error);
	if (code == 0) {
		memcpy(passed, digest, sizeof(passed));
		has_passed = true;
	}
	return code;
}

static bool servers_agree(const struct server_machine *leader, char *ret_why, size_t size)
{
	uint8_t first[16], digest[16];
	struct error error = { 0 };

	for (size_t i = 0; i < server_count; i++) {
		struct server_machine *server = &server_machines[i];

		if (server->process == NULL || server->process->ended || server->dnvmed == NULL ||
		    server->dnvmed->consensus == NULL)
			return no(ret_why, size, "%s does not run", server->machine->name);
		if (fsm_revision(server->dnvmed->fsm) != fsm_revision(leader->dnvmed->fsm))
			return no(ret_why, size, "%s is at revision %" PRIu64 ", the leader at %" PRIu64,
				  server->machine->name, fsm_revision(server->dnvmed->fsm),
				  fsm_revision(leader->dnvmed->fsm));
	}
	for (size_t i = 0; i < server_count; i++) {
		struct fsm *fsm = server_machines[i].dnvmed->fsm;
		uint8_t *ret_digest = i == 0 ? first : digest;

		if (server_digest(&server_machines[i], ret_digest, &error) != 0 ||
		    state_check(fsm, ret_digest, &error) != 0)
			world_fail("the state of %s: %s\n%s", server_machines[i].machine->name, error.message,
				   error.details);
		if (i == 0 || memcmp(first, digest, sizeof(first)) == 0)
			continue;
		/* A command may be remembered without another revision: one of them may not have applied it yet. */
		if (fsm_applied_index(server_machines[i].dnvmed->fsm) !=
		    fsm_applied_index(server_machines[0].dnvmed->fsm))
			return no(ret_why, size, "%s and %s differ, at entries %" PRIu64 " and %" PRIu64,
				  server_machines[0].machine->name, server_machines[i].machine->name,
				  fsm_applied_index(server_machines[0].dnvmed->fsm),
				  fsm_applied_index(server_machines[i].dnvmed->fsm));
		world_fail("replicas differ: %s and %s at the same revision", server_machines[0].machine->name,
			   server_machines[i].machine->name);
	}
	return true;
}

/* Labels are read when they are needed; that is no work left over. */
static bool is_work(const struct action *action)
{
	return action->kind != ACTION_LABEL_READ;
}

static bool node_is_as_desired(const struct server_machine *leader, struct storage *node, struct arena *arena,
			       char *ret_why, size_t size)
{
	struct observed observed;
	struct desired desired;
	struct target target;
	struct error error = { 0 };
	struct plan plan;

	if (fsm_project_node(leader->dnvmed->fsm, node->name, arena, &desired, &error) != 0)
		return no(ret_why, size, "%s: %s", node->name, error.message);
	desired.reset = desired.complete = true;
	node_enter(node);
	if (node->kernel->operations->observe(node->kernel, arena, &observed, &error) != 0 ||
	    target_build(&desired, arena, &target, &error) != 0 ||
	    plan_make(&observed, &target, arena, &plan, &error) != 0) {
		node_leave();
		return no(ret_why, size, "%s: %s", node->name, error.message);
	}
	node_leave();
	for (size_t i = 0; i < plan.actions.count; i++) {
		struct buffer text = BUFFER_INIT;

		if (!is_work(&plan.actions.items[i]))
			continue;
		if (action_print(&plan.actions.items[i], &text) != 0 || buffer_append(&text, "", 1) != 0)
			abort();
		no(ret_why, size, "%s is not as desired: %s", node->name, (const char *)text.data);
		buffer_free(&text);
		return false;
	}
	for (size_t i = 0, used = 0; i < plan.notes.count && used < size; i++)
		used += (size_t)snprintf(ret_why + used, size - used, "%s%s: %s", i > 0 ? "; " : "", node->name,
					 plan.notes.items[i].text);
	if (plan.notes.count > 0)
		return false;
	return true;
}

static bool volume_is_well(struct fsm *fsm, uint64_t id, struct arena *arena, char *ret_why, size_t size)
{
	struct volume volume;
	struct error error = { 0 };

	if (fsm_volume_get(fsm, id, arena, &volume, &error) != 0)
		return no(ret_why, size, "%s", error.message);
	for (size_t i = 0; i < volume.slots.count; i++) {
		if (volume.slots.items[i].phase != SLOT_PHASE_SERVING)
			return no(ret_why, size, "v%" PRIu64 " slot %zu is in phase %d", id, i,
				  (int)volume.slots.items[i].phase);
	}
	for (size_t l = 0; l < volume.legs.count; l++) {
		for (size_t g = 0; g < volume.legs.items[l].groups.count; g++) {
			const struct group *group = &volume.legs.items[l].groups.items[g];

			for (size_t m = 0; m < group->members.count; m++) {
				if (group->members.items[m].state != LD_STATE_IN_SYNC)
					return no(ret_why, size, "v%" PRIu64 ": ld%" PRIu64 " is in state %d", id,
						  group->members.items[m].id, (int)group->members.items[m].state);
			}
		}
	}
	for (size_t i = 0; i < volume.controllers.count; i++) {
		if (volume.controllers.items[i].role == CONTROLLER_ROLE_RETIRED)
			return no(ret_why, size, "v%" PRIu64 ": %s is retired", id, volume.controllers.items[i].node);
	}
	return no(ret_why, size, "v%" PRIu64 " in phase %d has %zu controllers", id, (int)volume.phase,
		  volume.controllers.count);
}

/* Each thin device of a snapshot is one that its volume's record has; and none that is to be deleted is left. */
static bool thins_are_known(struct fsm *fsm, struct arena *arena, char *ret_why, size_t size)
{
	struct error error = { 0 };
	struct volume volume;
	const char *identity;

	for (size_t i = 0; (identity = fabric_thin(i)) != NULL; i++) {
		uint64_t id, leg, number;
		bool known = false;

		/* Those of volumes that are gone went with their pools. */
		if (!snapshots_parse(identity, &id, &leg, &number) ||
		    fsm_volume_get(fsm, id, arena, &volume, &error) != 0)
			continue;
		for (size_t j = 0; j < volume.snapshots.count; j++)
			known = known || volume.snapshots.items[j].thin == number;
		for (size_t j = 0; j < volume.dropped_thins.count; j++) {
			if (volume.dropped_thins.items[j].thin == number)
				return no(ret_why, size, "%s is still to be deleted", identity);
		}
		if (!known)
			world_fail("a thin device is left over: %s", identity);
	}
	return true;
}

bool check_converged(char *ret_why, size_t size)
{
	struct server_machine *leader = server_leader();
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	uint64_t *ids;
	size_t count;
	bool well;

	if (leader == NULL)
		return no(ret_why, size, "nobody leads");
	if (!servers_agree(leader, ret_why, size))
		return false;
	well = fsm_transition_list(leader->dnvmed->fsm, 0, 100, &arena, &ids, &count, &error) == 0;
	if (!well)
		no(ret_why, size, "%s", error.message);
	else if (count > 0)
		well = volume_is_well(leader->dnvmed->fsm, ids[0], &arena, ret_why, size);
	if (well)
		well = thins_are_known(leader->dnvmed->fsm, &arena, ret_why, size);
	for (size_t i = 0; i < node_count && well; i++)
		well = node_is_as_desired(leader, &nodes[i], &arena, ret_why, size);
	arena_free(&arena);
	return well;
}

bool check_empty(char *ret_why, size_t size)
{
	struct server_machine *leader = server_leader();
	struct arena arena = ARENA_INIT;
	struct error error = { 0 };
	struct volume_list volumes;
	struct disk_list disks;
	bool more, well = true;

	if (!check_converged(ret_why, size))
		return false;
	if (fsm_disk_list(leader->dnvmed->fsm, NULL, 0, 0, &arena, &disks, &more, &error) != 0 ||
	    fsm_volume_list(leader->dnvmed->fsm, NULL, 0, &arena, &volumes, &more, &error) != 0)
		return no(ret_why, size, "%s", error.message);
	if (volumes.count > 0)
		well = no(ret_why, size, "%s is there", volumes.items[0].name);
	for (size_t i = 0; i < disks.count && well; i++) {
		if (disks.items[i].extents_free != disks.items[i].extents_total)
			well = no(ret_why, size, "d%" PRIu64 " has %" PRIu64 " of %" PRIu64 " extents free",
				  disks.items[i].id, disks.items[i].extents_free, disks.items[i].extents_total);
	}
	arena_free(&arena);
	for (size_t i = 0; i < node_count && well; i++) {
		const struct sim_kernel *kernel = (const struct sim_kernel *)nodes[i].kernel;

		if (kernel->observed.dms.count > 0)
			well = no(ret_why, size, "%s still has %s", nodes[i].name, kernel->observed.dms.items[0].name);
		else if (kernel->observed.imports.count > 0)
			well = no(ret_why, size, "%s still imports %s", nodes[i].name,
				  kernel->observed.imports.items[0].nqn);
		else if (kernel->observed.subsystems.count > 0)
			well = no(ret_why, size, "%s still has %s", nodes[i].name,
				  kernel->observed.subsystems.items[0].nqn);
	}
	return well;
}
