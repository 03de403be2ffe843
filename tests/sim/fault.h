/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What befalls a cluster. */
#ifndef DNVME_TESTS_SIM_FAULT_H
#define DNVME_TESTS_SIM_FAULT_H

/* Faults from now on, each with its end. */
void fault_begin(void);
/* None any more; what is cut, stopped or off comes back. */
void fault_heal(void);

#endif
