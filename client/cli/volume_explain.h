/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnvme volume explain */
#ifndef DNVME_CLIENT_CLI_VOLUME_EXPLAIN_H
#define DNVME_CLIENT_CLI_VOLUME_EXPLAIN_H

#include "client/cli/cli.h"
#include "lib/base/buffer.h"

/* The explanation as text, appended to `output`. Returns 0, or -1 when memory is exhausted. */
int volume_explain_draw(const struct volume_explanation *explanation, struct arena *arena, struct buffer *output);

int volume_explain_run(struct cli *cli, struct error *error);

#endif
