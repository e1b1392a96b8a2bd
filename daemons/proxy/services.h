/*
 * services: what the proxy answers, one function an RPC (or a family that is served alike). Each gets a
 * stream whose request message is complete and answers it with rpc_reply*() and rpc_end(), now or when its
 * call's result comes. Where the client streams, the service is a table of functions (rpc.h).
 */
#ifndef QUORATE_PROXY_SERVICES_H
#define QUORATE_PROXY_SERVICES_H

#include "proxy/rpc.h"

void kv_serve(struct rpc_stream *stream);
void lease_grant(struct rpc_stream *stream);
void lease_revoke(struct rpc_stream *stream);
void lease_read(struct rpc_stream *stream);
extern const struct rpc_stream_service watch_service;
extern const struct rpc_stream_service lease_keepalive_service;
void cluster_serve(struct rpc_stream *stream);
void maintenance_alarm(struct rpc_stream *stream);
void maintenance_status(struct rpc_stream *stream);
/* Cancels the calls of a Status under way; harmless when there are none. */
void maintenance_status_abandon(struct rpc_stream *stream);
void health_check(struct rpc_stream *stream);
void health_watch(struct rpc_stream *stream);

/* --- for them, in unary_call.c --- */
/* Sends the request message where the route says; `result` is one of the following, or the service's own. */
void unary_call(struct rpc_stream *stream, enum proxy_route route, uint16_t method,
                void (*result)(struct proxy_call *call, const struct proxy_result *result));
void unary_result(struct proxy_call *call, const struct proxy_result *result);
void unary_result_without_revision(struct proxy_call *call, const struct proxy_result *result);
/* The server's buffer for heads of responses, empty. */
struct buffer *unary_scratch(struct rpc_stream *stream);
/* A message that does not parse, in grpc-go's words. */
void rpc_fail_undecodable(struct rpc_stream *stream);

#endif
