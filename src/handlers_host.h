/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods of hosts. */
#ifndef DNVME_SRC_HANDLERS_HOST_H
#define DNVME_SRC_HANDLERS_HOST_H

#include "lib/base/error.h"

struct request;

int host_report_answer(struct request *request, struct error *error);

#endif
