/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks and random bytes of this machine. Nothing of this is used where replicas must agree. */
#ifndef DNVME_LIB_BASE_CLOCK_H
#define DNVME_LIB_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds since boot, suspend included (CLOCK_BOOTTIME): what leases are counted in. */
uint64_t clock_boot_ms(void);

/* Milliseconds since 1970 (CLOCK_REALTIME): for people only. */
uint64_t clock_wall_ms(void);

/* Fill with random bytes from the kernel; aborts if the kernel has none. */
void random_bytes(void *data, size_t size);

/* The kernel's boot id (/proc/sys/kernel/random/boot_id), 16 bytes. Returns 0 or -1. */
int boot_id_read(uint8_t ret_id[16]);

#endif
