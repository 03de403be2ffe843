/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What world_trace() is made of. */
#ifndef DNVME_TESTS_SIM_TRACE_H
#define DNVME_TESTS_SIM_TRACE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

void trace_begin(uint64_t seed, bool verbose);
/* A line: `message` (or NULL), then what `format`, a literal (or NULL), says. */
void trace(const char *message, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

#endif
