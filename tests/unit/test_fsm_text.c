/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_fsm_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/model/names.h"
#include "lib/wire/codec.h"

static const char *tail(const char *nqn)
{
	const char *prefix = "nqn.2026-11.io.dnvme:c0ffee:";

	return nqn != NULL && strncmp(nqn, prefix, strlen(prefix)) == 0 ? nqn + strlen(prefix) : "(foreign)";
}

/* The uuids of the parked namespaces are those of their epoch. */
static void print_parked(struct buffer *text, const struct desired_export *export, const struct desired_parked *parked)
{
	buffer_printf(text, "  parked %s to %s:", tail(parked->nqn), tail(parked->host_nqn));
	assert_int_equal(parked->lds.count, export->lds.count);
	for (size_t i = 0; i < parked->lds.count; i++) {
		uint8_t uuid[16];

		names_ld_uuid("c0ffee", export->lds.items[i].id, parked->epoch, uuid);
		assert_memory_equal(uuid, parked->lds.items[i].uuid, sizeof(uuid));
		assert_int_equal(parked->lds.items[i].nsid, export->lds.items[i].nsid);
		buffer_printf(text, " %" PRIu64 "+%" PRIu64, parked->lds.items[i].nsid,
			      parked->lds.items[i].size_bytes / RIG_EXTENT_BYTES);
	}
	buffer_printf(text, "\n");
}

static void print_leg(struct buffer *text, const struct desired_leg *leg)
{
	buffer_printf(text, "  leg %" PRIu64 " s%" PRIu64 "e%" PRIu64 " nsid %" PRIu64 "%s", leg->index, leg->slot,
		      leg->epoch, leg->nsid, leg->format ? " format" : "");
	if (leg->thick || leg->writethrough || leg->rebuild_rate_bytes > 0)
		buffer_printf(text, "%s%s rate %" PRIu64, leg->thick ? " thick" : "",
			      leg->writethrough ? " writethrough" : "", leg->rebuild_rate_bytes);
	if (!leg->local)
		buffer_printf(text, " import %s %s:%" PRIu64 "\n", tail(leg->nqn), leg->address, leg->port);
	else
		buffer_printf(text, " local\n");
	for (size_t g = 0; g < leg->groups.count; g++) {
		for (size_t m = 0; m < leg->groups.items[g].members.count; m++) {
			const struct desired_member *member = &leg->groups.items[g].members.items[m];

			buffer_printf(text, "    g%zu ld%" PRIu64 " %s %s %s:%" PRIu64 " %" PRIu64 "%s%s\n", g,
				      member->ld, ENUM_NAME(ld_state, member->state), tail(member->nqn),
				      member->address, member->port, member->size_bytes / RIG_EXTENT_BYTES,
				      member->resync ? " resync" : "", member->unlabelled ? " unlabelled" : "");
		}
	}
}

static void print_consumer(struct buffer *text, const struct desired_consumer *consumer)
{
	buffer_printf(text, "  consumer %s as %s of %s from %s%s%s", consumer->id, tail(consumer->host_nqn),
		      tail(consumer->nqn), consumer->address, consumer->admitted ? " admitted" : "",
		      consumer->parked ? " parked" : "");
	if (consumer->generation != 0)
		buffer_printf(text, " in generation %" PRIu64, consumer->generation);
	buffer_printf(text, "\n");
}

void text_desired(const struct desired *desired, struct buffer *text)
{
	buffer_clear(text);
	buffer_printf(text, "%s %s:%" PRIu64 " colour %" PRIu64 " as %s\n", desired->node, desired->address,
		      desired->port, desired->colour, tail(desired->host_nqn));
	for (size_t i = 0; i < desired->disks.count; i++)
		buffer_printf(text, "disk d%" PRIu64 " %s %s:%" PRIu64 " r%" PRIu64 "\n", desired->disks.items[i].id,
			      desired->disks.items[i].path, desired->disks.items[i].address,
			      desired->disks.items[i].port, desired->disks.items[i].revision);
	for (size_t i = 0; i < desired->exports.count; i++) {
		const struct desired_export *export = &desired->exports.items[i];

		buffer_printf(text, "export %s %s to %s r%" PRIu64 "\n", export->id, tail(export->nqn),
			      tail(export->host_nqn), export->revision);
		for (size_t j = 0; j < export->lds.count; j++) {
			const struct desired_ld *ld = &export->lds.items[j];

			buffer_printf(text, "  ld%" PRIu64 " nsid %" PRIu64, ld->id, ld->nsid);
			for (size_t k = 0; k < ld->ranges.count; k++)
				buffer_printf(text, " %" PRIu64 "+%" PRIu64,
					      ld->ranges.items[k].start_bytes / RIG_EXTENT_BYTES,
					      ld->ranges.items[k].length_bytes / RIG_EXTENT_BYTES);
			buffer_printf(text, "%s\n", ld->formatted ? " label" : "");
		}
		for (size_t j = 0; j < export->parked.count; j++)
			print_parked(text, export, &export->parked.items[j]);
	}
	for (size_t i = 0; i < desired->volumes.count; i++) {
		const struct desired_volume *volume = &desired->volumes.items[i];

		buffer_printf(text, "volume v%" PRIu64 " %s %s slot %" PRIu64 "%s%s r%" PRIu64 "\n", volume->id,
			      tail(volume->nqn), ENUM_NAME(controller_role, volume->role), volume->slot,
			      volume->legs_wanted ? " legs" : "", volume->top_wanted ? " top" : "", volume->revision);
		for (size_t j = 0; j < volume->legs.count; j++)
			print_leg(text, &volume->legs.items[j]);
		for (size_t j = 0; j < volume->consumers.count; j++)
			print_consumer(text, &volume->consumers.items[j]);
		for (size_t j = 0; j < volume->hosts.count; j++)
			buffer_printf(text, "  host %s\n", volume->hosts.items[j]);
	}
	for (size_t i = 0; i < desired->removed.count; i++)
		buffer_printf(text, "removed %s %s r%" PRIu64 "\n",
			      ENUM_NAME(object_kind, desired->removed.items[i].kind), desired->removed.items[i].id,
			      desired->removed.items[i].revision);
	buffer_append(text, "", 1);
}

/* What the codec takes is what can be sent. */
void text_encodes(const struct desired *desired)
{
	struct buffer bytes = BUFFER_INIT;
	struct error error;

	if (codec_encode(schema_desired(), desired, CODEC_NAMED, &bytes, &error) != 0)
		fail_msg("%s", error.message);
	buffer_free(&bytes);
}

struct desired text_project(struct rig *rig, const char *node)
{
	struct desired desired;
	struct error error;

	if (fsm_project_node(rig->fsm, node, &rig->arena, &desired, &error) != 0)
		fail_msg("%s", error.message);
	text_encodes(&desired);
	return desired;
}

void text_golden(struct rig *rig, const char *node, const char *wanted)
{
	struct desired desired = text_project(rig, node);
	struct buffer text = BUFFER_INIT;

	text_desired(&desired, &text);
	assert_string_equal((const char *)text.data, wanted);
	buffer_free(&text);
}
