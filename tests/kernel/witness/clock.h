/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far the clock of one machine is from another's: what two journals are compared by. */
#ifndef TESTS_KERNEL_WITNESS_CLOCK_H
#define TESTS_KERNEL_WITNESS_CLOCK_H

#include <stdint.h>

/* Tells whoever asks at a UDP port what time it is here, until a signal ends it. Prints the
 * port, which 0 leaves to the kernel, and returns the exit status. */
int clock_answer(uint16_t port);

/* Asks an IPv4 address so many times and prints, as JSON, between which two values its clock minus this one's is.
 * Returns the exit status: 1 when fewer than half of the questions were answered, or when the clocks moved apart
 * meanwhile. */
int clock_compare(const char *address, uint16_t port, unsigned questions);

#endif
