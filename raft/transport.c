/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "raft/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/log.h"

#define USER_TIMEOUT_MS 2000
#define KEEPALIVE_SECONDS 1

struct connect_request {
	struct raft_uv_connect inner;
	struct raft_uv_connect *outer;
	raft_uv_connect_cb callback;
	struct transport *transport;
};

static void set_options(uv_stream_t *stream)
{
	int user_timeout = USER_TIMEOUT_MS, descriptor;

	if (stream == NULL || stream->type != UV_TCP)
		return;
	/* A connection without the options works, only slower: worth a line in the log, not a failure. */
	if (uv_tcp_nodelay((uv_tcp_t *)stream, 1) != 0 ||
	    uv_tcp_keepalive((uv_tcp_t *)stream, 1, KEEPALIVE_SECONDS) != 0 ||
	    uv_fileno((uv_handle_t *)stream, &descriptor) != 0 ||
	    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout)) != 0)
		log_warning("cannot set the options of a Raft connection", NULL);
}

static int pass_error(struct transport *transport, int rv)
{
	if (rv != 0)
		memcpy(transport->outer.errmsg, transport->tcp.errmsg, sizeof(transport->outer.errmsg));
	return rv;
}

static int outer_init(struct raft_uv_transport *outer, raft_id id, const char *address)
{
	struct transport *transport = outer->impl;

	return pass_error(transport, transport->tcp.init(&transport->tcp, id, address));
}

static void on_accept(struct raft_uv_transport *tcp, raft_id id, const char *address, uv_stream_t *stream)
{
	struct transport *transport = tcp->data;

	set_options(stream);
	transport->accept(&transport->outer, id, address, stream);
}

static int outer_listen(struct raft_uv_transport *outer, raft_uv_accept_cb callback)
{
	struct transport *transport = outer->impl;

	transport->accept = callback;
	return pass_error(transport, transport->tcp.listen(&transport->tcp, on_accept));
}

static void on_connect(struct raft_uv_connect *inner, uv_stream_t *stream, int status)
{
	struct connect_request *request = inner->data;

	if (status == 0)
		set_options(stream);
	else
		pass_error(request->transport, status);
	request->callback(request->outer, stream, status);
	free(request);
}

static int outer_connect(struct raft_uv_transport *outer, struct raft_uv_connect *req, raft_id id, const char *address,
			 raft_uv_connect_cb callback)
{
	struct transport *transport = outer->impl;
	struct connect_request *request = malloc(sizeof(*request));
	int rv;

	if (request == NULL)
		return RAFT_NOMEM;
	*request = (struct connect_request){
		.inner.data = request, .outer = req, .callback = callback, .transport = transport
	};
	req->cb = callback;
	rv = pass_error(transport, transport->tcp.connect(&transport->tcp, &request->inner, id, address, on_connect));
	if (rv != 0)
		free(request);
	return rv;
}

static void on_close(struct raft_uv_transport *tcp)
{
	struct transport *transport = tcp->data;

	transport->closed(&transport->outer);
}

static void outer_close(struct raft_uv_transport *outer, raft_uv_transport_close_cb callback)
{
	struct transport *transport = outer->impl;

	transport->closed = callback;
	transport->tcp.close(&transport->tcp, on_close);
}

int transport_init(struct transport *transport, uv_loop_t *loop)
{
	int rv;

	*transport = (struct transport){ .outer.version = 1, .tcp.version = 1 };
	rv = raft_uv_tcp_init(&transport->tcp, loop);
	if (rv != 0)
		return rv;
	transport->tcp.data = transport;
	transport->outer.impl = transport;
	transport->outer.init = outer_init;
	transport->outer.listen = outer_listen;
	transport->outer.connect = outer_connect;
	transport->outer.close = outer_close;
	return 0;
}

void transport_release(struct transport *transport)
{
	raft_uv_tcp_close(&transport->tcp);
}
