/*
 * kv_service: etcdserverpb.KV, and Cluster.MemberList, which takes the same way: check, hand to the role, put
 * the ResponseHeader in front of what comes back.
 */
#include "common/wire.h"
#include "proxy/h2_connection.h"
#include "proxy/request_check.h"
#include "proxy/server.h"
#include "proxy/services.h"

enum { HEADER_KEEP = 1024 };

void rpc_fail_undecodable(struct rpc_stream *stream) {
    struct grpc_failure failure;
    grpc_fail(&failure, GRPC_INTERNAL, "grpc: error unmarshalling request: unexpected EOF");
    rpc_fail(stream, &failure);
}

static struct buffer *empty_scratch(struct rpc_stream *stream) {
    buffer_reset(&stream->server->scratch, HEADER_KEEP);
    return &stream->server->scratch;
}

/* A unary answer, whole or in parts. */
static void take_answer(struct rpc_stream *stream, const struct proxy_result *result, uint64_t revision) {
    if (result->status != STATUS_OK) {
        rpc_end(stream, result->status);
        return;
    }
    if (result->first) {
        struct buffer *header = empty_scratch(stream);
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

static void take_result(struct proxy_call *call, const struct proxy_result *result) {
    take_answer(rpc_of_call(call), result, result->revision);
}

static void take_result_without_revision(struct proxy_call *call, const struct proxy_result *result) {
    take_answer(rpc_of_call(call), result, 0);
}

/*
 * One RangeStreamResponse: the part that carries the header gets it as field 1 of the RangeResponse inside
 * (field 1 of the message).
 */
static void take_stream_part(struct proxy_call *call, const struct proxy_result *result) {
    struct rpc_stream *stream = rpc_of_call(call);
    if (result->status != STATUS_OK) {
        rpc_end(stream, result->status);
        return;
    }
    stream->parts = true;
    if (!result->header) {
        rpc_reply(stream, (struct bytes){0}, result->body);
    } else {
        struct wire_reader reader = wire_reader_of(result->body);
        struct wire_field field = {0};
        struct bytes inner = {0};
        if (wire_next(&reader, &field) && field.number == 1)
            inner = field.bytes;
        struct buffer header = {0};
        rpc_put_header(stream, &header, result->revision);
        struct buffer *head = empty_scratch(stream);
        wire_put_message_head(head, 1, header.length + inner.length);
        buffer_append_bytes(head, buffer_bytes(&header));
        rpc_reply(stream, buffer_bytes(head), inner);
        buffer_free(&header);
    }
    if (!result->more)
        rpc_end(stream, STATUS_OK);
}

static uint16_t method_of(uint8_t rpc) {
    switch (rpc) {
    case RPC_KV_RANGE:
        return METHOD_RANGE;
    case RPC_KV_RANGE_STREAM:
        return METHOD_RANGE_STREAM;
    case RPC_KV_PUT:
        return METHOD_PUT;
    case RPC_KV_DELETE_RANGE:
        return METHOD_DELETE_RANGE;
    case RPC_KV_TXN:
        return METHOD_TXN;
    default:
        return METHOD_COMPACT;
    }
}

static void call_role(struct rpc_stream *stream) {
    stream->call.body = buffer_bytes(&stream->request);
    stream->call.deadline_us = stream->deadline_us;
    proxy_role_call(stream->server->role, &stream->call, stream->server->now_us);
    if (!proxy_call_under_way(&stream->call) || !stream->call.body_needed)
        h2_release_request(stream);
}

void kv_serve(struct rpc_stream *stream) {
    uint16_t method = method_of(stream->rpc);
    enum proxy_route route = PROXY_WRITE;
    uint16_t status = request_check(method, buffer_bytes(&stream->request),
                                    stream->server->config->max_txn_operations, &route);
    if (status == STATUS_UNDECODABLE) {
        rpc_fail_undecodable(stream);
    } else if (status != STATUS_OK) {
        rpc_end(stream, status);
    } else {
        stream->call.route = route;
        stream->call.method = method;
        stream->call.result = method == METHOD_RANGE_STREAM ? take_stream_part : take_result;
        call_role(stream);
    }
}

/* Cluster headers carry no revision. */
void cluster_serve(struct rpc_stream *stream) {
    stream->call.route = PROXY_CLUSTER;
    stream->call.method = METHOD_MEMBER_LIST;
    stream->call.result = take_result_without_revision;
    call_role(stream);
}

/* Alarms are read from replicated state like a key; changing them is not served yet. */
void maintenance_alarm(struct rpc_stream *stream) {
    struct alarm_request request;
    if (!alarm_request_decode(buffer_bytes(&stream->request), &request)) {
        rpc_fail_undecodable(stream);
    } else if (request.action != 0) {
        rpc_end(stream, STATUS_UNIMPLEMENTED);
    } else {
        stream->call.route = PROXY_LINEARIZABLE_READ;
        stream->call.method = METHOD_ALARM;
        stream->call.result = take_result;
        call_role(stream);
    }
}
