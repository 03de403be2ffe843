/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole agent: session, reconciler and workers on one loop. */
#ifndef DNVME_AGENT_AGENT_H
#define DNVME_AGENT_AGENT_H

#include "agent/backend/kernel.h"
#include "agent/options.h"

/* Serve the control plane until SIGTERM or SIGINT, which touch nothing in the kernel. Takes the kernel. */
int agent_run(const struct options *options, struct kernel *kernel, struct error *error);

/* Make the kernel as options->desired_path says, and return when it is. DEADLINE_EXCEEDED after options->timeout_s,
 * with what is missing in the details. Takes the kernel. */
int agent_apply(const struct options *options, struct kernel *kernel, struct error *error);

#endif
