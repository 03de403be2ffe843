/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exit statuses of dnvmed; --help documents them. */
#ifndef DNVME_SRC_EXIT_STATUS_H
#define DNVME_SRC_EXIT_STATUS_H

enum {
	EXIT_STATUS_STOPPED = 0, /* stopped as asked */
	EXIT_STATUS_FAILED = 1,	 /* could not start, or could not go on */
	EXIT_STATUS_USAGE = 2,	 /* wrong command line or configuration */
};

#endif
