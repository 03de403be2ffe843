/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Projections while a slot moves and while members are lost and replaced, on all nodes. */
#include "tests/unit/test_fsm_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct rig_shape shape = {
	.name = "db1", .size_bytes = 4 * GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 1
};

/* Slot 0: n1, with ld1 on n1 and ld2 on n2. Slot 1: n2, with ld3 on n3 and ld4 on n4. The standby is n3. */
static uint64_t make(struct rig *rig)
{
	uint64_t id;

	rig_open(rig);
	rig_rack(rig, 5, 1, 100 * GIB);
	id = rig_create(rig, &shape);
	rig_advance_until(rig, id, VOLUME_PHASE_ONLINE);
	return id;
}

/* What the node is told of the volume, without the node, its disk, and revisions; each of these is the volume's. */
static void told(struct rig *rig, uint64_t id, const char *node, const char *first, const char *second)
{
	struct desired desired = text_project(rig, node);
	struct buffer text = BUFFER_INIT, wanted = BUFFER_INIT, seen = BUFFER_INIT;
	uint64_t revision = rig_volume(rig, id).revision;
	const char *rest;

	for (size_t i = 0; i < desired.exports.count; i++)
		assert_int_equal(desired.exports.items[i].revision, revision);
	for (size_t i = 0; i < desired.volumes.count; i++)
		assert_int_equal(desired.volumes.items[i].revision, revision);
	for (size_t i = 0; i < desired.removed.count; i++)
		assert_int_equal(desired.removed.items[i].revision, revision);
	desired.disks.count = 0;
	text_desired(&desired, &text);
	rest = strchr((const char *)text.data, '\n') + 1;
	for (const char *end; (end = strstr(rest, " r")) != NULL && *rest != '\0';) {
		/* " r12" at the end of a line. */
		size_t digits = strspn(end + 2, "0123456789");

		if (digits > 0 && end[2 + digits] == '\n') {
			buffer_append(&seen, rest, (size_t)(end - rest));
			rest = end + 2 + digits;
		} else {
			buffer_append(&seen, rest, (size_t)(end + 2 - rest));
			rest = end + 2;
		}
	}
	buffer_printf(&seen, "%s", rest);
	buffer_append(&seen, "", 1);
	buffer_printf(&wanted, "%s%s", first, second);
	buffer_append(&wanted, "", 1);
	assert_string_equal((const char *)seen.data, (const char *)wanted.data);
	buffer_free(&text);
	buffer_free(&seen);
	buffer_free(&wanted);
}

static const char e_n1[] = "export d1.v1.s0 slot:d1.v1.s0:e2 to node:n3\n"
			   "  ld1 nsid 1 1+515 label\n"
			   "  parked slot:d1.v1.s0:e1 to node:n1: 1+515\n"
			   "removed volume v1\n";
static const char gone_n1[] = "removed volume v1\n"
			      "removed export d1.v1.s0\n";
static const char export_n2[] = "export d2.v1.s0 slot:d2.v1.s0:e2 to node:n3\n"
				"  ld2 nsid 2 1+515 label\n"
				"  parked slot:d2.v1.s0:e1 to node:n1: 2+515\n";
static const char old_n2[] = "volume v1 volume:v1 active slot 1 legs top\n"
			     "  leg 0 s0e2 nsid 1 import leg:v1.s0.n2 10.0.0.1:20001\n"
			     "  leg 1 s1e1 nsid 2 local\n"
			     "    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
			     "    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
			     "  consumer v1.s1.n3 as node:n3 of leg:v1.s1.n3 from 10.0.0.3 in generation 3\n"
			     "  consumer v1.s1.n1 as node:n1 of leg:v1.s1.n1 from 10.0.0.1 parked\n";
static const char exporting_n2[] =
	"volume v1 volume:v1 active slot 1 legs top\n"
	"  leg 0 s0e2 nsid 1 import leg:v1.s0.n2 10.0.0.3:20001\n"
	"  leg 1 s1e1 nsid 2 local\n"
	"    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
	"    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
	"  consumer v1.s1.n3 as node:n3 of leg:v1.s1.n3 from 10.0.0.3 admitted in generation 3\n"
	"  consumer v1.s1.n1 as node:n1 of leg:v1.s1.n1 from 10.0.0.1 parked\n";
static const char new_n2[] = "volume v1 volume:v1 active slot 1 legs top\n"
			     "  leg 0 s0e2 nsid 1 import leg:v1.s0.n2 10.0.0.3:20001\n"
			     "  leg 1 s1e1 nsid 2 local\n"
			     "    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
			     "    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
			     "  consumer v1.s1.n3 as node:n3 of leg:v1.s1.n3 from 10.0.0.3 in generation 3\n"
			     "  consumer v1.s1.n1 as node:n1 of leg:v1.s1.n1 from 10.0.0.1 parked\n";
static const char clean_n2[] = "export d2.v1.s0 slot:d2.v1.s0:e2 to node:n3\n"
			       "  ld2 nsid 2 1+515 label\n"
			       "volume v1 volume:v1 active slot 1 legs top\n"
			       "  leg 0 s0e2 nsid 1 import leg:v1.s0.n2 10.0.0.3:20001\n"
			       "  leg 1 s1e1 nsid 2 local\n"
			       "    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
			       "    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
			       "  consumer v1.s1.n3 as node:n3 of leg:v1.s1.n3 from 10.0.0.3 in generation 3\n";
static const char export_n3[] = "export d3.v1.s1 slot:d3.v1.s1:e1 to node:n2\n"
				"  ld3 nsid 1 1+515 label\n";
static const char standby_n3[] = "volume v1 volume:v1 standby slot 0 top\n";
static const char assembling_n3[] = "volume v1 volume:v1 standby slot 0 legs top\n"
				    "  leg 0 s0e2 nsid 1 local\n"
				    "    g0 ld1 stale slot:d1.v1.s0:e2 10.0.0.1:4500 515\n"
				    "    g0 ld2 in-sync slot:d2.v1.s0:e2 10.0.0.2:4500 515\n"
				    "  leg 1 s1e1 nsid 2 import leg:v1.s1.n3 10.0.0.2:20001\n";
static const char exporting_n3[] =
	"volume v1 volume:v1 active slot 0 legs top\n"
	"  leg 0 s0e2 nsid 1 local\n"
	"    g0 ld1 stale slot:d1.v1.s0:e2 10.0.0.1:4500 515\n"
	"    g0 ld2 in-sync slot:d2.v1.s0:e2 10.0.0.2:4500 515\n"
	"  leg 1 s1e1 nsid 2 import leg:v1.s1.n3 10.0.0.2:20001\n"
	"  consumer v1.s0.n2 as node:n2 of leg:v1.s0.n2 from 10.0.0.2 admitted in generation 3\n";
static const char serving_n3[] = "volume v1 volume:v1 active slot 0 legs top\n"
				 "  leg 0 s0e2 nsid 1 local\n"
				 "    g0 ld1 stale slot:d1.v1.s0:e2 10.0.0.1:4500 515\n"
				 "    g0 ld2 in-sync slot:d2.v1.s0:e2 10.0.0.2:4500 515\n"
				 "  leg 1 s1e1 nsid 2 import leg:v1.s1.n3 10.0.0.2:20001\n"
				 "  consumer v1.s0.n2 as node:n2 of leg:v1.s0.n2 from 10.0.0.2 in generation 3\n";
static const char rebuilt_n3[] = "volume v1 volume:v1 active slot 0 legs top\n"
				 "  leg 0 s0e2 nsid 1 local\n"
				 "    g0 ld5 rebuilding slot:d5.v1.s0:e2 10.0.0.5:4500 515 unlabelled\n"
				 "    g0 ld2 in-sync slot:d2.v1.s0:e2 10.0.0.2:4500 515\n"
				 "  leg 1 s1e1 nsid 2 import leg:v1.s1.n3 10.0.0.2:20001\n"
				 "  consumer v1.s0.n2 as node:n2 of leg:v1.s0.n2 from 10.0.0.2 in generation 3\n";
static const char n4[] = "export d4.v1.s1 slot:d4.v1.s1:e1 to node:n2\n"
			 "  ld4 nsid 2 1+515 label\n";
static const char n5[] = "export d5.v1.s0 slot:d5.v1.s0:e2 to node:n3\n"
			 "  ld5 nsid 1 1+515\n"
			 "  parked slot:d5.v1.s0:e1 to node:n1: 1+515\n";
static const char clean_n5[] = "export d5.v1.s0 slot:d5.v1.s0:e2 to node:n3\n"
			       "  ld5 nsid 1 1+515\n";

/* n1, which holds slot 0 and a member of it, dies and comes back. */
static void test_failover(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = make(&rig);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	told(&rig, id, "n1", e_n1, "");
	told(&rig, id, "n2", export_n2, old_n2);
	told(&rig, id, "n3", export_n3, standby_n3);
	told(&rig, id, "n4", n4, "");
	told(&rig, id, "n5", "", "");
	assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED).code, 0);
	told(&rig, id, "n1", gone_n1, "");
	told(&rig, id, "n2", export_n2, old_n2);
	told(&rig, id, "n3", export_n3, standby_n3);
	told(&rig, id, "n4", n4, "");
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING).code, 0);
	told(&rig, id, "n1", gone_n1, "");
	told(&rig, id, "n2", export_n2, old_n2);
	told(&rig, id, "n3", export_n3, assembling_n3);
	told(&rig, id, "n4", n4, "");
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_EXPORTING).code, 0);
	told(&rig, id, "n1", gone_n1, "");
	told(&rig, id, "n2", export_n2, exporting_n2);
	told(&rig, id, "n3", export_n3, exporting_n3);
	told(&rig, id, "n4", n4, "");
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_SERVING).code, 0);
	told(&rig, id, "n1", gone_n1, "");
	told(&rig, id, "n2", export_n2, new_n2);
	told(&rig, id, "n3", export_n3, serving_n3);
	told(&rig, id, "n4", n4, "");
	told(&rig, id, "n5", "", "");
	/* The lost member is replaced by one on n5. */
	assert_int_equal(rig_replace(&rig, id, 0, 1, 5).code, 0);
	told(&rig, id, "n1", gone_n1, "");
	told(&rig, id, "n2", export_n2, new_n2);
	told(&rig, id, "n3", export_n3, rebuilt_n3);
	told(&rig, id, "n4", n4, "");
	told(&rig, id, "n5", n5, "");
	/* n1 said that it is clean: nothing is parked any more. */
	assert_int_equal(rig_controller_drop(&rig, id, "n1", 1).code, 0);
	told(&rig, id, "n1", "removed export d1.v1.s0\n", "");
	told(&rig, id, "n2", clean_n2, "");
	told(&rig, id, "n3", export_n3, rebuilt_n3);
	told(&rig, id, "n4", n4, "");
	told(&rig, id, "n5", clean_n5, "");
	assert_int_equal(rig_free_one(&rig, id, "ld1").code, 0);
	told(&rig, id, "n1", "", "");
	rig_close(&rig);
}

static const struct desired_volume *only(const struct desired *desired)
{
	assert_int_equal(desired->volumes.count, 1);
	return &desired->volumes.items[0];
}

static const struct desired_member *member_of(const struct desired *desired, size_t leg, size_t member)
{
	assert_true(only(desired)->legs.items[leg].local);
	return &only(desired)->legs.items[leg].groups.items[0].members.items[member];
}

/* The Disk Node n4 is lost to n2, comes back, and is rebuilt by bitmap or as a whole. */
static void test_rebuild(void **state)
{
	static const char gone[] = "removed export d4.v1.s1\n", blank[] =
									"export d4.v1.s1 slot:d4.v1.s1:e1 to node:n2\n"
									"  ld4 nsid 2 1+515\n";
	struct desired desired;
	struct rig rig;
	uint64_t id, began_ms = 0;

	(void)state;
	id = make(&rig);
	for (int resync = 1; resync >= 0; resync--) {
		assert_int_equal(rig_stale(&rig, id, 1, "ld4", STALE_REASON_PATH_LOST).code, 0);
		told(&rig, id, "n4", gone, "");
		desired = text_project(&rig, "n2");
		assert_int_equal(member_of(&desired, 1, 1)->state, LD_STATE_STALE);
		assert_false(member_of(&desired, 1, 1)->resync || member_of(&desired, 1, 1)->unlabelled);
		assert_int_equal(rig_rebuild(&rig, id, 1, 4, resync).code, 0);
		told(&rig, id, "n4", resync ? n4 : blank, "");
		/* Errors of its disk from before do not count any more; those of a rebuild that was before, neither. */
		desired = text_project(&rig, "n4");
		assert_true(desired.exports.items[0].lds.items[0].rebuild_ms > began_ms);
		began_ms = desired.exports.items[0].lds.items[0].rebuild_ms;
		desired = text_project(&rig, "n2");
		assert_int_equal(member_of(&desired, 1, 1)->state, LD_STATE_REBUILDING);
		assert_int_equal(member_of(&desired, 1, 1)->resync, resync);
		assert_int_equal(member_of(&desired, 1, 1)->unlabelled, !resync);
		assert_int_equal(rig_in_sync(&rig, id, 1, 4).code, 0);
		told(&rig, id, "n4", n4, "");
		desired = text_project(&rig, "n4");
		assert_int_equal(desired.exports.items[0].lds.items[0].rebuild_ms, 0);
		desired = text_project(&rig, "n2");
		assert_int_equal(member_of(&desired, 1, 1)->state, LD_STATE_IN_SYNC);
		assert_false(member_of(&desired, 1, 1)->resync || member_of(&desired, 1, 1)->unlabelled);
	}
	rig_close(&rig);
}

static const char *import_address(struct rig *rig)
{
	struct desired desired = text_project(rig, "n2");

	assert_false(only(&desired)->legs.items[0].local);
	return only(&desired)->legs.items[0].address;
}

/* Consumers import from the last one that exported to them. */
static void test_import_address(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = make(&rig);
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.1");
	/* n3 is lost before it exported anything. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n4", MOVE_REASON_FAILOVER).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.1");
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.1");
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_EXPORTING).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.4");
	/* n4 begins anew, while n1 and n3 are still retired. */
	assert_int_equal(rig_slot_move(&rig, id, 0, "n4", MOVE_REASON_RESTART).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.4");
	/* n4 is lost: from it; and once it is clean, there is nothing to import from but the new holder. */
	assert_int_equal(rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n5", MOVE_REASON_FAILOVER).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.4");
	assert_int_equal(rig_controller_drop(&rig, id, "n4", 4).code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.5");
	/* A standby again, it exports nothing. */
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	assert_string_equal(import_address(&rig), "10.0.0.5");
	rig_check(&rig);
	rig_close(&rig);
}

/* Each holder of an older epoch has its parked export. */
static void test_parked(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	id = make(&rig);
	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 0, "n5", MOVE_REASON_FAILOVER).code, 0);
	told(&rig, id, "n1",
	     "export d1.v1.s0 slot:d1.v1.s0:e3 to node:n5\n"
	     "  ld1 nsid 1 1+515 label\n"
	     "  parked slot:d1.v1.s0:e2 to node:n3: 1+515\n"
	     "  parked slot:d1.v1.s0:e1 to node:n1: 1+515\n",
	     "removed volume v1\n");
	/* The holder of slot 1 parks them as consumers; slot 1 itself is not touched. */
	told(&rig, id, "n4", n4, "");
	/* A standby that was taken away held nothing, and nothing is parked for it. */
	assert_int_equal(rig_controller_add(&rig, id, "n4").code, 0);
	assert_int_equal(rig_controller_retire(&rig, id, "n4").code, 0);
	told(&rig, id, "n4", n4, "removed volume v1\n");
	/* n5 serves: of the retired ones none was its consumer. */
	rig_slot_serve(&rig, id, 0);
	told(&rig, id, "n5",
	     "volume v1 volume:v1 active slot 0 legs top\n"
	     "  leg 0 s0e3 nsid 1 local\n"
	     "    g0 ld1 in-sync slot:d1.v1.s0:e3 10.0.0.1:4500 515\n"
	     "    g0 ld2 in-sync slot:d2.v1.s0:e3 10.0.0.2:4500 515\n"
	     "  leg 1 s1e1 nsid 2 import leg:v1.s1.n5 10.0.0.2:20001\n"
	     "  consumer v1.s0.n2 as node:n2 of leg:v1.s0.n2 from 10.0.0.2 in generation 4\n",
	     "");
	told(&rig, id, "n2",
	     "export d2.v1.s0 slot:d2.v1.s0:e3 to node:n5\n"
	     "  ld2 nsid 2 1+515 label\n"
	     "  parked slot:d2.v1.s0:e2 to node:n3: 2+515\n"
	     "  parked slot:d2.v1.s0:e1 to node:n1: 2+515\n",
	     "volume v1 volume:v1 active slot 1 legs top\n"
	     "  leg 0 s0e3 nsid 1 import leg:v1.s0.n2 10.0.0.5:20001\n"
	     "  leg 1 s1e1 nsid 2 local\n"
	     "    g0 ld3 in-sync slot:d3.v1.s1:e1 10.0.0.3:4500 515\n"
	     "    g0 ld4 in-sync slot:d4.v1.s1:e1 10.0.0.4:4500 515\n"
	     "  consumer v1.s1.n5 as node:n5 of leg:v1.s1.n5 from 10.0.0.5 in generation 4\n"
	     "  consumer v1.s1.n3 as node:n3 of leg:v1.s1.n3 from 10.0.0.3 parked\n"
	     "  consumer v1.s1.n1 as node:n1 of leg:v1.s1.n1 from 10.0.0.1 parked\n");
	rig_close(&rig);
}

/* A holder that begins anew has its own export of before parked, until it has what it was told of the new epoch. */
static void test_parked_anew(void **state)
{
	static const char once[] = "export d4.v1.s1 slot:d4.v1.s1:e2 to node:n2\n"
				   "  ld4 nsid 2 1+515 label\n"
				   "  parked slot:d4.v1.s1:e1 to node:n2: 2+515\n";
	static const char twice[] = "export d4.v1.s1 slot:d4.v1.s1:e3 to node:n2\n"
				    "  ld4 nsid 2 1+515 label\n"
				    "  parked slot:d4.v1.s1:e1 to node:n2: 2+515\n"
				    "  parked slot:d4.v1.s1:e2 to node:n2: 2+515\n";
	static const char clean[] = "export d4.v1.s1 slot:d4.v1.s1:e3 to node:n2\n"
				    "  ld4 nsid 2 1+515 label\n";
	static const char moved[] = "export d4.v1.s1 slot:d4.v1.s1:e5 to node:n5\n"
				    "  ld4 nsid 2 1+515 label\n"
				    "  parked slot:d4.v1.s1:e3 to node:n2: 2+515\n"
				    "  parked slot:d4.v1.s1:e4 to node:n2: 2+515\n";
	struct rig rig;
	uint64_t id;

	(void)state;
	id = make(&rig);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_PARTED).code, 0);
	told(&rig, id, "n4", once, "");
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_ASSEMBLING).code, 0);
	told(&rig, id, "n4", once, "");
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	told(&rig, id, "n4", twice, "");
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_ASSEMBLING).code, 0);
	told(&rig, id, "n4", twice, "");
	/* Slot 0 has nothing to do with it, nor has the export to its holder. */
	told(&rig, id, "n1",
	     "export d1.v1.s0 slot:d1.v1.s0:e1 to node:n1\n"
	     "  ld1 nsid 1 1+515 label\n",
	     "volume v1 volume:v1 active slot 0 legs top\n"
	     "  leg 0 s0e1 nsid 1 local\n"
	     "    g0 ld1 in-sync slot:d1.v1.s0:e1 10.0.0.1:4500 515\n"
	     "    g0 ld2 in-sync slot:d2.v1.s0:e1 10.0.0.2:4500 515\n"
	     "  leg 1 s1e3 nsid 2 import leg:v1.s1.n1 10.0.0.2:20001\n"
	     "  consumer v1.s0.n2 as node:n2 of leg:v1.s0.n2 from 10.0.0.2 in generation 4\n");
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_EXPORTING).code, 0);
	told(&rig, id, "n4", clean, "");
	/* It begins anew, and is lost before it said anything. */
	assert_int_equal(rig_slot_advance(&rig, id, 1, SLOT_PHASE_SERVING).code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n2", MOVE_REASON_RESTART).code, 0);
	assert_int_equal(rig_controller_add(&rig, id, "n5").code, 0);
	assert_int_equal(rig_slot_move(&rig, id, 1, "n5", MOVE_REASON_FAILOVER).code, 0);
	told(&rig, id, "n4", moved, "");
	rig_slot_serve(&rig, id, 1);
	told(&rig, id, "n4", moved, "");
	rig_check(&rig);
	rig_close(&rig);
}

/* Deleted in each phase of a move, with a member lost and one replaced. */
static void test_deleted(void **state)
{
	for (int phase = SLOT_PHASE_SERVING; phase <= SLOT_PHASE_EXPORTING; phase++) {
		bool served = phase == SLOT_PHASE_SERVING || phase == SLOT_PHASE_EXPORTING;
		struct desired desired;
		struct rig rig;
		uint64_t id;

		(void)state;
		id = make(&rig);
		assert_int_equal(rig_stale(&rig, id, 1, "ld3", STALE_REASON_MEDIUM).code, 0);
		assert_int_equal(rig_replace(&rig, id, 1, 3, 5).code, 0);
		assert_int_equal(rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER).code, 0);
		assert_int_equal(rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED).code, 0);
		for (int next = SLOT_PHASE_ASSEMBLING; next <= phase; next++)
			assert_int_equal(rig_slot_advance(&rig, id, 0, (enum slot_phase)next).code, 0);
		if (phase == SLOT_PHASE_SERVING)
			rig_slot_serve(&rig, id, 0);
		assert_int_equal(rig_delete(&rig, "db1").code, 0);
		rig_check(&rig);
		desired = text_project(&rig, "n3");
		assert_int_equal(only(&desired)->role, served ? CONTROLLER_ROLE_ACTIVE : CONTROLLER_ROLE_STANDBY);
		assert_int_equal(only(&desired)->legs_wanted, served);
		assert_false(only(&desired)->top_wanted);
		desired = text_project(&rig, "n2");
		assert_true(only(&desired)->legs_wanted && !only(&desired)->top_wanted);
		told(&rig, id, "n1", gone_n1, "");
		told(&rig, id, "n5",
		     "export d5.v1.s1 slot:d5.v1.s1:e1 to node:n2\n"
		     "  ld5 nsid 1 1+515\n",
		     "");
		rig_advance(&rig, id, VOLUME_PHASE_DISMANTLING);
		told(&rig, id, "n1", gone_n1, "");
		told(&rig, id, "n3", "removed volume v1\n", "removed export d3.v1.s1\n");
		rig_advance(&rig, id, VOLUME_PHASE_RELEASING);
		told(&rig, id, "n1", gone_n1, "");
		told(&rig, id, "n2", "removed volume v1\n", "removed export d2.v1.s0\n");
		told(&rig, id, "n3", "removed volume v1\n", "removed export d3.v1.s1\n");
		told(&rig, id, "n4", "removed export d4.v1.s1\n", "");
		told(&rig, id, "n5", "removed export d5.v1.s1\n", "");
		assert_int_equal(rig_free_one(&rig, id, "ld3").code, 0);
		told(&rig, id, "n3", "removed volume v1\n", "");
		while (rig_free(&rig, id, SIZE_MAX).code == 0)
			if (fsm_volume_get(rig.fsm, id, &rig.arena, &(struct volume){ 0 }, NULL) != 0)
				break;
		rig_check(&rig);
		rig_close(&rig);
	}
}

/* One disk, two LDs of one slot: the export stays for the one that is in sync. */
static void test_shared_disk(void **state)
{
	struct rig_shape two = { .name = "a", .size_bytes = GIB, .copies = 2, .controllers = 1, .legs = 2 };
	struct place_ld lds[2][2] = { { { 1 }, { 2 } }, { { 1 }, { 3 } } };
	struct command_volume_create command;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 3, 1, 10 * GIB);
	assert_int_equal(rig_plan(&rig, &two, &command, &error), 0);
	for (size_t i = 0; i < 2; i++)
		command.legs.items[i].groups.items[0].members = (struct place_ld_list){ 2, lds[i] };
	command.actives.items[0] = "n3";
	rig_do(&rig, (struct command){ .volume_create = &command });
	rig_advance_until(&rig, 1, VOLUME_PHASE_ONLINE);
	told(&rig, 1, "n1",
	     "export d1.v1.s0 slot:d1.v1.s0:e1 to node:n3\n"
	     "  ld1 nsid 1 1+131 label\n"
	     "  ld3 nsid 3 132+131 label\n",
	     "");
	assert_int_equal(rig_stale(&rig, 1, 0, "ld1", STALE_REASON_MEDIUM).code, 0);
	told(&rig, 1, "n1",
	     "export d1.v1.s0 slot:d1.v1.s0:e1 to node:n3\n"
	     "  ld3 nsid 3 132+131 label\n",
	     "");
	assert_int_equal(rig_stale(&rig, 1, 0, "ld3", STALE_REASON_MEDIUM).code, 0);
	told(&rig, 1, "n1", "removed export d1.v1.s0\n", "");
	/* The new LD is on the same disk as the one that leaves: the export is wanted. */
	assert_int_equal(rig_replace(&rig, 1, 0, 1, 1).code, 0);
	told(&rig, 1, "n1",
	     "export d1.v1.s0 slot:d1.v1.s0:e1 to node:n3\n"
	     "  ld5 nsid 1 263+131\n",
	     "");
	rig_check(&rig);
	rig_close(&rig);
}

static void test_leg_options(void **state)
{
	struct command_node_register node = {
		.name = "n1", .address = "10.0.0.1", .port = 4420, .version = "1", .writethrough = true
	};
	struct rig_shape one = { .name = "a", .size_bytes = GIB, .copies = 1, .controllers = 1, .legs = 1 };
	struct settings settings = { .rebuild_rate_bytes = 1000 };
	struct command_cluster_set set = { &settings };
	struct command_volume_create command;
	struct desired desired;
	uint64_t ld, drain;
	struct error error;
	struct rig rig;

	(void)state;
	rig_open(&rig);
	rig_rack(&rig, 1, 1, 10 * GIB);
	rig_do(&rig, (struct command){ .node_register = &node });
	rig_create(&rig, &one);
	rig_advance_until(&rig, 1, VOLUME_PHASE_ONLINE);
	desired = text_project(&rig, "n1");
	assert_false(only(&desired)->legs.items[0].thick || only(&desired)->legs.items[0].writethrough);
	assert_int_equal(only(&desired)->legs.items[0].rebuild_rate_bytes, 0);
	rig_destroy(&rig, 1);
	assert_int_equal(rig_plan(&rig, &one, &command, &error), 0);
	command.durability = DURABILITY_STRICT;
	command.provision = PROVISION_THICK;
	rig_do(&rig, (struct command){ .volume_create = &command });
	rig_do(&rig, (struct command){ .cluster_set = &set });
	rig_advance_until(&rig, 2, VOLUME_PHASE_ONLINE);
	desired = text_project(&rig, "n1");
	assert_true(only(&desired)->legs.items[0].thick && only(&desired)->legs.items[0].writethrough);
	assert_int_equal(only(&desired)->legs.items[0].rebuild_rate_bytes, 1000);
	/* While it is asked for. */
	assert_int_equal(only(&desired)->legs.items[0].drain, 0);
	ld = rig_member(&rig, 2, 0, 0, 0).id;
	assert_int_equal(rig_drain(&rig, 2, 0, ld, 1).code, 0);
	desired = text_project(&rig, "n1");
	drain = only(&desired)->legs.items[0].drain;
	assert_int_equal(drain, rig_volume(&rig, 2).revision);
	assert_int_equal(rig_excuse(&rig, 2, 0, ld, drain).code, 0);
	desired = text_project(&rig, "n1");
	assert_int_equal(only(&desired)->legs.items[0].drain, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failover),       cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_import_address), cmocka_unit_test(test_parked),
		cmocka_unit_test(test_deleted),	       cmocka_unit_test(test_shared_disk),
		cmocka_unit_test(test_leg_options),    cmocka_unit_test(test_parked_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
