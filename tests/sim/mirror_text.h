/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the texts of a mirror say: its table and its status. Requests ask for the same few again and again, so that what
 * was read of a text is kept. */
#ifndef DNVME_TESTS_SIM_MIRROR_TEXT_H
#define DNVME_TESTS_SIM_MIRROR_TEXT_H

#include "agent/group.h"

/* As group_table_parse() and group_status_parse(). */
bool mirror_table(const struct observed_target_list *targets, struct group_table *ret_table);
void mirror_status(const char *text, struct group_status *ret_status);

#endif
