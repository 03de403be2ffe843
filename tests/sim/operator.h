/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator does where the servers ask for one. */
#ifndef DNVME_TESTS_SIM_OPERATOR_H
#define DNVME_TESTS_SIM_OPERATOR_H

struct dnvme;

/* Serve a volume by force when it says that nothing else helps. */
void operator_look(struct dnvme *dnvme, const char *volume);

#endif
