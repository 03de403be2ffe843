/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a volume: what is seen, since when, and what that means for it. */
#include <string.h>

#include "lib/base/limits.h"
#include "src/leader/explain_internal.h"
#include "src/leader/slots.h"

/* --- nodes ----------------------------------------------------------------------------------------------------------
 */

/* What a node has of the volume. */
static const char *node_role(struct explaining *this, const struct online_node *node)
{
	const char *text = "";
	size_t copies = 0;

	for (size_t i = 0; i < this->volume->slots.count; i++) {
		if (strcmp(this->volume->slots.items[i].holder, node->name) == 0)
			text = explain_say(this, "%s%sslot %zu", text, text[0] != '\0' ? ", " : "it has ", i);
	}
	for (size_t i = 0; i < this->volume->controllers.count; i++) {
		const struct controller *controller = &this->volume->controllers.items[i];

		if (controller->role != CONTROLLER_ROLE_ACTIVE && strcmp(controller->node, node->name) == 0)
			text = explain_say(this, "%s%s%s", text, text[0] != '\0' ? ", " : "it has ",
					   controller->role == CONTROLLER_ROLE_STANDBY
						   ? "a standby"
						   : "what is left of a controller, to be taken down");
	}
	for (size_t i = 0; i < this->ld_count; i++)
		copies += this->lds[i].disk != NULL && this->lds[i].disk->node == node;
	if (copies > 0)
		text = explain_say(this, "%s%s%zu of %zu LDs", text, text[0] != '\0' ? ", " : "it has ", copies,
				   this->ld_count);
	return text[0] != '\0' ? text : NULL;
}

static void nodes_find(struct explaining *this)
{
	for (size_t i = 0; i < this->view->node_count; i++) {
		const struct online_node *node = &this->view->nodes[i];
		const char *object = explain_say(this, "node %s", node->name), *role = node_role(this, node);
		uint64_t silent = explain_ago(this, this->view->now_ms - node->heard_ms);

		/* One that has nothing of it any more, or not yet. */
		if (role == NULL)
			continue;
		if (node->health == HEALTH_OFFLINE)
			explain_finding(this, object, "it is offline: its agent is not heard of", silent, role);
		else if (node->health == HEALTH_SUSPECT)
			explain_finding(this, object, "several heartbeats of its agent are missing", silent, role);
		else if (node->health == HEALTH_UNKNOWN)
			explain_finding(this, object, "this leader is new, and has not heard of its agent yet", silent,
					role);
		if (node->unable && node->health == HEALTH_ONLINE && online_controller(this->view, node->name) != NULL)
			explain_finding(
				this, object,
				"its kernel lacks the write-through target, which the volume's durability needs", 0,
				"no slot moves to it");
	}
}

/* --- slots and their holders ----------------------------------------------------------------------------------------
 */

static void slot_find(struct explaining *this, size_t index, const struct slot *slot)
{
	static const char *const seen[] = {
		[SLOT_PHASE_FENCING] = "it is fencing: Disk Nodes and other holders shut out who had it before",
		[SLOT_PHASE_ASSEMBLING] = "it is assembling: its holder builds the legs from their copies",
		[SLOT_PHASE_EXPORTING] = "it is exporting: its holder makes it reachable for hosts and other holders",
	};

	if (slot->phase != SLOT_PHASE_SERVING)
		explain_finding(this, explain_say(this, "slot %zu", index), seen[slot->phase], slot->since_ms,
				explain_say(this,
					    "what hosts send to it waits until node %s serves it, and is not lost",
					    slot->holder));
}

static void holder_find(struct explaining *this, const struct slot *slot)
{
	const struct reported_health *health = online_health(this->view, slot->holder);

	if (health == NULL)
		return;
	if (health->lapsed == slot->epoch)
		explain_finding(this, explain_say(this, "node %s", slot->holder),
				"its gate was shut while it imported the legs of others", 0,
				"it begins anew before it serves again");
	for (size_t i = 0; i < health->peers.count; i++) {
		const struct peer_status *peer = &health->peers.items[i];

		if (!peer->path_lost || peer->slot >= this->volume->slots.count)
			continue;
		explain_finding(this, explain_say(this, "node %s", slot->holder),
				explain_say(this, "its path to slot %llu at node %s is lost",
					    (unsigned long long)peer->slot,
					    this->volume->slots.items[peer->slot].holder),
				explain_ago(this, peer->path_lost_ms + (this->view->now_ms - health->received_ms)),
				"what hosts send through it to the legs of that slot waits");
	}
}

static void standbys_find(struct explaining *this)
{
	uint64_t count = 0;

	for (size_t i = 0; i < this->volume->controllers.count; i++)
		count += this->volume->controllers.items[i].role == CONTROLLER_ROLE_STANDBY;
	if (count < this->volume->standbys)
		explain_finding(this, "standbys",
				explain_say(this, "%llu of %llu are there", (unsigned long long)count,
					    (unsigned long long)this->volume->standbys),
				0, "when a holder dies, hosts may have to wait until a node was made ready");
}

/* --- copies ---------------------------------------------------------------------------------------------------------
 */

static const char *where(struct explaining *this, const struct explained_ld *seen)
{
	const struct online_node *node = seen->disk != NULL ? seen->disk->node : NULL;

	return explain_say(this, "ld%llu on d%llu of node %s", (unsigned long long)seen->ld->id,
			   (unsigned long long)seen->ld->disk, node != NULL ? node->name : "?");
}

/* What is left of a group. */
static const char *left(struct explaining *this, const struct explained_group *group)
{
	const char *name = explain_group_text(this, group);

	if (group->copies == 0 && group->served)
		return explain_say(this,
				   "%s has no copy that can be relied on, but its holder says that it goes on with one",
				   name);
	if (group->copies == 0)
		return explain_say(this, "%s has no copy that can be relied on: what hosts send to it waits", name);
	if (group->last == NULL || this->volume->copies == 1)
		return explain_say(this, "%s has %zu of %llu copies", name, group->copies,
				   (unsigned long long)this->volume->copies);
	return explain_say(this, "%s has 1 of %llu copies, %s: without it, hosts wait", name,
			   (unsigned long long)this->volume->copies, where(this, group->last));
}

static const char *ld_seen(struct explaining *this, const struct explained_ld *seen)
{
	const struct ld *ld = seen->ld;

	switch (ld->state) {
	case LD_STATE_STALE:
		return explain_say(this, "it is stale (%s), and misses what was written meanwhile",
				   ld->stale_reason != 0 ? ENUM_NAME(stale_reason, ld->stale_reason) : "unknown");
	case LD_STATE_REBUILDING:
		if (seen->status != NULL && seen->status->total_bytes > 0)
			return explain_say(this, "it is rebuilt: %.1f %% so far",
					   100.0 * (double)seen->status->done_bytes /
						   (double)seen->status->total_bytes);
		return "it is rebuilt";
	case LD_STATE_FREED:
		return "it is lost: its node was forgotten";
	case LD_STATE_IN_SYNC:
		break;
	}
	if (seen->disk != NULL && online_is(seen->disk->node, HEALTH_OFFLINE))
		return "its node is offline";
	if (seen->path_lost_ms > 0)
		return explain_say(this, "node %s has no path to it",
				   this->volume->slots.items[seen->group->slot].holder);
	if (ld->withheld)
		return "nobody may reach it until the holder told whether its group went on without the other copy";
	if (ld->doubtful)
		return "its node began anew, and it may lack what its write cache had";
	if (seen->status != NULL && seen->status->health == MEMBER_HEALTH_FAILED)
		return "its group dropped it after an error";
	return NULL;
}

static void ld_find(struct explaining *this, const struct explained_ld *seen)
{
	const char *text = ld_seen(this, seen);

	/* A copy that leaves for another disk is no loss. */
	if (text == NULL || (seen->leaves && seen->ld->stale_reason == STALE_REASON_MOVED))
		return;
	/* Which ones are not told any more need no words. */
	if (this->out->findings.count == LIMIT_EXPLAINED) {
		this->out->finding_count++;
		return;
	}
	explain_finding(this, where(this, seen), text, explain_missing_since(this, seen), left(this, seen->group));
}

static void disk_find(struct explaining *this, const struct explained_ld *seen)
{
	const struct ld_errors *errors = online_errors_told(this->view, seen->ld, seen->group->slot);
	const char *object = explain_say(this, "disk d%llu of node %s", (unsigned long long)seen->ld->disk,
					 seen->disk->node != NULL ? seen->disk->node->name : "?");
	bool counts;

	if (seen->disk->gone)
		explain_finding(this, object, "its node has no such block device any more", 0, left(this, seen->group));
	if (errors == NULL || (errors->reads == 0 && errors->writes == 0 && !errors->missed))
		return;
	counts = online_errors(this->view, seen->ld, seen->group->slot) != NULL;
	explain_finding(this, object,
			explain_say(this, "ld%llu on it returned %llu read and %llu write errors%s",
				    (unsigned long long)seen->ld->id, (unsigned long long)errors->reads,
				    (unsigned long long)errors->writes,
				    errors->missed ? ", or more, as not all were recorded" : ""),
			0,
			counts ? "should its holder die now, this copy would not be sure to have everything"
			       : "its group repaired what could not be read");
}

static void copies_find(struct explaining *this)
{
	for (size_t i = 0; i < this->ld_count; i++) {
		ld_find(this, &this->lds[i]);
		if (this->lds[i].disk != NULL && this->lds[i].ld->state != LD_STATE_FREED)
			disk_find(this, &this->lds[i]);
	}
}

/* --- what agents and hosts say --------------------------------------------------------------------------------------
 */

static void problems_find(struct explaining *this)
{
	static const char *const kinds[] = { [OBJECT_KIND_DISK] = "disk",
					     [OBJECT_KIND_EXPORT] = "export",
					     [OBJECT_KIND_VOLUME] = "controller",
					     [OBJECT_KIND_CONSUMER] = "consumer export",
					     [OBJECT_KIND_SNAPSHOT] = "snapshot" };

	for (size_t i = 0; i < this->view->node_count; i++) {
		const struct online_node *node = &this->view->nodes[i];
		struct object_status_list problems = { 0 };

		/* What one that is away said last is old. */
		if (node->reported == NULL || node->health == HEALTH_OFFLINE)
			continue;
		if (reported_problems(node->reported, this->volume->id, this->arena, &problems, NULL) != 0) {
			this->failed = true;
			return;
		}
		for (size_t p = 0; p < problems.count; p++) {
			const struct object_status *problem = &problems.items[p];

			explain_finding(
				this,
				explain_say(this, "%s %s of node %s", kinds[problem->kind], problem->id, node->name),
				explain_say(this, "%s%s%s", ENUM_NAME(object_state, problem->state),
					    problem->message != NULL ? ": " : "",
					    problem->message != NULL ? problem->message : ""),
				0, NULL);
		}
	}
}

static void hosts_find(struct explaining *this)
{
	for (size_t h = 0; h < this->out->hosts.count; h++) {
		const struct explained_host *host = &this->out->hosts.items[h];
		const char *nodes = "";
		bool any = false;

		for (size_t i = 0; i < this->volume->slots.count; i++) {
			const char *holder = this->volume->slots.items[i].holder;

			for (size_t n = 0; n < host->live.count; n++)
				any = any || strcmp(host->live.items[n], holder) == 0;
			for (size_t n = 0; n < host->lost.count; n++) {
				if (strcmp(host->lost.items[n], holder) == 0)
					nodes = explain_say(this, "%s%s%s", nodes, nodes[0] != '\0' ? ", " : "",
							    holder);
			}
		}
		if (nodes[0] != '\0')
			explain_finding(this, host->nqn,
					explain_say(this, "it says that it has no path to node %s", nodes), 0,
					any ? "it goes through the other holders" : "it can neither read nor write");
	}
}

/* --- what must not be lost ------------------------------------------------------------------------------------------
 */

static void stop_add(struct explaining *this, const char *text)
{
	const char **room = explain_room(this, (struct any_list *)&this->out->stops_if, sizeof(*room), LIMIT_EXPLAINED);

	if (room != NULL)
		*room = text;
}

static void stops_find(struct explaining *this)
{
	for (size_t i = 0; i < this->ld_count && this->out->stops_if.count < LIMIT_EXPLAINED; i++) {
		const struct explained_ld *seen = &this->lds[i];

		if (seen == seen->group->last)
			stop_add(this, explain_say(this, "%s, the only copy of %s", where(this, seen),
						   explain_group_text(this, seen->group)));
	}
	for (size_t i = 0; i < this->volume->slots.count; i++) {
		const struct slot *slot = &this->volume->slots.items[i];

		if (slots_successor(this->view, MOVE_REASON_FAILOVER) == NULL &&
		    !online_is(online_node(this->view, slot->holder), HEALTH_OFFLINE))
			stop_add(this, explain_say(this, "node %s, as no standby is there to take slot %zu over",
						   slot->holder, i));
	}
}

void explain_found(struct explaining *this)
{
	bool online = this->volume->phase == VOLUME_PHASE_ONLINE;

	nodes_find(this);
	for (size_t i = 0; online && i < this->volume->slots.count; i++) {
		slot_find(this, i, &this->volume->slots.items[i]);
		holder_find(this, &this->volume->slots.items[i]);
	}
	if (online) {
		standbys_find(this);
		copies_find(this);
		hosts_find(this);
	}
	problems_find(this);
	if (online && this->volume->hold == NULL)
		stops_find(this);
}
