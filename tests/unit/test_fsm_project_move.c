/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Projections while a slot moves and while members are lost and replaced. */
#include "tests/unit/test_fsm_text.h"
#include <stdio.h>

static const struct rig_shape shape = {
	.name = "db1", .size_bytes = 4 * GIB, .copies = 2, .controllers = 2, .standbys = 1, .legs = 1
};

static void dump(struct rig *rig, const char *what)
{
	struct buffer text = BUFFER_INIT;
	char name[8] = "n1";
	printf("=== %s\n", what);
	for (int i = 1; i <= 5; i++) {
		struct desired d;
		name[1] = '0' + i;
		d = text_project(rig, name);
		text_desired(&d, &text);
		printf("%s", (const char *)text.data);
	}
}

int main(void)
{
	struct rig rig;
	uint64_t id;
	rig_open(&rig);
	rig_rack(&rig, 5, 1, 100 * GIB);
	id = rig_create(&rig, &shape);
	rig_advance_until(&rig, id, VOLUME_PHASE_ONLINE);
	rig_slot_move(&rig, id, 0, "n3", MOVE_REASON_FAILOVER);
	dump(&rig, "fencing");
	rig_stale(&rig, id, 0, "ld1", STALE_REASON_NOT_FENCED);
	dump(&rig, "stale");
	rig_slot_advance(&rig, id, 0, SLOT_PHASE_ASSEMBLING);
	dump(&rig, "assembling");
	rig_slot_advance(&rig, id, 0, SLOT_PHASE_EXPORTING);
	dump(&rig, "exporting");
	rig_slot_advance(&rig, id, 0, SLOT_PHASE_SERVING);
	dump(&rig, "serving");
	rig_replace(&rig, id, 0, 1, 5);
	dump(&rig, "replaced");
	rig_controller_drop(&rig, id, "n1", 1);
	dump(&rig, "dropped");
	return 0;
}
