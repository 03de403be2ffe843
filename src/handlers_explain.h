/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a volume is, why, and what will become of it; the shape of struct handler's `answer`. */
#ifndef DNVME_SRC_HANDLERS_EXPLAIN_H
#define DNVME_SRC_HANDLERS_EXPLAIN_H

#include "lib/base/error.h"

struct request;

int volume_explain_answer(struct request *request, struct error *error);

#endif
