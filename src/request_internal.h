/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a request share. */
#ifndef DNVME_SRC_REQUEST_INTERNAL_H
#define DNVME_SRC_REQUEST_INTERNAL_H

#include "src/request.h"

/* Enter state NEW. */
void request_begin(struct request *request);

/* Enter state DONE and leave every list; drops the reference that a request has on itself while it is not done. */
void request_finish(struct request *request);

/* The same after an answer, and release the hold that was taken before it: closing a session for want of memory ends
 * its requests, this one too. */
void request_finish_answered(struct request *request);

/* Answer with UNAVAILABLE, which always says whether the command may have taken effect: for people, and for the server
 * that forwarded. */
void request_fail_unavailable(struct request *request, const char *message, bool unknown);

/* An error response on a session, outside a request. */
void request_send_failure(struct session *session, uint32_t msgid, const struct error *failure);

/* Take the way that is open now: work on it here, ask the leader, or wait for one. */
void request_route(struct request *request);

/* Its turn has come: go on behind a barrier that is done, or with a leader that is there. */
void request_step(struct request *request);

/* Try again when there is a leader (the tick looks). */
void request_wait_leader(struct request *request);

/* Whether asking twice does no harm. */
bool request_may_repeat(const struct request *request);

#endif
