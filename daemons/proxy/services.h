/*
 * services: what the proxy answers, one function an RPC (or a family that is served alike). Each gets a
 * stream whose request message is complete and answers it with rpc_reply*() and rpc_end(), now or when its
 * call's result comes.
 */
#ifndef QUORATE_PROXY_SERVICES_H
#define QUORATE_PROXY_SERVICES_H

#include "proxy/rpc.h"

void kv_serve(struct rpc_stream *stream);
void cluster_serve(struct rpc_stream *stream);
void maintenance_alarm(struct rpc_stream *stream);
void maintenance_status(struct rpc_stream *stream);
/* Cancels the calls of a Status under way; harmless when there are none. */
void maintenance_status_abandon(struct rpc_stream *stream);
void health_check(struct rpc_stream *stream);
void health_watch(struct rpc_stream *stream);

/* A message that does not parse, in grpc-go's words. */
void rpc_fail_undecodable(struct rpc_stream *stream);

#endif
