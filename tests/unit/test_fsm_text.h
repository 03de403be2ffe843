/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A desired state as text; names lose their common beginning. */
#ifndef DNVME_TESTS_UNIT_TEST_FSM_TEXT_H
#define DNVME_TESTS_UNIT_TEST_FSM_TEXT_H

#include "tests/unit/test_fsm_rig.h"

void text_desired(const struct desired *desired, struct buffer *text);
/* What the codec takes is what can be sent. */
void text_encodes(const struct desired *desired);
struct desired text_project(struct rig *rig, const char *node);
void text_golden(struct rig *rig, const char *node, const char *wanted);

#endif
