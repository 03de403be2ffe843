/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/cli/volume_explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/event_text.h"
#include "client/cli/size.h"
#include "client/cli/when.h"

struct pen {
	const struct volume_explanation *about;
	struct arena *arena;
	struct buffer *output;
	bool failed;
};

/* The longest line has two texts of LIMIT_TEXT. */
static void put(struct pen *pen, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct pen *pen, const char *format, ...)
{
	char text[3 * LIMIT_TEXT];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pen->failed = pen->failed || buffer_append(pen->output, text, strlen(text)) != 0;
}

/* "12 s", "5 min", "3 h", "2 days": enough to see how long ago something was. */
static const char *span(uint64_t ms, char text[32])
{
	uint64_t seconds = ms / 1000;

	if (seconds < 120)
		snprintf(text, 32, "%" PRIu64 " s", seconds);
	else if (seconds < 120 * 60)
		snprintf(text, 32, "%" PRIu64 " min", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(text, 32, "%" PRIu64 " h", seconds / 3600);
	else
		snprintf(text, 32, "%" PRIu64 " days", seconds / 86400);
	return text;
}

/* ", since 2026-11-27T00:01:12Z (12 s)"; nothing of a moment that is not known. */
static void put_since(struct pen *pen, uint64_t since_ms)
{
	uint64_t now_ms = pen->about->time_ms;
	char when[WHEN_TEXT_SIZE], text[32];

	if (since_ms > 0)
		put(pen, ", since %s (%s)", when_format(since_ms, when),
		    span(now_ms > since_ms ? now_ms - since_ms : 0, text));
}

/* --- who holds what -------------------------------------------------------------------------------------------------
 */

static void put_health(struct pen *pen, enum health health)
{
	if (health != HEALTH_ONLINE)
		put(pen, ", the node is %s", health != 0 ? ENUM_NAME(health, health) : "gone");
}

static void put_slots(struct pen *pen)
{
	for (size_t i = 0; i < pen->about->slots.count; i++) {
		const struct explained_slot *slot = &pen->about->slots.items[i];

		put(pen, "  slot %" PRIu64 "  node %s  %s, epoch %" PRIu64, slot->slot, slot->holder,
		    ENUM_NAME(slot_phase, slot->phase), slot->epoch);
		if (slot->reason != 0)
			put(pen, ", after %s", ENUM_NAME(move_reason, slot->reason));
		put_since(pen, slot->since_ms);
		put_health(pen, slot->health);
		put(pen, "\n");
	}
	for (size_t i = 0; i < pen->about->controllers.count; i++) {
		const struct explained_controller *controller = &pen->about->controllers.items[i];
		bool retired = controller->role == CONTROLLER_ROLE_RETIRED;

		put(pen, "  %s  node %s  ", ENUM_NAME(controller_role, controller->role), controller->node);
		if (controller->ready)
			put(pen, "%s", retired ? "has nothing left" : "ready");
		else
			put(pen, "%s: %s", retired ? "has something left" : "not ready",
			    controller->note != NULL ? controller->note : "?");
		put(pen, "\n");
	}
}

static void put_progress(struct pen *pen, const struct explained_member *member)
{
	char done[SIZE_TEXT_SIZE], total[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];

	if (member->total_bytes == 0)
		return;
	size_format(member->done_bytes, done);
	size_format(member->total_bytes, total);
	size_format(member->rate_bytes, rate);
	put(pen, ", %s of %s", done, total);
	if (member->rate_bytes > 0)
		put(pen, ", %s a second", rate);
}

static void put_members(struct pen *pen)
{
	const struct explained_member *before = NULL;

	for (size_t i = 0; i < pen->about->members.count; i++) {
		const struct explained_member *member = &pen->about->members.items[i];

		if (before == NULL || before->leg != member->leg || before->group != member->group)
			put(pen, "  leg %" PRIu64 ", group %" PRIu64 "  of slot %" PRIu64 "\n", member->leg,
			    member->group, member->slot);
		before = member;
		put(pen, "    ld%" PRIu64 "  disk d%" PRIu64 "  node %s  %s", member->ld, member->disk,
		    member->node != NULL ? member->node : "?", ENUM_NAME(ld_state, member->state));
		if (member->reason != 0)
			put(pen, " (%s)", ENUM_NAME(stale_reason, member->reason));
		if (!member->well)
			put_since(pen, member->since_ms);
		put_progress(pen, member);
		if (member->leaves)
			put(pen, ", leaves for another disk");
		if (member->node != NULL)
			put_health(pen, member->health);
		put(pen, "\n");
	}
	if (pen->about->members.count < pen->about->member_count)
		put(pen, "  and %" PRIu64 " copies more\n", pen->about->member_count - pen->about->members.count);
}

static void put_names(struct pen *pen, const char *what, const struct string_list *names)
{
	for (size_t i = 0; i < names->count; i++)
		put(pen, "%s%s", i == 0 ? what : ", ", names->items[i]);
}

static void put_hosts(struct pen *pen)
{
	for (size_t i = 0; i < pen->about->hosts.count; i++) {
		const struct explained_host *host = &pen->about->hosts.items[i];

		put(pen, "  host  %s", host->nqn);
		put_names(pen, "  reaches ", &host->live);
		put_names(pen, "  does not reach ", &host->lost);
		put(pen, "%s\n", host->tells ? "" : "  does not tell of its paths");
	}
	if (pen->about->hosts.count == 0)
		put(pen, "  no host is attached\n");
}

/* --- the rest -------------------------------------------------------------------------------------------------------
 */

static void put_findings(struct pen *pen)
{
	const struct finding_list *findings = &pen->about->findings;

	if (findings->count > 0)
		put(pen, "what is wrong\n");
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->items[i];

		put(pen, "  - %s: %s", finding->object, finding->seen);
		put_since(pen, finding->since_ms);
		put(pen, "\n");
		if (finding->meaning != NULL)
			put(pen, "      %s\n", finding->meaning);
	}
	if (findings->count < pen->about->finding_count)
		put(pen, "  and %" PRIu64 " more\n", pen->about->finding_count - findings->count);
	if (pen->about->stops_if.count > 0)
		put(pen, "what must not be lost now\n");
	for (size_t i = 0; i < pen->about->stops_if.count; i++)
		put(pen, "  - %s\n", pen->about->stops_if.items[i]);
}

static void put_lines(struct pen *pen, const char *lines)
{
	while (lines != NULL && lines[0] != '\0') {
		int length = (int)strcspn(lines, "\n");

		put(pen, "      %.*s\n", length, lines);
		lines += length + (lines[length] == '\n');
	}
}

static void put_prospects(struct pen *pen)
{
	char when[WHEN_TEXT_SIZE], text[32];

	if (pen->about->prospects.count > 0)
		put(pen, "what happens next\n");
	for (size_t i = 0; i < pen->about->prospects.count; i++) {
		const struct prospect *prospect = &pen->about->prospects.items[i];
		uint64_t left_ms = prospect->at_ms > pen->about->time_ms ? prospect->at_ms - pen->about->time_ms : 0;

		switch (prospect->kind) {
		case PROSPECT_KIND_NOW:
			put(pen, "  - now: %s\n", prospect->text);
			break;
		case PROSPECT_KIND_THEN:
			put(pen, "  - at %s (in %s): %s\n", when_format(prospect->at_ms, when), span(left_ms, text),
			    prospect->text);
			break;
		case PROSPECT_KIND_WAITS:
			put(pen, "  - it waits for: %s\n", prospect->text);
			break;
		case PROSPECT_KIND_BLOCKED:
			put(pen, "  - nothing can be done: %s\n", prospect->text);
			break;
		}
		put_lines(pen, prospect->details);
	}
	if (pen->about->advice.count > 0)
		put(pen, "what you can do\n");
	for (size_t i = 0; i < pen->about->advice.count; i++) {
		const struct advice *advice = &pen->about->advice.items[i];

		put(pen, "  - %s\n", advice->text);
		if (advice->command != NULL)
			put(pen, "      %s\n", advice->command);
	}
}

static void put_events(struct pen *pen)
{
	char when[WHEN_TEXT_SIZE];

	if (pen->about->events.count > 0)
		put(pen, "what happened last\n");
	for (size_t i = 0; i < pen->about->events.count; i++) {
		const struct event *event = &pen->about->events.items[i];
		const char *text = event_text(event, pen->arena);

		pen->failed = pen->failed || text == NULL;
		put(pen, "  %s  %s\n", when_format(event->time_ms, when), text != NULL ? text : "");
	}
}

int volume_explain_draw(const struct volume_explanation *explanation, struct arena *arena, struct buffer *output)
{
	struct pen pen = { .about = explanation, .arena = arena, .output = output };

	put(&pen, "volume %s (v%" PRIu64 ") is %s: %s", explanation->name, explanation->id,
	    ENUM_NAME(volume_condition, explanation->condition), explanation->sentence);
	put_since(&pen, explanation->since_ms);
	put(&pen, "\nwho holds what\n");
	put_slots(&pen);
	put_members(&pen);
	put_hosts(&pen);
	put_findings(&pen);
	put_prospects(&pen);
	put_events(&pen);
	return pen.failed ? -1 : 0;
}

int volume_explain_run(struct cli *cli, struct error *error)
{
	struct name_request request = { .name = cli->arguments[0] };
	struct volume_explanation explanation = { 0 };
	struct buffer text = BUFFER_INIT;
	int rc = cli_call(cli, NULL, METHOD_ID_VOLUME_EXPLAIN, &request, &explanation, error);

	if (rc != 0)
		return cli_prefix(error, "cannot explain volume \"%s\"", request.name);
	if (cli->json)
		return cli_print_json(schema_volume_explanation(), &explanation, error);
	rc = volume_explain_draw(&explanation, &cli->arena, &text) == 0 ? 0 : error_set_nomem(error);
	if (rc == 0)
		fwrite(text.data, 1, text.size, stdout);
	buffer_free(&text);
	return rc;
}
