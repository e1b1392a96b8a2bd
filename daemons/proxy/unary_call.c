/*
 * unary_call: a request handed to the role as it is, answered with the ResponseHeader and what comes back.
 */
#include "proxy/h2_connection.h"
#include "proxy/server.h"
#include "proxy/services.h"

void rpc_fail_undecodable(struct rpc_stream *stream) {
    struct grpc_failure failure;
    grpc_fail(&failure, GRPC_INTERNAL, "grpc: error unmarshalling request: unexpected EOF");
    rpc_fail(stream, &failure);
}

struct buffer *unary_scratch(struct rpc_stream *stream) {
    enum { KEEP = 1024 };
    buffer_reset(&stream->server->scratch, KEEP);
    return &stream->server->scratch;
}

/* Whole or in parts. */
static void take_answer(struct rpc_stream *stream, const struct proxy_result *result, uint64_t revision) {
    if (result->status != STATUS_OK) {
        rpc_end(stream, result->status);
        return;
    }
    if (result->first) {
        struct buffer *header = unary_scratch(stream);
        rpc_put_header(stream, header, revision);
        if (result->more)
            rpc_reply_begin(stream, buffer_bytes(header), result->body, result->total);
        else
            rpc_reply(stream, buffer_bytes(header), result->body);
    } else {
        rpc_reply_part(stream, result->body, !result->more);
    }
    if (!result->more)
        rpc_end(stream, STATUS_OK);
}

void unary_result(struct proxy_call *call, const struct proxy_result *result) {
    take_answer(rpc_of_call(call), result, result->revision);
}

void unary_result_without_revision(struct proxy_call *call, const struct proxy_result *result) {
    take_answer(rpc_of_call(call), result, 0);
}

void unary_call(struct rpc_stream *stream, enum proxy_route route, uint16_t method,
                void (*result)(struct proxy_call *call, const struct proxy_result *result)) {
    stream->call.route = route;
    stream->call.method = method;
    stream->call.result = result;
    stream->call.body = buffer_bytes(&stream->request);
    stream->call.deadline_us = stream->deadline_us;
    proxy_role_call(stream->server->role, &stream->call, stream->server->now_us);
    if (!proxy_call_under_way(&stream->call) || !stream->call.body_needed)
        h2_release_request(stream);
}
